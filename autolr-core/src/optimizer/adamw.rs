//! Adam with decoupled weight decay.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number};

/// PyTorch's `AdamW`: m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; u = λθ + m̂ / (√v̂ + ε), with m̂ = m / (1 − β₁ᵗ),
/// v̂ = v / (1 − β₂ᵗ); θ ← θ − lr u.
///
/// # References
/// Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// β₁, in \[0, 1).
    pub beta1: f64,
    /// β₂, in \[0, 1).
    pub beta2: f64,
    /// ε, not negative.
    pub eps: f64,
    /// λ, not negative.
    pub weight_decay: f64,
}

impl AdamW {
    /// PyTorch's defaults.
    pub const DEFAULT: Self = Self {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.01,
    };
}

impl Default for AdamW {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Rule for AdamW {
    const KIND: Kind = Kind::new(
        "adamw",
        &[
            Key::new("beta1", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("decay of the mean of gradients"),
            Key::new("beta2", Number, Core("0.999"))
                .within(Range::SHARE)
                .about("decay of the mean of their squares"),
            Key::new("eps", Number, Core("1e-8"))
                .within(Range::NOT_NEGATIVE)
                .about("added to the root of that mean"),
            Key::new("weight_decay", Number, Core("0.01"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in θ ← θ − lr λθ, beside the step"),
        ],
        "PyTorch's AdamW",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("beta1", self.beta1)?;
        in_range::<Self>("beta2", self.beta2)?;
        in_range::<Self>("eps", self.eps)?;
        in_range::<Self>("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["first", "second"]
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        let [m, v] = step.state else {
            return Ok(Move::at(step.lr, Along::Gradient));
        };
        let t = step.number as f64;
        let (c1, c2) = (1.0 - libm::pow(self.beta1, t), 1.0 - libm::pow(self.beta2, t));
        m.average(self.beta1, step.gradient)?;
        v.average_squares(self.beta2, step.gradient)?;
        step.gradient.set_adam(m, c1, v, c2, self.eps)?;
        step.decay()?;
        Ok(Move::at(step.lr, Along::Gradient))
    }
}
