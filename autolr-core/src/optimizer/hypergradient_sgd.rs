//! SGD whose rate goes down its own gradient.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number};

/// SGD with the additive hypergradient: g ← g + λθ; α ← α + β⟨g, g₋⟩, where g₋ is the gradient of the step before;
/// θ ← θ − αg. α begins at the schedule's rate; where that changes, α changes by as much.
///
/// # References
/// Baydin, Cornish, Martínez Rubio, Schmidt and Wood, "Online learning rate adaptation with hypergradient descent", ICLR 2018,
/// arXiv:1703.04782, algorithm 4; the authors' `SGDHD`, whose β is 1e-6 unless it is given: the paper has 1e-3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HypergradientSgd {
    /// β, not negative.
    pub hypergrad_lr: f64,
    /// λ, not negative.
    pub weight_decay: f64,
}

impl Default for HypergradientSgd {
    fn default() -> Self {
        Self {
            hypergrad_lr: 1e-6,
            weight_decay: 0.0,
        }
    }
}

/// How far α has moved from the schedule's rate, after a step of β times the product of a gradient and the last direction.
pub(super) fn moved_by(offset: &mut [f64], beta: f64, product: f64) -> f64 {
    offset.first_mut().map_or(0.0, |offset| {
        *offset += beta * product;
        *offset
    })
}

impl Rule for HypergradientSgd {
    const KIND: Kind = Kind::new(
        "hypergradient-sgd",
        &[
            Key::new("hypergrad_lr", Number, Core("1e-6"))
                .within(Range::NOT_NEGATIVE)
                .about("β, the rate of the rate; the paper's is 1e-3"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
        ],
        "SGD whose rate goes down its own gradient, from lr",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("hypergrad_lr", self.hypergrad_lr)?;
        in_range::<Self>("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["last"]
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
        let [last] = &mut *step.state else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        let product = step.gradient.dot_product(last)?;
        let offset = moved_by(step.numbers, self.hypergrad_lr, product);
        last.copy(step.gradient)?;
        Ok(Move::at(step.lr + offset, Along::Gradient))
    }
}
