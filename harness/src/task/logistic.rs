//! Softmax regression with an L2 penalty: a convex problem whose optimum can be computed.

use std::ops::Range;

use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::Number;
use autolr_core::{Key, Kind, Range as Limits};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use serde::{Deserialize, Serialize};

use super::cholesky::solve;
use super::cross_entropy::cross_entropy;
use super::point_set::PointSet;
use super::product::product;
use super::{
    LayerKind, Network, Outcome, Part, Parts, Pure, PureTask, TaskError, Visitor,
};
use crate::data::{DataSetName, Input, Points};
use crate::number;

/// Norm of the gradient below which Newton's method stops.
const TOLERANCE: f64 = 1e-10;
const ITERATIONS: usize = 100;

/// `[network]` of [`Logistic`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogisticSettings {
    /// λ.
    pub l2: f64,
}

impl Default for LogisticSettings {
    fn default() -> Self {
        Self { l2: 1e-4 }
    }
}

impl Network for LogisticSettings {
    const KIND: Kind = Kind::new(
        "logistic",
        &[Key::new("l2", Number, Core("1e-4"))
            .within(Limits::NOT_NEGATIVE)
            .about("λ in the loss, cross-entropy + λ/2 ‖W‖²")],
        "softmax regression on points, in pure Rust; convex, with an optimum by Newton's method",
    );
    const TAKES: Input = Input::Points;

    fn layer_kinds(&self) -> &'static [LayerKind] {
        &[LayerKind::Head]
    }

    fn size(&self) -> String {
        format!("λ = {}", number::plain(self.l2))
    }

    fn parameters(&self, set: DataSetName) -> u64 {
        (set.features() as u64 + 1) * set.classes() as u64
    }

    fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> anyhow::Result<V::Output> {
        let (name, train, test) = parts.points()?;
        let task = Logistic::new(train, test, parts.set.classes(), self.l2)?.named(name);
        visitor.visit(Pure::new(task, parts.seed))
    }
}

/// Softmax regression on labelled points: logits x W + b, loss = mean cross-entropy (nats) + λ/2 ‖W‖².
///
/// The penalty is part of the loss everywhere, on training and test examples; biases have none. The flat vector of weights
/// has the matrix W `[features, classes]`, then the bias `[classes]`.
#[derive(Debug, Clone)]
pub struct Logistic {
    points: PointSet,
    l2: f64,
}

impl Logistic {
    /// A model for points of `classes` classes, with penalty λ = `l2`.
    ///
    /// # Errors
    /// [`TaskError`] if the points do not fit each other or the classes, or `l2` is negative or not finite.
    pub fn new(train: Points, test: Points, classes: usize, l2: f64) -> Result<Self, TaskError> {
        // Written so that NaN fails too.
        if !(l2 >= 0.0 && l2.is_finite()) {
            return Err(TaskError::Range {
                what: "l2",
                value: l2,
                range: "at least 0 and finite",
            });
        }
        let points = PointSet::new(train, test, classes)?;
        Ok(Self { points, l2 })
    }

    /// The same with another name of the data than `synthetic points`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.points.name = name.into();
        self
    }

    /// Weights of the smallest loss over the training examples of these indices, and that loss; the norm of the gradient
    /// there is below 10⁻¹⁰.
    ///
    /// Newton's method from 0 with halved steps. A constant added to the weights of all classes does not change their
    /// probabilities: the Hessian has 1 added along these directions, in which the gradient is 0, so that the steps stay
    /// orthogonal to them and the weights of the classes sum to 0.
    ///
    /// # Errors
    /// [`TaskError`] if a class has no example, or the method does not converge: without penalty, classes that a plane
    /// divides have no optimum, though the gradient may become small enough far out.
    ///
    /// # Panics
    /// If an index is not that of an example.
    pub fn optimum(&self, indices: &[u32]) -> Result<(Array1<f64>, f64), TaskError> {
        let batch = self.batch(Part::Train, indices, None);
        if !(0..self.points.classes).all(|k| batch.labels.iter().any(|&l| usize::from(l) == k)) {
            return Err(TaskError::Zero("examples of a class"));
        }
        let mut weights = self.start(0);
        let mut gradient = weights.clone();
        let mut loss = self.evaluate(&weights, &batch, Some(&mut gradient)).loss;
        for _ in 0..ITERATIONS {
            if dot(&gradient, &gradient).sqrt() < TOLERANCE {
                return Ok((weights, loss));
            }
            let mut step = gradient.clone();
            if !solve(&mut self.hessian(&weights, &batch), &mut step) {
                break;
            }
            // Armijo's condition, with room for the rounding of losses that hardly differ.
            let slope = dot(&gradient, &step);
            let enough = |found: f64, t: f64| {
                found <= loss - 1e-4 * t * slope + 8.0 * f64::EPSILON * loss.abs()
            };
            let mut t = 1.0;
            loop {
                let trial = &weights - t * &step;
                let found = self.evaluate(&trial, &batch, Some(&mut gradient)).loss;
                if enough(found, t) {
                    (weights, loss) = (trial, found);
                    break;
                }
                t /= 2.0;
                if t < f64::EPSILON {
                    return Err(not_converged());
                }
            }
        }
        Err(not_converged())
    }

    /// Lower triangle of the Hessian, with 1 added along the directions that do not change the probabilities.
    fn hessian(&self, weights: &Array1<f64>, batch: &Points) -> Array2<f64> {
        let (features, classes) = (self.points.features(), self.points.classes);
        let n = batch.labels.len() as f64;
        let logits = self.logits(weights, batch);
        let mut hessian = Array2::<f64>::zeros((weights.len(), weights.len()));
        for (logit, x) in logits.rows().into_iter().zip(batch.features.rows()) {
            let max = logit.fold(f64::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let p = logit.mapv(|z| libm::exp(z - max));
            let p = &p / p.fold(0.0, |sum, p| sum + p);
            // The bias is the weight of a last feature that is always 1.
            let x = |j: usize| if j < features { x[j] } else { 1.0 };
            for i in 0..=features {
                for j in 0..=i {
                    let both = x(i) * x(j) / n;
                    for k in 0..classes {
                        for l in 0..classes {
                            let own = if k == l { p[k] } else { 0.0 };
                            hessian[(i * classes + k, j * classes + l)] +=
                                both * (own - p[k] * p[l]);
                        }
                    }
                }
            }
        }
        for i in 0..=features {
            let range = i * classes..(i + 1) * classes;
            hessian
                .slice_mut(s![range.clone(), range])
                .mapv_inplace(|h| h + 1.0);
        }
        for index in 0..features * classes {
            hessian[(index, index)] += self.l2;
        }
        hessian
    }

    fn matrix<'a>(&self, weights: &'a Array1<f64>) -> ArrayView2<'a, f64> {
        let shape = (self.points.features(), self.points.classes);
        let matrix = weights.slice(s![..shape.0 * shape.1]);
        let matrix = matrix.into_shape_with_order(shape);
        matrix.unwrap_or_else(|_| unreachable!("the slice has features × classes entries"))
    }

    fn logits(&self, weights: &Array1<f64>, batch: &Points) -> Array2<f64> {
        let matrix = self.matrix(weights);
        let bias = weights.slice(s![matrix.len()..]);
        product(batch.features.view(), matrix) + bias
    }
}

fn not_converged() -> TaskError {
    TaskError::NotConverged {
        what: "Newton's method",
        iterations: ITERATIONS,
    }
}

fn dot(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

impl PureTask for Logistic {
    type Examples = PointSet;

    fn examples(&self) -> &PointSet {
        &self.points
    }

    /// Zeros, whatever the seed.
    fn start(&self, _: u64) -> Array1<f64> {
        Array1::zeros((self.points.features() + 1) * self.points.classes)
    }

    fn layers(&self) -> Vec<(LayerKind, Range<usize>)> {
        let matrix = self.points.features() * self.points.classes;
        let bias = matrix..matrix + self.points.classes;
        vec![(LayerKind::Head, 0..matrix), (LayerKind::Head, bias)]
    }

    fn evaluate(
        &self,
        weights: &Array1<f64>,
        batch: &Points,
        gradient: Option<&mut Array1<f64>>,
    ) -> Outcome {
        let matrix = self.matrix(weights);
        let found = cross_entropy(self.logits(weights, batch).view(), &batch.labels);
        if let Some(gradient) = gradient {
            let by_matrix = product(batch.features.t(), found.delta.view());
            let (mut head, mut bias) = gradient.view_mut().split_at(Axis(0), matrix.len());
            for ((g, d), w) in head.iter_mut().zip(&by_matrix).zip(&matrix) {
                *g = d + self.l2 * w;
            }
            bias.assign(&found.delta.sum_axis(Axis(0)));
        }
        let squares = matrix.iter().fold(0.0, |sum, w| sum + w * w);
        Outcome {
            loss: found.loss + self.l2 / 2.0 * squares,
            correct: Some(found.correct),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradient, assert_layers_cover};
    use super::*;
    use crate::task::PureExamples;
    use crate::data::badly_scaled::{CLASSES, points};
    use ndarray::array;

    fn task(l2: f64) -> Logistic {
        let (train, test) = points(3, 400, 200);
        Logistic::new(train, test, CLASSES, l2).unwrap()
    }

    fn all(task: &Logistic) -> Vec<u32> {
        (0..task.examples().count(Part::Train) as u32).collect()
    }

    /// Not zero, and without symmetry between the classes.
    fn somewhere(task: &Logistic) -> Array1<f64> {
        Array1::from_shape_fn(task.start(0).len(), |i| libm::sin(i as f64))
    }

    #[test]
    fn the_gradient_is_that_of_the_loss_with_its_penalty() {
        for l2 in [0.0, 0.1] {
            let task = task(l2);
            let batch = task.batch(Part::Train, &[0, 1, 2, 3, 77], None);
            assert_gradient(&task, &somewhere(&task), &batch);
        }
        assert_layers_cover(&task(0.0));
    }

    #[test]
    fn the_penalty_is_of_the_matrix_alone() {
        let (with, without) = (task(0.5), task(0.0));
        let weights = somewhere(&with);
        let batch = with.batch(Part::Test, &[0, 1, 2], None);
        let loss = |task: &Logistic| task.evaluate(&weights, &batch, None).loss;
        let squares: f64 = weights.iter().take(80).map(|w| w * w).sum();
        // Two sums of 80 squares in different order.
        assert!((loss(&with) - loss(&without) - 0.25 * squares).abs() < 1e-12);
    }

    #[test]
    fn at_the_start_all_classes_are_as_likely() {
        let task = task(1e-3);
        let batch = task.batch(Part::Train, &[0, 1, 2], None);
        let found = task.evaluate(&task.start(4), &batch, None);
        assert!((found.loss - libm::log(4.0)).abs() < 1e-15);
        assert_eq!(found.correct, Some(0));
        let none = task.batch(Part::Train, &[], None);
        assert!(task.evaluate(&task.start(4), &none, None).loss.is_nan());
    }

    #[test]
    fn the_hessian_is_the_derivative_of_the_gradient() {
        let task = task(0.1);
        let batch = task.batch(Part::Train, &[0, 1, 2, 3, 77], None);
        let weights = somewhere(&task);
        let hessian = task.hessian(&weights, &batch);
        let gradient = |weights: &Array1<f64>| {
            let mut gradient = Array1::zeros(weights.len());
            task.evaluate(weights, &batch, Some(&mut gradient));
            gradient
        };
        for j in [0, 1, 6, 79, 80, 83] {
            let mut moved = weights.clone();
            moved[j] += 1e-5;
            let right = gradient(&moved);
            moved[j] -= 2e-5;
            let column = (right - gradient(&moved)) / 2e-5;
            for i in j..weights.len() {
                let added = f64::from(u8::from(i / CLASSES == j / CLASSES));
                // As for gradients: 10⁻¹⁰ of the third derivative, and 10⁻¹⁶/10⁻⁵ of rounding.
                assert!(
                    (hessian[(i, j)] - added - column[i]).abs() < 1e-8,
                    "{i} {j}"
                );
            }
        }
    }

    #[test]
    fn the_optimum_has_no_gradient_and_no_better_neighbour() {
        for l2 in [0.0, 1e-4, 1.0] {
            let task = task(l2);
            let indices = all(&task);
            let (weights, loss) = task.optimum(&indices).unwrap();
            let batch = task.batch(Part::Train, &indices, None);
            let mut gradient = Array1::zeros(weights.len());
            assert_eq!(
                task.evaluate(&weights, &batch, Some(&mut gradient)).loss,
                loss
            );
            assert!(dot(&gradient, &gradient).sqrt() < 1e-9);
            assert!(loss > 0.3 && loss < libm::log(4.0), "{l2}: {loss}");
            for (index, _) in weights.iter().enumerate() {
                let mut near = weights.clone();
                near[index] += 1e-2;
                assert!(task.evaluate(&near, &batch, None).loss > loss);
            }
            let bias = weights.slice(s![80..]);
            assert!(bias.sum().abs() < 1e-9, "{bias}");
            assert_eq!(task.optimum(&indices).unwrap(), (weights, loss));
        }
    }

    #[test]
    fn what_has_no_optimum_or_no_sense_is_said() {
        let task = task(0.1);
        let error = task.optimum(&[0, 1, 2, 4]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "examples of a class = 0: it must be at least 1"
        );
        assert!(task.optimum(&[0, 1, 2, 3]).is_ok());
        for l2 in [-f64::MIN_POSITIVE, f64::INFINITY, f64::NAN] {
            let point = || Points {
                features: array![[1.0]],
                labels: vec![0],
            };
            let error = Logistic::new(point(), point(), 1, l2)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("l2 = ") && error.ends_with("at least 0 and finite"));
        }
    }
}
