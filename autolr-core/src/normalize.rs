//! From losses to normalised losses.

use ndarray::{ArrayView1, ArrayViewMut1};
use serde::{Deserialize, Serialize};

/// How the losses of one probe are made comparable before they are scored.
///
/// Losses that are not finite take no part: their normalised value is NaN, and no other value depends on them.
/// With n the number of finite losses L, and equal losses (or n = 1) giving zeros for the first three:
///
/// | variant | formula | range |
/// |---|---|---|
/// | `ZScore` | (Lᵢ − mean) / s, s² = Σ(Lⱼ − mean)² / (n − 1) | ±(n − 1)/√n |
/// | `PopulationZScore` | the same with divisor n | ±√(n − 1) |
/// | `MinMax` | (Lᵢ − min) / (max − min) | \[0, 1\] |
/// | `Sum` | Lᵢ / Σ│Lⱼ│ | \[−1, 1\] |
/// | `None` | Lᵢ | |
///
/// Paper: Algorithm 1, line 7, which leaves the formula open; the released code has the z-score with the sample
/// standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Normalization {
    /// Z-score with the sample standard deviation (divisor n − 1).
    #[default]
    ZScore,
    /// Z-score with the population standard deviation (divisor n).
    PopulationZScore,
    /// Onto \[0, 1\].
    MinMax,
    /// Share of the total.
    Sum,
    /// The losses as they are.
    None,
}

impl Normalization {
    /// All variants, for tables and tests.
    pub const ALL: [Self; 5] = [
        Self::ZScore,
        Self::PopulationZScore,
        Self::MinMax,
        Self::Sum,
        Self::None,
    ];

    /// Name as in files: `z-score`, `population-z-score`, `min-max`, `sum`, `none`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZScore => "z-score",
            Self::PopulationZScore => "population-z-score",
            Self::MinMax => "min-max",
            Self::Sum => "sum",
            Self::None => "none",
        }
    }

    /// Writes the normalised `losses` into `out`, both of shape `[n]`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(self, losses: ArrayView1<'_, f64>, mut out: ArrayViewMut1<'_, f64>) {
        assert_eq!(losses.len(), out.len(), "one output a loss");
        let scale = power_of_two_scale(losses);
        let finite = || {
            losses
                .iter()
                .filter(|loss| loss.is_finite())
                .map(move |loss| loss * scale)
        };
        let (offset, divisor) = match self {
            Self::None => (0.0, 1.0),
            Self::Sum => (0.0, finite().map(f64::abs).sum()),
            Self::MinMax => {
                let min = finite().fold(f64::INFINITY, f64::min);
                let max = finite().fold(f64::NEG_INFINITY, f64::max);
                (min, max - min)
            }
            Self::ZScore | Self::PopulationZScore => {
                let n = finite().count();
                // Measured from one of the losses, so that equal losses give an exact zero.
                let origin = finite().next().unwrap_or(0.0);
                let mean = origin + finite().map(|loss| loss - origin).sum::<f64>() / n as f64;
                let squares: f64 = finite().map(|loss| (loss - mean) * (loss - mean)).sum();
                let degrees = if self == Self::ZScore {
                    n.saturating_sub(1)
                } else {
                    n
                };
                (mean, (squares / degrees.max(1) as f64).sqrt())
            }
        };
        for (out, &loss) in out.iter_mut().zip(losses) {
            *out = if !loss.is_finite() {
                f64::NAN
            } else if self == Self::None {
                loss
            } else if divisor > 0.0 {
                (loss * scale - offset) / divisor
            } else {
                0.0
            };
        }
    }
}

/// A power of two that brings the largest finite loss near one, so that squares, sums and differences neither
/// overflow nor vanish. Multiplying by it is exact for all but losses too small to matter beside the largest,
/// and every normalisation but `None`, which ignores it, is blind to it. One for losses of ordinary size.
fn power_of_two_scale(losses: ArrayView1<'_, f64>) -> f64 {
    let largest = losses
        .iter()
        .filter(|loss| loss.is_finite())
        .fold(0.0_f64, |largest, loss| largest.max(loss.abs()));
    if largest == 0.0 || (1e-100..1e100).contains(&largest) {
        return 1.0;
    }
    let (_, exponent) = libm::frexp(largest);
    // Clamped: 2^1074 itself is beyond f64.
    libm::ldexp(1.0, (-exponent).clamp(-1022, 1023))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::{Array1, aview1};

    fn normalized(kind: Normalization, losses: &[f64]) -> Vec<f64> {
        let mut out = Array1::zeros(losses.len());
        kind.apply(aview1(losses), out.view_mut());
        out.to_vec()
    }

    #[test]
    fn by_hand() {
        assert_eq!(
            normalized(Normalization::ZScore, &[1.0, 2.0, 3.0]),
            [-1.0, 0.0, 1.0]
        );
        let population = normalized(Normalization::PopulationZScore, &[1.0, 2.0, 3.0]);
        assert_relative_eq!(population[2], 1.5_f64.sqrt(), max_relative = 1e-15);
        assert_eq!(
            normalized(Normalization::MinMax, &[1.0, 2.0, 5.0]),
            [0.0, 0.25, 1.0]
        );
        assert_eq!(normalized(Normalization::Sum, &[1.0, 3.0]), [0.25, 0.75]);
        assert_eq!(normalized(Normalization::None, &[1.5, -3.0]), [1.5, -3.0]);
    }

    #[test]
    fn equal_losses_and_single_losses_are_zero() {
        for kind in [
            Normalization::ZScore,
            Normalization::PopulationZScore,
            Normalization::MinMax,
        ] {
            assert_eq!(normalized(kind, &[0.1; 7]), [0.0; 7], "{kind:?}");
            assert_eq!(normalized(kind, &[2.5]), [0.0], "{kind:?}");
        }
        assert_eq!(normalized(Normalization::Sum, &[0.0, 0.0]), [0.0, 0.0]);
    }

    #[test]
    fn non_finite_losses_are_set_aside() {
        for kind in Normalization::ALL {
            let with = normalized(kind, &[1.0, f64::INFINITY, 2.0, f64::NAN, 4.0]);
            let without = normalized(kind, &[1.0, 2.0, 4.0]);
            assert_eq!([with[0], with[2], with[4]], *without, "{kind:?}");
            assert!(with[1].is_nan() && with[3].is_nan(), "{kind:?}");
            assert!(normalized(kind, &[f64::NAN, f64::NEG_INFINITY])[0].is_nan());
        }
    }

    #[test]
    fn extreme_magnitudes_stay_finite() {
        let huge = [-1.7e308, 1.7e308, 0.0];
        let tiny = [5e-324, 1e-323, 1.5e-323];
        for kind in Normalization::ALL {
            for losses in [huge, tiny] {
                let out = normalized(kind, &losses);
                assert!(out.iter().all(|z| z.is_finite()), "{kind:?} {out:?}");
            }
        }
        for (z, expected) in normalized(Normalization::ZScore, &huge)
            .iter()
            .zip([-1.0, 1.0, 0.0])
        {
            assert_relative_eq!(*z, expected, epsilon = 1e-15, max_relative = 1e-15);
        }
        assert_relative_eq!(
            normalized(Normalization::ZScore, &tiny)[2],
            1.0,
            max_relative = 1e-12
        );
    }

    #[test]
    fn names_are_those_of_the_files() {
        for kind in Normalization::ALL {
            assert_eq!(
                serde_json::to_string(&kind).unwrap(),
                format!("{:?}", kind.name())
            );
        }
    }
}
