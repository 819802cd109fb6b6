//! Copies of a training, for methods that go back or try branches.

use std::collections::BTreeMap;
use std::rc::Rc;

use autolr_core::{Slot, float_serde};
use serde::{Deserialize, Serialize};

use crate::experiment::Cost;
use crate::record::{Evaluation, RateRange};
use crate::workload::{EpochSums, Place, StateArray};

/// The copies by their numbers.
pub type Slots = BTreeMap<Slot, SlotState>;

/// A copy of all that a training is.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotState {
    /// The rest.
    pub mark: SlotMark,
    /// Weights, running statistics, optimiser.
    pub arrays: Rc<Vec<StateArray>>,
    /// Weights and running statistics of the best epoch up to there.
    pub best_arrays: Rc<Vec<StateArray>>,
}

impl SlotState {
    /// With its arrays to come.
    pub(super) fn of(mark: SlotMark) -> Self {
        Self {
            mark,
            arrays: Rc::default(),
            best_arrays: Rc::default(),
        }
    }
}

/// What a copy is beside arrays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotMark {
    /// The epoch, and the number of the attempt.
    pub place: Place,
    /// The epoch so far.
    pub sums: EpochSums,
    /// Its rates so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// The best epoch up to there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// Of the epoch's images, those that the training itself was trained on, before branches.
    pub base: u64,
    /// What the branches behind it cost: they count as search until one of them is adopted.
    pub search: Cost,
}

/// The rates of an epoch's steps so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Of the first step.
    #[serde(with = "float_serde")]
    pub first: f64,
    /// Of all.
    pub range: RateRange,
}

impl Rates {
    /// With a further step.
    pub(crate) fn with(rates: Option<Self>, lr: f64) -> Self {
        let mut rates = rates.unwrap_or(Self {
            first: lr,
            range: RateRange::of(lr),
        });
        rates.range.add(lr);
        rates
    }
}

/// The epoch with the lowest finite validation loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Which, from 0.
    pub epoch: u64,
    /// Its validation.
    pub validation: Evaluation,
}
