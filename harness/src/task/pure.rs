//! Tasks in pure Rust, float64.

use std::ops::Range;

use anyhow::{Result, bail, ensure};
use autolr_core::optimizer::Objective;
use ndarray::Array1;

use super::{DataIdentity, LayerKind, Part, Score, StateArray, StateValues, Sums, Task};
use crate::data::Stream;

/// What a batch comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Mean loss of an example.
    pub loss: f64,
    /// Examples classified rightly, where the task classifies.
    pub correct: Option<u64>,
}

/// Examples of a problem in pure Rust.
pub trait PureExamples {
    /// Examples of one batch, ready to be looked at.
    type Batch;

    /// Their name for a reader, such as `synthetic points`.
    fn name(&self) -> String;

    /// SHA-256, in hex.
    fn digest(&self) -> String;

    /// Number of examples of a part.
    fn count(&self, part: Part) -> usize;

    /// The examples of these indices. What is random about an example (noise, augmentation) comes from `random`;
    /// without, it is left out.
    ///
    /// # Panics
    /// If an index is not that of an example.
    fn batch(&self, part: Part, indices: &[u32], random: Option<&mut Stream>) -> Self::Batch;

    /// A batch as arrays, whose names begin with `name`.
    fn arrays(&self, name: &str, batch: &Self::Batch) -> Vec<StateArray>;
}

/// Data and model of a problem in pure Rust: no batches' order, no optimiser, no probe.
pub trait PureTask {
    /// The data.
    type Examples: PureExamples;

    /// The data.
    fn examples(&self) -> &Self::Examples;

    /// Initial weights for a seed, shape `[parameters]`.
    fn start(&self, seed: u64) -> Array1<f64>;

    /// For each tensor of parameters its layer kind (`weights`, `biases-and-norms`, `head`), and the range of the weights that
    /// it is. Together they cover all.
    fn layers(&self) -> Vec<(LayerKind, Range<usize>)>;

    /// Mean loss over a batch at `weights`, and its gradient into `gradient` (overwritten) if given; NaN if the batch is
    /// empty.
    ///
    /// # Panics
    /// If `weights` or `gradient` is not of shape `[parameters]`.
    fn evaluate(
        &self,
        weights: &Array1<f64>,
        batch: &BatchOf<Self>,
        gradient: Option<&mut Array1<f64>>,
    ) -> Outcome;

    /// As [`PureExamples::batch`].
    ///
    /// # Panics
    /// If an index is not that of an example.
    fn batch(&self, part: Part, indices: &[u32], random: Option<&mut Stream>) -> BatchOf<Self> {
        self.examples().batch(part, indices, random)
    }
}

/// A batch of a task.
pub type BatchOf<T> = <<T as PureTask>::Examples as PureExamples>::Batch;

/// A task in pure Rust at its weights.
#[derive(Debug)]
pub struct Pure<T> {
    task: T,
    weights: Array1<f64>,
    gradient: Array1<f64>,
    loss: f64,
}

impl<T: PureTask> Pure<T> {
    /// At the initial weights for a seed.
    pub fn new(task: T, seed: u64) -> Self {
        let weights = task.start(seed);
        Self {
            task,
            gradient: Array1::zeros(weights.len()),
            weights,
            loss: f64::NAN,
        }
    }

    fn take_gradient(&mut self, batch: &BatchOf<T>) -> Outcome {
        self.task
            .evaluate(&self.weights, batch, Some(&mut self.gradient))
    }
}

impl<T: PureTask> Objective for Pure<T> {
    type Vector = Array1<f64>;
    type Batch = (BatchOf<T>, u64);
    type Random = ();
    type Error = anyhow::Error;

    fn vectors(&mut self) -> (&mut Array1<f64>, &mut Array1<f64>) {
        (&mut self.weights, &mut self.gradient)
    }

    fn set_gradient(&mut self, batches: &[Self::Batch]) -> Result<()> {
        let [(batch, _)] = batches else {
            bail!("a gradient of {} batches", batches.len());
        };
        self.take_gradient(batch);
        Ok(())
    }

    fn loss(&mut self, (batch, _): &Self::Batch) -> Result<f64> {
        Ok(self.task.evaluate(&self.weights, batch, None).loss)
    }

    fn random(&self) -> Result<()> {
        Ok(())
    }

    fn set_random(&mut self, (): &()) -> Result<()> {
        Ok(())
    }
}

impl<T: PureTask> Task for Pure<T> {
    type Tally = Sums;

    const LOSS_READ_EVERY: u64 = 1;
    const DRAWN_TO_SIZE: bool = true;

    fn data(&self) -> DataIdentity {
        DataIdentity {
            name: self.task.examples().name(),
            synthetic: true,
            digest: self.task.examples().digest(),
        }
    }

    fn examples(&self, part: Part) -> usize {
        self.task.examples().count(part)
    }

    fn parameters(&self) -> usize {
        self.weights.len()
    }

    fn layers(&self) -> Vec<(LayerKind, Range<usize>)> {
        self.task.layers()
    }

    fn batch(
        &self,
        part: Part,
        indices: &[u32],
        random: Option<&mut Stream>,
    ) -> Result<Self::Batch> {
        let batch = self.task.batch(part, indices, random);
        Ok((batch, indices.len() as u64))
    }

    fn batch_arrays(&self, name: &str, (batch, _): &Self::Batch) -> Result<Vec<StateArray>> {
        Ok(self.task.examples().arrays(name, batch))
    }

    fn tally(&self, sums: Sums) -> Result<Sums> {
        Ok(sums)
    }

    fn sums(&self, tally: &Sums) -> Result<Sums> {
        Ok(*tally)
    }

    fn train(&mut self, (batch, samples): &Self::Batch, tally: &mut Sums) -> Result<()> {
        let Outcome { loss, correct } = self.take_gradient(batch);
        tally.loss += loss * *samples as f64;
        tally.correct += correct.unwrap_or(0);
        tally.samples += samples;
        self.loss = loss;
        Ok(())
    }

    fn batch_loss(&self) -> Result<f64> {
        Ok(self.loss)
    }

    /// At once, so that the mean has one order.
    fn evaluate(&mut self, part: Part, indices: &[u32]) -> Result<Score> {
        let batch = self.task.batch(part, indices, None);
        let Outcome { loss, correct } = self.task.evaluate(&self.weights, &batch, None);
        let accuracy = correct.map(|correct| correct as f64 / indices.len() as f64);
        Ok(Score { loss, accuracy })
    }

    fn save(&self) -> Result<Vec<StateArray>> {
        Ok(vec![self.save_vector("weights", &self.weights)?])
    }

    fn load(&mut self, state: &[StateArray]) -> Result<()> {
        self.weights = self.load_vector(StateArray::find(state, "weights")?)?;
        Ok(())
    }

    fn save_vector(&self, name: &str, vector: &Array1<f64>) -> Result<StateArray> {
        Ok(StateArray::vector(name, vector.to_vec()))
    }

    fn vector(&self, values: &[f64]) -> Result<Array1<f64>> {
        Ok(Array1::from_vec(values.to_vec()))
    }

    fn load_vector(&self, array: &StateArray) -> Result<Array1<f64>> {
        let n = self.weights.len();
        let StateValues::F64(values) = &array.values else {
            bail!("saved state: {} is not float64", array.name);
        };
        ensure!(
            values.len() == n,
            "saved state: {} does not have the network's {n} float64 entries",
            array.name
        );
        Ok(Array1::from_vec(values.clone()))
    }
}
