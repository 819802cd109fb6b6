//! Prodigy: Adam whose step size is an estimate of the distance to the solution.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, growth_in_range, in_range, larger, smaller};
use crate::SettingsError;
use crate::method::kind::{
    Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::Switch,
};

/// Prodigy. With the estimate d, which begins at d₀ and never falls, and γ = d lr (times Adam's bias correction, where that
/// is switched on):
///
/// r ← β₃r + γ d/d₀ ⟨g, θ₀ − θ⟩; s ← β₃s + γ d/d₀ g; m ← β₁m + (1 − β₁) d g; v ← β₂v + (1 − β₂) d²g²;
/// d ← max(d, c r / ‖s‖₁); θ ← θ − γ (λθ + m / (√v + d ε)), with the old γ and the new d.
///
/// lr is 1 in all that its authors recommend; the schedule multiplies it.
///
/// # References
/// Mishchenko and Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", ICML 2024, arXiv:2306.06101,
/// algorithm 4; package prodigyopt 1.1.2. Both are followed but for d/d₀ in place of d in r and s, and for c (`d_coef`),
/// bias correction and `safeguard_warmup`, which the package has and the paper has not. `beta3` = 0 is its `None`,
/// `growth_rate` = 0 its infinity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prodigy {
    /// β₁, in \[0, 1).
    pub beta1: f64,
    /// β₂, in \[0, 1).
    pub beta2: f64,
    /// β₃, in \[0, 1); 0: √β₂.
    pub beta3: f64,
    /// ε, positive.
    pub eps: f64,
    /// λ, not negative.
    pub weight_decay: f64,
    /// Whether the decay is decoupled, as in AdamW; else g ← g + λθ.
    pub decouple: bool,
    /// Whether Adam's bias is corrected.
    pub use_bias_correction: bool,
    /// Whether lr is left out of s, for warm-ups.
    pub safeguard_warmup: bool,
    /// d₀, positive.
    pub d0: f64,
    /// c, positive.
    pub d_coef: f64,
    /// By how much d grows in a step at most, at least 1; 0: without limit.
    pub growth_rate: f64,
}

impl Default for Prodigy {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            beta3: 0.0,
            eps: 1e-8,
            weight_decay: 0.0,
            decouple: true,
            use_bias_correction: false,
            safeguard_warmup: false,
            d0: 1e-6,
            d_coef: 1.0,
            growth_rate: 0.0,
        }
    }
}

impl Rule for Prodigy {
    const KIND: Kind = Kind::new(
        "prodigy",
        &[
            Key::new("beta1", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("decay of the mean of gradients"),
            Key::new("beta2", Number, Core("0.999"))
                .within(Range::SHARE)
                .about("decay of the mean of their squares"),
            Key::new("beta3", Number, Core("0"))
                .within(Range::SHARE)
                .about("decay of the sums that d is estimated from; 0: the root of `beta2`"),
            Key::new("eps", Number, Core("1e-8"))
                .within(Range::POSITIVE)
                .about("added, times d, to the root of the mean of squares"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in θ ← θ − d lr λθ, beside the step"),
            Key::new("decouple", Switch, Core("true")).about("`false`: λ in g ← g + λθ instead"),
            Key::new("use_bias_correction", Switch, Core("false")).about("Adam's bias correction"),
            Key::new("safeguard_warmup", Switch, Core("false"))
                .about("leave lr out of the estimate's denominator, for warm-ups"),
            Key::new("d0", Number, Core("1e-6"))
                .within(Range::POSITIVE)
                .about("the first estimate d of the distance to the solution"),
            Key::new("d_coef", Number, Core("1"))
                .within(Range::POSITIVE)
                .about("the estimate is multiplied by it"),
            Key::new("growth_rate", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("by how much d grows in a step at most, at least 1; 0: without limit"),
        ],
        "Adam at Prodigy's step size; wants lr = 1",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("beta1", self.beta1)?;
        in_range::<Self>("beta2", self.beta2)?;
        in_range::<Self>("beta3", self.beta3)?;
        in_range::<Self>("eps", self.eps)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("d0", self.d0)?;
        in_range::<Self>("d_coef", self.d_coef)?;
        growth_in_range::<Self>(self.growth_rate)
    }

    fn slots(&self) -> &'static [&'static str] {
        if self.beta1 > 0.0 {
            &["origin", "sum", "second", "first"]
        } else {
            &["origin", "sum", "second"]
        }
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        vec![("d", 1), ("d_max", 1), ("d_numerator", 1)]
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        if !self.decouple {
            step.decay()?;
        }
        let ([origin, s, v, first @ ..], [d, d_max, numerator]) =
            (&mut *step.state, &mut *step.numbers)
        else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        if step.number == 1 {
            origin.copy(step.weights)?;
            (*d, *d_max) = (self.d0, self.d0);
        }
        let beta3 = if self.beta3 > 0.0 {
            self.beta3
        } else {
            self.beta2.sqrt()
        };
        let old = *d;
        let rate = old * step.lr * self.bias_correction(step.number);
        let mut back = origin.zeros_like()?;
        back.set_sum(origin, -1.0, step.weights)?;
        *numerator =
            beta3 * *numerator + old / self.d0 * rate * step.gradient.dot_product(&back)?;
        let weight = if self.safeguard_warmup { old } else { rate };
        s.combine(beta3, old / self.d0 * weight, step.gradient)?;
        v.combine_squares(self.beta2, old * old * (1.0 - self.beta2), step.gradient)?;
        if let [m] = first {
            m.combine(self.beta1, old * (1.0 - self.beta1), step.gradient)?;
        }
        let denominator = s.sum_of_magnitudes()?;
        // It is 0 while all gradients were.
        if denominator != 0.0 {
            let found = self.d_coef * *numerator / denominator;
            if *d == self.d0 {
                *d = larger(*d, found);
            }
            *d_max = larger(*d_max, found);
            *d = if self.growth_rate > 0.0 {
                smaller(*d_max, *d * self.growth_rate)
            } else {
                *d_max
            };
        }
        match first {
            [m] => step.gradient.set_adam(m, 1.0, v, 1.0, *d * self.eps)?,
            _ => {
                back.copy(step.gradient)?;
                step.gradient
                    .set_adam(&back, 1.0 / *d, v, 1.0, *d * self.eps)?;
            }
        }
        if self.decouple {
            step.decay()?;
        }
        Ok(Move::at(rate, Along::Gradient))
    }
}

impl Prodigy {
    fn bias_correction(&self, number: u64) -> f64 {
        if !self.use_bias_correction {
            return 1.0;
        }
        let t = number as f64;
        (1.0 - libm::pow(self.beta2, t)).sqrt() / (1.0 - libm::pow(self.beta1, t))
    }
}
