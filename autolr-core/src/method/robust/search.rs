//! How long the search is, which rate it tries next, and which it prefers.

use serde::{Deserialize, Serialize};

use super::config::RobustConfig;
use crate::float_serde;
use crate::method::{Anneal, Course, Plan, SearchForecast};

/// The lengths of a search, in steps of a trial and scoring batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lengths {
    /// Steps of a trial: at each decade, then in each round.
    pub(super) steps: [u64; 3],
    /// Scoring batches at the end of each.
    pub(super) scores: [u64; 3],
    /// The last stage: 0 the decades, then the rounds.
    pub(super) last: usize,
}

/// Rates of the first stage, as powers of ten; it goes on beyond them while the best is at an end.
const DECADES: std::ops::RangeInclusive<i32> = -4..=1;
/// As far as it goes.
const BOUNDS: std::ops::RangeInclusive<i32> = -10..=4;
/// Trials of each stage, at least and at most.
const TRIALS: [[u64; 3]; 2] = [[6, 3, 2], [15, 5, 3]];
/// Trials of the first stage that are planned for.
const PLANNED: f64 = 7.0;
/// The least steps of a trial from which anything is seen.
const LEAST: u64 = 2;
/// Steps at each decade, where the run is long enough.
const AT_DECADE: u64 = 8;

/// The share of a run of `steps` steps that the search may take beyond what is trained on from: 20 % up to 1,000 steps,
/// 9 % at 5,000, 3 % from 50,000 on.
pub(super) fn share(steps: u64) -> f64 {
    (0.2 * libm::pow(steps as f64 / 1000.0, -0.485)).clamp(0.03, 0.2)
}

impl Lengths {
    /// None where the run is too short for any search.
    pub(super) fn of(config: &RobustConfig, plan: Plan) -> Option<Self> {
        let share = config.search.unwrap_or_else(|| share(plan.steps));
        let most = share * plan.steps as f64;
        // A scoring batch is a forward pass, a third of a step if it is as large.
        let cost = |steps: u64, scores: u64| steps as f64 + scores as f64 / 3.0;
        let few = (config.scoring_batches / 4).max(1);
        let decade = ((most / 25.0) as u64).clamp(LEAST, AT_DECADE);
        let at_decades = PLANNED * cost(decade, few);
        if at_decades > 1.5 * most {
            return None;
        }
        let mut lengths = Self {
            steps: [decade, 0, 0],
            scores: [few, config.scoring_batches, config.scoring_batches],
            last: 0,
        };
        // Four trials of the first round, two or three of the second, one of which is trained on from.
        let left = most - at_decades - 7.0 * cost(0, config.scoring_batches);
        let (parts, of_second) = match config.rounds {
            0 => return Some(lengths.within(plan)),
            1 => (3.0, 0.0),
            _ => (10.0, 3.0),
        };
        let first = left / parts;
        if first < decade as f64 {
            return Some(lengths.within(plan));
        }
        lengths.steps[1] = first as u64;
        lengths.steps[2] = (of_second * first) as u64;
        lengths.last = config.rounds as usize;
        Some(lengths.within(plan))
    }

    /// A trial ends with the epoch.
    fn within(mut self, plan: Plan) -> Self {
        for steps in &mut self.steps {
            *steps = (*steps).min(plan.steps_per_epoch);
        }
        self
    }

    /// What the search costs, at least and at most; where a trial is `adopted`, without its steps.
    pub(super) fn cost(&self, adopted: bool) -> [SearchForecast; 2] {
        TRIALS.map(|trials| {
            let stages = 0..=self.last;
            let sum = |of: [u64; 3]| stages.clone().map(|i| trials[i] * of[i]).sum::<u64>();
            let own = if adopted { self.steps[self.last] } else { 0 };
            SearchForecast {
                steps: sum(self.steps).saturating_sub(own),
                scores: sum(self.scores),
            }
        })
    }

    /// The course of a trial: the schedule of the training, in short.
    pub(super) fn course(&self, stage: usize) -> Course {
        let steps = self.steps[stage].max(1);
        Course {
            steps,
            anneal: Anneal::ToZero,
            warm_up: steps / 8,
        }
    }
}

/// A branch from the beginning, and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    pub(super) stage: usize,
    #[serde(with = "float_serde")]
    pub(super) lr: f64,
    pub(super) steps: u64,
    /// Mean training loss over them.
    #[serde(with = "float_serde")]
    pub(super) train_loss: f64,
    /// Losses on the scoring batches, which all trials of a stage share.
    #[serde(with = "float_serde::vec")]
    pub(super) scores: Vec<f64>,
    /// Where its end is, until another trial is written there.
    pub(super) slot: Option<u32>,
}

impl Trial {
    /// Mean loss; infinite where one is not finite.
    pub(super) fn loss(&self) -> f64 {
        let mean = self.scores.iter().sum::<f64>() / self.scores.len() as f64;
        if mean.is_finite() {
            mean
        } else {
            f64::INFINITY
        }
    }

    /// Whether its loss is finite, and its training loss in proportion to the initial one.
    fn is_sound(&self, initial: f64) -> bool {
        self.loss().is_finite() && self.train_loss <= OUT_OF_PROPORTION * initial.abs()
    }

    /// By how much its loss is above another's, and the standard error of that over the batches.
    pub(super) fn above(&self, other: &Self) -> (f64, f64) {
        let n = self.scores.len() as f64;
        let mean = self.loss() - other.loss();
        let squares: f64 = self
            .scores
            .iter()
            .zip(&other.scores)
            .map(|(a, b)| (a - b - mean) * (a - b - mean))
            .sum();
        (mean, (squares / (n * (n - 1.0).max(1.0))).sqrt())
    }
}

/// The trial that changed the least: the lowest rate's, of those with a finite loss.
pub(super) fn least(trials: &[Trial]) -> Option<&Trial> {
    let finite = trials
        .iter()
        .filter(|trial| trial.loss().is_finite() && trial.train_loss.is_finite());
    finite.min_by(|a, b| a.lr.total_cmp(&b.lr))
}

/// Training loss of a trial, in multiples of the initial one, above which its rate is too high, whatever its end: a
/// training would stay at that rate for longer.
const OUT_OF_PROPORTION: f64 = 3.0;

/// The trial of a stage that is taken: from the one with the lowest loss upward, as long as the next higher rate's is within
/// `tie` standard errors of the lowest. None if no loss is finite.
pub(super) fn preferred(trials: &[Trial], stage: usize, tie: f64) -> Option<&Trial> {
    let initial = least(trials)?.train_loss;
    let of_stage = trials.iter().filter(|trial| trial.stage == stage);
    let mut of_stage: Vec<&Trial> = of_stage.filter(|trial| trial.is_sound(initial)).collect();
    of_stage.sort_by(|a, b| a.lr.total_cmp(&b.lr));
    let best = *of_stage
        .iter()
        .min_by(|a, b| a.loss().total_cmp(&b.loss()))?;
    let higher = of_stage.into_iter().filter(|trial| trial.lr > best.lr);
    let tied = higher.take_while(|trial| {
        let (above, error) = trial.above(best);
        above <= tie * error
    });
    Some(tied.last().unwrap_or(best))
}

/// The trial of a stage at a half decade.
fn at(trials: &[Trial], stage: usize, half: i32) -> Option<&Trial> {
    let is_it = |trial: &&Trial| trial.stage == stage && half_of(trial.lr) == half;
    trials.iter().find(is_it)
}

/// The trial that is trained on from: of the last round, the one whose loss would be the lowest after a round as much
/// longer again, if it falls as it did from the round before: `2 L₂ − L₁`. Where that is not known, the preferred one.
pub(super) fn winner<'a>(
    trials: &'a [Trial],
    lengths: &Lengths,
    config: &RobustConfig,
) -> Option<&'a Trial> {
    let last = lengths.last;
    let preferred = (0..=last)
        .rev()
        .find_map(|stage| preferred(trials, stage, config.tie))?;
    if !config.trend || last < 2 || preferred.stage < last {
        return Some(preferred);
    }
    let initial = least(trials)?.train_loss;
    let ahead = |trial: &Trial| {
        let before = at(trials, last - 1, half_of(trial.lr))?;
        let sound = before.is_sound(initial) && trial.is_sound(initial);
        sound.then(|| 2.0 * trial.loss() - before.loss())
    };
    // No higher rate than the preferred one.
    let of_last = trials
        .iter()
        .filter(|trial| trial.stage == last && trial.lr <= preferred.lr);
    let best = of_last
        .filter_map(|trial| Some((ahead(trial)?, trial)))
        .min_by(|(a, _), (b, _)| a.total_cmp(b));
    Some(best.map_or(preferred, |(_, trial)| trial))
}

/// 10^(half / 2).
pub(super) fn half_decade(half: i32) -> f64 {
    libm::pow(10.0, f64::from(half) / 2.0)
}

/// The half decade that a rate of the search is at.
pub(super) fn half_of(lr: f64) -> i32 {
    libm::round(2.0 * libm::log10(lr)) as i32
}

/// The rate to try next, in half decades; none where the stage is over.
pub(super) fn next(trials: &[Trial], lengths: &Lengths, stage: usize, tie: f64) -> Option<i32> {
    let tried = |half: i32| {
        trials
            .iter()
            .any(|trial| trial.stage == stage && half_of(trial.lr) == half)
    };
    if stage == 0 {
        if let Some(decade) = DECADES.into_iter().find(|decade| !tried(2 * decade)) {
            return Some(2 * decade);
        }
        let halves = trials.iter().map(|trial| half_of(trial.lr));
        let (least, most) = (halves.clone().min()?, halves.max()?);
        let best = preferred(trials, 0, tie).map(|trial| half_of(trial.lr));
        // Without a finite loss the rates were too high.
        let down = best.is_none_or(|best| best == least) && least > 2 * BOUNDS.start();
        let up = best == Some(most) && most < 2 * BOUNDS.end();
        return match (down, up) {
            (true, _) => Some(least - 2),
            (false, true) => Some(most + 2),
            (false, false) => None,
        };
    }
    let centre = half_of(preferred(trials, stage - 1, tie)?.lr);
    if stage == lengths.last && stage > 1 {
        // The best of the round before, the rate below it, and the one above where that was the better of the two: over
        // more steps lower rates catch up.
        let loss = |half: i32| at(trials, stage - 1, half).map_or(f64::INFINITY, Trial::loss);
        let above = (loss(centre + 1) < loss(centre - 1)).then_some(centre + 1);
        return [centre - 1, centre]
            .into_iter()
            .chain(above)
            .find(|half| !tried(*half));
    }
    if let Some(half) = [centre - 1, centre, centre + 1]
        .into_iter()
        .find(|half| !tried(*half))
    {
        return Some(half);
    }
    // Once further out, while the best is at an end.
    let halves = || {
        let of = trials.iter().filter(|trial| trial.stage == stage);
        of.map(|trial| half_of(trial.lr))
    };
    let best = half_of(preferred(trials, stage, tie)?.lr);
    match () {
        () if halves().count() >= 5 => None,
        () if Some(best) == halves().min() => Some(best - 1),
        () if Some(best) == halves().max() => Some(best + 1),
        () => None,
    }
}
