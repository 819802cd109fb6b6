//! SGD with momentum whose rate goes down its own gradient.

use serde::{Deserialize, Serialize};

use super::hypergradient_sgd::moved_by;
use super::{Along, Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{
    Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::Switch,
};

/// SGD with momentum and the additive hypergradient: g ← g + λθ; α ← α + β⟨g, u₋⟩, where u₋ is the direction of the step
/// before; b ← μb + g; u = b, or g + μb with Nesterov; θ ← θ − αu. α begins at the schedule's rate; where that changes, α
/// changes by as much.
///
/// # References
/// Baydin, Cornish, Martínez Rubio, Schmidt and Wood, "Online learning rate adaptation with hypergradient descent", ICLR 2018,
/// arXiv:1703.04782, algorithm 5, with Nesterov's momentum 0.9; the authors' `SGDHD`, whose β is 1e-6 unless it is given: the
/// paper has 1e-3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HypergradientMomentum {
    /// β, not negative.
    pub hypergrad_lr: f64,
    /// μ, in \[0, 1).
    pub momentum: f64,
    /// Nesterov's variant.
    pub nesterov: bool,
    /// λ, not negative.
    pub weight_decay: f64,
}

impl Default for HypergradientMomentum {
    fn default() -> Self {
        Self {
            hypergrad_lr: 1e-6,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 0.0,
        }
    }
}

impl Rule for HypergradientMomentum {
    const KIND: Kind = Kind::new(
        "hypergradient-momentum",
        &[
            Key::new("hypergrad_lr", Number, Core("1e-6"))
                .within(Range::NOT_NEGATIVE)
                .about("β, the rate of the rate; the paper's is 1e-3"),
            Key::new("momentum", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("μ in b ← μb + g; a step is along b"),
            Key::new("nesterov", Switch, Core("true")).about("a step is along g + μb"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
        ],
        "SGD with momentum whose rate goes down its own gradient, from lr",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("hypergrad_lr", self.hypergrad_lr)?;
        in_range::<Self>("momentum", self.momentum)?;
        in_range::<Self>("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        if self.nesterov {
            &["first", "last"]
        } else {
            &["first"]
        }
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
        let [momentum, last @ ..] = &mut *step.state else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        // Without Nesterov, the last direction is the momentum itself.
        let product = step
            .gradient
            .dot_product(last.first().unwrap_or(momentum))?;
        let lr = step.lr + moved_by(step.numbers, self.hypergrad_lr, product);
        momentum.scale_add(self.momentum, step.gradient)?;
        let Some(last) = last.first_mut() else {
            return Ok(Move::at(lr, Along::Slot(0)));
        };
        step.gradient.add_scaled(self.momentum, momentum)?;
        last.copy(step.gradient)?;
        Ok(Move::at(lr, Along::Gradient))
    }
}
