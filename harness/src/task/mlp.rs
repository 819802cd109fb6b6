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
    LayerKind, Network, Outcome, Parts, Pure, PureTask, TaskError, Visitor,
};
use crate::data::{DataSetName, Input, Points, Purpose, stream};

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
    type Examples = PointSet;

    fn examples(&self) -> &PointSet {
        &self.points
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
            let (matrix, others) = match index == last {
                true => (LayerKind::Head, LayerKind::Head),
                false => (LayerKind::Weights, LayerKind::BiasesAndNorms),
            };
            kinds.push((matrix, layer.matrix.clone()));
            kinds.push((others, layer.bias.clone()));
            if let Some(norm) = &layer.norm {
                kinds.push((others, norm.gain.clone()));
                kinds.push((others, norm.bias.clone()));
            }
        }
        kinds
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
mod tests;
