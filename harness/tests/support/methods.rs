//! Small methods of one's own, one for each thing that a method can ask for.

use autolr_core::{
    Anneal, Branch, Budget, Change, Course, Event, Keep, Method, MethodError, MethodState, Needs,
    Probe, Record, Request, Slot, StateError, Turn,
};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

const VERSIONS: std::ops::RangeInclusive<u32> = 1..=1;

/// Makes a method at its beginning, or from a state.
pub(crate) type Make = fn(Option<&MethodState>) -> Result<Box<dyn Method>, StateError>;

/// The three, with their names.
pub(crate) const ALL: [(&str, Make); 3] = [
    ("search", |state| made::<Search>(state)),
    ("race", |state| made::<Race>(state)),
    ("guard", |state| made::<Guard>(state)),
];

trait Small: Method + Default + for<'de> Deserialize<'de> + 'static {
    const KIND: &'static str;
}

fn made<M: Small>(state: Option<&MethodState>) -> Result<Box<dyn Method>, StateError> {
    Ok(Box::new(match state {
        Some(state) => state.read::<M>(M::KIND, VERSIONS)?,
        None => M::default(),
    }))
}

/// Tries three rates before the first step, five steps each down to zero, and takes the best.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Search {
    lr: f64,
    asked: bool,
}

const SEARCHED: [f64; 3] = [0.3, 0.1, 0.01];

impl Default for Search {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            asked: false,
        }
    }
}

impl Small for Search {
    const KIND: &'static str = "search";
}

impl Method for Search {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        (needs.probe, needs.trial_steps) = (true, 5);
        needs
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        match *event {
            Event::Start(_) => self.asked = true,
            Event::Losses { losses, .. } if self.asked => {
                let best = (0..3).min_by(|&i, &k| losses[i].total_cmp(&losses[k]));
                let change = Change::new(self.lr, SEARCHED[best.unwrap_or(0)], &Why { losses });
                (self.lr, self.asked) = (change.new_lr, false);
                return Ok(Turn::recorded(Record::Change(change)));
            }
            _ => {}
        }
        Ok(self.pending().map_or(Turn::CONTINUE, Turn::from))
    }

    fn pending(&self) -> Option<Request> {
        let probe = Probe {
            lrs: Array2::from_shape_fn((3, 1), |(i, _)| SEARCHED[i]),
            course: Course {
                steps: 5,
                anneal: Anneal::ToZero,
                warm_up: 1,
            },
        };
        self.asked.then_some(Request::Probe(probe))
    }

    fn state(&self) -> MethodState {
        MethodState::new(Self::KIND, 1, self)
    }
}

#[derive(Serialize)]
struct Why<'a> {
    losses: &'a [f64],
}

/// Every seven steps, two branches of three steps at twice and half the rate; the training goes on from the better one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Race {
    lr: f64,
    steps: u64,
    stage: Stage,
    scores: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Stage {
    Training,
    Saving,
    Branching,
    Adopting,
    Dropping,
}

const RACERS: [f64; 2] = [2.0, 0.5];

impl Default for Race {
    fn default() -> Self {
        Self {
            lr: 0.05,
            steps: 0,
            stage: Stage::Training,
            scores: Vec::new(),
        }
    }
}

impl Small for Race {
    const KIND: &'static str = "race";
}

impl Race {
    fn better(&self) -> usize {
        usize::from(self.scores[1] < self.scores[0])
    }
}

impl Method for Race {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        needs.slots = 3;
        needs
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        let mut record = None;
        self.stage = match (*event, self.stage) {
            (Event::Step { .. }, Stage::Training) => {
                self.steps += 1;
                if self.steps.is_multiple_of(7) {
                    Stage::Saving
                } else {
                    Stage::Training
                }
            }
            (Event::Done, Stage::Saving) => Stage::Branching,
            (Event::Branched { scores, .. }, Stage::Branching) => {
                self.scores.push(scores[0]);
                if self.scores.len() < 2 {
                    Stage::Branching
                } else {
                    Stage::Adopting
                }
            }
            (Event::Done, Stage::Adopting) => {
                let new_lr = self.lr * RACERS[self.better()].sqrt();
                let losses = &self.scores;
                record = Some(Record::Change(Change::new(
                    self.lr,
                    new_lr,
                    &Why { losses },
                )));
                self.lr = new_lr;
                Stage::Dropping
            }
            (Event::Done, Stage::Dropping) => {
                self.scores.clear();
                Stage::Training
            }
            (_, stage) => stage,
        };
        let mut turn = Turn::from(self.pending().unwrap_or(Request::Continue));
        turn.record = record;
        Ok(turn)
    }

    fn pending(&self) -> Option<Request> {
        match self.stage {
            Stage::Training => None,
            Stage::Saving => Some(Request::Save { slot: Slot(0) }),
            Stage::Branching => {
                let racer = self.scores.len();
                Some(Request::Branch(Branch {
                    from: Slot(0),
                    into: Slot(1 + racer as u32),
                    lrs: vec![self.lr * RACERS[racer]],
                    course: Course {
                        steps: 3,
                        anneal: Anneal::Held,
                        warm_up: 0,
                    },
                    scores: 1,
                }))
            }
            Stage::Adopting => Some(Request::Adopt {
                slot: Slot(1 + self.better() as u32),
            }),
            Stage::Dropping => Some(Request::Drop { slot: Slot(0) }),
        }
    }

    fn state(&self) -> MethodState {
        MethodState::new(Self::KIND, 1, self)
    }
}

/// From a rate far too high: goes back to the start of an epoch that made the validation loss worse, or was lost, at a
/// rate eight times smaller.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Guard {
    lr: f64,
    best: Option<f64>,
    stage: GuardStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum GuardStage {
    Training,
    Saving,
    GoingBack,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            lr: 100.0,
            // Somewhat worse than a guess among ten.
            best: Some(2.4),
            stage: GuardStage::Training,
        }
    }
}

impl Small for Guard {
    const KIND: &'static str = "guard";
}

impl Method for Guard {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        (needs.slots, needs.divergence, needs.validation) = (1, true, true);
        needs
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        self.stage = match (*event, self.stage) {
            (Event::Start(_), _) => GuardStage::Saving,
            (
                Event::Epoch {
                    train_loss,
                    validation_loss,
                },
                GuardStage::Training,
            ) => {
                let loss = validation_loss.unwrap_or(f64::NAN) + 0.0 * train_loss;
                if loss.is_finite() && self.best.is_none_or(|best| loss <= 1.05 * best) {
                    self.best = Some(loss);
                    GuardStage::Saving
                } else {
                    self.lr /= 8.0;
                    GuardStage::GoingBack
                }
            }
            (Event::Done, _) => GuardStage::Training,
            (_, stage) => stage,
        };
        Ok(self.pending().map_or(Turn::CONTINUE, Turn::from))
    }

    fn pending(&self) -> Option<Request> {
        match self.stage {
            GuardStage::Training => None,
            GuardStage::Saving => Some(Request::Save { slot: Slot(0) }),
            GuardStage::GoingBack => Some(Request::Restore {
                slot: Slot(0),
                optimizer: Keep::Saved,
            }),
        }
    }

    fn state(&self) -> MethodState {
        MethodState::new(Self::KIND, 1, self)
    }
}
