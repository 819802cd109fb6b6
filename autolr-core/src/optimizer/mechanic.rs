//! Mechanic: learns the scale of another optimiser's updates.

use serde::{Deserialize, Serialize};

use super::{AdamW, Along, Flat, Move, Rule, Sgd, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{
    Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::OneOf, ValueKind::Whole,
};

/// Mechanic over SGD or Adam, whose update at the schedule's rate is lr u. With Δ = (θ₀ − θ) / (S + ε), the sum of the
/// updates so far, S being the sum of the scales sᵢ, which begin at `s_init` each:
///
/// h = ⟨g + λ S ‖g‖ / (‖θ‖ + ε) θ, Δ⟩; for each βᵢ = 1 − 10⁻ⁱ: rᵢ ← βᵢrᵢ + clamp(h, −mᵢ, mᵢ) sᵢ, of the old mᵢ;
/// mᵢ ← max(βᵢmᵢ, |h| + ε); vᵢ ← βᵢ²vᵢ + h²; sᵢ ← (`s_init` / n mᵢ + max(0, rᵢ)) / (√vᵢ + ε); then
/// θ ← θ₀ − S (Δ + lr u), of the new S. The rate that is shown is S lr.
///
/// lr is 1 in all that its authors recommend.
///
/// # References
/// Cutkosky, Defazio and Mehta, "Mechanic: a learning rate tuner", NeurIPS 2023, arXiv:2306.00144, algorithm 1; optax 0.2.8,
/// `contrib.mechanize`, which clamps h, and the paper does not. Its base is any optimiser; here it is one of two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mechanic {
    /// What it scales.
    pub base: MechanicBase,
    /// μ of SGD, in \[0, 1).
    pub momentum: f64,
    /// β₁ of Adam, in \[0, 1).
    pub beta1: f64,
    /// β₂ of Adam, in \[0, 1).
    pub beta2: f64,
    /// λ, not negative.
    pub weight_decay: f64,
    /// ε, positive.
    pub eps: f64,
    /// The first scale, positive.
    pub s_init: f64,
    /// How many βᵢ, from 1 to 15.
    pub num_betas: u32,
}

/// What Mechanic scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MechanicBase {
    /// [`AdamW`] without weight decay.
    #[default]
    Adam,
    /// [`Sgd`].
    Sgd,
}

impl Default for Mechanic {
    fn default() -> Self {
        Self {
            base: MechanicBase::Adam,
            momentum: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: 1e-2,
            eps: 1e-8,
            s_init: 1e-6,
            num_betas: 6,
        }
    }
}

impl Mechanic {
    fn sgd(&self) -> Sgd {
        Sgd {
            momentum: self.momentum,
            ..Sgd::default()
        }
    }

    fn adam(&self) -> AdamW {
        AdamW {
            beta1: self.beta1,
            beta2: self.beta2,
            weight_decay: 0.0,
            ..AdamW::DEFAULT
        }
    }

    /// Moves r, m, v and s by a product h, and returns the new sum of scales.
    fn rescale(&self, numbers: &mut [f64], h: f64) -> f64 {
        let n = self.num_betas as usize;
        let mut sum = 0.0;
        for i in 0..n {
            let [r, m, v, s] = [i, n + i, 2 * n + i, 3 * n + i].map(|place| numbers[place]);
            let beta = 1.0 - libm::pow(0.1, (i + 1) as f64);
            let clamped = if h.is_nan() { h } else { h.max(-m).min(m) };
            let r = beta * r + clamped * s;
            let m = super::larger(beta * m, h.abs() + self.eps);
            let v = beta * beta * v + h * h;
            let wealth = self.s_init / n as f64 * m + super::larger(r, 0.0);
            let s = wealth / (v.sqrt() + self.eps);
            for (place, value) in [(i, r), (n + i, m), (2 * n + i, v), (3 * n + i, s)] {
                numbers[place] = value;
            }
            sum += s;
        }
        sum
    }
}

impl Rule for Mechanic {
    const KIND: Kind = Kind::new(
        "mechanic",
        &[
            Key::new("base", OneOf(&["adam", "sgd"]), Core("adam")).about("what it scales"),
            Key::new("momentum", Number, Core("0"))
                .within(Range::SHARE)
                .about("of `sgd`: μ in b ← μb + g"),
            Key::new("beta1", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("of `adam`: decay of the mean of gradients"),
            Key::new("beta2", Number, Core("0.999"))
                .within(Range::SHARE)
                .about("of `adam`: decay of the mean of their squares"),
            Key::new("weight_decay", Number, Core("1e-2"))
                .within(Range::NOT_NEGATIVE)
                .about("pull towards 0 where the scale is learnt, as a share of the gradient; the weights do not decay"),
            Key::new("eps", Number, Core("1e-8"))
                .within(Range::POSITIVE)
                .about("added to what is divided by"),
            Key::new("s_init", Number, Core("1e-6"))
                .within(Range::POSITIVE)
                .about("the first scale"),
            Key::new("num_betas", Whole, Core("6"))
                .within(Range::new(1.0, 15.0, "must be from 1 to 15"))
                .about("how many horizons it learns from: 10, 100, … steps"),
        ],
        "Mechanic: learns the scale of the updates of Adam or SGD; wants lr = 1",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("momentum", self.momentum)?;
        in_range::<Self>("beta1", self.beta1)?;
        in_range::<Self>("beta2", self.beta2)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("eps", self.eps)?;
        in_range::<Self>("s_init", self.s_init)?;
        in_range::<Self>("num_betas", f64::from(self.num_betas))
    }

    fn slots(&self) -> &'static [&'static str] {
        match self.base {
            MechanicBase::Adam => &["first", "second", "origin"],
            MechanicBase::Sgd if self.momentum > 0.0 => &["first", "origin"],
            MechanicBase::Sgd => &["origin"],
        }
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        let n = self.num_betas as usize;
        vec![("r", n), ("m", n), ("v", n), ("s", n)]
    }

    fn weight_decay(&self) -> f64 {
        // λ has no part in the step itself.
        0.0
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        let n = self.num_betas as usize;
        let Some(origin) = step.state.last_mut() else {
            return Ok(Move::whole(0.0));
        };
        if step.number == 1 {
            origin.copy(step.weights)?;
            step.numbers[3 * n..].fill(self.s_init);
        }
        let before: f64 = step.numbers[3 * n..].iter().sum();
        // θ₀ − θ, and S Δ but for ε.
        let mut back = origin.zeros_like()?;
        back.set_sum(origin, -1.0, step.weights)?;
        let norm = step.gradient.dot_product(step.gradient)?.sqrt();
        let length = step.weights.dot_product(step.weights)?.sqrt();
        let pull = self.weight_decay * before * norm / (length + self.eps);
        let product = step.gradient.dot_product(&back)? + pull * step.weights.dot_product(&back)?;
        let scale = self.rescale(step.numbers, product / (before + self.eps));
        let mut base = step.with_slots(self.slots().len() - 1);
        let moved = match self.base {
            MechanicBase::Adam => self.adam().direction(&mut base)?,
            MechanicBase::Sgd => self.sgd().direction(&mut base)?,
        };
        if let Along::Slot(slot) = moved.along {
            step.gradient.copy(&step.state[slot])?;
        }
        // θ − θ₀ + S (Δ + lr u) = S lr u + (S / (S₋ + ε) − 1)(θ₀ − θ).
        let rest = scale / (before + self.eps) - 1.0;
        step.gradient.combine(scale * moved.factor, rest, &back)?;
        Ok(Move::whole(scale * moved.lr))
    }
}
