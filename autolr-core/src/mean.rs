//! The weighted geometric mean of the factors.

use ndarray::ArrayView1;

use crate::contiguous::Contiguous;
use crate::sum::{Sum, dot, extent};
use crate::{Factors, LengthError};

/// Weighted geometric mean `exp(Σ wᵢ ln fᵢ)`, computed in log space.
///
/// `factors` and `weights` have shape `[n]`; weights are dimensionless, non-negative and sum to one.
/// The result lies in the hull of the factors with a positive weight: it is clamped, so that rounding cannot
/// leave it. Without a positive weight it is 1.
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
pub fn weighted_geometric_mean(
    factors: &Factors,
    weights: ArrayView1<'_, f64>,
) -> Result<f64, LengthError> {
    LengthError::check((weights.len(), "weights"), (factors.len(), "factors"))?;
    let weights = Contiguous::of(weights);
    Ok(geometric_mean(
        factors.slice(),
        factors.log_slice(),
        &weights,
    ))
}

/// The same over slices of one length; `logs` are the logarithms of `factors`.
#[inline]
pub(crate) fn geometric_mean(factors: &[f64], logs: &[f64], weights: &[f64]) -> f64 {
    // No branch to be guessed where all count, as mostly.
    let all_count = weights
        .iter()
        .fold(true, |all, &weight| all & (weight > 0.0));
    let (log, (min, max)) = if all_count {
        (dot(weights, logs), extent(factors))
    } else {
        of_those_that_count(factors, logs, weights)
    };
    if max < min {
        return 1.0;
    }
    libm::exp(log).clamp(min, max)
}

/// Sum and hull over the factors with a positive weight.
fn of_those_that_count(factors: &[f64], logs: &[f64], weights: &[f64]) -> (f64, (f64, f64)) {
    let mut log = Sum::default();
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for ((&factor, &log_factor), &weight) in factors.iter().zip(logs).zip(weights) {
        if weight > 0.0 {
            log.add(weight * log_factor);
            min = min.min(factor);
            max = max.max(factor);
        }
    }
    (log.total(), (min, max))
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
    fn one_weight_a_factor() {
        let factors = Factors::new(vec![4.0, 1.0]).unwrap();
        let error = weighted_geometric_mean(&factors, aview1(&[1.0])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 weights for 2 factors: one each is needed"
        );
    }
}
