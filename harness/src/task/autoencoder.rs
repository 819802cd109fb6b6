//! An autoencoder: a narrow layer from which the point has to be found again. Nothing is classified.

use std::ops::Range;

use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::Whole;
use autolr_core::{Key, Kind, Range as Limits};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::point_set::PointSet;
use super::product::product;
use super::{
    LayerKind, Metric, Network, Outcome, Parts, Pure, PureTask, TaskError, Visitor,
};
use crate::data::{DataSetName, Input, Points, Purpose, stream};

/// `[network]` of [`Autoencoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoencoderSettings {
    /// Units of the narrow layer.
    pub code: u32,
}

impl Default for AutoencoderSettings {
    fn default() -> Self {
        Self { code: 8 }
    }
}

impl Network for AutoencoderSettings {
    const KIND: Kind = Kind::new(
        "autoencoder",
        &[Key::new("code", Whole, Core("8"))
            .within(Limits::new(1.0, 4096.0, "must be from 1 to 4096"))
            .about("units of its narrow layer")],
        "autoencoder of points with a tanh layer, in pure Rust; the loss is half the squared error of a point",
    );
    const TAKES: Input = Input::Points;
    const METRIC: Metric = Metric::Loss;

    fn size(&self) -> String {
        self.code.to_string()
    }

    fn parameters(&self, set: DataSetName) -> u64 {
        let (features, code) = (set.features() as u64, u64::from(self.code));
        (features + 1) * code + (code + 1) * features
    }

    fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> anyhow::Result<V::Output> {
        let (name, train, test) = parts.points()?;
        let task = Autoencoder::new(train, test, parts.set.classes(), self.code, name)?;
        visitor.visit(Pure::new(task, parts.seed))
    }
}

/// y = tanh(x W₁ + b₁) W₂ + b₂; the loss is the mean of ½ ‖y − x‖².
///
/// The flat vector of weights has W₁ `[features, code]`, b₁ `[code]`, W₂ `[code, features]`, b₂ `[features]`.
#[derive(Debug, Clone)]
pub struct Autoencoder {
    points: PointSet,
    code: usize,
}

/// Where the parameters lie in the flat vector.
struct Places {
    first: Range<usize>,
    bias: Range<usize>,
    second: Range<usize>,
    last: Range<usize>,
}

impl Autoencoder {
    /// An autoencoder of points.
    ///
    /// # Errors
    /// [`TaskError`] if the points do not fit each other, or there is no unit.
    pub fn new(
        train: Points,
        test: Points,
        classes: usize,
        code: u32,
        name: &str,
    ) -> Result<Self, TaskError> {
        if code == 0 {
            return Err(TaskError::Zero("code"));
        }
        let mut points = PointSet::new(train, test, classes)?;
        points.name = name.to_owned();
        let code = code as usize;
        Ok(Self { points, code })
    }

    fn places(&self) -> Places {
        let (features, code) = (self.points.features(), self.code);
        let first = features * code;
        let bias = first + code;
        let second = bias + code * features;
        Places {
            first: 0..first,
            bias: first..bias,
            second: bias..second,
            last: second..second + features,
        }
    }
}

fn matrix<'a>(
    weights: &'a Array1<f64>,
    range: &Range<usize>,
    shape: (usize, usize),
) -> ArrayView2<'a, f64> {
    let matrix = weights.slice(s![range.clone()]).into_shape_with_order(shape);
    matrix.unwrap_or_else(|_| unreachable!("the range has as many entries"))
}

fn vector<'a>(weights: &'a Array1<f64>, range: &Range<usize>) -> ArrayView1<'a, f64> {
    weights.slice(s![range.clone()])
}

impl PureTask for Autoencoder {
    type Examples = PointSet;

    fn examples(&self) -> &PointSet {
        &self.points
    }

    /// As PyTorch initialises `Linear`: uniform in ±1/√(inputs).
    fn start(&self, seed: u64) -> Array1<f64> {
        let mut rng = stream(seed, Purpose::Init, 0, 0);
        let places = self.places();
        let mut weights = Array1::zeros(places.last.end);
        let layers = [
            (0..places.bias.end, self.points.features()),
            (places.second.start..places.last.end, self.code),
        ];
        for (range, inputs) in layers {
            let bound = 1.0 / (inputs as f64).sqrt();
            let mut layer = weights.slice_mut(s![range]);
            layer.mapv_inplace(|_| rng.random_range(-bound..bound));
        }
        weights
    }

    fn layers(&self) -> Vec<(LayerKind, Range<usize>)> {
        let places = self.places();
        vec![
            (LayerKind::Weights, places.first),
            (LayerKind::BiasesAndNorms, places.bias),
            (LayerKind::Head, places.second),
            (LayerKind::Head, places.last),
        ]
    }

    fn evaluate(
        &self,
        weights: &Array1<f64>,
        batch: &Points,
        gradient: Option<&mut Array1<f64>>,
    ) -> Outcome {
        let (features, places) = (self.points.features(), self.places());
        let x = &batch.features;
        let first = matrix(weights, &places.first, (features, self.code));
        let second = matrix(weights, &places.second, (self.code, features));
        let code = (product(x.view(), first) + vector(weights, &places.bias)).mapv(libm::tanh);
        let away = product(code.view(), second) + vector(weights, &places.last) - x;
        let n = x.nrows() as f64;
        let squares = away.iter().fold(0.0, |sum, d| sum + d * d);
        if let Some(gradient) = gradient {
            let delta = away / n;
            let mut write = |range: &Range<usize>, values: &Array2<f64>| {
                let mut part = gradient.slice_mut(s![range.clone()]);
                part.iter_mut().zip(values).for_each(|(g, &d)| *g = d);
            };
            let row = |delta: &Array2<f64>| delta.sum_axis(Axis(0)).insert_axis(Axis(0));
            write(&places.second, &product(code.t(), delta.view()));
            write(&places.last, &row(&delta));
            let mut delta = product(delta.view(), second.t());
            delta.zip_mut_with(&code, |d, a| *d *= 1.0 - a * a);
            write(&places.first, &product(x.t(), delta.view()));
            write(&places.bias, &row(&delta));
        }
        Outcome {
            loss: squares / (2.0 * n),
            correct: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradient, assert_layers_cover};
    use super::*;
    use crate::data::digits_1d;
    use crate::task::Part;

    fn task(code: u32) -> Autoencoder {
        let (train, test) = digits_1d::points(2, 50, 20);
        Autoencoder::new(train, test, digits_1d::CLASSES, code, "digits").unwrap()
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let task = task(3);
        let batch = task.batch(Part::Train, &[0, 3, 11, 12], None);
        assert_gradient(&task, &task.start(1), &batch);
        assert_layers_cover(&task);
    }

    #[test]
    fn without_weights_the_loss_is_half_the_points_squares() {
        let task = task(2);
        let batch = task.batch(Part::Test, &[4, 5], None);
        let zeros = Array1::zeros(task.start(0).len());
        let found = task.evaluate(&zeros, &batch, None);
        let squares: f64 = batch.features.iter().map(|x| x * x).sum();
        assert!((found.loss - squares / 4.0).abs() < 1e-12 * squares);
        assert_eq!(found.correct, None);
        let none = task.batch(Part::Test, &[], None);
        assert!(task.evaluate(&zeros, &none, None).loss.is_nan());
    }

    #[test]
    fn a_code_without_units_is_refused() {
        let (train, test) = digits_1d::points(2, 10, 10);
        let error = Autoencoder::new(train, test, 10, 0, "x").unwrap_err();
        assert_eq!(error.to_string(), "code = 0: it must be at least 1");
    }
}
