//! What a training loop needs of what is trained.

mod training;

use anyhow::Result;
use autolr_core::optimizer::Flat;
use autolr_core::{Line, LineReading, float_serde};
use ndarray::{ArrayView1, ArrayViewMut1};
use serde::{Deserialize, Serialize};

pub use training::Training;

use crate::data::{Location, Purpose, Stream, attempt_stream};
use crate::experiment::sizes::drawn_sizes;
use crate::experiment::{Cost, RunSpec, SpecError};
use crate::record::{DataProvenance, Evaluation};
use crate::task::{Parts, Task, Visitor};
pub use crate::task::{StateArray, StateValues};

/// What a training loop needs of a network, its data and its optimiser.
///
/// Everything random is drawn from streams keyed by the seed, the purpose and the place, so that the state has no
/// random part: what [`Workload::save`] gives is enough to go on bit-identically.
pub trait Workload {
    /// What is trained on.
    fn data(&self) -> DataProvenance;

    /// Number of trained parameters.
    fn parameters(&self) -> usize;

    /// `cpu` or `cuda:0`.
    fn device(&self) -> String;

    /// Version of the libtorch that the program was compiled against, where one is used.
    fn libtorch(&self) -> Option<String>;

    /// Optimiser steps of an epoch.
    fn steps_per_epoch(&self) -> u64;

    /// Goes to an epoch's batches, behind the steps of `sums`.
    ///
    /// # Errors
    /// When the machinery fails.
    fn begin(&mut self, place: Place, sums: EpochSums) -> Result<()>;

    /// Takes the gradient on the epoch's next batch, and adds the batch to [`Workload::sums`]. False, with nothing done,
    /// where a loss of the epoch was found not to be finite: at the same step however often the epoch is left and resumed.
    ///
    /// # Errors
    /// When the machinery fails, or the epoch has no further batch.
    fn gradient(&mut self) -> Result<bool>;

    /// Mean loss of the batch that gave the gradient (nats). On a GPU, this waits.
    ///
    /// # Errors
    /// When the machinery fails.
    fn batch_loss(&self) -> Result<f64>;

    /// ‖g‖² of that gradient. On a GPU, this waits.
    ///
    /// # Errors
    /// When the machinery fails.
    fn squared_gradient_norm(&mut self) -> Result<f64>;

    /// Losses and slopes along the optimiser's direction, on the batch that gave that gradient, without a trace.
    ///
    /// # Errors
    /// When the machinery fails, or no gradient waits for its step.
    fn line(&mut self, line: &Line) -> Result<LineReading>;

    /// The optimiser's step along that gradient; returns the rate that was really taken.
    ///
    /// # Errors
    /// When the machinery fails.
    fn step(&mut self, lr: f64) -> Result<f64>;

    /// What the epoch has come to. On a GPU, this waits.
    ///
    /// # Errors
    /// When the machinery fails.
    fn sums(&self) -> Result<EpochSums>;

    /// Mean loss and accuracy over the validation images.
    ///
    /// # Errors
    /// When the machinery fails.
    fn validate(&mut self) -> Result<Evaluation>;

    /// Mean loss and accuracy over the test images.
    ///
    /// # Errors
    /// When the machinery fails.
    fn test(&mut self) -> Result<Evaluation>;

    /// The weights that [`Workload::validate`] and [`Workload::test`] look at, and running statistics.
    ///
    /// # Errors
    /// When the machinery fails.
    fn save_evaluated(&mut self) -> Result<Vec<StateArray>>;

    /// Goes to weights of [`Workload::save_evaluated`], for good, and tests them.
    ///
    /// # Errors
    /// When the machinery fails, or an array does not fit.
    fn test_saved(&mut self, evaluated: &[StateArray]) -> Result<Evaluation>;

    /// A probe of one step a trial, as [`ProbeBackend::probe`]; what it costs is added to `cost`.
    ///
    /// # Errors
    /// When the machinery fails.
    fn probe(
        &mut self,
        draw: Draw,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
        cost: &mut Cost,
    ) -> Result<()>;

    /// Takes the gradient for step `k` of a trial of several steps, on a batch that all trials share.
    ///
    /// # Errors
    /// When the machinery fails.
    fn trial_gradient(&mut self, draw: Draw, k: u64) -> Result<()>;

    /// Mean loss on the scoring batch of a number.
    ///
    /// # Errors
    /// When the machinery fails.
    fn score(&mut self, draw: Draw, index: u64) -> Result<f64>;

    /// The batches that a probe of so many rates looks at, for those who check it elsewhere.
    ///
    /// # Errors
    /// When the machinery fails.
    fn probe_batches(&self, draw: Draw, candidates: usize) -> Result<Vec<StateArray>>;

    /// Whether BatchNorm uses its running statistics, as they are, in training and probing from now on.
    fn freeze_batch_norm(&mut self, frozen: bool);

    /// Weights, running statistics, optimiser state.
    ///
    /// # Errors
    /// When the machinery fails.
    fn save(&self) -> Result<Vec<StateArray>>;

    /// Goes back to a saved state. Arrays of the optimiser may be absent: then its state is left alone.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    fn load(&mut self, state: &[StateArray]) -> Result<()>;
}

/// Where a training is among its batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The epoch, from 0.
    pub epoch: u64,
    /// How often the training has gone back: its batches are others then.
    pub attempt: u64,
}

/// What the batches of a probe are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// When.
    pub moment: Moment,
    /// As in [`Place`].
    pub attempt: u64,
}

/// When a probe takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the validation of an epoch, from 0.
    AfterEpoch(u64),
    /// After so many steps of the whole training.
    AfterSteps(u64),
}

impl Draw {
    /// After an epoch of the first attempt.
    pub fn after_epoch(epoch: u64) -> Self {
        Self {
            moment: Moment::AfterEpoch(epoch),
            attempt: 0,
        }
    }

    /// The random stream of a batch.
    pub(crate) fn stream(self, seed: u64, purpose: Purpose, index: u64) -> Stream {
        /// No epoch is as large.
        const OF_STEPS: u64 = 1 << 63;
        let key = match self.moment {
            Moment::AfterEpoch(epoch) => epoch,
            Moment::AfterSteps(steps) => OF_STEPS | steps,
        };
        attempt_stream(self.attempt, seed, purpose, key, index)
    }
}

/// An epoch of training, as far as it has come: sums over its samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochSums {
    /// Steps taken.
    pub steps: u64,
    /// Samples sent forward and backward; `images` in checkpoints.
    #[serde(rename = "images")]
    pub samples: u64,
    /// Sum of the samples' losses (nats).
    #[serde(with = "float_serde")]
    pub loss: f64,
    /// Samples classified rightly, where the task classifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct: Option<u64>,
}

impl EpochSums {
    /// Mean loss of a sample (nats); NaN before the first.
    pub fn mean_loss(self) -> f64 {
        self.loss / self.samples as f64
    }

    /// Share of samples classified rightly; NaN before the first.
    pub fn accuracy(self) -> Option<f64> {
        Some(self.correct? as f64 / self.samples as f64)
    }
}

/// Makes what a specification trains; `threads` are those within an operation of libtorch.
///
/// # Errors
/// [`crate::exit::BadInput`], [`SpecError`] or [`crate::data::DataError`] if data, device or sizes do not fit; whatever
/// the machinery says.
pub fn build(spec: &RunSpec, location: &Location, threads: usize) -> Result<Box<dyn Workload>> {
    check_libtorch(spec)?;
    let parts = Parts {
        set: spec.data.set,
        drawn: drawn_sizes(spec),
        file: spec.data.file.as_deref(),
        augment: spec.data.augment,
        downsample: spec.data.downsample,
        seed: spec.training.seed,
        location,
        device: spec.training.device,
        threads,
    };
    spec.network.open(&parts, OfSpec(spec))
}

/// Makes a training of a specification's task.
struct OfSpec<'a>(&'a RunSpec);

impl Visitor for OfSpec<'_> {
    type Output = Box<dyn Workload>;

    fn visit<T: Task + 'static>(self, task: T) -> Result<Box<dyn Workload>>
    where
        anyhow::Error: From<<T::Vector as Flat>::Error>,
    {
        Ok(Box::new(Training::new(self.0, task)?))
    }
}

/// Refuses a network of libtorch in a program without it.
pub(crate) fn check_libtorch(spec: &RunSpec) -> Result<(), SpecError> {
    if cfg!(feature = "tch") || !spec.network.uses_libtorch() {
        return Ok(());
    }
    let rule =
        "this `autolr` was built without libtorch (feature `tch`); `cargo xtask setup` sets it up";
    Err(SpecError::set("network.kind", spec.network.kind(), rule))
}
