//! What is trained: the pure-Rust reference workload, and images through libtorch.

#[cfg(feature = "tch")]
mod images;
mod reference;
mod state;

use anyhow::Result;
use autolr_core::{ProbeBackend, ProbeCost, float_serde};
use ndarray::{ArrayView1, ArrayViewMut1};
use serde::{Deserialize, Serialize};

#[cfg(feature = "tch")]
pub use images::ImageWorkload;
pub use reference::ReferenceWorkload;
pub use state::{StateArray, StateValues};

use crate::data::{DataError, Location, cifar, synthetic};
use crate::data::{DataSet, DataSetName, Split, SplitSpec};
use crate::exit::BadInput;
use crate::experiment::{GradientBatch, NetworkSpec, ProbeSpec, RunSpec, ScoringBatch, TrialLoss};
use crate::record::{DataProvenance, Evaluation};

/// What a training loop needs of a network, its data and its optimiser.
///
/// Everything random is drawn from streams keyed by the seed, the purpose and the epoch, so that the state has no
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

    /// One epoch at rate `lr`, from its first step or, with what [`Workload::save`] gave then, after the steps of
    /// `so_far`. `on_step` is told of every step and ends the call by returning false. A loss that is not finite ends it
    /// too, and then at the same step however often the epoch was left and gone on with.
    ///
    /// # Errors
    /// When the machinery fails.
    fn train_epoch(
        &mut self,
        epoch: u64,
        lr: f64,
        so_far: EpochSums,
        on_step: &mut dyn FnMut() -> bool,
    ) -> Result<EpochSums>;

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

    /// The probe after `epoch`, as [`ProbeBackend::probe`]; what it costs is added to `cost`.
    ///
    /// # Errors
    /// When the machinery fails.
    fn probe(
        &mut self,
        epoch: u64,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
        cost: &mut Cost,
    ) -> Result<()>;

    /// The batches that the probe after `epoch` of so many rates looks at, for those who check it elsewhere.
    ///
    /// # Errors
    /// When the machinery fails.
    fn probe_batches(&self, epoch: u64, candidates: usize) -> Result<Vec<StateArray>>;

    /// BatchNorm uses its running statistics, as they are, in training and probing from now on.
    fn freeze_batch_norm(&mut self);

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
    /// Samples classified rightly.
    pub correct: u64,
}

impl EpochSums {
    /// Mean loss of a sample (nats); NaN before the first.
    pub fn mean_loss(self) -> f64 {
        self.loss / self.samples as f64
    }

    /// Share of samples classified rightly; NaN before the first.
    pub fn accuracy(self) -> f64 {
        self.correct as f64 / self.samples as f64
    }
}

/// Images sent through the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Forward.
    pub forwards: u64,
    /// Backward.
    pub backwards: u64,
}

impl Cost {
    /// The images of a probe of `candidates` rates: what is scored, and what gives the gradients.
    pub(crate) fn of_probe(spec: &ProbeSpec, candidates: usize, own: usize) -> Self {
        let scored = (candidates * spec.batch_size) as u64;
        let gradient = match (spec.loss, spec.gradient, spec.batches) {
            (TrialLoss::BeforeStep, _, _) => 0,
            (TrialLoss::AfterStep, GradientBatch::Own, _) => own as u64,
            (_, GradientBatch::Scoring, ScoringBatch::Shared) => spec.batch_size as u64,
            (_, GradientBatch::Scoring, ScoringBatch::PerCandidate) => scored,
        };
        Self {
            forwards: scored + gradient,
            backwards: gradient,
        }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.forwards += other.forwards;
        self.backwards += other.backwards;
    }
}

/// A failed probe of a workload.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct WorkloadError(anyhow::Error);

/// A workload after a given epoch, as the core's back end.
pub struct EpochProbe<'a> {
    /// What is probed.
    pub workload: &'a mut dyn Workload,
    /// The epoch just ended.
    pub epoch: u64,
    /// What probing has cost so far, in images.
    pub cost: &'a mut Cost,
    /// What a trial is.
    pub spec: &'a ProbeSpec,
}

impl ProbeBackend for EpochProbe<'_> {
    type Error = WorkloadError;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), WorkloadError> {
        self.workload
            .probe(self.epoch, lrs, losses, self.cost)
            .map_err(WorkloadError)
    }

    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        Some(passes(self.spec, candidates as u64))
    }
}

/// The passes of a batch that a probe takes: one forward a candidate, and what gives the gradients.
pub(crate) fn passes(spec: &ProbeSpec, candidates: u64) -> ProbeCost {
    let gradients = match (spec.loss, spec.gradient, spec.batches) {
        (TrialLoss::BeforeStep, _, _) => 0,
        (_, GradientBatch::Scoring, ScoringBatch::PerCandidate) => candidates,
        _ => 1,
    };
    ProbeCost::new(candidates + gradients, gradients)
}

/// The images of a specification: CIFAR where it is found, or drawn.
///
/// # Errors
/// [`DataError`] if CIFAR is not there, or not as it should be.
pub fn load_images(spec: &RunSpec, location: &Location) -> Result<DataSet, DataError> {
    match spec.data.set.cifar() {
        Some(set) => cifar::load(set, location.find(set)?),
        None => {
            let (train, test) = synthetic_sizes(spec);
            Ok(synthetic::images(spec.training.seed, train, test))
        }
    }
}

/// Sizes of the synthetic sets: those asked for, else CIFAR's.
fn synthetic_sizes(spec: &RunSpec) -> (usize, usize) {
    let data = &spec.data;
    (
        data.train_images.unwrap_or(50_000),
        data.test_images.unwrap_or(10_000),
    )
}

/// How many images a run trains on, validates on, draws its scoring batches from, and tests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Images to train on.
    pub train: usize,
    /// Images to validate on.
    pub validation: usize,
    /// Images the scoring batches are drawn from.
    pub scoring: usize,
    /// Images to test on.
    pub test: usize,
}

/// The sizes of a specification's parts, from the data sets' known sizes: nothing is loaded.
///
/// # Errors
/// [`BadInput`] that names the key if a part would be empty, or smaller than a batch.
pub fn sizes(spec: &RunSpec) -> Result<Sizes, BadInput> {
    let data = &spec.data;
    let (images, test) = match data.set.cifar() {
        Some(set) => {
            let records =
                |files: &[cifar::OfficialFile]| files.iter().map(|file| file.records).sum();
            (records(set.train_files()), records(set.test_files()))
        }
        None => synthetic_sizes(spec),
    };
    let subset = check_subset("data.train_images", data.train_images, images, data.set)?;
    let test = check_subset("data.test_images", data.test_images, test, data.set)?;
    let split = Split::draw(
        &SplitSpec {
            images,
            subset: Some(subset),
            validation_fraction: data.validation_fraction,
            kind: data.split,
        },
        spec.training.seed,
    )
    .map_err(|error| BadInput(format!("data.{error}")))?;
    check_batches(spec, &split, test)?;
    Ok(Sizes {
        train: split.train.len(),
        validation: split.validation.len(),
        scoring: split.scoring.len(),
        test,
    })
}

/// Makes what a specification trains; `threads` are those within an operation of libtorch.
///
/// # Errors
/// [`BadInput`] or [`DataError`] if data, device or sizes do not fit; whatever the machinery says.
pub fn build(spec: &RunSpec, location: &Location, threads: usize) -> Result<Box<dyn Workload>> {
    match spec.network {
        NetworkSpec::Reference { hidden } => {
            let (train, test) = synthetic_sizes(spec);
            let points = synthetic::points(spec.training.seed, train, test);
            Ok(Box::new(ReferenceWorkload::new(
                spec,
                hidden as usize,
                points,
            )?))
        }
        #[cfg(feature = "tch")]
        NetworkSpec::ResNet18 { .. } => Ok(Box::new(ImageWorkload::new(spec, location, threads)?)),
        #[cfg(not(feature = "tch"))]
        NetworkSpec::ResNet18 { .. } => {
            let _ = (location, threads);
            Err(no_libtorch().into())
        }
    }
}

/// What is said where a ResNet is asked for without libtorch.
#[cfg(not(feature = "tch"))]
pub(crate) fn no_libtorch() -> BadInput {
    BadInput(
        "network.kind = resnet18: this `autolr` was built without libtorch (feature `tch`); \
         `cargo xtask setup` sets it up"
            .into(),
    )
}

/// Checks, before any training, that every batch of a specification can be drawn.
fn check_batches(spec: &RunSpec, split: &Split, test: usize) -> Result<(), BadInput> {
    let training = ("training.batch_size", spec.training.batch_size);
    let probe = ("probe.batch_size", spec.probe.batch_size);
    for ((key, size), pool, what) in [
        (training, split.train.len(), "training"),
        (training, split.validation.len(), "validation"),
        (training, test, "test"),
        (probe, split.scoring.len(), "scoring"),
    ] {
        if size > pool {
            return Err(BadInput(format!(
                "{key} = {size}: there are only {pool} {what} images"
            )));
        }
    }
    Ok(())
}

/// Checks that a data set has as many images as a specification asks for.
fn check_subset(
    key: &str,
    wanted: Option<usize>,
    found: usize,
    set: DataSetName,
) -> Result<usize, BadInput> {
    match wanted {
        Some(wanted) if wanted > found => Err(BadInput(format!(
            "{key} = {wanted}: {set} has {found} images there"
        ))),
        Some(wanted) => Ok(wanted),
        None => Ok(found),
    }
}
