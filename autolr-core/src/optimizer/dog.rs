//! DoG: the largest distance from the start, over the root of the sum of squared gradients.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, in_range, larger};
use crate::SettingsError;
use crate::method::kind::{
    Key, KeyDefault::Core, Kind, Range, ValueKind::Number, ValueKind::Switch,
};

/// DoG: r ← max(r, ‖θ − θ₀‖), which begins at `reps_rel` (1 + ‖θ₀‖); G ← G + ‖g‖², which begins at ε; θ ← θ − lr r / √G g.
/// lr is the paper's c, 1 in all that its authors recommend.
///
/// The model is evaluated at the mean of the weights with polynomial decay, θ̄ ← θ̄ + (γ + 1) / (γ + t) (θ − θ̄), which the
/// authors call crucial, and their package has as a class of its own; `average = false` leaves it out. BatchNorm's running
/// statistics stay those of the weights that are trained.
///
/// # References
/// Ivgi, Hinder and Carmon, "DoG is SGD's best friend: a parameter-free dynamic step size schedule", ICML 2023,
/// arXiv:2302.12022; package dog-optimizer 1.0.3. Where `init_eta` is given, the package's first step is that whatever lr
/// is; here it is lr times that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dog {
    /// The first distance, as a share of 1 + ‖θ₀‖; positive.
    pub reps_rel: f64,
    /// λ, not negative.
    pub weight_decay: f64,
    /// ε, positive.
    pub eps: f64,
    /// The first step size, instead of that of `reps_rel`; 0: none.
    pub init_eta: f64,
    /// Whether the model is evaluated at the mean.
    pub average: bool,
    /// γ, not negative.
    pub gamma: f64,
}

impl Default for Dog {
    fn default() -> Self {
        Self {
            reps_rel: 1e-6,
            weight_decay: 0.0,
            eps: 1e-8,
            init_eta: 0.0,
            average: true,
            gamma: 8.0,
        }
    }
}

/// The keys of [`Dog`], which the layer-wise variant has too.
pub(super) const KEYS: &[Key] = &[
    Key::new("reps_rel", Number, Core("1e-6"))
        .within(Range::POSITIVE)
        .about("the first distance, as a share of 1 + ‖θ₀‖; 1e-4 is recommended with BatchNorm"),
    Key::new("weight_decay", Number, Core("0"))
        .within(Range::NOT_NEGATIVE)
        .about("λ in g ← g + λθ"),
    Key::new("eps", Number, Core("1e-8"))
        .within(Range::POSITIVE)
        .about("what the sum of squared gradients begins at"),
    Key::new("init_eta", Number, Core("0"))
        .within(Range::NOT_NEGATIVE)
        .about("the first step size, in place of that of `reps_rel`; 0: none"),
    Key::new("average", Switch, Core("true")).about("evaluate at the mean of the weights"),
    Key::new("gamma", Number, Core("8"))
        .within(Range::NOT_NEGATIVE)
        .about("how fast that mean forgets: γ in θ̄ ← θ̄ + (γ + 1) / (γ + t) (θ − θ̄)"),
];

impl Dog {
    /// The distance, or distances, at the beginning.
    pub(super) fn first_distance(&self, norm: f64) -> f64 {
        match self.init_eta > 0.0 {
            true => 0.0,
            false => self.reps_rel * (1.0 + norm),
        }
    }

    /// lr times the step size, of a distance and a sum of squared gradients, in the step of a number.
    pub(super) fn rate(&self, lr: f64, distance: f64, sum: f64, number: u64) -> f64 {
        if number == 1 && self.init_eta > 0.0 && sum.is_finite() {
            return lr * self.init_eta;
        }
        lr * distance / sum.sqrt()
    }
}

impl Rule for Dog {
    const KIND: Kind = Kind::new("dog", KEYS, "DoG: distance over gradients; wants lr = 1");

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("reps_rel", self.reps_rel)?;
        in_range::<Self>("weight_decay", self.weight_decay)?;
        in_range::<Self>("eps", self.eps)?;
        in_range::<Self>("init_eta", self.init_eta)?;
        in_range::<Self>("gamma", self.gamma)
    }

    fn slots(&self) -> &'static [&'static str] {
        if self.average {
            &["origin", "mean"]
        } else {
            &["origin"]
        }
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        vec![("rbar", 1), ("squares", 1)]
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        step.decay()?;
        let ([origin, ..], [distance, sum]) = (&mut *step.state, &mut *step.numbers) else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        if step.number == 1 {
            origin.copy(step.weights)?;
            *distance = self.first_distance(origin.dot_product(origin)?.sqrt());
            *sum = self.eps;
        } else {
            let mut away = origin.zeros_like()?;
            away.set_sum(step.weights, -1.0, origin)?;
            *distance = larger(*distance, away.dot_product(&away)?.sqrt());
        }
        *sum += step.gradient.dot_product(step.gradient)?;
        let lr = self.rate(step.lr, *distance, *sum, step.number);
        Ok(Move::at(lr, Along::Gradient))
    }

    fn moved<F: Flat>(&self, weights: &F, state: &mut [F], number: u64) -> Result<(), F::Error> {
        let [_, mean] = state else {
            return Ok(());
        };
        if number == 1 {
            return mean.copy(weights);
        }
        let share = (self.gamma + 1.0) / (self.gamma + number as f64);
        mean.average(1.0 - share, weights)
    }

    fn evaluated<F: Flat>(&self, _weights: &F, state: &[F]) -> Result<Option<F>, F::Error> {
        state.get(1).map(Step::copy_of).transpose()
    }
}
