//! Schedule-Free SGD.

use serde::{Deserialize, Serialize};

use super::{Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{
    Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::Whole,
};

/// Schedule-Free SGD: z ← z − γg, the gradient taken at y = (1 − β)z + βx, and x the weighted mean of all z, at which the
/// model is evaluated. The weights that are trained are y; x is computed from y and z where it is needed.
///
/// γ is the schedule's rate, which `warmup_steps` raises linearly. Its weight in the mean is tʳ γₘᵖ, of the highest γ so far.
/// BatchNorm's running statistics stay those of y; the authors refresh them at x before each evaluation.
///
/// # References
/// Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The road less scheduled", NeurIPS 2024, arXiv:2405.15682,
/// algorithm 1; package schedulefree 1.4.1, which adds the weights and the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleFreeSgd {
    /// β, in (0, 1).
    pub momentum: f64,
    /// λ, not negative.
    pub weight_decay: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// r, not negative.
    pub r: f64,
    /// p, not negative.
    pub weight_lr_power: f64,
}

impl Default for ScheduleFreeSgd {
    fn default() -> Self {
        Self {
            momentum: 0.9,
            weight_decay: 0.0,
            warmup_steps: 0,
            r: 0.0,
            weight_lr_power: 2.0,
        }
    }
}

/// β of a mean of iterates: none at all is no method of this kind.
pub(super) const MEAN: Range = Range::new(0.0, 1.0, "must be above 0 and below 1")
    .without_least()
    .without_most();

/// The keys that both variants have.
pub(super) const WARM_UP: Key = Key::new("warmup_steps", Whole, Core("0"))
    .within(Range::new(0.0, 1e9, "must be from 0 to 1000000000"))
    .about("steps in which the rate rises linearly from 0");
pub(super) const R: Key = Key::new("r", Number, Core("0"))
    .within(Range::NOT_NEGATIVE)
    .about("a step's weight in the mean is its number to this power");
pub(super) const LR_POWER: Key = Key::new("weight_lr_power", Number, Core("2"))
    .within(Range::NOT_NEGATIVE)
    .about("times the highest rate so far to this power");

/// The mean of the iterates, as it goes on.
pub(super) struct Mean {
    /// β.
    pub(super) momentum: f64,
    pub(super) warmup_steps: u64,
    pub(super) r: f64,
    pub(super) weight_lr_power: f64,
}

impl Mean {
    /// The highest rate so far, and the sum of all weights.
    pub(super) const NUMBERS: [(&'static str, usize); 2] = [("lr_max", 1), ("weight_sum", 1)];

    /// Turns u, which is what the gradient's vector holds, into the displacement of y at a step z ← z − γu; z is the state's
    /// first vector.
    pub(super) fn displace<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        let ([z, ..], [highest, sum]) = (&mut *step.state, &mut *step.numbers) else {
            return Ok(Move::whole(0.0));
        };
        let mut lr = step.lr;
        if step.number < self.warmup_steps {
            lr *= step.number as f64 / self.warmup_steps as f64;
        }
        *highest = highest.max(lr);
        let weight =
            libm::pow(step.number as f64, self.r) * libm::pow(*highest, self.weight_lr_power);
        *sum += weight;
        let share = if *sum > 0.0 { weight / *sum } else { 0.0 };
        z.add_scaled(-lr, step.gradient)?;
        // y ← (1 − c) y + c z − (1 − c)(1 − β) γu, of the new z.
        step.gradient.combine(
            lr * (1.0 - share) * (1.0 - self.momentum),
            share,
            step.weights,
        )?;
        step.gradient.add_scaled(-share, z)?;
        Ok(Move::whole(lr))
    }

    /// x = y / β + (1 − 1/β) z.
    pub(super) fn evaluated<F: Flat>(&self, y: &F, state: &[F]) -> Result<Option<F>, F::Error> {
        let Some(z) = state.first() else {
            return Ok(None);
        };
        let mut x = Step::copy_of(y)?;
        x.combine(1.0 / self.momentum, 1.0 - 1.0 / self.momentum, z)?;
        Ok(Some(x))
    }
}

impl ScheduleFreeSgd {
    fn mean(&self) -> Mean {
        Mean {
            momentum: self.momentum,
            warmup_steps: self.warmup_steps,
            r: self.r,
            weight_lr_power: self.weight_lr_power,
        }
    }
}

impl Rule for ScheduleFreeSgd {
    const KIND: Kind = Kind::new(
        "schedule-free-sgd",
        &[
            Key::new("momentum", Number, Core("0.9"))
                .within(MEAN)
                .about("share of the mean in the weights at which gradients are taken"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
            WARM_UP,
            R,
            LR_POWER,
        ],
        "Schedule-Free SGD, evaluated at the mean of its iterates; wants a constant rate",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("momentum", self.momentum)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("warmup_steps", self.warmup_steps as f64)?;
        in_range::<Self>("r", self.r)?;
        in_range::<Self>("weight_lr_power", self.weight_lr_power)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["z"]
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
        if let (1, Some(z)) = (step.number, step.state.first_mut()) {
            z.copy(step.weights)?;
        }
        step.decay()?;
        self.mean().displace(step)
    }

    fn evaluated<F: Flat>(&self, weights: &F, state: &[F]) -> Result<Option<F>, F::Error> {
        self.mean().evaluated(weights, state)
    }
}
