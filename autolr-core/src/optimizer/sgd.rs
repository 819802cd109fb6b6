//! Stochastic gradient descent, with momentum.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::Switch};

/// PyTorch's `SGD`, dampening 0: g ← g + λθ; b ← μb + g; u = b, or g + μb with Nesterov; θ ← θ − lr u.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// μ, in \[0, 1).
    pub momentum: f64,
    /// Nesterov's variant; wants a momentum.
    pub nesterov: bool,
    /// λ, not negative.
    pub weight_decay: f64,
}

impl Rule for Sgd {
    const KIND: Kind = Kind::new(
        "sgd",
        &[
            Key::new("momentum", Number, Core("0"))
                .within(Range::SHARE)
                .about("μ in b ← μb + g; a step is along b"),
            Key::new("nesterov", Switch, Core("false")).about("a step is along g + μb; wants a momentum"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
        ],
        "PyTorch's SGD",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("momentum", self.momentum)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        if self.nesterov && self.momentum == 0.0 {
            return Err(SettingsError::value("nesterov", true, "wants a momentum above 0"));
        }
        Ok(())
    }

    fn slots(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["first"] } else { &[] }
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        step.decay()?;
        let [momentum] = step.state else {
            return Ok(Move::at(step.lr, Along::Gradient));
        };
        momentum.scale_add(self.momentum, step.gradient)?;
        if !self.nesterov {
            return Ok(Move::at(step.lr, Along::Slot(0)));
        }
        step.gradient.add_scaled(self.momentum, momentum)?;
        Ok(Move::at(step.lr, Along::Gradient))
    }
}
