//! MoMo: a model of the loss from its mean and the gradient's bounds the step of SGD with momentum.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, in_range, larger, smaller};
use crate::SettingsError;
use crate::method::kind::{
    Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::Switch,
};

/// MoMo: means m of the gradients, f̄ of the losses and γ of ⟨g, θ⟩, each with decay β, which begin at their first values,
/// or, with bias correction, at 0 (ρ = 1 − βᵗ; else 1). With f* a bound below the loss and a = 1 + lr λ:
///
/// τ = min(lr / ρ, max(0, a(f̄ − ρf*) + ⟨m, θ⟩ − aγ) / ‖m‖²); θ ← (θ − τm) / a.
///
/// lr bounds the step size. It needs the loss of each step's batch, which a trial of a probe has not.
///
/// # References
/// Schaipp, Ohana, Eickenberg, Defazio and Gower, "MoMo: momentum models for adaptive learning rates", ICML 2024,
/// arXiv:2305.07583, algorithms 1 and 3; package momo-opt 0.1.0, whose default is no bias correction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Momo {
    /// λ, not negative.
    pub weight_decay: f64,
    /// β, in \[0, 1).
    pub beta: f64,
    /// f*, or where its estimate begins.
    pub lb: f64,
    /// Whether the means begin at 0 and are corrected.
    pub bias_correction: bool,
    /// Whether f* is estimated.
    pub use_fstar: bool,
}

impl Default for Momo {
    fn default() -> Self {
        Self {
            weight_decay: 0.0,
            beta: 0.9,
            lb: 0.0,
            bias_correction: false,
            use_fstar: false,
        }
    }
}

/// The keys that both variants have.
pub(super) const LB: Key = Key::new("lb", Number, Core("0"))
    .within(Range::FINITE)
    .about("a bound below the loss, or where its estimate begins");
pub(super) const USE_FSTAR: Key =
    Key::new("use_fstar", Switch, Core("false")).about("estimate that bound");

/// The model of the loss around the weights.
pub(super) struct Model {
    /// f̄, of ρ times what it estimates; so the others.
    pub(super) loss: f64,
    /// ⟨m, θ⟩.
    pub(super) product: f64,
    /// γ.
    pub(super) mean_product: f64,
    /// ‖m‖², in the norm of the step.
    pub(super) squared_norm: f64,
    /// ρ.
    pub(super) rho: f64,
    /// a.
    pub(super) decay: f64,
}

impl Model {
    /// τ, for a rate; moves the bound where it is estimated, but not below where it began.
    pub(super) fn step_size(&self, lr: f64, bound: &mut f64, estimated_from: Option<f64>) -> f64 {
        let Self {
            loss,
            product,
            mean_product,
            squared_norm,
            rho,
            decay,
        } = *self;
        let cap = decay * loss + product - decay * mean_product;
        if let Some(least) = estimated_from.filter(|_| cap < decay * rho * *bound) {
            *bound = larger(cap / (2.0 * decay * rho), least);
        }
        let above = larger(
            decay * (loss - rho * *bound) + product - decay * mean_product,
            0.0,
        );
        // Without a gradient there is nothing to bound.
        let most = if squared_norm == 0.0 {
            f64::INFINITY
        } else {
            above / squared_norm
        };
        let size = smaller(lr / rho, most);
        if let Some(least) = estimated_from {
            let here = loss + product - mean_product;
            *bound = larger((here - 0.5 * size * squared_norm) / rho, least);
        }
        size
    }
}

impl Rule for Momo {
    const KIND: Kind = Kind::new(
        "momo",
        &[
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in θ ← θ / (1 + lr λ), after the step"),
            Key::new("beta", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("decay of the means of gradients and losses"),
            LB,
            Key::new("bias_correction", Switch, Core("false"))
                .about("the means begin at 0, and are corrected"),
            USE_FSTAR,
        ],
        "MoMo: momentum with a model of the loss; lr is the highest step size, 1 by default",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("beta", self.beta)?;
        in_range::<Self>("lb", self.lb)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["first"]
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
        let ([m], [loss, mean_product, bound]) = (&mut *step.state, &mut *step.numbers) else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        let product = step.weights.dot_product(step.gradient)?;
        if step.number == 1 {
            *bound = self.lb;
            if !self.bias_correction {
                m.copy(step.gradient)?;
                (*loss, *mean_product) = (step.loss, product);
            }
        }
        m.average(self.beta, step.gradient)?;
        *loss = self.beta * *loss + (1.0 - self.beta) * step.loss;
        *mean_product = self.beta * *mean_product + (1.0 - self.beta) * product;
        let model = Model {
            loss: *loss,
            product: step.weights.dot_product(m)?,
            mean_product: *mean_product,
            squared_norm: m.dot_product(m)?,
            rho: if self.bias_correction {
                1.0 - libm::pow(self.beta, step.number as f64)
            } else {
                1.0
            },
            decay: 1.0 + step.lr * self.weight_decay,
        };
        let size = model.step_size(step.lr, bound, self.use_fstar.then_some(self.lb));
        if self.weight_decay == 0.0 {
            return Ok(Move::at(size, Along::Slot(0)));
        }
        // θ − (θ − τm) / a = (τm + lr λθ) / a.
        step.gradient.copy(m)?;
        let factor = step.lr * self.weight_decay;
        step.gradient.combine(size, factor, step.weights)?;
        Ok(Move {
            along: Along::Gradient,
            factor: 1.0 / model.decay,
            lr: size,
        })
    }
}
