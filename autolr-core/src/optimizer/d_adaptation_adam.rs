//! Adam at the step size of D-Adaptation.

use serde::{Deserialize, Serialize};

use super::{Flat, Move, Rule, Step, growth_in_range, in_range, larger, smaller};
use crate::SettingsError;
use crate::method::kind::{
    Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::Switch,
};

/// D-Adaptation for Adam. With the estimate d of the distance to the solution, which begins at d₀ and never falls, β = √β₂,
/// and γ = d lr (times Adam's bias correction, where that is switched on):
///
/// r ← βr + (1 − β) γ ⟨g, s / (√v + ε)⟩; m ← β₁m + (1 − β₁) γg; v ← β₂v + (1 − β₂) g²; s ← βs + (1 − β) γg;
/// d ← max(d, r / ((1 − β) ‖s‖₁)); θ ← θ − m / (√v + ε).
///
/// lr is 1 in all that its authors recommend; the schedule multiplies it.
///
/// # References
/// Defazio and Mishchenko, "Learning-rate-free learning by D-adaptation", ICML 2023, arXiv:2301.07733, algorithm 5; package
/// dadaptation 3.2, which adds weight decay, bias correction and a limit to d's growth. `growth_rate` = 0 is its infinity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DAdaptationAdam {
    /// β₁, in \[0, 1).
    pub beta1: f64,
    /// β₂, in \[0, 1).
    pub beta2: f64,
    /// ε, positive.
    pub eps: f64,
    /// λ, not negative.
    pub weight_decay: f64,
    /// Whether the decay is decoupled, as in AdamW; else g ← g + λθ.
    pub decouple: bool,
    /// Whether Adam's bias is corrected.
    pub use_bias_correction: bool,
    /// d₀, positive.
    pub d0: f64,
    /// By how much d grows in a step at most, at least 1; 0: without limit.
    pub growth_rate: f64,
}

impl Default for DAdaptationAdam {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decouple: false,
            use_bias_correction: false,
            d0: 1e-6,
            growth_rate: 0.0,
        }
    }
}

impl Rule for DAdaptationAdam {
    const KIND: Kind = Kind::new(
        "d-adaptation-adam",
        &[
            Key::new("beta1", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("decay of the mean of gradients"),
            Key::new("beta2", Number, Core("0.999"))
                .within(Range::SHARE)
                .about("decay of the mean of their squares; its root is that of the sums that d is estimated from"),
            Key::new("eps", Number, Core("1e-8"))
                .within(Range::POSITIVE)
                .about("added to the root of the mean of squares"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
            Key::new("decouple", Switch, Core("false")).about("λ in θ ← θ − d lr λθ instead, beside the step"),
            Key::new("use_bias_correction", Switch, Core("false")).about("Adam's bias correction"),
            Key::new("d0", Number, Core("1e-6"))
                .within(Range::POSITIVE)
                .about("the first estimate d of the distance to the solution"),
            Key::new("growth_rate", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("by how much d grows in a step at most, at least 1; 0: without limit"),
        ],
        "Adam at the step size of D-Adaptation; wants lr = 1",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("beta1", self.beta1)?;
        in_range::<Self>("beta2", self.beta2)?;
        in_range::<Self>("eps", self.eps)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("d0", self.d0)?;
        growth_in_range::<Self>(self.growth_rate)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["first", "second", "sum"]
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        vec![("d", 1), ("numerator", 1)]
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
        let ([m, v, s], [d, numerator]) = (&mut *step.state, &mut *step.numbers) else {
            return Ok(Move::whole(0.0));
        };
        if step.number == 1 {
            *d = self.d0;
        }
        let root = self.beta2.sqrt();
        let mut rate = *d * step.lr;
        if self.use_bias_correction {
            let t = step.number as f64;
            rate *= (1.0 - libm::pow(self.beta2, t)).sqrt() / (1.0 - libm::pow(self.beta1, t));
        }
        let mut scaled = s.zeros_like()?;
        scaled.set_adam(s, 1.0, v, 1.0, self.eps)?;
        let product = rate * step.gradient.dot_product(&scaled)?;
        *numerator = root * *numerator + (1.0 - root) * product;
        m.combine(self.beta1, rate * (1.0 - self.beta1), step.gradient)?;
        v.combine_squares(self.beta2, 1.0 - self.beta2, step.gradient)?;
        s.combine(root, rate * (1.0 - root), step.gradient)?;
        let magnitude = s.sum_of_magnitudes()?;
        // It is 0 while all gradients were.
        if magnitude != 0.0 {
            let found = *numerator / ((1.0 - root) * magnitude);
            let most = if self.growth_rate > 0.0 {
                *d * self.growth_rate
            } else {
                f64::INFINITY
            };
            *d = larger(*d, smaller(found, most));
        }
        step.gradient.set_adam(m, 1.0, v, 1.0, self.eps)?;
        if self.decouple && self.weight_decay > 0.0 {
            step.gradient
                .add_scaled(rate * self.weight_decay, step.weights)?;
        }
        Ok(Move::whole(rate))
    }
}
