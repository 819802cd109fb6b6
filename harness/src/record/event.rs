//! The events of a run, one JSON object a line, the first with everything that made the run.
//!
//! The log holds nothing that differs between two runs of the same specification on the same machine:
//! times are in `timings.jsonl` beside it.

use autolr_core::{Decision, float_serde};
use serde::{Deserialize, Serialize};

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Always first.
    RunStarted(Provenance),
    /// An epoch of training and its validation.
    Epoch(EpochRecord),
    /// A decision of the closed loop, after the epoch's validation.
    Decision(DecisionRecord),
    /// Always last; without it the run is not finished.
    RunFinished(Summary),
}

/// Where a run comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the log's format.
    pub format: u32,
    /// SHA-256 of the specification, in hex.
    pub spec: String,
    /// Version of this program.
    pub autolr: String,
    /// Version of the libtorch that the program was compiled against, where one is used.
    pub libtorch: Option<String>,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Threads within an operation.
    pub threads: usize,
    /// Number of trained parameters.
    pub parameters: usize,
    /// What was trained on.
    pub data: DataProvenance,
}

/// What was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataProvenance {
    /// Title of the data set.
    pub name: String,
    /// Whether the harness drew it itself.
    pub synthetic: bool,
    /// SHA-256 over images and labels, in hex.
    pub digest: String,
    /// Images to train on.
    pub train: usize,
    /// Images to validate on.
    pub validation: usize,
    /// Images the scoring batches are drawn from.
    pub scoring: usize,
    /// Images to test on.
    pub test: usize,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 0.
    pub epoch: u64,
    /// The learning rate of the epoch.
    #[serde(with = "float_serde")]
    pub lr: f64,
    /// Optimiser steps taken in the epoch; fewer than planned if a loss was not finite.
    pub steps: u64,
    /// Mean training loss over the epoch's batches (nats).
    #[serde(with = "float_serde")]
    pub train_loss: f64,
    /// Share of training images classified rightly, in \[0, 1\].
    #[serde(with = "float_serde")]
    pub train_accuracy: f64,
    /// Mean validation loss (nats).
    #[serde(with = "float_serde")]
    pub validation_loss: f64,
    /// Share of validation images classified rightly, in \[0, 1\].
    #[serde(with = "float_serde")]
    pub validation_accuracy: f64,
}

/// One decision and the epoch after which it was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Number of the epoch just ended, from 0.
    pub epoch: u64,
    /// The decision.
    pub decision: Decision,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Completed or diverged.
    pub outcome: Outcome,
    /// Epochs trained.
    pub epochs: u64,
    /// Epoch with the lowest finite validation loss; none if there was none.
    pub best_epoch: Option<u64>,
    /// Test result of that epoch's weights.
    pub best: Option<Tested>,
    /// Test result of the last weights; none if they are not finite.
    pub last: Option<Tested>,
    /// Which of the two the protocol reports: `best-validation` or `last`.
    pub reported: String,
    /// Images sent forward through the network, all told.
    pub forwards: u64,
    /// Images sent backward.
    pub backwards: u64,
    /// Of the forwards, those of probes.
    pub probe_forwards: u64,
    /// Of the backwards, those of probes.
    pub probe_backwards: u64,
}

impl Summary {
    /// The test result that the protocol reports.
    pub fn reported(&self) -> Option<Tested> {
        if self.reported == "last" {
            self.last
        } else {
            self.best
        }
    }
}

/// Completed or diverged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// All epochs were trained, and the accuracy is above chance.
    Completed,
    /// A loss that is not finite, or accuracy still at chance when the run ended.
    Diverged {
        /// The epoch, from 0, in which a loss was not finite, or the last.
        epoch: u64,
        /// What happened, in words.
        reason: String,
    },
}

/// A test result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// Mean loss (nats).
    #[serde(with = "float_serde")]
    pub loss: f64,
    /// Share classified rightly, in \[0, 1\].
    #[serde(with = "float_serde")]
    pub accuracy: f64,
    /// Over how many images.
    pub images: u64,
}
