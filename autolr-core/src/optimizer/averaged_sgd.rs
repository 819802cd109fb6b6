//! Stochastic gradient descent, evaluated at the mean of its iterates.

use serde::{Deserialize, Serialize};

use super::{Flat, Move, Rule, Sgd, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number};

/// SGD as [`Sgd`] takes it, and beside it a mean of the weights, θ̄, at which the model is evaluated: the training does not
/// see it.
///
/// With `decay` = 0 it is the plain mean over all steps, θ̄ ← θ̄ + (θ − θ̄)/t, Polyak and Ruppert's average, as PyTorch's
/// `AveragedModel` computes it; else an exponential one, θ̄ ← βθ̄ + (1 − β)θ, which begins at the weights after the first
/// step, as PyTorch's with `get_ema_multi_avg_fn`.
///
/// BatchNorm's running statistics stay those of the weights that are trained.
///
/// # References
/// Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on Control and Optimization
/// 30(4), 1992, doi:10.1137/0330046.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AveragedSgd {
    /// β, in \[0, 1); 0: the plain mean.
    pub decay: f64,
    /// μ, in \[0, 1).
    pub momentum: f64,
    /// λ, not negative.
    pub weight_decay: f64,
}

impl AveragedSgd {
    /// How the weights move.
    fn sgd(&self) -> Sgd {
        Sgd { momentum: self.momentum, nesterov: false, weight_decay: self.weight_decay }
    }
}

impl Rule for AveragedSgd {
    const KIND: Kind = Kind::new(
        "averaged-sgd",
        &[
            Key::new("decay", Number, Core("0"))
                .within(Range::SHARE)
                .about("β of an exponential mean of the weights; 0: the plain mean over all steps"),
            Key::new("momentum", Number, Core("0"))
                .within(Range::SHARE)
                .about("μ in b ← μb + g; a step is along b"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
        ],
        "SGD, evaluated at the mean of its weights",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("decay", self.decay)?;
        in_range::<Self>("momentum", self.momentum)?;
        in_range::<Self>("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["first", "mean"] } else { &["mean"] }
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        let slots = self.sgd().slots().len();
        let mut step = step.with_slots(slots);
        self.sgd().direction(&mut step)
    }

    fn moved<F: Flat>(&self, weights: &F, state: &mut [F], number: u64) -> Result<(), F::Error> {
        let Some(mean) = state.last_mut() else {
            return Ok(());
        };
        if number == 1 {
            return mean.copy(weights);
        }
        let decay = if self.decay > 0.0 { self.decay } else { 1.0 - 1.0 / number as f64 };
        mean.average(decay, weights)
    }

    fn evaluated<F: Flat>(&self, _weights: &F, state: &[F]) -> Result<Option<F>, F::Error> {
        state.last().map(Step::copy_of).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Optimizer, OptimizerConfig};
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::{Array1, array};

    /// The weights after each step, and the mean at the end.
    fn trained(settings: AveragedSgd) -> (Vec<Array1<f64>>, Array1<f64>) {
        let mut weights = array![1.0, -2.0];
        let mut optimizer = Optimizer::new(OptimizerConfig::AveragedSgd(settings), &weights).unwrap();
        assert!(optimizer.evaluated(&weights).unwrap().is_none(), "before the first step");
        let mut all = Vec::new();
        for step in 0..7 {
            let mut gradient = &weights * f64::from(step).sin();
            optimizer.step(&mut weights, &mut gradient, 0.3).unwrap();
            all.push(weights.clone());
        }
        (all, optimizer.evaluated(&weights).unwrap().unwrap())
    }

    #[test]
    fn the_plain_mean_is_that_of_all_steps() {
        for momentum in [0.0, 0.9] {
            let (all, mean) = trained(AveragedSgd { momentum, ..AveragedSgd::default() });
            for i in 0..2 {
                let expected = all.iter().map(|weights| weights[i]).sum::<f64>() / 7.0;
                assert_relative_eq!(mean[i], expected, max_relative = 1e-14);
            }
        }
    }

    #[test]
    fn the_exponential_mean_begins_with_the_first_step() {
        let (all, mean) = trained(AveragedSgd { decay: 0.75, ..AveragedSgd::default() });
        let begin = all[0].clone();
        let expected = all[1..].iter().fold(begin, |mean, weights| 0.75 * mean + 0.25 * weights);
        for i in 0..2 {
            assert_relative_eq!(mean[i], expected[i], max_relative = 1e-14);
        }
    }

    /// The weights that are trained are those of plain SGD, to the bit.
    #[test]
    fn the_training_does_not_see_the_mean() {
        let (all, _) = trained(AveragedSgd { momentum: 0.9, weight_decay: 0.1, decay: 0.5 });
        let sgd = Sgd { momentum: 0.9, weight_decay: 0.1, nesterov: false };
        let mut weights = array![1.0, -2.0];
        let mut optimizer = Optimizer::new(OptimizerConfig::Sgd(sgd), &weights).unwrap();
        for (step, averaged) in all.iter().enumerate() {
            let mut gradient = &weights * (step as f64).sin();
            optimizer.step(&mut weights, &mut gradient, 0.3).unwrap();
            assert_eq!(weights, *averaged);
        }
    }
}
