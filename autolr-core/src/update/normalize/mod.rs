//! From losses to normalised losses.

use ndarray::{Array1, ArrayView1, ArrayViewMut1};
use serde::{Deserialize, Serialize};

use super::extent;
use crate::LengthError;

/// The modules, [`Normalization`], and what goes to each.
macro_rules! normalizations {
    ($($(#[$attribute:meta])* $module:ident: $Rule:ident = $name:literal, $what:literal;)+) => {
        $(mod $module;)+

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
        /// | `Rank` | (2 rᵢ − n − 1) / (n − 1), rᵢ the place of Lᵢ from 1, shared by equal losses | \[−1, 1\] |
        /// | `None` | Lᵢ | |
        ///
        /// The first three do not see a shift or a positive scaling of the losses; `Sum` does not see a positive scaling, and
        /// `Rank` no increasing function.
        ///
        /// # Precision
        /// The first three are computed from the differences to the smallest loss, scaled by a power of two: losses a few
        /// ulps apart, subnormal, or at both ends of f64 are normalised as precisely as ordinary ones. The sums are plain ones,
        /// term after term, so the error grows with the number of candidates. Measured against arithmetic with twice the
        /// digits, the largest error of a z-score, in ulps of the largest one:
        ///
        /// | n | 7 | 31 | 101 | 1,000 | 10⁶ |
        /// |---|---|---|---|---|---|
        /// | losses spread at random | 3 | 6 | 10 | 21 | 229 |
        /// | the worst case found: nearly all losses equal, one far below | 5 | 17 | 39 | 414 | 463,504 (10⁻¹⁰ of it) |
        ///
        /// `MinMax` has no sum, and errs by less than an ulp.
        ///
        /// # Which candidate a lower loss helps
        /// Lowering one candidate's loss should never lower its weight. Under `MinMax`, `Sum`, `Rank` and `None` it does not, at any
        /// sharpness. Under `ZScore` it does not up to a sharpness s*(n) that depends on the number of finite losses alone:
        /// beyond, pulling in a loss far above the others lets the spread shrink, which favours the best candidate more than
        /// the one whose loss fell (sharpness 4, losses 0.224, 13.999, 0.269: lowering the second to 0.316 lowers its weight).
        ///
        /// | n | 2 | 3 | 5 | 7 | 9 | 11 | 15 | 31 | 50 | 86 | 100 | 1,000 |
        /// |---|---|---|---|---|---|---|---|---|---|---|---|---|
        /// | s* | ∞ | √3 = 1.732 | 1.899 | 1.861 | 1.799 | 1.738 | 1.632 | 1.361 | 1.186 | 1.002 | 0.954 | 0.420 |
        ///
        /// So the paper's sharpness of 1 is safe with up to 86 candidates, and √3 with up to 11. For `PopulationZScore`, s* is
        /// √((n − 1)/n) of that. (With z for the z-scores and weights w over the other candidates j, the condition is
        /// `E_w[zᵢ(zᵢ − zⱼ)] ≤ n − 1` for all z; the table is its numerical solution, rounded down.)
        ///
        /// Paper: Algorithm 1, line 7, which leaves the formula open; the released code has the z-score with the sample
        /// standard deviation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[cfg_attr(
            feature = "schema",
            derive(schemars::JsonSchema),
            schemars(
                description = "How the losses of one probe are made comparable before they are scored"
            )
        )]
        #[non_exhaustive]
        pub enum Normalization {
            $(
                #[doc = $what]
                $(#[$attribute])*
                #[serde(rename = $name)]
                $Rule,
            )+
        }

        impl Normalization {
            /// All variants, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$Rule),+];

            /// Names of all variants, as in files.
            pub const NAMES: &[&str] = &[$($name),+];

            /// Name as in files, such as `z-score`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$Rule => $name),+ }
            }

            /// The range of its values, of `n` finite losses.
            pub fn range(self, n: usize) -> (f64, f64) {
                match self { $(Self::$Rule => $module::range(n as f64)),+ }
            }

            /// As [`Normalization::apply`], of lengths that are known to be equal. `scratch`, as long, is work space.
            pub(super) fn normalize(
                self,
                losses: ArrayView1<'_, f64>,
                out: ArrayViewMut1<'_, f64>,
                scratch: ArrayViewMut1<'_, f64>,
            ) {
                match self { $(Self::$Rule => $module::normalize(losses, out, scratch)),+ }
            }
        }
    };
}

// A new normalisation is a file beside this, and a line here.
normalizations! {
    #[default]
    z_score: ZScore = "z-score", "Z-score with the sample standard deviation (divisor n − 1).";
    population_z_score: PopulationZScore = "population-z-score", "Z-score with the population standard deviation (divisor n).";
    min_max: MinMax = "min-max", "Onto \\[0, 1\\].";
    sum: Sum = "sum", "Share of the total.";
    rank: Rank = "rank", "Place among the losses, onto \\[−1, 1\\].";
    none: None = "none", "The losses as they are.";
}

impl Normalization {
    /// Writes the normalised `losses` into `out`, both of shape `[n]`, in the units of the table above.
    ///
    /// # Errors
    /// [`LengthError`] if the lengths differ; `out` is then untouched.
    pub fn apply<'l, 'o>(
        self,
        losses: impl Into<ArrayView1<'l, f64>>,
        out: impl Into<ArrayViewMut1<'o, f64>>,
    ) -> Result<(), LengthError> {
        let (losses, out) = (losses.into(), out.into());
        LengthError::check((out.len(), "outputs"), (losses.len(), "losses"))?;
        let mut scratch = Array1::zeros(losses.len());
        self.normalize(losses, out, scratch.view_mut());
        Ok(())
    }
}

/// The losses that take part.
fn finite(losses: ArrayView1<'_, f64>) -> impl Iterator<Item = f64> + Clone {
    losses.into_iter().copied().filter(|loss| loss.is_finite())
}

/// What to multiply values from `min` to `max` by so that no difference of two overflows, and by that the smallest value
/// and the largest difference.
fn differences(min: f64, max: f64) -> (f64, f64, f64) {
    let range = max - min;
    if range.is_finite() {
        (1.0, min, range)
    } else {
        (0.5, min * 0.5, max * 0.5 - min * 0.5)
    }
}

/// Infinity in place of zero: then all normalised losses are zero.
fn or_infinity(divisor: f64) -> f64 {
    if divisor > 0.0 {
        divisor
    } else {
        f64::INFINITY
    }
}

/// The map `((L·half − min)·scale − mean) / divisor` from losses to normalised losses.
#[derive(Debug, Clone, Copy)]
struct Affine {
    half: f64,
    min: f64,
    scale: f64,
    mean: f64,
    divisor: f64,
}

impl Affine {
    /// Exact: each value to itself.
    const IDENTITY: Self = Self {
        half: 1.0,
        min: 0.0,
        scale: 1.0,
        mean: 0.0,
        divisor: 1.0,
    };

    /// Writes the normalised losses into `out`.
    fn write(&self, losses: ArrayView1<'_, f64>, mut out: ArrayViewMut1<'_, f64>) {
        for (z, &loss) in out.iter_mut().zip(losses) {
            *z = if loss.is_finite() {
                ((loss * self.half - self.min) * self.scale - self.mean) / self.divisor
            } else {
                f64::NAN
            };
        }
    }
}

/// A power of two that brings `largest`, the largest of some magnitudes, near one, so that their squares and sums
/// neither overflow nor vanish. Multiplying by it is exact but for values too small to matter beside the largest.
fn power_of_two_scale(largest: f64) -> f64 {
    /// Bits of the fraction, below those of the exponent.
    const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;
    // The exponent as it is stored: e stands for 2^(e − 1023).
    let exponent = largest.abs().to_bits() >> FRACTION;
    // Clamped to the normal numbers.
    f64::from_bits(2045_u64.saturating_sub(exponent).max(1) << FRACTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::{Array1, aview1};

    fn normalized(kind: Normalization, losses: &[f64]) -> Vec<f64> {
        let mut out = Array1::zeros(losses.len());
        kind.apply(aview1(losses), out.view_mut()).unwrap();
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
        for &kind in Normalization::ALL {
            let with = normalized(kind, &[1.0, f64::INFINITY, 2.0, f64::NAN, 4.0]);
            let without = normalized(kind, &[1.0, 2.0, 4.0]);
            assert_eq!([with[0], with[2], with[4]], *without, "{kind:?}");
            assert!(with[1].is_nan() && with[3].is_nan(), "{kind:?}");
            assert!(normalized(kind, &[f64::NAN, f64::NEG_INFINITY])[0].is_nan());
        }
    }

    #[test]
    fn extreme_magnitudes_stay_finite() {
        // The sum of the absolute values overflows.
        let losses = [-1.7e308, -1.7e308, -1.7e308, -1.7e308, 1.0];
        let shares = normalized(Normalization::Sum, &losses);
        assert_eq!(shares[..4], [-0.25; 4]);
        let huge = [-1.7e308, 1.7e308, 0.0];
        let tiny = [5e-324, 1e-323, 1.5e-323];
        for &kind in Normalization::ALL {
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
    fn a_sum_of_large_negative_losses_does_not_overflow() {
        let shares = normalized(Normalization::Sum, &[-1.7e308, 1.0, -1.7e308]);
        assert_eq!(shares[0], -0.5);
        assert_eq!(shares[2], -0.5);
        assert!(shares[1] >= 0.0 && shares[1] < 1e-300);
    }

    #[test]
    fn a_few_ulps_apart_is_as_good_as_any_distance() {
        let ulp = f64::EPSILON;
        for base in [1.0, 1024.0, -1.0] {
            let step = ulp * f64::abs(base);
            let near = normalized(Normalization::ZScore, &[base, base, base + step]);
            assert_eq!(near, normalized(Normalization::ZScore, &[0.0, 0.0, 1.0]));
            let near = normalized(
                Normalization::MinMax,
                &[base, base + step, base + 2.0 * step],
            );
            assert_eq!(near, [0.0, 0.5, 1.0]);
        }
    }

    #[test]
    fn both_ends_of_f64() {
        let ends = [-f64::MAX, f64::MAX];
        assert_eq!(normalized(Normalization::MinMax, &ends), [0.0, 1.0]);
        assert_eq!(
            normalized(Normalization::PopulationZScore, &ends),
            [-1.0, 1.0]
        );
        assert_eq!(normalized(Normalization::Sum, &ends), [-0.5, 0.5]);
        let tiny = [5e-324, 5e-324, 0.0];
        assert_eq!(normalized(Normalization::Sum, &tiny), [0.5, 0.5, 0.0]);
    }

    #[test]
    fn one_output_a_loss() {
        let mut out = Array1::zeros(2);
        let error = Normalization::Sum.apply(aview1(&[1.0; 3]), out.view_mut());
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "2 outputs for 3 losses: one each is needed");
    }

    #[test]
    fn names_are_those_of_the_files() {
        for &kind in Normalization::ALL {
            assert_eq!(
                serde_json::to_string(&kind).unwrap(),
                format!("{:?}", kind.name())
            );
        }
    }
}
