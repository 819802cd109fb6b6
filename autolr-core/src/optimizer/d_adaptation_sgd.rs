//! SGD at the step size of D-Adaptation.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, growth_in_range, in_range, larger, smaller};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number};

/// D-Adaptation for SGD. With the estimate d of the distance to the solution, which begins at d₀ and never falls, and
/// γ = d lr / ‖g₀‖:
///
/// g ← g + λθ; r ← r + γ⟨g, s⟩; s ← s + γg; d ← max(d, 2r / ‖s‖); θ ← μθ + (1 − μ)(θ₀ − s).
///
/// lr is 1 in all that its authors recommend; the schedule multiplies it. ‖g₀‖ is that of the first gradient that is not 0,
/// without weight decay.
///
/// # References
/// Defazio and Mishchenko, "Learning-rate-free learning by D-adaptation", ICML 2023, arXiv:2301.07733, algorithm 4; package
/// dadaptation 3.2, which has ‖g₀‖ in place of the paper's bound G, and a momentum. `growth_rate` = 0 is its infinity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DAdaptationSgd {
    /// μ, in \[0, 1).
    pub momentum: f64,
    /// λ, not negative.
    pub weight_decay: f64,
    /// d₀, positive.
    pub d0: f64,
    /// By how much d grows in a step at most, at least 1; 0: without limit.
    pub growth_rate: f64,
}

impl Default for DAdaptationSgd {
    fn default() -> Self {
        Self {
            momentum: 0.0,
            weight_decay: 0.0,
            d0: 1e-6,
            growth_rate: 0.0,
        }
    }
}

impl Rule for DAdaptationSgd {
    const KIND: Kind = Kind::new(
        "d-adaptation-sgd",
        &[
            Key::new("momentum", Number, Core("0"))
                .within(Range::SHARE)
                .about("μ in θ ← μθ + (1 − μ)(θ₀ − s)"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
            Key::new("d0", Number, Core("1e-6"))
                .within(Range::POSITIVE)
                .about("the first estimate d of the distance to the solution"),
            Key::new("growth_rate", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("by how much d grows in a step at most, at least 1; 0: without limit"),
        ],
        "SGD at the step size of D-Adaptation; wants lr = 1",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("momentum", self.momentum)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("d0", self.d0)?;
        growth_in_range::<Self>(self.growth_rate)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["origin", "sum"]
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        vec![("d", 1), ("numerator", 1), ("g0_norm", 1)]
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        let first_norm = match step.numbers.get(2) {
            Some(0.0) => step.gradient.dot_product(step.gradient)?.sqrt(),
            norm => norm.copied().unwrap_or(0.0),
        };
        step.decay()?;
        let ([origin, s], [d, numerator, norm]) = (&mut *step.state, &mut *step.numbers) else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        if step.number == 1 {
            origin.copy(step.weights)?;
            *d = self.d0;
        }
        *norm = first_norm;
        let rate = if first_norm == 0.0 {
            0.0
        } else {
            *d * step.lr / first_norm
        };
        *numerator += rate * step.gradient.dot_product(s)?;
        s.add_scaled(rate, step.gradient)?;
        let length = s.dot_product(s)?.sqrt();
        // It is 0 while all gradients were.
        if length != 0.0 {
            let found = 2.0 * *numerator / length;
            let most = if self.growth_rate > 0.0 {
                *d * self.growth_rate
            } else {
                f64::INFINITY
            };
            *d = larger(*d, smaller(found, most));
        }
        // θ − θ₀ + s, of which a step takes 1 − μ.
        step.gradient.set_sum(step.weights, -1.0, origin)?;
        step.gradient.add_scaled(1.0, s)?;
        Ok(Move {
            along: Along::Gradient,
            factor: 1.0 - self.momentum,
            lr: rate,
        })
    }
}
