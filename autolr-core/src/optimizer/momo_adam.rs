//! MoMo-Adam: a model of the loss from its mean and the gradient's bounds the step of Adam.

use serde::{Deserialize, Serialize};

use super::momo::{LB, Model, USE_FSTAR};
use super::{Along, Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{
    Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::Switch,
};

/// [`Momo`](super::Momo) with bias correction (ρ = 1 − β₁ᵗ), along m / D in place of m, and ⟨m, m / D⟩ in place of ‖m‖²,
/// where v ← β₂v + (1 − β₂)g² and D = √(v / (1 − β₂ᵗ)) + ε.
///
/// lr bounds the step size. It needs the loss of each step's batch, which a trial of a probe has not.
///
/// # References
/// Schaipp, Ohana, Eickenberg, Defazio and Gower, "MoMo: momentum models for adaptive learning rates", ICML 2024,
/// arXiv:2305.07583, algorithms 2 and 3; package momo-opt 0.1.0. `divide = false` has AdamW's decay in place of the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MomoAdam {
    /// β₁, in \[0, 1).
    pub beta1: f64,
    /// β₂, in \[0, 1).
    pub beta2: f64,
    /// ε, positive.
    pub eps: f64,
    /// λ, not negative.
    pub weight_decay: f64,
    /// f*, or where its estimate begins.
    pub lb: f64,
    /// Whether the decay is θ ← θ / (1 + lr λ) after the step; else AdamW's.
    pub divide: bool,
    /// Whether f* is estimated.
    pub use_fstar: bool,
}

impl Default for MomoAdam {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            lb: 0.0,
            divide: true,
            use_fstar: false,
        }
    }
}

impl Rule for MomoAdam {
    const KIND: Kind = Kind::new(
        "momo-adam",
        &[
            Key::new("beta1", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("decay of the means of gradients and losses"),
            Key::new("beta2", Number, Core("0.999"))
                .within(Range::SHARE)
                .about("decay of the mean of squared gradients"),
            Key::new("eps", Number, Core("1e-8"))
                .within(Range::POSITIVE)
                .about("added to the root of that mean"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in θ ← θ / (1 + lr λ), after the step"),
            LB,
            Key::new("divide", Switch, Core("true"))
                .about("`false`: λ in θ ← θ − lr λθ instead, beside the step"),
            USE_FSTAR,
        ],
        "MoMo-Adam: Adam with a model of the loss; lr is the highest step size, 0.01 by default",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("beta1", self.beta1)?;
        in_range::<Self>("beta2", self.beta2)?;
        in_range::<Self>("eps", self.eps)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("lb", self.lb)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["first", "second"]
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        vec![("mean_loss", 1), ("mean_product", 1), ("bound", 1)]
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn needs_loss(&self) -> bool {
        true
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        let ([m, v], [loss, mean_product, bound]) = (&mut *step.state, &mut *step.numbers) else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        if step.number == 1 {
            *bound = self.lb;
        }
        let t = step.number as f64;
        let (rho, correction) = (
            1.0 - libm::pow(self.beta1, t),
            1.0 - libm::pow(self.beta2, t),
        );
        let product = step.weights.dot_product(step.gradient)?;
        m.average(self.beta1, step.gradient)?;
        v.average_squares(self.beta2, step.gradient)?;
        *loss = self.beta1 * *loss + (1.0 - self.beta1) * step.loss;
        *mean_product = self.beta1 * *mean_product + (1.0 - self.beta1) * product;
        step.gradient.set_adam(m, 1.0, v, correction, self.eps)?;
        let decay = step.lr * self.weight_decay;
        let model = Model {
            loss: *loss,
            product: step.weights.dot_product(m)?,
            mean_product: *mean_product,
            squared_norm: m.dot_product(step.gradient)?,
            rho,
            decay: 1.0 + decay,
        };
        let size = model.step_size(step.lr, bound, self.use_fstar.then_some(self.lb));
        if decay == 0.0 {
            return Ok(Move::at(size, Along::Gradient));
        }
        step.gradient.combine(size, decay, step.weights)?;
        // θ − (θ − τu) / a = (τu + lr λθ) / a.
        let factor = if self.divide { 1.0 / model.decay } else { 1.0 };
        Ok(Move {
            along: Along::Gradient,
            factor,
            lr: size,
        })
    }
}
