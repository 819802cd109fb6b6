//! The events of a run, one JSON object a line, the first with everything that made the run.
//!
//! The log holds nothing that differs between two runs of the same specification on the same machine:
//! times are in `timings.jsonl` beside it.

use std::collections::BTreeMap;

use autolr_core::{Change, Decision, Probe, ProbeCost, Request, float_serde};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::LogMark;
use crate::experiment::ProbeSpec;

/// The version of the log's format that is written. Version 1 had no seal; it is read as before.
pub const LOG_FORMAT: u32 = 2;

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
    /// A decision of the closed loop, after the epoch's validation or after a step.
    Decision(DecisionRecord),
    /// A change of the rate by another method.
    Change(ChangeRecord),
    /// What a request of a method came to, where no decision holds it.
    Answer(AnswerRecord),
    /// The training went back, or on from the end of a branch.
    Moved(MoveRecord),
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
    /// What makes libtorch choose its kernels: the instructions that it found (`capability`) and the environment
    /// variables that are set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kernels: BTreeMap<String, String>,
}

/// The environment variables that decide which kernels libtorch, oneDNN and MKL take.
const KERNEL_VARIABLES: [&str; 6] = [
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
];

/// What makes libtorch choose its kernels here.
fn kernels() -> BTreeMap<String, String> {
    let set = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    let found = KERNEL_VARIABLES.into_iter().filter_map(set);
    #[cfg(feature = "tch")]
    let found = found.chain([("capability".to_owned(), autolr_tch::cpu_capability())]);
    found.collect()
}

impl Build {
    /// This program on this machine; `cuda` if it computes on a GPU, `libtorch` if libtorch computes.
    pub fn here(cuda: bool, libtorch: bool) -> Self {
        let known = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            commit: known(option_env!("AUTOLR_COMMIT")),
            modified: option_env!("AUTOLR_MODIFIED").map(|text| text == "true"),
            lock: Some(hex::encode(Sha256::digest(include_bytes!(
                "../../../Cargo.lock"
            )))),
            rustc: known(option_env!("AUTOLR_RUSTC")),
            processor: processor(cuda),
            kernels: if libtorch { kernels() } else { BTreeMap::new() },
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

    /// What is other than in `before`, in words: `by another revision, on another processor`.
    pub(crate) fn difference(&self, before: &Self) -> String {
        let parts = [
            (
                (&self.commit, self.modified) != (&before.commit, before.modified),
                "by another revision of the program",
            ),
            (
                (&self.lock, &self.rustc) != (&before.lock, &before.rustc),
                "by a program built otherwise",
            ),
            (self.processor != before.processor, "on another processor"),
            (
                self.kernels != before.kernels,
                "with other kernels of libtorch",
            ),
        ];
        let said: Vec<&str> = parts
            .iter()
            .filter(|(other, _)| *other)
            .map(|(_, what)| *what)
            .collect();
        said.join(", ")
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
    /// The learning rate of the epoch's first step.
    #[serde(with = "float_serde")]
    pub lr: f64,
    /// The others, where the rate changed within the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<RateRange>,
    /// Optimiser steps taken in the epoch; fewer than planned if a loss was not finite.
    pub steps: u64,
    /// Mean training loss over the epoch's batches (nats).
    #[serde(with = "float_serde")]
    pub train_loss: f64,
    /// Share of training images classified rightly, in \[0, 1\], where the task classifies.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "float_serde::option"
    )]
    pub train_accuracy: Option<f64>,
    /// Mean validation loss (nats).
    #[serde(with = "float_serde")]
    pub validation_loss: f64,
    /// Share of validation images classified rightly, in \[0, 1\], where the task classifies.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "float_serde::option"
    )]
    pub validation_accuracy: Option<f64>,
}

impl EpochRecord {
    /// Whether both losses are finite.
    pub fn is_finite(&self) -> bool {
        self.train_loss.is_finite() && self.validation_loss.is_finite()
    }
}

/// The rates of an epoch's steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRange {
    /// Of the last step.
    #[serde(with = "float_serde")]
    pub last: f64,
    /// The lowest.
    #[serde(with = "float_serde")]
    pub min: f64,
    /// The highest.
    #[serde(with = "float_serde")]
    pub max: f64,
}

impl RateRange {
    /// Of a first step.
    pub(crate) fn of(lr: f64) -> Self {
        Self {
            last: lr,
            min: lr,
            max: lr,
        }
    }

    /// With a further step.
    pub(crate) fn add(&mut self, lr: f64) {
        self.last = lr;
        self.min = self.min.min(lr);
        self.max = self.max.max(lr);
    }

    /// None where every step had the rate `lr` of the first.
    pub(crate) fn unless_all(self, lr: f64) -> Option<Self> {
        let same = [self.last, self.min, self.max].map(f64::to_bits) == [lr.to_bits(); 3];
        // A rate that is no number has no range.
        (!same && !lr.is_nan()).then_some(self)
    }
}

/// One decision and when it was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Number of the epoch, from 0: the one just ended, unless `step` says otherwise.
    pub epoch: u64,
    /// After how many steps of that epoch, if it had not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The decision.
    pub decision: Decision,
    /// For each of its probes, which losses were read off a parabola rather than evaluated; empty if none of any was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_off: Vec<Vec<usize>>,
}

impl DecisionRecord {
    /// What [`DecisionRecord::read_off`] is of a decision.
    pub(crate) fn read_off(spec: &ProbeSpec, decision: &Decision) -> Vec<Vec<usize>> {
        let earlier = decision.earlier.iter();
        let probes = earlier
            .map(|probed| (&probed.candidates, &probed.losses))
            .chain([(&decision.candidates, &decision.losses)]);
        let mut read_off: Vec<Vec<usize>> = probes
            .map(|(lrs, losses)| spec.read_off(lrs, losses))
            .collect();
        if read_off.iter().all(Vec::is_empty) {
            read_off.clear();
        }
        read_off
    }
}

/// A change of the rate and when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// As in [`DecisionRecord`].
    pub epoch: u64,
    /// As in [`DecisionRecord`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The change.
    #[serde(flatten)]
    pub change: Change,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// The request.
    pub request: Request,
    /// The candidates' losses, of a probe.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "losses")]
    pub losses: Option<Vec<f64>>,
    /// Which of them were read off a parabola rather than evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_off: Vec<usize>,
    /// What they cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<ProbeCost>,
    /// Steps taken, of a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Their mean loss.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "float_serde::option"
    )]
    pub train_loss: Option<f64>,
    /// The losses on scoring batches afterwards.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        with = "float_serde::vec"
    )]
    pub scores: Vec<f64>,
}

impl AnswerRecord {
    /// What [`AnswerRecord::read_off`] is of a probe: none in trials of several steps.
    pub(crate) fn read_off(spec: &ProbeSpec, probe: &Probe, losses: &[f64]) -> Vec<usize> {
        if probe.course.is_one_step() && probe.lrs.nrows() == losses.len() {
            spec.read_off(probe.lrs.column(0), losses)
        } else {
            Vec::new()
        }
    }
}

/// A list of numbers, if there is one.
mod losses {
    use autolr_core::float_serde::Float;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(
        losses: &Option<Vec<f64>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let floats = |losses: &Vec<f64>| losses.iter().copied().map(Float).collect::<Vec<_>>();
        losses.as_ref().map(floats).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<f64>>, D::Error> {
        let losses = Option::<Vec<Float>>::deserialize(deserializer)?;
        Ok(losses.map(|losses| losses.into_iter().map(|Float(loss)| loss).collect()))
    }
}

/// Where the training is after it has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRecord {
    /// Number of the epoch at hand, from 0.
    pub epoch: u64,
    /// Its steps so far.
    pub step: u64,
    /// How often the training has gone back.
    pub attempt: u64,
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
    /// Whether it ended because its budget was spent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub budget_spent: bool,
    /// Since format 2: where this line begins, and a hash of the whole log with an empty text in place of the hash. It shows
    /// damage and careless edits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogMark>,
}

impl Summary {
    /// Compute of training, and of probing and search, in forward passes of one example: a forward pass costs 1, a
    /// backward pass 2. Validation and testing are free.
    pub fn compute(&self) -> (u64, u64) {
        let trained = self.backwards.saturating_sub(self.probe_backwards);
        let search = self
            .probe_forwards
            .saturating_add(self.probe_backwards.saturating_mul(2));
        (trained.saturating_mul(3), search)
    }

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
    /// All epochs were trained, or the budget was spent, and the accuracy is above chance.
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
    /// Share classified rightly, in \[0, 1\], where the task classifies.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "float_serde::option"
    )]
    pub accuracy: Option<f64>,
    /// Over how many images.
    pub images: u64,
}

impl Event {
    /// The first value that lies out of its range, as no run writes it.
    ///
    /// # Errors
    /// The key, its value and its range.
    pub fn check(&self) -> Result<(), String> {
        let share = |key: &str, value: Option<f64>| {
            let value = value.unwrap_or_default();
            let good = value.is_nan() || (0.0..=1.0).contains(&value);
            good.then_some(())
                .ok_or_else(|| format!("{key} = {value}: must lie from 0 to 1"))
        };
        match self {
            Self::RunStarted(provenance) if provenance.format > LOG_FORMAT => Err(format!(
                "format = {}: this program reads formats up to {LOG_FORMAT}; take a later one",
                provenance.format
            )),
            Self::RunStarted(provenance) if provenance.format == 0 => {
                Err("format = 0: formats count from 1".to_owned())
            }
            Self::RunStarted(provenance) if provenance.threads == 0 => {
                Err("threads = 0: a run has at least one".to_owned())
            }
            Self::Epoch(record) => {
                // A rate below 0 is one that a hypergradient has led there.
                if let Some(RateRange { last, min, max }) = record.rates {
                    let within = |lr: f64| lr.is_nan() || (min..=max).contains(&lr);
                    if !(within(record.lr) && within(last)) {
                        return Err(format!(
                            "rates = {min} to {max}: must hold the first and the last rate"
                        ));
                    }
                }
                share("train_accuracy", record.train_accuracy)?;
                share("validation_accuracy", record.validation_accuracy)
            }
            Self::RunFinished(summary) => {
                for (key, found) in [("best", summary.best), ("last", summary.last)] {
                    let Some(found) = found else { continue };
                    share(&format!("{key}.accuracy"), found.accuracy)?;
                    if found.images == 0 {
                        return Err(format!("{key}.images = 0: a test has at least one"));
                    }
                }
                if !["best-validation", "last"].contains(&summary.reported.as_str()) {
                    return Err(format!(
                        "reported = {:?}: must be \"best-validation\" or \"last\"",
                        summary.reported
                    ));
                }
                for (key, part, whole) in [
                    ("probe_forwards", summary.probe_forwards, summary.forwards),
                    (
                        "probe_backwards",
                        summary.probe_backwards,
                        summary.backwards,
                    ),
                ] {
                    if part > whole {
                        return Err(format!("{key} = {part}: exceeds the {whole} of all"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
