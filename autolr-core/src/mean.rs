//! The weighted geometric mean of the factors.

use ndarray::ArrayView1;

use crate::Factors;

/// Weighted geometric mean `exp(Σ wᵢ ln fᵢ)`, computed in log space.
///
/// `factors` and `weights` have shape `[n]`; weights are dimensionless, non-negative and sum to one.
/// The result lies in the hull of the factors with a positive weight: it is clamped, so that rounding cannot
/// leave it. Without a positive weight it is 1.
///
/// Paper: Algorithm 1, line 11.
///
/// # Panics
/// If the lengths differ.
pub fn weighted_geometric_mean(factors: &Factors, weights: ArrayView1<'_, f64>) -> f64 {
    assert_eq!(factors.len(), weights.len(), "one weight a factor");
    let (mut log, mut min, mut max) = (0.0, f64::INFINITY, 0.0_f64);
    let rows = factors
        .values()
        .into_iter()
        .zip(factors.logs())
        .zip(weights);
    for ((&factor, &log_factor), &weight) in rows {
        if weight > 0.0 {
            log += weight * log_factor;
            min = min.min(factor);
            max = max.max(factor);
        }
    }
    if max == 0.0 {
        return 1.0;
    }
    libm::exp(log).clamp(min, max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::aview1;

    #[test]
    fn by_hand() {
        let factors = Factors::new(vec![4.0, 1.0]).unwrap();
        assert_relative_eq!(
            weighted_geometric_mean(&factors, aview1(&[0.5, 0.5])),
            2.0,
            max_relative = 1e-15
        );
        assert_eq!(weighted_geometric_mean(&factors, aview1(&[1.0, 0.0])), 4.0);
        assert_eq!(weighted_geometric_mean(&factors, aview1(&[0.0, 0.0])), 1.0);
    }

    #[test]
    fn rounding_does_not_leave_the_hull() {
        // exp(ln 3) is 3.0000000000000004 in f64.
        let factors = Factors::new(vec![3.0; 3]).unwrap();
        let third = 1.0 / 3.0;
        assert_eq!(weighted_geometric_mean(&factors, aview1(&[third; 3])), 3.0);
    }
}
