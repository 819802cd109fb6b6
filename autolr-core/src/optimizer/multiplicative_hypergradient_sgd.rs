//! SGD whose rate is multiplied as successive gradients agree.

use serde::{Deserialize, Serialize};

use super::{Along, Flat, Move, Rule, Step, in_range};
use crate::SettingsError;
use crate::method::kind::{Key, KeyDefault::Core, Kind, Range, ValueKind::Number};

/// SGD with the multiplicative hypergradient: g ← g + λθ; α ← α (1 + β⟨g, g₋⟩ / (‖g‖ ‖g₋‖)), where g₋ is the gradient of the
/// step before; θ ← θ − αg. α begins at the schedule's rate; where that changes, α changes in proportion. A gradient of 0
/// agrees with none: α stays.
///
/// # References
/// Baydin, Cornish, Martínez Rubio, Schmidt and Wood, "Online learning rate adaptation with hypergradient descent", ICLR 2018,
/// arXiv:1703.04782, the multiplicative rule. The authors' code does not have it; β is one of the paper's usual ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiplicativeHypergradientSgd {
    /// β, in \[0, 1): α stays positive.
    pub hypergrad_lr: f64,
    /// λ, not negative.
    pub weight_decay: f64,
}

impl Default for MultiplicativeHypergradientSgd {
    fn default() -> Self {
        Self {
            hypergrad_lr: 1e-3,
            weight_decay: 0.0,
        }
    }
}

impl Rule for MultiplicativeHypergradientSgd {
    const KIND: Kind = Kind::new(
        "multiplicative-hypergradient-sgd",
        &[
            Key::new("hypergrad_lr", Number, Core("1e-3"))
                .within(Range::SHARE)
                .about("β, by which share the rate changes in a step at most"),
            Key::new("weight_decay", Number, Core("0"))
                .within(Range::NOT_NEGATIVE)
                .about("λ in g ← g + λθ"),
        ],
        "SGD whose rate is multiplied as successive gradients agree, from lr",
    );

    fn check(&self) -> Result<(), SettingsError> {
        in_range::<Self>("hypergrad_lr", self.hypergrad_lr)?;
        in_range::<Self>("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["last"]
    }

    fn numbers(&self, _tensors: usize) -> Vec<(&'static str, usize)> {
        vec![("factor", 1), ("last_norm", 1)]
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn is_proportional(&self) -> bool {
        false
    }

    fn direction<F: Flat>(&self, step: &mut Step<'_, F>) -> Result<Move, F::Error> {
        step.decay()?;
        let ([last], [factor, last_norm]) = (&mut *step.state, &mut *step.numbers) else {
            return Ok(Move::at(0.0, Along::Gradient));
        };
        if step.number == 1 {
            *factor = 1.0;
        }
        let norm = step.gradient.dot_product(step.gradient)?.sqrt();
        let lengths = norm * *last_norm;
        if lengths != 0.0 {
            *factor *= 1.0 + self.hypergrad_lr * step.gradient.dot_product(last)? / lengths;
        }
        *last_norm = norm;
        last.copy(step.gradient)?;
        Ok(Move::at(step.lr * *factor, Along::Gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Optimizer, OptimizerConfig};
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::array;

    /// Against a plain second implementation of the paper's equations: there is no public one.
    #[test]
    fn fifty_steps_are_those_of_the_equations() {
        let settings = MultiplicativeHypergradientSgd {
            hypergrad_lr: 0.1,
            weight_decay: 0.05,
        };
        let curvature = [0.1, 1.0, 4.0];
        let (mut x, mut alpha, mut before) = ([1.0, -2.0, 0.5], 0.05, [0.0; 3]);
        let mut weights = array![1.0, -2.0, 0.5];
        let config = OptimizerConfig::MultiplicativeHypergradientSgd(settings);
        let mut optimizer = Optimizer::new(config, &weights).unwrap();
        for step in 0..50 {
            let noise = |i: usize| 0.3 * f64::from(step + 3 * i as i32).sin();
            let mut gradient =
                ndarray::Array1::from_shape_fn(3, |i| curvature[i] * weights[i] + noise(i));
            let lr = optimizer.step(&mut weights, &mut gradient, 0.05).unwrap();

            let g: [f64; 3] = std::array::from_fn(|i| curvature[i] * x[i] + noise(i) + 0.05 * x[i]);
            let dot = |a: &[f64; 3], b: &[f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
            if step > 0 {
                alpha *= 1.0
                    + 0.1 * dot(&g, &before) / (dot(&g, &g).sqrt() * dot(&before, &before).sqrt());
            }
            for i in 0..3 {
                x[i] -= alpha * g[i];
            }
            before = g;
            assert_relative_eq!(lr, alpha, max_relative = 1e-12);
            for i in 0..3 {
                assert_relative_eq!(weights[i], x[i], max_relative = 1e-10, epsilon = 1e-12);
            }
        }
        assert!((alpha - 0.05).abs() > 0.01, "{alpha}");
    }
}
