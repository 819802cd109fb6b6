//! The candidate rates of one probe: where they lie, which of them are one trial, and whether the best of them is the
//! outermost one.

use ndarray::ArrayView1;

use serde::{Deserialize, Serialize};

use super::decision::{Decision, fill};
use crate::update::Basis;
use crate::{AutoLrConfig, LengthError, TellError, Update};

/// What becomes of a candidate that a bound cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cut {
    /// As [`Candidates`] says.
    Shared,
    /// Each is a trial of its own, and votes with the factor that was tried: so it was in revisions before, whose records
    /// and states go on so. A bound repels the rate then.
    AsTried,
}

/// Candidate rates around a centre, in buffers that are reused.
///
/// A candidate that a bound cuts is tried at the bound. All that lie at the same bound then are one trial, whose loss
/// they share. So there are as many trials as candidates, or fewer where a bound cuts. If two are left of three or more,
/// the bound and another, a rate as far again from the bound is tried too, without a vote.
///
/// What a cut candidate votes with depends on the losses:
///
/// - If no rate tried does better than the bound, with its own factor, and the rate goes no farther than to the minimum
///   of the parabola in ln lr through the losses of the bound and of the two rates nearest to it. With the factor of the
///   bound, the candidates of the other side would outweigh it, and the bound would repel the rate; without the
///   parabola, it would attract a rate whose best lies just within.
/// - If a rate within does better, with the factor that was tried: its own would count the loss at the bound for a rate
///   far beyond, and pull the rate away from the better one.
#[derive(Debug, Clone)]
pub(crate) struct Candidates {
    cut: Cut,
    centre: f64,
    /// The rates to try, each once.
    trials: Vec<f64>,
    /// Whether a bound cut a candidate. If not, trials are candidates, and what follows is not used.
    is_cut: bool,
    /// The trial of each candidate, and those at the lower and the upper bound.
    trial_of: Vec<usize>,
    at_bounds: [Option<usize>; 2],
    /// The losses of the candidates, and the factors they vote with, with their logarithms.
    losses: Vec<f64>,
    factors: Vec<f64>,
    logs: Vec<f64>,
}

impl Candidates {
    pub(crate) fn new(n: usize, cut: Cut) -> Self {
        Self {
            cut,
            centre: f64::NAN,
            trials: Vec::with_capacity(n),
            is_cut: false,
            trial_of: Vec::with_capacity(n),
            at_bounds: [None; 2],
            losses: Vec::with_capacity(n),
            factors: Vec::with_capacity(n),
            logs: Vec::with_capacity(n),
        }
    }

    /// Places the candidates `factor · centre`.
    pub(crate) fn place(&mut self, config: &AutoLrConfig, centre: f64) {
        let factors = config.rule().factors().slice();
        let cut = |factor: &f64| {
            let wanted = factor * centre;
            config.within_bounds(wanted) != wanted && !wanted.is_nan()
        };
        self.centre = centre;
        self.is_cut = factors.iter().any(cut);
        self.trials.clear();
        self.trial_of.clear();
        self.at_bounds = [None; 2];
        let (min, max) = config.bounds();
        for factor in factors {
            let value = config.within_bounds(factor * centre);
            let next = self.trials.len();
            let trial = match (self.is_cut && self.cut == Cut::Shared, value) {
                (true, value) if value == max => *self.at_bounds[1].get_or_insert(next),
                (true, value) if value == min => *self.at_bounds[0].get_or_insert(next),
                _ => next,
            };
            if trial == next {
                self.trials.push(value);
            }
            self.trial_of.push(trial);
        }
        if let (&[one, other], 3..) = (&self.trials[..], self.trial_of.len()) {
            let (near, far) = match self.at_bounds {
                [None, Some(0)] | [Some(0), None] => (one, other),
                [None, Some(1)] | [Some(1), None] => (other, one),
                _ => return,
            };
            let third = config.within_bounds(far / near * far);
            if third != far {
                self.trials.push(third);
            }
        }
    }

    /// The rates to try, before a group's multiplier.
    pub(crate) fn trials(&self) -> &[f64] {
        &self.trials
    }

    /// # Errors
    /// If there is not one loss a trial.
    pub(crate) fn check(&self, losses: ArrayView1<'_, f64>) -> Result<(), LengthError> {
        let of = if self.is_cut { "candidates" } else { "factors" };
        LengthError::check((losses.len(), "losses"), (self.trials.len(), of))
    }

    /// The update by the losses of the trials.
    pub(crate) fn vote(
        &mut self,
        config: &AutoLrConfig,
        losses: ArrayView1<'_, f64>,
        update: &mut Update,
    ) {
        let rule = config.rule();
        let Basis { factors, logs } = rule.factors().basis();
        if !self.is_cut {
            rule.update_over(Basis { factors, logs }, losses, update);
            return;
        }
        let best = lowest_loss(losses);
        self.losses.clear();
        self.factors.clear();
        self.logs.clear();
        // The trials at the lower and the upper bound, where a candidate votes with its factor beyond.
        let mut pulling = [None; 2];
        for (i, &trial) in self.trial_of.iter().enumerate() {
            let (value, loss) = (self.trials[trial], losses[trial]);
            let wanted = factors[i] * self.centre;
            let as_tried = match self.cut {
                Cut::Shared => value != wanted && loss > best,
                Cut::AsTried => true,
            };
            if value != wanted && !as_tried {
                pulling[usize::from(wanted > value)] = Some(trial);
            }
            let factor = if as_tried { value / self.centre } else { factors[i] };
            let log = if as_tried { libm::log(factor) } else { logs[i] };
            self.losses.push(loss);
            self.factors.push(factor);
            self.logs.push(log);
        }
        let basis = Basis {
            factors: &self.factors,
            logs: &self.logs,
        };
        rule.update_over(basis, ArrayView1::from(&self.losses), update);
        // Compared, not by `min` and `max`: a NaN, from a loss that propagates, stays.
        let minima = pulling.map(|trial| self.minimum_within(trial?, losses));
        if let Some(factor) = minima[0].map(|rate| rate / self.centre) {
            if update.factor < factor {
                update.factor = factor;
            }
        }
        if let Some(factor) = minima[1].map(|rate| rate / self.centre) {
            if update.factor > factor {
                update.factor = factor;
            }
        }
    }

    /// The rate at which the parabola in ln lr through the losses of the trial at a bound, which is the best, and of the
    /// two nearest to it is least, if that lies within the bound. Losses that are not finite are passed over.
    fn minimum_within(&self, bound: usize, losses: ArrayView1<'_, f64>) -> Option<f64> {
        let (at, loss) = (self.trials[bound], losses[bound]);
        // Distance in ln lr, inwards, and loss.
        let (mut near, mut next) = ((f64::INFINITY, f64::NAN), (f64::INFINITY, f64::NAN));
        let mut sign = 0.0;
        for (&rate, &loss) in self.trials.iter().zip(losses) {
            let offset = libm::log(rate / at);
            let distance = offset.abs();
            if distance == 0.0 || distance == near.0 || !loss.is_finite() {
                continue;
            }
            sign = offset.signum();
            if distance < near.0 {
                (near, next) = ((distance, loss), near);
            } else if distance < next.0 {
                next = (distance, loss);
            }
        }
        // Newton's divided differences, from the bound on; NaN where there are fewer than three losses.
        let first = (near.1 - loss) / near.0;
        let second = (next.1 - near.1) / (next.0 - near.0);
        let curvature = (second - first) / next.0;
        let slope = first - curvature * near.0;
        let is_within = slope < 0.0 && curvature > 0.0 && curvature.is_finite();
        let distance = -slope / (2.0 * curvature);
        is_within.then(|| at * libm::exp(sign * distance))
    }

    /// Whether a candidate that votes has a finite loss.
    pub(crate) fn anyone_votes(&self, losses: ArrayView1<'_, f64>) -> bool {
        let mut voters = self.trial_of.iter();
        voters.any(|&trial| losses[trial].is_finite())
    }

    /// Writes losses and votes into a decision, an entry a trial. The candidates of one trial vote as one that has the
    /// weight of all, and the geometric mean of their factors. A trial without a vote is written
    /// as a loss that is not finite: normalised NaN, score and weight 0.
    pub(crate) fn record(
        &self,
        losses: ArrayView1<'_, f64>,
        update: &Update,
        decision: &mut Decision,
    ) {
        fill(&mut decision.losses, losses.iter().copied());
        if !self.is_cut || self.cut == Cut::AsTried {
            fill(&mut decision.normalized, update.normalized.iter().copied());
            fill(&mut decision.scores, update.scores.iter().copied());
            fill(&mut decision.weights, update.weights.iter().copied());
            fill(&mut decision.factors, std::iter::empty());
            return;
        }
        let each = |value: f64| self.trials.iter().map(move |_| value);
        fill(&mut decision.normalized, each(f64::NAN));
        fill(&mut decision.scores, each(0.0));
        fill(&mut decision.weights, each(0.0));
        let tried = self.trials.iter().map(|rate| rate / self.centre);
        fill(&mut decision.factors, tried);
        for (i, &trial) in self.trial_of.iter().enumerate() {
            decision.normalized[trial] = update.normalized[i];
            decision.scores[trial] = update.scores[i];
            decision.weights[trial] += update.weights[i];
            decision.factors[trial] = self.factors[i];
        }
        for trial in self.at_bounds.into_iter().flatten() {
            let own = self.trial_of.iter().zip(&self.logs);
            let own = own.filter(|(of, _)| **of == trial).map(|(_, log)| log);
            let (count, sum) = own.fold((0.0, 0.0), |(count, sum), log| (count + 1.0, sum + log));
            if count > 1.0 {
                decision.factors[trial] = libm::exp(sum / count);
            }
        }
    }

    /// The lowest candidate, as it was tried.
    pub(crate) fn lowest(&self) -> f64 {
        let voters = self.trial_of.iter().map(|&trial| self.trials[trial]);
        voters.fold(f64::INFINITY, f64::min)
    }

    fn highest(&self) -> f64 {
        let voters = self.trial_of.iter().map(|&trial| self.trials[trial]);
        voters.fold(0.0, f64::max)
    }

    /// The rate to centre the next probe on, if the losses point beyond the outermost candidate: the best loss is that
    /// of the highest or the lowest rate alone, or (`lower`) no loss is finite. None where the window would not move,
    /// or stands at a bound.
    pub(crate) fn beyond(
        &self,
        config: &AutoLrConfig,
        losses: ArrayView1<'_, f64>,
        lower: bool,
    ) -> Option<f64> {
        let (lowest, highest) = (self.lowest(), self.highest());
        let voters = || self.trial_of.iter().map(|&trial| (self.trials[trial], losses[trial]));
        let finite = voters().map(|(_, loss)| loss).filter(|loss| loss.is_finite());
        let best = finite.fold(f64::INFINITY, f64::min);
        let only = |rate: f64| {
            best.is_finite() && voters().all(|(value, loss)| loss != best || value == rate)
        };
        if lowest == highest {
            return None;
        }
        let (min, max) = config.bounds();
        if only(highest) && highest > self.centre && highest < max {
            Some(highest)
        } else if (lower || only(lowest)) && lowest < self.centre && lowest > min {
            Some(lowest)
        } else {
            None
        }
    }

    pub(crate) fn no_finite_loss(&self) -> TellError {
        TellError::NoFiniteLoss {
            candidates: self.trials.len(),
            lowest: self.trials.iter().copied().fold(f64::INFINITY, f64::min),
            highest: self.trials.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// The lowest of the finite losses; ∞ if there is none.
fn lowest_loss(losses: ArrayView1<'_, f64>) -> f64 {
    let finite = losses.iter().filter(|loss| loss.is_finite());
    finite.fold(f64::INFINITY, |best, &loss| best.min(loss))
}
