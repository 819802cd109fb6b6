//! Schedule-Free AdamW.

use serde::{Deserialize, Serialize};

use super::schedule_free_sgd::{LR_POWER, MEAN, Mean, R, WARM_UP};
use super::{Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number};

/// Schedule-Free AdamW: [`ScheduleFreeSgd`](super::ScheduleFreeSgd) with β₁ in place of its momentum, along
/// g / (√v̂ + ε) + λy in place of g, where v ← β₂v + (1 − β₂)g² and v̂ = v / (1 − β₂ᵗ).
///
/// # References
/// Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The road less scheduled", NeurIPS 2024, arXiv:2405.15682,
/// algorithm 1; package schedulefree 1.4.1. The paper takes the bias correction into the rate, √(1 − β₂ᵗ) lr, so that ε is not
/// divided by it; the package is followed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleFreeAdamW {
    /// β₁, in (0, 1).
    pub beta1: f64,
    /// β₂, in \[0, 1).
    pub beta2: f64,
    /// ε, positive.
    pub eps: f64,
    /// λ, not negative.
    pub weight_decay: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// r, not negative.
    pub r: f64,
    /// p, not negative.
    pub weight_lr_power: f64,
}

impl Default for ScheduleFreeAdamW {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            warmup_steps: 0,
            r: 0.0,
            weight_lr_power: 2.0,
        }
    }
}

impl ScheduleFreeAdamW {
    fn mean(&self) -> Mean {
        Mean {
            momentum: self.beta1,
            warmup_steps: self.warmup_steps,
            r: self.r,
            weight_lr_power: self.weight_lr_power,
        }
    }
}

impl Rule for ScheduleFreeAdamW {
    const KIND: Kind = Kind::new(
        "schedule-free-adamw",
        &[
            Key::new("beta1", Number, Core("0.9"))
                .within(MEAN)
                .about("share of the mean in the weights at which gradients are taken"),
            Key::new("beta2", Number, Core("0.999"))
                .within(Range::SHARE)
                .about("decay of the mean of squared gradients"),
            Key::new("eps", Number, Core("1e-8"))
                .within(Range::POSITIVE)
                .about("added to the root of that mean"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in θ ← θ − lr λθ, beside the step"),
            WARM_UP,
            R,
            LR_POWER,
        ],
        "Schedule-Free AdamW, evaluated at the mean of its iterates; wants a constant rate",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("beta1", self.beta1)?;
        in_range::<Self>("beta2", self.beta2)?;
        in_range::<Self>("eps", self.eps)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("warmup_steps", self.warmup_steps as f64)?;
        in_range::<Self>("r", self.r)?;
        in_range::<Self>("weight_lr_power", self.weight_lr_power)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["z", "second"]
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        Mean::NUMBERS.to_vec()
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        let [z, v] = &mut *step.state else {
            return Ok(Move::whole(0.0));
        };
        if step.number == 1 {
            z.copy(step.weights)?;
        }
        let correction = 1.0 - libm::pow(self.beta2, step.number as f64);
        let gradient = Step::copy_of(step.gradient)?;
        v.average_squares(self.beta2, step.gradient)?;
        step.gradient
            .set_adam(&gradient, 1.0, v, correction, self.eps)?;
        step.decay()?;
        self.mean().displace(step)
    }

    fn evaluated<F: Flat>(&self, weights: &F, state: &[F]) -> Result<Option<F>, F::Error> {
        self.mean().evaluated(weights, state)
    }
}
