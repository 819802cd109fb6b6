//! The reference workload: a small fully connected network in pure Rust, on synthetic points, without BatchNorm.
//!
//! It trains in a fraction of a second, so that every test run goes through every experiment, and it is written
//! plainly: forward and backward are the textbook's, in float64.
//!
//! Its results have the same bits on every platform: sums have one order, whatever instructions the processor has, and
//! exp, ln and powers come from libm. A matrix library would be faster, and choose its kernel by the processor.

use anyhow::{Context, Result, bail, ensure};
use autolr_core::optimizer::{Flat, Objective, Optimizer, ScoringBatches, StepProbe};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis};
use rand::RngExt;

use super::{Draw, EpochSums, Place, StateArray, StateValues, Workload};
use crate::data::batches::{Epoch, sample};
use crate::data::{Points, Purpose, Split, SplitSpec, attempt_stream, stream};
use crate::exit::BadInput;
use crate::experiment::Cost;
use crate::experiment::sizes::{check_batches, split_error};
use crate::experiment::{GradientBatch, ProbeSpec, RunSpec, ScoringBatch};
use crate::record::{DataProvenance, Evaluation};

/// Sizes of the three layers: inputs, hidden, hidden, classes.
type Sizes = [usize; 4];

/// The network with its data and optimiser.
pub struct ReferenceWorkload {
    model: Model,
    test: Points,
    split: Split,
    optimizer: Optimizer<Array1<f64>>,
    probe: ProbeSpec,
    batch_size: usize,
    drop_last: bool,
    seed: u64,
    /// The epoch at hand, once it has begun.
    order: Option<Epoch>,
    sums: EpochSums,
    /// Mean loss of the last batch.
    loss: f64,
    /// Whether the model holds its gradient.
    has_gradient: bool,
}

/// The network on its training points.
struct Model {
    sizes: Sizes,
    train: Points,
    weights: Array1<f64>,
    gradient: Array1<f64>,
}

/// Loss, right answers and gradient of a batch.
struct Pass {
    loss: f64,
    correct: usize,
    gradient: Option<Array1<f64>>,
}

impl ReferenceWorkload {
    /// A network with two hidden layers of `hidden` ReLU units, initialised as PyTorch initialises `Linear`:
    /// uniform in ±1/√(inputs).
    ///
    /// # Errors
    /// [`BadInput`] if a part of the split would be empty, or smaller than a batch.
    pub fn new(spec: &RunSpec, hidden: usize, (train, test): (Points, Points)) -> Result<Self> {
        let sizes = [train.features.ncols(), hidden, hidden, spec.classes()];
        let split = Split::draw(
            &SplitSpec {
                images: train.labels.len(),
                subset: None,
                validation_fraction: spec.data.validation_fraction,
                kind: spec.data.split,
            },
            spec.training.seed,
        )
        .map_err(|error| split_error(&error))?;
        let mut rng = stream(spec.training.seed, Purpose::Init, 0, 0);
        let mut weights = Array1::zeros(parameter_count(sizes));
        for layer in 0..3 {
            let (start, end) = layer_range(sizes, layer);
            let bound = 1.0 / (sizes[layer] as f64).sqrt();
            for weight in weights.slice_mut(ndarray::s![start..end]) {
                *weight = rng.random_range(-bound..bound);
            }
        }
        let Ok(optimizer) = Optimizer::new(spec.optimizer, &weights);
        let workload = Self {
            model: Model {
                sizes,
                train,
                gradient: Array1::zeros(weights.len()),
                weights,
            },
            test,
            split,
            optimizer,
            probe: spec.probe.clone(),
            batch_size: spec.training.batch_size,
            drop_last: spec.data.drop_last,
            seed: spec.training.seed,
            order: None,
            sums: EpochSums::default(),
            loss: f64::NAN,
            has_gradient: false,
        };
        check_batches(spec, &workload.split, workload.test.labels.len())?;
        Ok(workload)
    }

    fn scoring_batch(&self, draw: Draw, index: u64, size: usize) -> Result<Vec<u32>> {
        let mut rng = draw.stream(self.seed, Purpose::Scoring, index);
        let drawn = sample(&self.split.scoring, size, &mut rng);
        Ok(drawn.map_err(|error| BadInput(format!("probe.batch_size: {error}")))?)
    }

    fn evaluation_indices(&self, indices: &[u32]) -> Result<Vec<u32>> {
        let batches = Epoch::in_order(indices, self.batch_size, self.drop_last)?;
        Ok(batches.batches().flatten().copied().collect())
    }

    fn evaluate(&self, points: &Points, indices: &[u32]) -> Result<Evaluation> {
        let indices = self.evaluation_indices(indices)?;
        let pass = self.model.pass(points, &indices, false);
        Ok(Evaluation {
            loss: pass.loss,
            accuracy: pass.correct as f64 / indices.len() as f64,
            images: indices.len() as u64,
        })
    }
}

impl Model {
    /// Forward and, if asked for, backward over the points of `indices`.
    fn pass(&self, points: &Points, indices: &[u32], backward: bool) -> Pass {
        let weights = &self.weights;
        let rows: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
        let n = rows.len() as f64;
        let mut activations = vec![points.features.select(Axis(0), &rows)];
        for layer in 0..3 {
            let (matrix, bias) = layer_views(weights, self.sizes, layer);
            let mut z = product(activations[layer].view(), matrix) + bias;
            if layer < 2 {
                // `max` would turn NaN into 0 and hide a divergence.
                z.mapv_inplace(|z| if z < 0.0 { 0.0 } else { z });
            }
            activations.push(z);
        }
        let logits = &activations[3];
        let mut delta = Array2::zeros(logits.dim());
        let (mut loss, mut correct) = (0.0, 0);
        for (row, &index) in rows.iter().enumerate() {
            let label = usize::from(points.labels[index]);
            let logit = logits.row(row);
            let max = logit.fold(f64::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let sum: f64 = logit.iter().map(|z| libm::exp(z - max)).sum();
            loss += libm::log(sum) + max - logit[label];
            correct += usize::from(
                logit
                    .iter()
                    .enumerate()
                    .all(|(k, &z)| k == label || z < logit[label]),
            );
            for (k, z) in logit.iter().enumerate() {
                delta[(row, k)] = (libm::exp(z - max) / sum - f64::from(u8::from(k == label))) / n;
            }
        }
        let gradient = backward.then(|| {
            let mut gradient = Array1::zeros(weights.len());
            for layer in (0..3).rev() {
                let (start, end) = layer_range(self.sizes, layer);
                let inputs = &activations[layer];
                let by_matrix = product(inputs.t(), delta.view());
                let flat = by_matrix
                    .iter()
                    .chain(delta.sum_axis(Axis(0)).iter())
                    .copied()
                    .collect::<Array1<_>>();
                gradient.slice_mut(ndarray::s![start..end]).assign(&flat);
                if layer > 0 {
                    let (matrix, _) = layer_views(weights, self.sizes, layer);
                    let mut before = product(delta.view(), matrix.t());
                    before.zip_mut_with(inputs, |d, &a| {
                        if a <= 0.0 {
                            *d = 0.0;
                        }
                    });
                    delta = before;
                }
            }
            gradient
        });
        Pass {
            loss: loss / n,
            correct,
            gradient,
        }
    }

    /// The loss on training points, and their gradient into the model's.
    fn take_gradient(&mut self, indices: &[u32]) -> Pass {
        let mut pass = self.pass(&self.train, indices, true);
        if let Some(gradient) = pass.gradient.take() {
            self.gradient = gradient;
        }
        pass
    }
}

impl Objective for Model {
    type Vector = Array1<f64>;
    type Batch = Vec<u32>;
    type Random = ();
    type Error = anyhow::Error;

    fn vectors(&mut self) -> (&mut Array1<f64>, &mut Array1<f64>) {
        (&mut self.weights, &mut self.gradient)
    }

    fn set_gradient(&mut self, batches: &[Vec<u32>]) -> Result<()> {
        let [batch] = batches else {
            bail!("a gradient of {} batches", batches.len());
        };
        self.take_gradient(batch);
        Ok(())
    }

    fn loss(&mut self, batch: &Vec<u32>) -> Result<f64> {
        Ok(self.pass(&self.train, batch, false).loss)
    }

    fn random(&self) -> Result<()> {
        Ok(())
    }

    fn set_random(&mut self, (): &()) -> Result<()> {
        Ok(())
    }
}

/// `a · b`, shapes `[n, m]` and `[m, k]`; each entry is summed from its first term to its last.
fn product(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    let columns = b.ncols().max(1);
    let b: Vec<f64> = b.iter().copied().collect();
    let mut out = Array2::zeros((a.nrows(), columns));
    for (a, mut out) in a.rows().into_iter().zip(out.rows_mut()) {
        let Some(out) = out.as_slice_mut() else {
            unreachable!("rows of a new array are contiguous");
        };
        for (&a, b) in a.iter().zip(b.chunks_exact(columns)) {
            for (out, &b) in out.iter_mut().zip(b) {
                *out += a * b;
            }
        }
    }
    out
}

fn parameter_count(sizes: Sizes) -> usize {
    layer_range(sizes, 2).1
}

/// Where a layer's matrix `[inputs, outputs]` and bias `[outputs]` lie in the flat vector.
fn layer_range(sizes: Sizes, layer: usize) -> (usize, usize) {
    let length = |layer: usize| (sizes[layer] + 1) * sizes[layer + 1];
    let start = (0..layer).map(length).sum();
    (start, start + length(layer))
}

fn layer_views(
    weights: &Array1<f64>,
    sizes: Sizes,
    layer: usize,
) -> (ArrayView2<'_, f64>, ArrayView1<'_, f64>) {
    let (start, end) = layer_range(sizes, layer);
    let split = end - sizes[layer + 1];
    let matrix = weights.slice(ndarray::s![start..split]);
    let shape = (sizes[layer], sizes[layer + 1]);
    let matrix = matrix.into_shape_with_order(shape);
    (
        matrix.unwrap_or_else(|_| unreachable!("layer_range gives inputs × outputs entries")),
        weights.slice(ndarray::s![split..end]),
    )
}

impl Workload for ReferenceWorkload {
    fn data(&self) -> DataProvenance {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for points in [&self.model.train, &self.test] {
            for value in &points.features {
                hash.update(value.to_le_bytes());
            }
            hash.update(&points.labels);
        }
        DataProvenance {
            name: "synthetic points".into(),
            synthetic: true,
            digest: hex::encode(hash.finalize()),
            train: self.split.train.len(),
            validation: self.split.validation.len(),
            scoring: self.split.scoring.len(),
            test: self.test.labels.len(),
        }
    }

    fn parameters(&self) -> usize {
        self.model.weights.len()
    }

    fn device(&self) -> String {
        "cpu".into()
    }

    fn libtorch(&self) -> Option<String> {
        None
    }

    fn steps_per_epoch(&self) -> u64 {
        let n = self.split.train.len();
        let steps = if self.drop_last {
            n / self.batch_size
        } else {
            n.div_ceil(self.batch_size)
        };
        steps as u64
    }

    fn begin(&mut self, place: Place, sums: EpochSums) -> Result<()> {
        let Place { epoch, attempt } = place;
        let mut rng = attempt_stream(attempt, self.seed, Purpose::Order, epoch, 0);
        let (size, drop_last) = (self.batch_size, self.drop_last);
        let order = Epoch::shuffled(&self.split.train, size, drop_last, &mut rng)?;
        (self.order, self.sums) = (Some(order), sums);
        Ok(())
    }

    fn gradient(&mut self) -> Result<bool> {
        if !self.sums.loss.is_finite() {
            return Ok(false);
        }
        let mut batches = self
            .order
            .as_ref()
            .map(Epoch::batches)
            .into_iter()
            .flatten();
        let batch = batches.nth(self.sums.steps as usize);
        let batch = batch.context("the epoch has no further batch")?;
        let pass = self.model.take_gradient(batch);
        let samples = batch.len() as u64;
        self.sums.loss += pass.loss * samples as f64;
        self.sums.correct += pass.correct as u64;
        self.sums.samples += samples;
        self.sums.steps += 1;
        (self.loss, self.has_gradient) = (pass.loss, true);
        Ok(true)
    }

    fn batch_loss(&self) -> Result<f64> {
        Ok(self.loss)
    }

    fn squared_gradient_norm(&self) -> Result<f64> {
        let gradient = &self.model.gradient;
        Ok(Flat::dot_product(gradient, gradient)?)
    }

    fn step(&mut self, lr: f64) -> Result<f64> {
        ensure!(self.has_gradient, "a step without a gradient");
        self.has_gradient = false;
        let (weights, gradient) = self.model.vectors();
        Ok(self.optimizer.step(weights, gradient, lr)?)
    }

    fn sums(&self) -> Result<EpochSums> {
        Ok(self.sums)
    }

    fn validate(&mut self) -> Result<Evaluation> {
        self.evaluate(&self.model.train, &self.split.validation)
    }

    fn test(&mut self) -> Result<Evaluation> {
        let all: Vec<u32> = (0..self.test.labels.len() as u32).collect();
        self.evaluate(&self.test, &all)
    }

    fn probe(
        &mut self,
        draw: Draw,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
        cost: &mut Cost,
    ) -> Result<()> {
        let own = match self.probe.gradient {
            GradientBatch::Own => Some(self.scoring_batch(draw, u64::MAX, self.batch_size)?),
            GradientBatch::Scoring => None,
        };
        let batch = |index| self.scoring_batch(draw, index, self.probe.batch_size);
        let probe = StepProbe {
            gradient: own,
            scoring: match self.probe.batches {
                ScoringBatch::Shared => ScoringBatches::Shared(vec![batch(0)?]),
                ScoringBatch::PerCandidate => {
                    let batches = (0..lrs.len() as u64).map(batch);
                    ScoringBatches::PerCandidate(batches.collect::<Result<_>>()?)
                }
            },
            loss: self.probe.loss,
        };
        let mut found = vec![f64::NAN; lrs.len()];
        probe.run(&mut self.model, &self.optimizer, &lrs.to_vec(), &mut found)?;
        losses
            .iter_mut()
            .zip(found)
            .for_each(|(to, loss)| *to = loss);
        *cost += Cost::of_probe(&self.probe, lrs.len(), self.batch_size);
        Ok(())
    }

    fn trial_gradient(&mut self, draw: Draw, k: u64) -> Result<()> {
        let mut rng = draw.stream(self.seed, Purpose::Trial, k);
        let batch = sample(&self.split.scoring, self.batch_size, &mut rng)?;
        self.loss = self.model.take_gradient(&batch).loss;
        self.has_gradient = true;
        Ok(())
    }

    fn score(&mut self, draw: Draw, index: u64) -> Result<f64> {
        let batch = self.scoring_batch(draw, index, self.probe.batch_size)?;
        self.model.loss(&batch)
    }

    fn probe_batches(&self, draw: Draw, candidates: usize) -> Result<Vec<StateArray>> {
        let count = match self.probe.batches {
            ScoringBatch::Shared => 1,
            ScoringBatch::PerCandidate => candidates as u64,
        };
        let mut batches = Vec::new();
        for index in 0..count {
            let indices = self.scoring_batch(draw, index, self.probe.batch_size)?;
            batches.push((format!("scoring.{index}"), indices));
        }
        if self.probe.gradient == GradientBatch::Own {
            let indices = self.scoring_batch(draw, u64::MAX, self.batch_size)?;
            batches.push(("gradient".to_owned(), indices));
        }
        let mut arrays = Vec::new();
        for (name, indices) in batches {
            let rows: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
            let features = self.model.train.features.select(Axis(0), &rows);
            let labels = rows.iter().map(|&row| self.model.train.labels[row].into());
            arrays.push(StateArray {
                name: format!("{name}.features"),
                shape: features.shape().to_vec(),
                values: StateValues::F64(features.iter().copied().collect()),
            });
            arrays.push(StateArray {
                name: format!("{name}.labels"),
                shape: vec![rows.len()],
                values: StateValues::I64(labels.collect()),
            });
        }
        Ok(arrays)
    }

    fn freeze_batch_norm(&mut self, _: bool) {}

    fn save(&self) -> Result<Vec<StateArray>> {
        let array = |name: &str, values: &Array1<f64>| StateArray {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: StateValues::F64(values.to_vec()),
        };
        let mut arrays = vec![array("weights", &self.model.weights)];
        for (name, values) in self.optimizer.state() {
            arrays.push(array(&format!("optimizer.{name}"), values));
        }
        arrays.push(StateArray::counter(
            "optimizer.steps",
            self.optimizer.steps(),
        ));
        Ok(arrays)
    }

    fn load(&mut self, state: &[StateArray]) -> Result<()> {
        let n = self.model.weights.len();
        let vector = |name: &str| -> Result<Array1<f64>> {
            match &StateArray::find(state, name)?.values {
                StateValues::F64(values) if values.len() == n => {
                    Ok(Array1::from_vec(values.clone()))
                }
                _ => anyhow::bail!(
                    "saved state: {name} does not have the network's {n} float64 entries"
                ),
            }
        };
        let weights = vector("weights")?;
        if state
            .iter()
            .any(|array| array.name.starts_with("optimizer."))
        {
            let slots = self.optimizer.config().slots();
            let slots = slots
                .iter()
                .map(|name| vector(&format!("optimizer.{name}")));
            let slots = slots.collect::<Result<Vec<_>>>()?;
            let steps = match &StateArray::find(state, "optimizer.steps")?.values {
                StateValues::I64(values) if values.len() == 1 => values[0],
                _ => anyhow::bail!("saved state: optimizer.steps is not a counter"),
            };
            ensure!(steps >= 0, "saved state: optimizer.steps = {steps}");
            let (count, vectors) = self.optimizer.state_mut();
            *count = u64::try_from(steps).context("optimizer.steps")?;
            vectors.zip(slots).for_each(|((_, to), from)| *to = from);
        }
        self.model.weights = weights;
        Ok(())
    }
}
