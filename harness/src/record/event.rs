//! The events of a run, one JSON object a line, the first with everything that made the run.
//!
//! The log holds nothing that differs between two runs of the same specification on the same machine:
//! times are in `timings.jsonl` beside it.

use autolr_core::{Decision, float_serde};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Always first.
    RunStarted(Provenance),
    /// The run goes on with another program or on another processor than before, so that the last bits may differ
    /// from here on.
    RunContinued(Build),
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
    /// Which program on which processor.
    #[serde(default, skip_serializing_if = "Build::is_unknown")]
    pub build: Build,
}

/// Which program on which processor: what may change while a run lasts, and is then recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Build {
    /// Revision of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether the source differed from that revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<bool>,
    /// SHA-256 of `Cargo.lock`, which names every dependency, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Version of the Rust compiler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rustc: Option<String>,
    /// The processor, and the GPU where one computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
}

impl Build {
    /// This program on this machine; `cuda` if it computes on a GPU.
    pub fn here(cuda: bool) -> Self {
        let known = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            commit: known(option_env!("AUTOLR_COMMIT")),
            modified: option_env!("AUTOLR_MODIFIED").map(|text| text == "true"),
            lock: Some(hex::encode(Sha256::digest(include_bytes!(
                "../../../Cargo.lock"
            )))),
            rustc: known(option_env!("AUTOLR_RUSTC")),
            processor: processor(cuda),
        }
    }

    /// `1a2b3c4d5e6f`, `1a2b3c4d5e6f with changes`; none if it is not known.
    pub fn revision(&self) -> Option<String> {
        let commit: String = self.commit.as_ref()?.chars().take(12).collect();
        Some(match self.modified {
            Some(true) => format!("{commit} with changes"),
            _ => commit,
        })
    }

    /// Whether nothing is known of it, as in logs from before it was recorded.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Name of the processor, and of the GPU where one computes; none where the system does not tell.
fn processor(cuda: bool) -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok();
    let cpu = info.as_deref().and_then(|info| {
        let line = info.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    if !cuda {
        return cpu;
    }
    let mut ask = std::process::Command::new("nvidia-smi");
    ask.args(["--query-gpu=name", "--format=csv,noheader"]);
    let told = ask.output().ok().filter(|output| output.status.success());
    let gpu = told.and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().next().map(|name| name.trim().to_owned())
    });
    match (cpu, gpu) {
        (Some(cpu), Some(gpu)) => Some(format!("{cpu}; {gpu}")),
        (cpu, gpu) => gpu.or(cpu),
    }
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
    pub best: Option<Evaluation>,
    /// Test result of the last weights; none if they are not finite.
    pub last: Option<Evaluation>,
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
    pub fn reported(&self) -> Option<Evaluation> {
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
    /// A loss that is not finite, or accuracy at chance when the run ended.
    Diverged {
        /// The epoch, from 0, in which a loss was not finite, or the last.
        epoch: u64,
        /// What happened, in words.
        reason: String,
    },
}

/// Loss and accuracy over a part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean loss (nats).
    #[serde(with = "float_serde")]
    pub loss: f64,
    /// Share classified rightly, in \[0, 1\].
    #[serde(with = "float_serde")]
    pub accuracy: f64,
    /// Over how many images.
    pub images: u64,
}
