//! A fully connected ReLU network on labelled points.
//!
//! Forward and backward are the textbook's, in float64. Results have the same bits on every platform: sums have one
//! order, whatever instructions the processor has, and exp and ln come from libm. A matrix library would be faster, and
//! choose its kernel by the processor.

use std::ops::Range;

use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::{OneOf, Whole};
use autolr_core::{Key, Kind, Range as Limits};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::cross_entropy::cross_entropy;
use super::point_set::PointSet;
use super::product::product;
use super::{
    LayerKind, Network, Outcome, Part, Parts, Pure, PureTask, StateArray, TaskError, Visitor,
};
use crate::data::{DataSetName, Input, Points, Purpose, Stream, stream};

/// Added to the variance in LayerNorm, as in PyTorch.
const EPS: f64 = 1e-5;

/// What stands between a hidden layer's linear map and its ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// Nothing.
    #[default]
    None,
    /// LayerNorm: y = gain · (z − mean z) / √(var z + 10⁻⁵) + bias over a layer's units, the variance divided by their
    /// number. Gains start at 1, biases at 0.
    ///
    /// Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450.
    Layer,
}

/// Shape of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpSettings {
    /// Units of a hidden layer.
    pub hidden: u32,
    /// Hidden layers; with 0 of them the model is linear.
    pub layers: u32,
    /// What stands before each ReLU.
    pub normalization: Normalization,
}

impl Default for MlpSettings {
    fn default() -> Self {
        Self {
            hidden: 32,
            layers: 2,
            normalization: Normalization::None,
        }
    }
}

impl Network for MlpSettings {
    const KIND: Kind = Kind::new(
        "mlp",
        &[
            Key::new("hidden", Whole, Core("32"))
                .within(Limits::new(1.0, 4096.0, "must be from 1 to 4096"))
                .about("units of each hidden layer"),
            Key::new("layers", Whole, Core("2"))
                .within(Limits::new(0.0, 64.0, "must be from 0 to 64"))
                .about("hidden layers; with 0 the model is linear"),
            Key::new("normalization", OneOf(&["none", "layer"]), Core("none"))
                .about("before each ReLU: nothing, or LayerNorm"),
        ],
        "fully connected ReLU network on points, in pure Rust",
    );
    const TAKES: Input = Input::Points;

    fn layer_kinds(&self) -> &'static [LayerKind] {
        match self.layers {
            0 => &[LayerKind::Head],
            _ => &[LayerKind::Weights, LayerKind::BiasesAndNorms, LayerKind::Head],
        }
    }

    fn size(&self) -> String {
        format!("{} × {}", self.layers, self.hidden)
    }

    fn parameters(&self, set: DataSetName) -> u64 {
        let (hidden, classes) = (u64::from(self.hidden), set.classes() as u64);
        let norm = match self.normalization {
            Normalization::None => 0,
            Normalization::Layer => 2 * hidden,
        };
        let (mut inputs, mut total) = (set.features() as u64, 0);
        for _ in 0..self.layers {
            total += (inputs + 1) * hidden + norm;
            inputs = hidden;
        }
        total + (inputs + 1) * classes
    }

    fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> anyhow::Result<V::Output> {
        let (name, train, test) = parts.points()?;
        let task = Mlp::new(train, test, parts.set.classes(), *self)?.named(name);
        visitor.visit(Pure::new(task, parts.seed))
    }
}

/// The network with its data; the loss is the mean cross-entropy (nats).
///
/// The flat vector of weights has, for each layer, the matrix `[inputs, outputs]`, the bias `[outputs]` and, with LayerNorm
/// and before the last layer, the gain and the bias of the normalisation, `[outputs]` each.
#[derive(Debug, Clone)]
pub struct Mlp {
    points: PointSet,
    layers: Vec<Layer>,
}

/// Where a layer's parameters lie in the flat vector.
#[derive(Debug, Clone)]
struct Layer {
    inputs: usize,
    outputs: usize,
    matrix: Range<usize>,
    bias: Range<usize>,
    norm: Option<Norm>,
}

#[derive(Debug, Clone)]
struct Norm {
    gain: Range<usize>,
    bias: Range<usize>,
}

/// What LayerNorm keeps for the way back: normalised inputs `[n, units]` and 1/√(var + eps) `[n]`.
struct Normalized {
    values: Array2<f64>,
    scales: Array1<f64>,
}

impl Mlp {
    /// A network for points of `classes` classes.
    ///
    /// # Errors
    /// [`TaskError`] if the points do not fit each other or the classes, or hidden layers have no units.
    pub fn new(
        train: Points,
        test: Points,
        classes: usize,
        settings: MlpSettings,
    ) -> Result<Self, TaskError> {
        let points = PointSet::new(train, test, classes)?;
        if settings.hidden == 0 && settings.layers > 0 {
            return Err(TaskError::Zero("hidden"));
        }
        let mut layers = Vec::new();
        let (mut inputs, mut next) = (points.features(), 0);
        let mut take = |length| {
            next += length;
            next - length..next
        };
        for layer in 0..=settings.layers {
            let last = layer == settings.layers;
            let outputs = if last {
                points.classes
            } else {
                settings.hidden as usize
            };
            let (matrix, bias) = (take(inputs * outputs), take(outputs));
            let norm = (!last && settings.normalization == Normalization::Layer).then(|| Norm {
                gain: take(outputs),
                bias: take(outputs),
            });
            layers.push(Layer {
                inputs,
                outputs,
                matrix,
                bias,
                norm,
            });
            inputs = outputs;
        }
        Ok(Self { points, layers })
    }

    /// The same with another name of the data than `synthetic points`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.points.name = name.into();
        self
    }

    fn parameters(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias.end)
    }
}

impl Layer {
    fn matrix<'a>(&self, weights: &'a Array1<f64>) -> ArrayView2<'a, f64> {
        let matrix = weights.slice(s![self.matrix.clone()]);
        let matrix = matrix.into_shape_with_order((self.inputs, self.outputs));
        matrix.unwrap_or_else(|_| unreachable!("the range has inputs × outputs entries"))
    }
}

fn vector<'a>(weights: &'a Array1<f64>, range: &Range<usize>) -> ArrayView1<'a, f64> {
    weights.slice(s![range.clone()])
}

impl Norm {
    /// Normalises the rows of `z` in place.
    fn forward(&self, weights: &Array1<f64>, z: &mut Array2<f64>) -> Normalized {
        let units = z.ncols() as f64;
        let mut scales = Array1::zeros(z.nrows());
        for (mut row, scale) in z.rows_mut().into_iter().zip(&mut scales) {
            let mean = row.fold(0.0, |sum, z| sum + z) / units;
            row -= mean;
            let variance = row.fold(0.0, |sum, z| sum + z * z) / units;
            *scale = 1.0 / (variance + EPS).sqrt();
            row *= *scale;
        }
        let values = z.clone();
        *z *= &vector(weights, &self.gain);
        *z += &vector(weights, &self.bias);
        Normalized { values, scales }
    }

    /// Writes the gradient of gain and bias, and turns `delta` from the derivative of the outputs to that of the inputs:
    /// scale · (g − mean g − x̂ · mean(g x̂)) with g = gain · delta.
    fn backward(
        &self,
        weights: &Array1<f64>,
        kept: &Normalized,
        delta: &mut Array2<f64>,
        gradient: &mut Array1<f64>,
    ) {
        let by_gain = (&*delta * &kept.values).sum_axis(Axis(0));
        gradient.slice_mut(s![self.gain.clone()]).assign(&by_gain);
        let by_bias = delta.sum_axis(Axis(0));
        gradient.slice_mut(s![self.bias.clone()]).assign(&by_bias);
        *delta *= &vector(weights, &self.gain);
        let units = delta.ncols() as f64;
        for ((mut row, x), scale) in delta
            .rows_mut()
            .into_iter()
            .zip(kept.values.rows())
            .zip(&kept.scales)
        {
            let mean = row.fold(0.0, |sum, g| sum + g) / units;
            let along = row.iter().zip(x).fold(0.0, |sum, (g, x)| sum + g * x) / units;
            row.zip_mut_with(&x, |g, x| *g = scale * (*g - mean - x * along));
        }
    }
}

impl PureTask for Mlp {
    type Batch = Points;

    fn data_name(&self) -> String {
        self.points.name.clone()
    }

    fn digest(&self) -> String {
        self.points.digest()
    }

    fn examples(&self, part: Part) -> usize {
        self.points.part(part).labels.len()
    }

    /// Matrices and biases as PyTorch initialises `Linear`: uniform in ±1/√(inputs).
    fn start(&self, seed: u64) -> Array1<f64> {
        let mut rng = stream(seed, Purpose::Init, 0, 0);
        let mut weights = Array1::zeros(self.parameters());
        for layer in &self.layers {
            let bound = 1.0 / (layer.inputs as f64).sqrt();
            for weight in weights.slice_mut(s![layer.matrix.start..layer.bias.end]) {
                *weight = rng.random_range(-bound..bound);
            }
            if let Some(norm) = &layer.norm {
                weights.slice_mut(s![norm.gain.clone()]).fill(1.0);
            }
        }
        weights
    }

    fn layers(&self) -> Vec<(LayerKind, Range<usize>)> {
        let mut kinds = Vec::new();
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            if index == last {
                kinds.push((LayerKind::Head, layer.matrix.start..layer.bias.end));
            } else {
                let end = layer.norm.as_ref().map_or(layer.bias.end, |n| n.bias.end);
                kinds.push((LayerKind::Weights, layer.matrix.clone()));
                kinds.push((LayerKind::BiasesAndNorms, layer.bias.start..end));
            }
        }
        kinds
    }

    fn batch(&self, part: Part, indices: &[u32], _: Option<&mut Stream>) -> Points {
        self.points.batch(part, indices)
    }

    fn batch_arrays(&self, name: &str, batch: &Points) -> Vec<StateArray> {
        PointSet::arrays(name, batch)
    }

    fn evaluate(
        &self,
        weights: &Array1<f64>,
        batch: &Points,
        gradient: Option<&mut Array1<f64>>,
    ) -> Outcome {
        let last = self.layers.len() - 1;
        // What each layer takes in, and what its normalisation keeps.
        let mut inputs: Vec<Array2<f64>> = Vec::with_capacity(last);
        let mut kept = Vec::with_capacity(last);
        let mut logits = Array2::zeros((0, 0));
        for (index, layer) in self.layers.iter().enumerate() {
            let input = inputs.last().unwrap_or(&batch.features);
            let matrix = layer.matrix(weights);
            let mut z = product(input.view(), matrix) + vector(weights, &layer.bias);
            if index == last {
                logits = z;
                break;
            }
            let norm = layer.norm.as_ref();
            kept.push(norm.map(|norm| norm.forward(weights, &mut z)));
            // `max` would turn NaN into 0 and hide a divergence.
            z.mapv_inplace(|z| if z < 0.0 { 0.0 } else { z });
            inputs.push(z);
        }
        let found = cross_entropy(logits.view(), &batch.labels);
        if let Some(gradient) = gradient {
            let mut delta = found.delta;
            for (index, layer) in self.layers.iter().enumerate().rev() {
                let before = index.checked_sub(1);
                let input = before.map_or(&batch.features, |before| &inputs[before]);
                let by_matrix = product(input.t(), delta.view());
                let mut part = gradient.slice_mut(s![layer.matrix.clone()]);
                part.iter_mut().zip(&by_matrix).for_each(|(g, &d)| *g = d);
                let by_bias = delta.sum_axis(Axis(0));
                gradient.slice_mut(s![layer.bias.clone()]).assign(&by_bias);
                let Some(before) = before else { break };
                delta = product(delta.view(), layer.matrix(weights).t());
                delta.zip_mut_with(input, |d, &a| {
                    if a <= 0.0 {
                        *d = 0.0;
                    }
                });
                if let (Some(norm), Some(kept)) = (&self.layers[before].norm, &kept[before]) {
                    norm.backward(weights, kept, &mut delta, gradient);
                }
            }
        }
        Outcome {
            loss: found.loss,
            correct: Some(found.correct),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradient, assert_layers_cover};
    use super::*;
    use crate::data::synthetic::points;
    use ndarray::array;

    fn task(layers: u32, hidden: u32, normalization: Normalization) -> Mlp {
        let (train, test) = points(3, 40, 20);
        let settings = MlpSettings {
            hidden,
            layers,
            normalization,
        };
        Mlp::new(train, test, 10, settings).unwrap()
    }

    /// The network with two hidden layers as it was before the number of layers could be chosen: start, loss, right
    /// answers, gradient. Recorded runs hang on its bits.
    mod two_layers {
        use super::*;

        type Sizes = [usize; 4];

        fn range(sizes: Sizes, layer: usize) -> (usize, usize) {
            let length = |layer: usize| (sizes[layer] + 1) * sizes[layer + 1];
            let start = (0..layer).map(length).sum();
            (start, start + length(layer))
        }

        pub(super) fn start(sizes: Sizes, seed: u64) -> Array1<f64> {
            let mut rng = stream(seed, Purpose::Init, 0, 0);
            let mut weights = Array1::zeros(range(sizes, 2).1);
            for layer in 0..3 {
                let (start, end) = range(sizes, layer);
                let bound = 1.0 / (sizes[layer] as f64).sqrt();
                for weight in weights.slice_mut(s![start..end]) {
                    *weight = rng.random_range(-bound..bound);
                }
            }
            weights
        }

        fn views(
            weights: &Array1<f64>,
            sizes: Sizes,
            layer: usize,
        ) -> (ArrayView2<'_, f64>, ArrayView1<'_, f64>) {
            let (start, end) = range(sizes, layer);
            let split = end - sizes[layer + 1];
            let matrix = weights.slice(s![start..split]);
            let matrix = matrix.into_shape_with_order((sizes[layer], sizes[layer + 1]));
            (matrix.unwrap(), weights.slice(s![split..end]))
        }

        pub(super) fn pass(
            weights: &Array1<f64>,
            sizes: Sizes,
            points: &Points,
            indices: &[u32],
        ) -> (f64, u64, Array1<f64>) {
            let rows: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
            let n = rows.len() as f64;
            let mut activations = vec![points.features.select(Axis(0), &rows)];
            for layer in 0..3 {
                let (matrix, bias) = views(weights, sizes, layer);
                let mut z = product(activations[layer].view(), matrix) + bias;
                if layer < 2 {
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
                let right = |(k, &z): (usize, &f64)| k == label || z < logit[label];
                correct += u64::from(logit.iter().enumerate().all(right));
                for (k, z) in logit.iter().enumerate() {
                    delta[(row, k)] =
                        (libm::exp(z - max) / sum - f64::from(u8::from(k == label))) / n;
                }
            }
            let mut gradient = Array1::zeros(weights.len());
            for layer in (0..3).rev() {
                let (start, end) = range(sizes, layer);
                let inputs = &activations[layer];
                let flat = product(inputs.t(), delta.view())
                    .iter()
                    .chain(delta.sum_axis(Axis(0)).iter())
                    .copied()
                    .collect::<Array1<_>>();
                gradient.slice_mut(s![start..end]).assign(&flat);
                if layer > 0 {
                    let (matrix, _) = views(weights, sizes, layer);
                    let mut before = product(delta.view(), matrix.t());
                    before.zip_mut_with(inputs, |d, &a| {
                        if a <= 0.0 {
                            *d = 0.0;
                        }
                    });
                    delta = before;
                }
            }
            (loss / n, correct, gradient)
        }
    }

    fn bits(values: &Array1<f64>) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn two_layers_have_the_bits_that_recorded_runs_hang_on() {
        for hidden in [1, 8, 32] {
            let task = task(2, hidden, Normalization::None);
            let sizes = [16, hidden as usize, hidden as usize, 10];
            let (train, _) = points(3, 40, 20);
            let mut weights = task.start(5);
            assert_eq!(bits(&weights), bits(&two_layers::start(sizes, 5)));
            let mut gradient = Array1::zeros(weights.len());
            // A step of this size makes some units die; the last is far enough to give infinities or NaN.
            for lr in [0.5, 3.0, 1e200, 1.0] {
                let indices = [3, 39, 0, 3, 17, 21, 8];
                let batch = task.batch(Part::Train, &indices, None);
                let found = task.evaluate(&weights, &batch, Some(&mut gradient));
                let (loss, correct, expected) = two_layers::pass(&weights, sizes, &train, &indices);
                assert_eq!(found.loss.to_bits(), loss.to_bits());
                assert_eq!(found.correct, Some(correct));
                assert_eq!(bits(&gradient), bits(&expected));
                weights.scaled_add(-lr, &gradient);
            }
            let batch = task.batch(Part::Train, &[0, 1], None);
            assert!(!task.evaluate(&weights, &batch, None).loss.is_finite());
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        for normalization in [Normalization::None, Normalization::Layer] {
            for layers in 0..=3 {
                let task = task(layers, 6, normalization);
                // Gains and biases away from 1 and 0.
                let start = task.start(2);
                let weights = &start + &(0.1 * &task.start(9));
                let batch = task.batch(Part::Train, &[0, 1, 2, 13, 28], None);
                assert_gradient(&task, &weights, &batch);
            }
        }
    }

    #[test]
    fn normalised_rows_have_mean_0_and_variance_1() {
        let norm = Norm {
            gain: 0..4,
            bias: 4..8,
        };
        let weights = array![1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.5, 0.0];
        let mut z = array![[1.0, 2.0, 3.0, 6.0], [5.0, 5.0, 5.0, 5.0]];
        norm.forward(&weights, &mut z);
        // Mean 3, variance 14/4.
        let scale = 1.0 / (3.5_f64 + EPS).sqrt();
        let expected = array![
            [-2.0 * scale, -scale, 0.5, 6.0 * scale],
            [0.0, 0.0, 0.5, 0.0]
        ];
        assert!((z - expected).iter().all(|d| d.abs() < 1e-15));
    }

    #[test]
    fn layers_are_named_and_cover_the_weights() {
        use LayerKind::{BiasesAndNorms, Head, Weights};
        let task_of = task;
        for (layers, normalization) in [
            (0, Normalization::Layer),
            (1, Normalization::None),
            (3, Normalization::Layer),
        ] {
            assert_layers_cover(&task_of(layers, 5, normalization));
        }
        let plain = task(1, 5, Normalization::None);
        assert_eq!(
            plain.layers(),
            [(Weights, 0..80), (BiasesAndNorms, 80..85), (Head, 85..145)]
        );
        let normalized = task(1, 5, Normalization::Layer);
        assert_eq!(
            normalized.layers(),
            [(Weights, 0..80), (BiasesAndNorms, 80..95), (Head, 95..155)]
        );
        let start = normalized.start(0);
        assert_eq!(
            start.slice(s![85..95]).to_vec(),
            [[1.0; 5], [0.0; 5]].concat()
        );
        assert_eq!(bits(&start), bits(&normalized.start(0)));
        assert_ne!(bits(&start), bits(&normalized.start(1)));
    }

    #[test]
    fn units_are_needed_only_by_hidden_layers() {
        let made = |hidden, layers| {
            let (train, test) = points(0, 10, 10);
            let settings = MlpSettings {
                hidden,
                layers,
                normalization: Normalization::None,
            };
            Mlp::new(train, test, 10, settings)
        };
        assert_eq!(made(0, 1).unwrap_err(), TaskError::Zero("hidden"));
        assert_eq!(made(0, 0).unwrap().start(0).len(), 170);
        let task = made(1, 1).unwrap().named("other points");
        assert_eq!(task.data_name(), "other points");
        assert_eq!(
            (task.examples(Part::Train), task.examples(Part::Test)),
            (10, 10)
        );
        let batch = task.batch(Part::Test, &[], None);
        assert!(task.evaluate(&task.start(0), &batch, None).loss.is_nan());
    }
}
