//! Adam whose rate goes down its own gradient.

use serde::{Deserialize, Serialize};

use super::hypergradient_sgd::moved_by;
use super::{Along, Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number};

/// Adam with the additive hypergradient: g ← g + λθ; α ← α + β⟨g, u₋⟩, where u₋ is the direction of the step before;
/// m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; u = √(1 − β₂ᵗ) / (1 − β₁ᵗ) m / (√v + ε); θ ← θ − αu. α begins at the
/// schedule's rate; where that changes, α changes by as much.
///
/// # References
/// Baydin, Cornish, Martínez Rubio, Schmidt and Wood, "Online learning rate adaptation with hypergradient descent", ICLR 2018,
/// arXiv:1703.04782, algorithm 6, which adds ε to √(v / (1 − β₂ᵗ)). The authors' `AdamHD`, which is followed, adds it to √v.
/// It also moves α once for each tensor, by that tensor's part of the product: here, as in the paper, it moves once. Its β is
/// 1e-8 unless it is given: the paper has 1e-7.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HypergradientAdam {
    /// β, not negative.
    pub hypergrad_lr: f64,
    /// β₁, in \[0, 1).
    pub beta1: f64,
    /// β₂, in \[0, 1).
    pub beta2: f64,
    /// ε, positive.
    pub eps: f64,
    /// λ, not negative.
    pub weight_decay: f64,
}

impl Default for HypergradientAdam {
    fn default() -> Self {
        Self {
            hypergrad_lr: 1e-8,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
        }
    }
}

impl Rule for HypergradientAdam {
    const KIND: Kind = Kind::new(
        "hypergradient-adam",
        &[
            Key::new("hypergrad_lr", Number, Core("1e-8"))
                .within(Range::NOT_NEGATIVE)
                .about("β, the rate of the rate; the paper's is 1e-7"),
            Key::new("beta1", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("decay of the mean of gradients"),
            Key::new("beta2", Number, Core("0.999"))
                .within(Range::SHARE)
                .about("decay of the mean of their squares"),
            Key::new("eps", Number, Core("1e-8"))
                .within(Range::POSITIVE)
                .about("added to the root of that mean"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
        ],
        "Adam whose rate goes down its own gradient, from lr",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("hypergrad_lr", self.hypergrad_lr)?;
        in_range::<Self>("beta1", self.beta1)?;
        in_range::<Self>("beta2", self.beta2)?;
        in_range::<Self>("eps", self.eps)?;
        in_range::<Self>("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["first", "second", "last"]
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        vec![("offset", 1)]
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        step.decay()?;
        let [m, v, last] = &mut *step.state else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        let product = step.gradient.dot_product(last)?;
        let lr = step.lr + moved_by(step.numbers, self.hypergrad_lr, product);
        let t = step.number as f64;
        let correction = (1.0 - libm::pow(self.beta1, t)) / (1.0 - libm::pow(self.beta2, t)).sqrt();
        m.average(self.beta1, step.gradient)?;
        v.average_squares(self.beta2, step.gradient)?;
        step.gradient.set_adam(m, correction, v, 1.0, self.eps)?;
        last.copy(step.gradient)?;
        Ok(Move::at(lr, Along::Gradient))
    }
}
