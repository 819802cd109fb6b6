//! The method.

use serde::{Deserialize, Serialize};

use super::config::RobustConfig;
use super::search::{self, Lengths, Trial};
use super::{KIND, VERSION};
use crate::float_serde;
use crate::method::{
    Branch, Budget, Change, Event, Keep, Method, MethodError, MethodState, Needs, Plan, Record,
    Request, Slot, Turn,
};

/// The beginning of the training during the search, later the last state that the guard goes back to.
const ORIGIN: Slot = Slot(0);
/// How often the guard goes back, at most.
const RETURNS: u64 = 12;

/// Finds the rate by itself, and decays it to zero over the rest of the run. See the [module](super).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robust {
    pub(super) config: RobustConfig,
    plan: Plan,
    lengths: Lengths,
    stage: Stage,
    trials: Vec<Trial>,
    /// The rate being tried, in half decades.
    trying: i32,
    /// The highest rate of the decay.
    #[serde(with = "float_serde")]
    peak: f64,
    #[serde(with = "float_serde")]
    lr: f64,
    /// Steps of the training so far.
    steps: u64,
    /// Steps, and compute, before the decay began; before that, when the search began.
    began: (u64, u64),
    /// Steps since the warm-up began.
    warm: u64,
    /// The loss before any training.
    #[serde(with = "float_serde")]
    initial_loss: f64,
    /// The lowest so far, of the trial that was taken and of epochs of training.
    #[serde(with = "float_serde")]
    best_loss: f64,
    /// Steps at the last state that the guard kept.
    kept: u64,
    /// How often the guard went back.
    returns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Fresh,
    /// The beginning is saved.
    Saving,
    /// Trials of a stage of the search.
    Trying(usize),
    /// The training goes on from the best trial.
    Adopting(u32),
    Dropping(u32),
    /// The beginning, where no guard goes back.
    DroppingOrigin,
    Training,
    /// The guard keeps a copy.
    Keeping,
    GoingBack,
}

#[derive(Serialize)]
struct Found<'a> {
    reason: &'a str,
    /// The preferred rate of each stage.
    rates: Vec<f64>,
    trials: u64,
    /// Steps of all trials, and those of the one that the training goes on from.
    search_steps: u64,
    adopted_steps: u64,
}

#[derive(Serialize)]
struct WentBack {
    reason: &'static str,
    #[serde(with = "float_serde")]
    loss: f64,
    returns: u64,
}

impl Robust {
    /// At its beginning.
    pub fn new(config: RobustConfig) -> Self {
        Self {
            config,
            plan: Plan {
                steps: 0,
                steps_per_epoch: 0,
            },
            lengths: Lengths::default(),
            stage: Stage::Fresh,
            trials: Vec::new(),
            trying: 0,
            peak: config.lr,
            lr: config.lr,
            steps: 0,
            began: (0, 0),
            warm: 0,
            initial_loss: f64::NAN,
            best_loss: f64::INFINITY,
            kept: 0,
            returns: 0,
        }
    }

    /// The highest rate of the decay, once it was found.
    pub fn peak(&self) -> f64 {
        self.peak
    }

    /// What the highest rate of the training is of the one that was found.
    pub fn scale(&self) -> f64 {
        self.config.scale
    }

    /// Steps of the warm-up in a run of so many.
    pub fn warm_up_steps(&self, steps: u64) -> u64 {
        ((self.config.warm_up * steps as f64) as u64).max(1)
    }

    /// A slot that does not hold the best trial.
    fn free_slot(&self, stage: usize) -> Slot {
        let best = if stage == self.lengths.last {
            search::winner(&self.trials, &self.lengths, &self.config)
        } else {
            search::preferred(&self.trials, stage, self.config.tie)
        };
        match best.and_then(|trial| trial.slot) {
            Some(1) => Slot(2),
            _ => Slot(1),
        }
    }

    /// The rate of the step to come.
    fn schedule(&mut self, budget: &Budget) {
        let gone = self.plan.gone(self.began, self.steps, budget);
        let warm_up = self.warm_up_steps(self.plan.steps) as f64;
        let rise = ((self.warm + 1) as f64 / (warm_up + 1.0)).min(1.0);
        self.lr = self.peak * rise.min(1.0 - gone);
    }

    fn begin_decay(&mut self, budget: &Budget) {
        self.stage = if self.config.guard {
            Stage::Keeping
        } else {
            Stage::Training
        };
        self.kept = self.steps;
        self.began = (self.steps, budget.spent);
        self.warm = 0;
        self.schedule(budget);
    }

    /// Whether the search has cost twice what it may, since scoring batches are larger than training batches. A run
    /// without a budget has no account of that.
    fn has_overspent(&self, budget: &Budget) -> bool {
        let share = self
            .config
            .search
            .unwrap_or_else(|| search::share(self.plan.steps));
        let limit = budget.limit.map(|limit| 2.0 * share * limit as f64);
        limit.is_some_and(|limit| budget.spent.saturating_sub(self.began.1) as f64 > limit)
    }

    /// What a state from outside may not be.
    pub(super) fn check(&self) -> Result<(), String> {
        let last = self.lengths.last;
        let stages = self.trials.iter().map(|trial| trial.stage);
        let stage = match self.stage {
            Stage::Trying(stage) => stage,
            _ => 0,
        };
        match stages.chain([stage, last]).max() {
            Some(most) if most > 2 || stage > last => {
                Err(format!("a search has no stage {}", most.max(stage)))
            }
            _ => Ok(()),
        }
    }

    /// The next trial, or the end of the search.
    fn go_on(&mut self, stage: usize, budget: &Budget) -> Option<Record> {
        let mut stage = stage;
        loop {
            if self.has_overspent(budget) {
                break;
            }
            if let Some(half) = search::next(&self.trials, &self.lengths, stage, self.config.tie) {
                (self.trying, self.stage) = (half, Stage::Trying(stage));
                return None;
            }
            if stage == self.lengths.last {
                break;
            }
            stage += 1;
        }
        let rates: Vec<f64> = (0..=stage)
            .filter_map(|stage| search::preferred(&self.trials, stage, self.config.tie))
            .map(|trial| trial.lr)
            .collect();
        let winner = search::winner(&self.trials, &self.lengths, &self.config);
        let adopted = winner.filter(|trial| self.config.adopt && trial.slot.is_some());
        let (slot, adopted_steps) = adopted.map_or((None, 0), |trial| (trial.slot, trial.steps));
        let found = Found {
            reason: match winner {
                None => "no rate gave a finite loss",
                Some(_) if self.has_overspent(budget) => {
                    "the search ended early: its scoring batches cost too much"
                }
                Some(_) => "search",
            },
            rates,
            trials: self.trials.len() as u64,
            search_steps: self
                .trials
                .iter()
                .fold(0, |sum: u64, trial| sum.saturating_add(trial.steps)),
            adopted_steps,
        };
        // Without a finite loss, the lowest rate that was tried.
        let lowest = self.trials.iter().map(|trial| trial.lr);
        let peak = winner.map_or_else(
            || lowest.fold(self.config.lr, f64::min),
            |trial| self.config.scale * trial.lr,
        );
        let record = Change::new(self.peak, peak, &found);
        self.initial_loss = search::least(&self.trials).map_or(f64::NAN, Trial::loss);
        self.best_loss = winner.map_or(self.initial_loss, Trial::loss);
        self.peak = peak;
        match slot {
            Some(slot) => {
                self.steps = self.steps.saturating_add(adopted_steps);
                self.stage = Stage::Adopting(slot);
            }
            None => self.drop_trials(budget),
        }
        Some(Record::Change(record))
    }

    /// Lets go of what a trial still holds.
    fn drop_trials(&mut self, budget: &Budget) {
        let held = self.trials.iter_mut().find_map(|trial| trial.slot.take());
        match held {
            Some(slot) => self.stage = Stage::Dropping(slot),
            None if self.config.guard => self.end_search(budget),
            None => self.stage = Stage::DroppingOrigin,
        }
    }

    fn end_search(&mut self, budget: &Budget) {
        self.trials.clear();
        self.begin_decay(budget);
    }

    /// Whether an epoch lost half of what was reached before: its loss is not finite, or above
    /// `best + max(initial − best, |initial| / 10) / 2`.
    fn is_lost(&self, loss: f64) -> bool {
        if !self.initial_loss.is_finite() {
            // Without a search the first epoch is what the others are compared with.
            return !loss.is_finite();
        }
        let reached = (self.initial_loss - self.best_loss).max(0.1 * self.initial_loss.abs());
        !loss.is_finite() || loss > self.best_loss + 0.5 * reached
    }
}

impl Method for Robust {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        Needs {
            slots: 3,
            divergence: self.config.guard,
            ..Needs::default()
        }
    }

    fn next(&mut self, event: &Event<'_>, budget: &Budget) -> Result<Turn, MethodError> {
        let mut record = None;
        match (*event, self.stage) {
            (Event::Start(plan), Stage::Fresh) => {
                self.plan = plan;
                self.began.1 = budget.spent;
                if let Some(lengths) = Lengths::of(&self.config, plan) {
                    self.lengths = lengths;
                    self.stage = Stage::Saving;
                } else {
                    let found = Found {
                        reason: "the run is too short for a search",
                        rates: Vec::new(),
                        trials: 0,
                        search_steps: 0,
                        adopted_steps: 0,
                    };
                    record = Some(Record::Change(Change::new(self.lr, self.peak, &found)));
                    self.begin_decay(budget);
                }
            }
            (Event::Done, Stage::Saving) => record = self.go_on(0, budget),
            (
                Event::Branched {
                    steps,
                    train_loss,
                    scores,
                },
                Stage::Trying(stage),
            ) => {
                let wanted = self.lengths.scores[stage];
                if scores.len() as u64 != wanted {
                    let found = scores.len();
                    return Err(MethodError::Other(format!(
                        "{found} scores of a branch, but {wanted} were asked for"
                    )));
                }
                let slot = self.free_slot(stage);
                for trial in &mut self.trials {
                    if trial.slot == Some(slot.0) {
                        trial.slot = None;
                    }
                }
                self.trials.push(Trial {
                    stage,
                    lr: search::half_decade(self.trying),
                    steps,
                    train_loss,
                    scores: scores.to_vec(),
                    slot: Some(slot.0),
                });
                record = self.go_on(stage, budget);
            }
            (Event::Done, Stage::Adopting(slot)) => {
                for trial in &mut self.trials {
                    if trial.slot == Some(slot) {
                        trial.slot = None;
                    }
                }
                self.drop_trials(budget);
            }
            (Event::Done, Stage::Dropping(_)) => self.drop_trials(budget),
            (Event::Done, Stage::DroppingOrigin) => self.end_search(budget),
            (Event::Step { .. }, Stage::Training) => {
                self.steps += 1;
                self.warm = self.warm.saturating_add(1);
                self.schedule(budget);
            }
            (
                Event::Epoch {
                    train_loss,
                    validation_loss,
                },
                Stage::Training,
            ) => {
                // The lower one: the first epoch's training loss holds that of the trial, with its higher rates, and a
                // network that overfits has a rising validation loss.
                let loss = match validation_loss {
                    Some(validation) if train_loss.is_finite() => validation.min(train_loss),
                    _ => train_loss,
                };
                let loss = if validation_loss.is_none_or(f64::is_finite) {
                    loss
                } else {
                    f64::NAN
                };
                let lost = self.is_lost(loss);
                if self.config.guard && !lost {
                    if !self.initial_loss.is_finite() {
                        self.initial_loss = loss;
                    }
                    self.best_loss = self.best_loss.min(loss);
                    (self.stage, self.kept) = (Stage::Keeping, self.steps);
                } else if self.config.guard && self.returns < RETURNS {
                    self.returns += 1;
                    let (before, after) = (self.peak, 0.5 * self.peak);
                    let why = WentBack {
                        reason: "an epoch lost half of what was reached",
                        loss,
                        returns: self.returns,
                    };
                    record = Some(Record::Change(Change::new(before, after, &why)));
                    (self.peak, self.steps, self.warm) = (after, self.kept, 0);
                    self.stage = Stage::GoingBack;
                }
            }
            (Event::Done, Stage::Keeping | Stage::GoingBack) => {
                self.stage = Stage::Training;
                self.schedule(budget);
            }
            _ => return Err(MethodError::unasked(event)),
        }
        let mut turn = Turn::from(self.pending().unwrap_or(Request::Continue));
        turn.record = record;
        Ok(turn)
    }

    fn pending(&self) -> Option<Request> {
        match self.stage {
            Stage::Fresh | Stage::Training => None,
            Stage::Saving | Stage::Keeping => Some(Request::Save { slot: ORIGIN }),
            Stage::Trying(stage) => Some(Request::Branch(Branch {
                from: ORIGIN,
                into: self.free_slot(stage),
                lrs: vec![search::half_decade(self.trying)],
                course: self.lengths.course(stage),
                scores: self.lengths.scores[stage],
            })),
            Stage::Adopting(slot) => Some(Request::Adopt { slot: Slot(slot) }),
            Stage::Dropping(slot) => Some(Request::Drop { slot: Slot(slot) }),
            Stage::DroppingOrigin => Some(Request::Drop { slot: ORIGIN }),
            Stage::GoingBack => Some(Request::Restore {
                slot: ORIGIN,
                optimizer: Keep::Saved,
            }),
        }
    }

    fn state(&self) -> MethodState {
        MethodState::new(KIND, VERSION, self)
    }
}
