//! The weighted geometric mean of the factors.

use ndarray::ArrayView1;

use super::{extent, sum};
use crate::{Factors, LengthError};

/// Weighted geometric mean `exp(Σ wᵢ ln fᵢ)`, computed in log space.
///
/// `factors` and `weights` have shape `[n]`; weights are dimensionless, non-negative and sum to one.
/// The result lies in the hull of the factors with a positive weight: it is clamped, so that rounding cannot
/// leave it. Without a positive weight it is 1. It is never NaN.
///
/// Other weights are taken too. One that is negative or not finite counts as 0. A sum other than one is not brought to
/// one: the formula is then taken as it stands, and its value cut to the hull.
///
/// Paper: Algorithm 1, line 11.
///
/// # Errors
/// [`LengthError`] if there is not one weight a factor.
///
/// ```
/// use autolr_core::{Factors, weighted_geometric_mean};
/// use ndarray::array;
/// let factors = Factors::new(vec![4.0, 1.0])?;
/// let mean = weighted_geometric_mean(&factors, array![0.5, 0.5].view())?;
/// assert!((mean - 2.0).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn weighted_geometric_mean<'a>(
    factors: &Factors,
    weights: impl Into<ArrayView1<'a, f64>>,
) -> Result<f64, LengthError> {
    let weights = weights.into();
    LengthError::check((weights.len(), "weights"), (factors.len(), "factors"))?;
    Ok(geometric_mean(factors.basis(), weights))
}

/// What a geometric mean is taken over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Basis<'a> {
    /// The factors.
    pub(crate) factors: &'a [f64],
    /// Their natural logarithms.
    pub(crate) logs: &'a [f64],
}

/// The mean over the factors with a positive weight; 1 if there is none.
pub(super) fn geometric_mean(basis: Basis<'_>, weights: ArrayView1<'_, f64>) -> f64 {
    let counted = || {
        let pairs = weights.iter().copied().zip(basis.logs);
        pairs.filter(|&(weight, _)| counts(weight))
    };
    let factors = basis.factors.iter().zip(weights);
    let (min, max) = extent(
        factors
            .filter(|(_, weight)| counts(**weight))
            .map(|(f, _)| *f),
    );
    if max < min {
        return 1.0;
    }
    let mut log = sum(counted().map(|(weight, log)| weight * log));
    if log.is_nan() {
        // Weights so large that the terms overflow on both sides: the largest is taken out, and put back at the end.
        let largest = counted().fold(0.0, |largest, (weight, _)| weight.max(largest));
        log = largest * sum(counted().map(|(weight, log)| weight / largest * log));
    }
    libm::exp(log).clamp(min, max)
}

/// Whether a weight is one: positive, and a number.
fn counts(weight: f64) -> bool {
    weight > 0.0 && weight < f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::aview1;

    fn mean(factors: &[f64], weights: &[f64]) -> f64 {
        let factors = Factors::new(factors.to_vec()).unwrap();
        weighted_geometric_mean(&factors, aview1(weights)).unwrap()
    }

    #[test]
    fn by_hand() {
        assert_relative_eq!(mean(&[4.0, 1.0], &[0.5, 0.5]), 2.0, max_relative = 1e-15);
        assert_eq!(mean(&[4.0, 1.0], &[1.0, 0.0]), 4.0);
        assert_eq!(mean(&[4.0, 1.0], &[0.0, 0.0]), 1.0);
    }

    #[test]
    fn rounding_does_not_leave_the_hull() {
        // exp(ln 3) is 3.0000000000000004 in f64.
        assert_eq!(mean(&[3.0; 3], &[1.0 / 3.0; 3]), 3.0);
        assert_eq!(mean(&[f64::MAX; 2], &[0.5; 2]), f64::MAX);
        assert_eq!(mean(&[f64::MIN_POSITIVE; 2], &[0.5; 2]), f64::MIN_POSITIVE);
    }

    #[test]
    fn what_has_no_weight_is_not_in_the_hull() {
        // Rounding down from 3 would be let through by a hull that 1 belongs to.
        assert_eq!(mean(&[5.0, 1.0], &[1.0, 0.0]), 5.0);
        assert_eq!(mean(&[5.0, 9.0], &[1.0, 0.0]), 5.0);
    }

    #[test]
    fn weights_of_any_kind_give_no_nan() {
        const INF: f64 = f64::INFINITY;
        for (weights, expected) in [
            ([INF, INF], 1.0),
            ([INF, 1.0], 0.5),
            ([f64::NAN, 1.0], 0.5),
            ([-1.0, 0.5], 0.5),
            // Twice the usual sum: 2² · ½² and, cut to the hull, 2³ · ½.
            ([2.0, 2.0], 1.0),
            ([3.0, 1.0], 2.0),
            ([f64::MAX, f64::MAX], 1.0),
        ] {
            assert_eq!(mean(&[2.0, 0.5], &weights), expected, "{weights:?}");
        }
        // Terms of ±700 times these overflow to both sides.
        assert_eq!(mean(&[1e300, 1e-300], &[1e308, 1e308]), 1.0);
        assert_eq!(mean(&[1e300, 1e-300], &[1e308, 0.9e308]), 1e300);
        assert_eq!(mean(&[1e300, 1e-200], &[1e308, 1e308]), 1e300);
    }

    #[test]
    fn one_weight_a_factor() {
        let factors = Factors::new(vec![4.0, 1.0]).unwrap();
        let error = weighted_geometric_mean(&factors, aview1(&[1.0])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 weights for 2 factors: one each is needed"
        );
    }
}
