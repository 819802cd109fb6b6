//! A quadratic under gradient descent.

use std::convert::Infallible;

use ndarray::{Array1, ArrayView1, ArrayViewMut1};

use super::super::{Fingerprint, Subject};
use crate::ProbeBackend;

/// The quadratic `Σ hᵢ xᵢ² / 2` under gradient descent: the smallest honest back end.
///
/// A step at rate η takes xᵢ to (1 − η hᵢ) xᵢ; it diverges for η > 2 / max h.
#[derive(Debug, Clone)]
pub struct Quadratic {
    /// Curvatures, shape `[d]`.
    pub curvature: Array1<f64>,
    /// Weights, shape `[d]`.
    pub x: Array1<f64>,
}

impl Quadratic {
    /// Curvatures spread from 1 down to 1/d, weights 1.
    pub fn new(d: usize) -> Self {
        Self {
            curvature: Array1::from_iter((1..=d).map(|i| 1.0 / i as f64)),
            x: Array1::ones(d),
        }
    }

    /// The loss at the present weights.
    pub fn loss(&self) -> f64 {
        (&self.curvature * &self.x * &self.x).sum() / 2.0
    }

    /// One step of gradient descent.
    pub fn step(&mut self, lr: f64) {
        let gradient = &self.curvature * &self.x;
        self.x.scaled_add(-lr, &gradient);
    }
}

impl ProbeBackend for Quadratic {
    type Error = Infallible;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Self::Error> {
        for (&lr, loss) in lrs.iter().zip(&mut losses) {
            let mut trial = self.clone();
            trial.step(lr);
            *loss = trial.loss();
        }
        Ok(())
    }
}

impl Subject for Quadratic {
    type Error = Infallible;
    type Backend<'a> = &'a mut Self;

    fn backend(&mut self) -> &mut Self {
        self
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, Infallible> {
        Ok(Fingerprint::new()
            .f64s("weights", &self.x)
            .f64s("curvature", &self.curvature))
    }

    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, Infallible> {
        let mut stepped = self.clone();
        stepped.step(lr);
        Ok(Some(stepped.loss()))
    }

    fn advance(&mut self) -> Result<bool, Infallible> {
        self.step(0.1);
        Ok(true)
    }
}
