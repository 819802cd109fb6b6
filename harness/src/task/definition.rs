//! What a training is given: data and model.

use std::ops::Range;

use anyhow::Result;
use autolr_core::optimizer::Objective;
use serde::{Deserialize, Serialize};

use super::StateArray;
use crate::data::Stream;

/// Which examples an index counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Those that train and validate.
    Train,
    /// Those that test.
    Test,
}

/// Kind of a layer's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Matrices, kernels and embeddings of the layers before the last.
    Weights,
    /// Biases of the layers before the last, gains and biases of normalisations.
    BiasesAndNorms,
    /// The last layer, matrix and bias.
    Head,
}

impl LayerKind {
    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::BiasesAndNorms => "biases-and-norms",
            Self::Head => "head",
        }
    }
}

/// What the runs of a task are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of examples classified rightly; the higher, the better.
    #[default]
    Accuracy,
    /// Mean loss of an example; the lower, the better.
    Loss,
}

impl Metric {
    /// Its value: an accuracy in percent, a loss as it is.
    pub fn value(self, loss: f64, accuracy: Option<f64>) -> Option<f64> {
        match self {
            Self::Accuracy => accuracy.map(|share| 100.0 * share),
            Self::Loss => Some(loss),
        }
    }

    /// 1 where higher is better, −1 where lower is.
    pub fn sign(self) -> f64 {
        match self {
            Self::Accuracy => 1.0,
            Self::Loss => -1.0,
        }
    }

    /// `accuracy`, `loss`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
        }
    }

    /// For a heading: `accuracy (%)`, `loss`.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy (%)",
            Self::Loss => "loss",
        }
    }
}

/// Name and digest of a task's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataIdentity {
    /// For a reader, such as `CIFAR-10`.
    pub name: String,
    /// Whether the harness drew it itself.
    pub synthetic: bool,
    /// SHA-256, in hex.
    pub digest: String,
}

/// Sums over what has been sent through.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Examples, or tokens of them: what losses are the mean over.
    pub samples: u64,
    /// Of their losses.
    pub loss: f64,
    /// Those classified rightly; 0 where nothing is classified.
    pub correct: u64,
}

/// Mean loss over a part, and the share classified rightly where the task classifies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Mean loss of an example.
    pub loss: f64,
    /// In \[0, 1\].
    pub accuracy: Option<f64>,
}

/// Data and model of a problem: a training draws order and batches, and has the optimiser and the probe.
///
/// As an [`Objective`] it is what a probe tries rates on.
pub trait Task: Objective<Error = anyhow::Error> {
    /// Sums that may live on a device.
    type Tally;

    /// Steps between two looks at the sum of losses, each of which may wait for a device.
    const LOSS_READ_EVERY: u64;

    /// Whether there are as many examples as the specification asks for, so that no subset of them is drawn.
    const DRAWN_TO_SIZE: bool;

    /// What the data is.
    fn data(&self) -> DataIdentity;

    /// Number of examples of a part.
    fn examples(&self, part: Part) -> usize;

    /// Number of trained parameters.
    fn parameters(&self) -> usize;

    /// Which entries of the weights' vector each tensor of parameters is, and of which kind; together the ranges cover it.
    fn layers(&self) -> Vec<(LayerKind, Range<usize>)>;

    /// `cpu` or `cuda:0`.
    fn device(&self) -> String {
        "cpu".to_owned()
    }

    /// Version of the libtorch that the program was compiled against, where one is used.
    fn libtorch(&self) -> Option<String> {
        None
    }

    /// The examples of these indices. What is random about them (noise, augmentation) comes from `random`; without, it is
    /// left out.
    ///
    /// # Errors
    /// When the machinery fails; so for the others.
    fn batch(
        &self,
        part: Part,
        indices: &[u32],
        random: Option<&mut Stream>,
    ) -> Result<Self::Batch>;

    /// A batch as arrays, whose names begin with `name`, for those who check a probe elsewhere.
    ///
    /// # Errors
    /// When the machinery fails.
    fn batch_arrays(&self, name: &str, batch: &Self::Batch) -> Result<Vec<StateArray>>;

    /// A tally that goes on from `sums`.
    ///
    /// # Errors
    /// When the machinery fails.
    fn tally(&self, sums: Sums) -> Result<Self::Tally>;

    /// What a tally has come to. On a GPU, this waits.
    ///
    /// # Errors
    /// When the machinery fails.
    fn sums(&self, tally: &Self::Tally) -> Result<Sums>;

    /// Sets the gradient to that of a training batch, and adds the batch to the tally; running statistics move.
    ///
    /// # Errors
    /// When the machinery fails.
    fn train(&mut self, batch: &Self::Batch, tally: &mut Self::Tally) -> Result<()>;

    /// Mean loss of the last training batch; NaN before the first. On a GPU, this waits.
    ///
    /// # Errors
    /// When the machinery fails.
    fn batch_loss(&self) -> Result<f64>;

    /// Mean loss over examples of a part.
    ///
    /// # Errors
    /// When the machinery fails.
    fn evaluate(&mut self, part: Part, indices: &[u32]) -> Result<Score>;

    /// Whether BatchNorm uses its running statistics, as they are, in training and probing from now on.
    fn freeze_batch_norm(&mut self, _frozen: bool) {}

    /// Weights and running statistics.
    ///
    /// # Errors
    /// When the machinery fails.
    fn save(&self) -> Result<Vec<StateArray>>;

    /// Goes back to saved weights and running statistics.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    fn load(&mut self, state: &[StateArray]) -> Result<()>;

    /// A vector of an optimiser's state.
    ///
    /// # Errors
    /// When the machinery fails.
    fn save_vector(&self, name: &str, vector: &Self::Vector) -> Result<StateArray>;

    /// A vector of these values, as many as the weights' has.
    ///
    /// # Errors
    /// When the machinery fails.
    fn vector(&self, values: &[f64]) -> Result<Self::Vector>;

    /// The vector of a saved array.
    ///
    /// # Errors
    /// If it does not fit.
    fn load_vector(&self, array: &StateArray) -> Result<Self::Vector>;
}
