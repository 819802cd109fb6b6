//! Steps along the sign of the gradient's moving average.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number};

/// signSGD with momentum (Signum): m ← βm + (1 − β)g; u = sign m + λθ; θ ← θ − lr u. The sign of 0 is 0. With β = 0 it is
/// signSGD.
///
/// The weight decay is decoupled, as in AdamW.
///
/// # References
/// Bernstein, Wang, Azizzadenesheli and Anandkumar, "signSGD: compressed optimisation for non-convex problems", ICML 2018,
/// arXiv:1802.04434, algorithm 2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignSgd {
    /// β, in \[0, 1).
    pub momentum: f64,
    /// λ, not negative.
    pub weight_decay: f64,
}

impl Default for SignSgd {
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 0.0 }
    }
}

impl Rule for SignSgd {
    const KIND: Kind = Kind::new(
        "signsgd",
        &[
            Key::new("momentum", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("β in m ← βm + (1 − β)g; a step is along the signs of m"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in θ ← θ − lr λθ, beside the step"),
        ],
        "signSGD with momentum (Signum)",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("momentum", self.momentum)?;
        in_range::<Self>("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["first"] } else { &[] }
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        if let [m] = step.state {
            m.average(self.momentum, step.gradient)?;
            step.gradient.set_sign(m)?;
        } else {
            let gradient = Step::copy_of(step.gradient)?;
            step.gradient.set_sign(&gradient)?;
        }
        step.decay()?;
        Ok(Move::at(step.lr, Along::Gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Optimizer, OptimizerConfig};
    use super::*;
    use ndarray::array;

    /// β = 3/4 and gradients that binary numbers hold: m is exact.
    #[test]
    fn by_hand() {
        let config = OptimizerConfig::SignSgd(SignSgd { momentum: 0.75, weight_decay: 0.5 });
        let mut weights = array![1.0, -2.0, 0.0];
        let mut optimizer = Optimizer::new(config, &weights).unwrap();
        for gradient in [array![4.0, -1.0, 0.0], array![-16.0, -1.0, 0.0]] {
            optimizer.step(&mut weights, &mut gradient.clone(), 0.25).unwrap();
        }
        // m is 1, then 3/4 − 4 < 0. 1 − ¼(1 + ½) = 0.625; 0.625 − ¼(−1 + 0.3125) = 0.796875.
        assert_eq!(weights[0], 0.796_875);
        // −2 − ¼(−1 − 1) = −1.5; −1.5 − ¼(−1 − 0.75) = −1.0625.
        assert_eq!(weights[1], -1.0625);
        assert_eq!(weights[2], 0.0);
    }

    #[test]
    fn without_momentum_only_the_signs_count() {
        let config = OptimizerConfig::SignSgd(SignSgd { momentum: 0.0, ..SignSgd::default() });
        let mut weights = array![1.0_f32, 1.0, 1.0];
        let mut optimizer = Optimizer::new(config, &weights).unwrap();
        optimizer.step(&mut weights, &mut array![1e-30, -1e30, f32::NAN], 0.5).unwrap();
        assert_eq!(weights.as_slice().unwrap()[..2], [0.5, 1.5]);
        // A divergence is not hidden.
        assert!(weights[2].is_nan());
    }
}
