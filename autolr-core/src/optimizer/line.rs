//! Losses and slopes of any model along the direction of a step.

use super::{Flat, Objective, Optimizer};
use crate::{Line, LineReading};

/// Reads φ(η) = f(θ − η u) where [`Line`] asks for it: f is the loss on `batch`, u the direction of the step that
/// `optimizer` would take along the gradient that `model` holds, on that batch; at a rate of 1, where it depends on the rate
/// ([`is_proportional`](super::OptimizerConfig::is_proportional)).
///
/// Weights, gradient and random state are afterwards as they were, also on errors. Meanwhile there are three more vectors,
/// and a copy of the optimiser's state while the direction is computed.
///
/// ```
/// # use autolr_core::ndarray::{Array1, array};
/// # use autolr_core::optimizer::{Objective, Optimizer, OptimizerConfig, read_line};
/// # use autolr_core::Line;
/// /// x²
/// struct Parabola { x: Array1<f64>, gradient: Array1<f64> }
/// # impl Objective for Parabola {
/// #     type Vector = Array1<f64>;
/// #     type Batch = ();
/// #     type Random = ();
/// #     type Error = std::convert::Infallible;
/// #     fn vectors(&mut self) -> (&mut Array1<f64>, &mut Array1<f64>) { (&mut self.x, &mut self.gradient) }
/// #     fn set_gradient(&mut self, _: &[()]) -> Result<(), Self::Error> { self.gradient = 2.0 * &self.x; Ok(()) }
/// #     fn loss(&mut self, _: &()) -> Result<f64, Self::Error> { Ok(self.x[0] * self.x[0]) }
/// #     fn random(&self) -> Result<(), Self::Error> { Ok(()) }
/// #     fn set_random(&mut self, _: &()) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// let mut model = Parabola { x: array![3.0], gradient: array![6.0] };
/// let optimizer = Optimizer::new(OptimizerConfig::PLAIN_SGD, &model.x)?;
/// let line = Line { lrs: vec![0.5], slopes: vec![1.0] };
/// let reading = read_line(&mut model, &optimizer, &(), &line)?;
/// assert_eq!((reading.losses, reading.slopes), (vec![0.0], vec![36.0]));
/// assert_eq!((reading.slope, reading.squared_norm), (-36.0, 36.0));
/// # Ok::<(), std::convert::Infallible>(())
/// ```
///
/// # Errors
/// Those of the model.
pub fn read_line<M: Objective>(
    model: &mut M,
    optimizer: &Optimizer<M::Vector>,
    batch: &M::Batch,
    line: &Line,
) -> Result<LineReading, M::Error> {
    let random = model.random()?;
    let (weights, gradient) = model.vectors();
    let mut origin = weights.zeros_like()?;
    origin.copy(weights)?;
    let mut held = gradient.zeros_like()?;
    held.copy(gradient)?;
    let outcome = read(model, optimizer, (&origin, &held, &random), batch, line);
    // Also when a reading failed.
    let (weights, gradient) = model.vectors();
    let restored = weights.copy(&origin).and(gradient.copy(&held));
    let restored = restored.map_err(M::Error::from);
    outcome.and_then(|reading| {
        restored?;
        model.set_random(&random)?;
        Ok(reading)
    })
}

fn read<M: Objective>(
    model: &mut M,
    optimizer: &Optimizer<M::Vector>,
    (origin, held, random): (&M::Vector, &M::Vector, &M::Random),
    batch: &M::Batch,
    line: &Line,
) -> Result<LineReading, M::Error> {
    let (weights, gradient) = model.vectors();
    // What a rate of 1 really comes to: slopes are those over the rate that was asked for.
    let unit = optimizer.direction(weights, gradient, 1.0)?;
    let mut direction = gradient.zeros_like()?;
    direction.copy(gradient)?;
    let mut reading = LineReading {
        losses: Vec::with_capacity(line.lrs.len()),
        slopes: Vec::with_capacity(line.slopes.len()),
        slope: -unit * held.dot_product(&direction)?,
        squared_norm: direction.dot_product(&direction)?,
    };
    for &lr in &line.lrs {
        let (weights, _) = model.vectors();
        weights.set_sum(origin, -unit * lr, &direction)?;
        model.set_random(random)?;
        reading.losses.push(model.loss(batch)?);
    }
    for &lr in &line.slopes {
        let (weights, _) = model.vectors();
        weights.set_sum(origin, -unit * lr, &direction)?;
        model.set_random(random)?;
        model.set_gradient(std::slice::from_ref(batch))?;
        let (_, gradient) = model.vectors();
        let slope = -unit * gradient.dot_product(&direction)?;
        reading.slopes.push(slope);
    }
    Ok(reading)
}
