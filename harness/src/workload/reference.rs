//! The reference workload: a small fully connected network in pure Rust, on synthetic points, without BatchNorm.
//!
//! It trains in a fraction of a second, so that every test run goes through every experiment, and it is written
//! plainly: forward, backward and the optimisers are the textbook's, in float64.
//!
//! Its results have the same bits on every platform: sums have one order, whatever instructions the processor has, and
//! exp, ln and powers come from libm. A matrix library would be faster, and choose its kernel by the processor.

use anyhow::{Context, Result, ensure};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis};
use rand::RngExt;

use super::{Draw, EpochSums, Place, StateArray, StateValues, Workload};
use crate::data::batches::{Epoch, sample};
use crate::data::{Points, Purpose, Split, SplitSpec, attempt_stream, stream};
use crate::exit::BadInput;
use crate::experiment::Cost;
use crate::experiment::sizes::{check_batches, split_error};
use crate::experiment::{
    GradientBatch, OptimizerSpec, ProbeSpec, RunSpec, ScoringBatch, TrialLoss,
};
use crate::record::{DataProvenance, Evaluation};

/// Sizes of the three layers: inputs, hidden, hidden, classes.
type Sizes = [usize; 4];

/// The network with its data and optimiser.
pub struct ReferenceWorkload {
    sizes: Sizes,
    train: Points,
    test: Points,
    split: Split,
    weights: Array1<f64>,
    optimizer: OptimizerSpec,
    steps: u64,
    first: Array1<f64>,
    second: Array1<f64>,
    probe: ProbeSpec,
    batch_size: usize,
    drop_last: bool,
    seed: u64,
    /// The epoch at hand, once it has begun.
    order: Option<Epoch>,
    sums: EpochSums,
    /// The last batch, until its step is taken.
    pass: Option<Pass>,
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
        let workload = Self {
            sizes,
            first: Array1::zeros(weights.len()),
            second: Array1::zeros(weights.len()),
            train,
            test,
            split,
            weights,
            optimizer: spec.optimizer,
            steps: 0,
            probe: spec.probe.clone(),
            batch_size: spec.training.batch_size,
            drop_last: spec.data.drop_last,
            seed: spec.training.seed,
            order: None,
            sums: EpochSums::default(),
            pass: None,
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

    /// Forward and, if asked for, backward over the points of `indices`, with the weights given.
    fn pass(
        &self,
        weights: &Array1<f64>,
        points: &Points,
        indices: &[u32],
        backward: bool,
    ) -> Pass {
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

    /// The direction of the next step, and the moments after it.
    fn direction(&self, gradient: &Array1<f64>) -> (Array1<f64>, Array1<f64>, Array1<f64>) {
        match self.optimizer {
            OptimizerSpec::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                let gradient = gradient + &(weight_decay * &self.weights);
                if momentum == 0.0 {
                    return (gradient, self.first.clone(), self.second.clone());
                }
                let first = momentum * &self.first + &gradient;
                let direction = if nesterov {
                    gradient + momentum * &first
                } else {
                    first.clone()
                };
                (direction, first, self.second.clone())
            }
            OptimizerSpec::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => {
                let t = (self.steps + 1) as f64;
                let first = beta1 * &self.first + (1.0 - beta1) * gradient;
                let second = beta2 * &self.second + (1.0 - beta2) * gradient * gradient;
                let (c1, c2) = (1.0 - libm::pow(beta1, t), 1.0 - libm::pow(beta2, t));
                let adaptive = (&first / c1) / second.mapv(|v| (v / c2).sqrt() + eps);
                let direction = adaptive + weight_decay * &self.weights;
                (direction, first, second)
            }
        }
    }

    fn evaluate(&self, points: &Points, indices: &[u32]) -> Result<Evaluation> {
        let indices = self.evaluation_indices(indices)?;
        let pass = self.pass(&self.weights, points, &indices, false);
        Ok(Evaluation {
            loss: pass.loss,
            accuracy: pass.correct as f64 / indices.len() as f64,
            images: indices.len() as u64,
        })
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
        for points in [&self.train, &self.test] {
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
        self.weights.len()
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
        let pass = self.pass(&self.weights, &self.train, batch, true);
        let samples = batch.len() as u64;
        self.sums.loss += pass.loss * samples as f64;
        self.sums.correct += pass.correct as u64;
        self.sums.samples += samples;
        self.sums.steps += 1;
        self.pass = Some(pass);
        Ok(true)
    }

    fn batch_loss(&self) -> Result<f64> {
        Ok(self.pass.as_ref().map_or(f64::NAN, |pass| pass.loss))
    }

    fn squared_gradient_norm(&self) -> Result<f64> {
        let gradient = self.pass.as_ref().and_then(|pass| pass.gradient.as_ref());
        Ok(gradient.map_or(f64::NAN, |g| g.iter().fold(0.0, |sum, g| sum + g * g)))
    }

    fn step(&mut self, lr: f64) -> Result<()> {
        let gradient = self.pass.take().and_then(|pass| pass.gradient);
        let gradient = gradient.context("a step without a gradient")?;
        let (direction, first, second) = self.direction(&gradient);
        self.weights.scaled_add(-lr, &direction);
        (self.first, self.second) = (first, second);
        self.steps += 1;
        Ok(())
    }

    fn sums(&self) -> Result<EpochSums> {
        Ok(self.sums)
    }

    fn validate(&mut self) -> Result<Evaluation> {
        self.evaluate(&self.train, &self.split.validation)
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
        for (index, (&lr, loss)) in lrs.iter().zip(&mut losses).enumerate() {
            let which = match self.probe.batches {
                ScoringBatch::Shared => 0,
                ScoringBatch::PerCandidate => index as u64,
            };
            let scoring = self.scoring_batch(draw, which, self.probe.batch_size)?;
            let mut trial = self.weights.clone();
            if self.probe.loss == TrialLoss::AfterStep {
                let batch = own.as_ref().unwrap_or(&scoring);
                let pass = self.pass(&self.weights, &self.train, batch, true);
                if let Some(gradient) = pass.gradient {
                    trial.scaled_add(-lr, &self.direction(&gradient).0);
                }
            }
            *loss = self.pass(&trial, &self.train, &scoring, false).loss;
        }
        *cost += Cost::of_probe(&self.probe, lrs.len(), self.batch_size);
        Ok(())
    }

    fn trial_gradient(&mut self, draw: Draw, k: u64) -> Result<()> {
        let mut rng = draw.stream(self.seed, Purpose::Trial, k);
        let batch = sample(&self.split.scoring, self.batch_size, &mut rng)?;
        self.pass = Some(self.pass(&self.weights, &self.train, &batch, true));
        Ok(())
    }

    fn score(&mut self, draw: Draw, index: u64) -> Result<f64> {
        let batch = self.scoring_batch(draw, index, self.probe.batch_size)?;
        Ok(self.pass(&self.weights, &self.train, &batch, false).loss)
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
            let features = self.train.features.select(Axis(0), &rows);
            let labels = rows.iter().map(|&row| self.train.labels[row].into());
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
        Ok(vec![
            array("weights", &self.weights),
            array("optimizer.first", &self.first),
            array("optimizer.second", &self.second),
            StateArray::counter("optimizer.steps", self.steps),
        ])
    }

    fn load(&mut self, state: &[StateArray]) -> Result<()> {
        let n = self.weights.len();
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
            let (first, second) = (vector("optimizer.first")?, vector("optimizer.second")?);
            let steps = match &StateArray::find(state, "optimizer.steps")?.values {
                StateValues::I64(values) if values.len() == 1 => values[0],
                _ => anyhow::bail!("saved state: optimizer.steps is not a counter"),
            };
            ensure!(steps >= 0, "saved state: optimizer.steps = {steps}");
            self.steps = u64::try_from(steps).context("optimizer.steps")?;
            (self.first, self.second) = (first, second);
        }
        self.weights = weights;
        Ok(())
    }
}
