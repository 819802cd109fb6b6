//! What a method is told.

use serde::{Deserialize, Serialize};

use crate::ProbeCost;
use crate::same::same_in_debug;

/// What happened. A trainer sends `Start` once, then for each step `Gradient` (where it is
/// [needed](Needs::gradient)) and `Step`, after each epoch's validation `Epoch`, and each answer to a
/// [`Request`](crate::Request).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Before the first step: how long the run is planned to be.
    Start(Plan),
    /// The loss and gradient of the next step's batch are known, the step is not taken yet.
    Gradient {
        /// Mean loss of the batch.
        loss: f64,
        /// Squared Euclidean norm ‖g‖² of the gradient of that mean.
        squared_norm: f64,
    },
    /// A step was taken.
    Step {
        /// Mean loss of its batch before the step; none unless it is [needed](Needs::loss).
        loss: Option<f64>,
    },
    /// An epoch and its validation are over.
    Epoch {
        /// Mean training loss over the epoch's batches.
        train_loss: f64,
        /// Mean validation loss; none where nothing validates. NaN is a value.
        validation_loss: Option<f64>,
    },
    /// Answers [`Request::Probe`](crate::Request::Probe): one loss a candidate, in their order.
    Losses {
        /// The losses, shape `[n]`; what is not finite is data.
        losses: &'a [f64],
        /// What the probe cost, if the back end says.
        cost: Option<ProbeCost>,
    },
    /// Answers [`Request::Branch`](crate::Request::Branch).
    Branched {
        /// Steps taken: fewer than asked for where the epoch ended or a loss was not finite.
        steps: u64,
        /// Mean training loss over those steps; NaN if there was none.
        train_loss: f64,
        /// Mean loss on each scoring batch afterwards, as many as were asked for.
        scores: &'a [f64],
    },
    /// Answers [`Request::Line`](crate::Request::Line).
    Line(&'a LineReading),
    /// Answers every other request: it is done.
    Done,
}

/// What was read along the direction u of a step, φ(η) being f(θ − η u).
#[derive(Debug, Clone, Default)]
pub struct LineReading {
    /// φ at each of the rates asked for.
    pub losses: Vec<f64>,
    /// φ′ at each of the rates asked for.
    pub slopes: Vec<f64>,
    /// φ′(0) = −gᵀu.
    pub slope: f64,
    /// ‖u‖².
    pub squared_norm: f64,
}

/// A clone is equal, with NaN losses too.
impl PartialEq for LineReading {
    fn eq(&self, other: &Self) -> bool {
        same_in_debug(self, other)
    }
}

/// A clone is equal, with NaN losses too.
impl PartialEq for Event<'_> {
    fn eq(&self, other: &Self) -> bool {
        same_in_debug(self, other)
    }
}

impl Event<'_> {
    /// Name as in files: `start`, `gradient`, `step`, `epoch`, `losses`, `branched`, `line`, `done`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Gradient { .. } => "gradient",
            Self::Step { .. } => "step",
            Self::Epoch { .. } => "epoch",
            Self::Losses { .. } => "losses",
            Self::Branched { .. } => "branched",
            Self::Line(_) => "line",
            Self::Done => "done",
        }
    }
}

/// How long a run is planned to be. It may end earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Optimiser steps of an epoch.
    pub steps_per_epoch: u64,
}

impl Plan {
    /// Whole epochs.
    pub fn epochs(self) -> u64 {
        self.steps / self.steps_per_epoch.max(1)
    }

    /// Which share is over of what was left after `began`, steps and compute spent: of the budget, or of the steps where
    /// it has no limit. In [0, 1].
    pub(super) fn gone(self, began: (u64, u64), steps: u64, budget: &Budget) -> f64 {
        let (first, spent) = began;
        let (over, all) = match budget.limit {
            Some(limit) => (
                budget.spent.saturating_sub(spent),
                limit.saturating_sub(spent),
            ),
            None => (
                steps.saturating_sub(first),
                self.steps.saturating_sub(first),
            ),
        };
        (over as f64 / all.max(1) as f64).min(1.0)
    }
}

/// Compute that is spent and left, in forward passes of one example: a forward pass costs 1, a backward pass 2.
/// Training, probing and search count, validation and testing do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Spent so far.
    #[serde(default)]
    pub spent: u64,
    /// What the run may spend; none if it has no limit but its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Budget {
    /// What is left; none if there is no limit.
    pub fn left(self) -> Option<u64> {
        Some(self.limit?.saturating_sub(self.spent))
    }

    /// Whether `cost` more can be spent.
    pub fn allows(self, cost: u64) -> bool {
        self.left().is_none_or(|left| cost <= left)
    }
}

/// What a method needs of a trainer, asked for once, before any work. The default is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Needs {
    /// The loss of every step's batch in [`Event::Step`]. On a GPU, reading it makes each step wait.
    pub loss: bool,
    /// [`Event::Gradient`] before every step; it makes each step wait too.
    pub gradient: bool,
    /// The validation loss in [`Event::Epoch`].
    pub validation: bool,
    /// Steps that are `θ ← θ − lr · g`: no momentum, no weight decay, no preconditioner.
    pub plain_gradient: bool,
    /// Losses of candidate rates.
    pub probe: bool,
    /// Losses or slopes along the direction of a step.
    pub line: bool,
    /// Optimiser steps of one of its trials, at most.
    pub trial_steps: u64,
    /// Slots held at the same time, at most: each costs a copy of the training's state.
    pub slots: u32,
    /// Parameter groups with a rate each.
    pub groups: usize,
    /// The epoch in which a loss was not finite, from which it may go back; else the run ends there.
    pub divergence: bool,
    /// Whether its records hold the losses that it was told, so that a log need not.
    pub records_losses: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            loss: false,
            gradient: false,
            validation: false,
            plain_gradient: false,
            probe: false,
            line: false,
            trial_steps: 0,
            slots: 0,
            groups: 1,
            divergence: false,
            records_losses: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_allows_its_last_unit_and_no_more() {
        let budget = Budget {
            spent: 7,
            limit: Some(10),
        };
        assert_eq!(budget.left(), Some(3));
        assert!(budget.allows(3) && !budget.allows(4));
        let overdrawn = Budget {
            spent: 11,
            ..budget
        };
        assert_eq!(overdrawn.left(), Some(0));
        assert!(overdrawn.allows(0) && !overdrawn.allows(1));
        let unlimited = Budget::default();
        assert!(unlimited.left().is_none() && unlimited.allows(u64::MAX));
    }

    #[test]
    fn a_plan_counts_whole_epochs() {
        let plan = |steps, steps_per_epoch| Plan {
            steps,
            steps_per_epoch,
        };
        assert_eq!(plan(10, 4).epochs(), 2);
        assert_eq!(plan(3, 4).epochs(), 0);
        assert_eq!(plan(3, 0).epochs(), 3);
    }
}
