//! From normalised losses to scores and weights.

use ndarray::{ArrayView1, ArrayViewMut1};

use crate::ConfigError;

/// The exponential score `exp(−s·z)` of a normalised loss z, with sharpness s (dimensionless, s ≥ 0).
///
/// The smaller the loss, the higher the score; s = 0 ignores the losses, s → ∞ leaves the best alone.
/// Paper: section 2, Algorithm 1, line 9; its sharpness is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExponentialScore {
    sharpness: f64,
}

impl Default for ExponentialScore {
    fn default() -> Self {
        Self { sharpness: 1.0 }
    }
}

impl ExponentialScore {
    /// A score with the sharpness given.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is NaN, negative or infinite.
    pub fn new(sharpness: f64) -> Result<Self, ConfigError> {
        if !(sharpness >= 0.0 && sharpness.is_finite()) {
            return Err(ConfigError::Value {
                key: "sharpness",
                value: sharpness,
                rule: "a sharpness must be finite and not negative",
            });
        }
        Ok(Self { sharpness })
    }

    /// The sharpness s.
    pub fn sharpness(self) -> f64 {
        self.sharpness
    }

    /// Writes scores `exp(−s·zᵢ)` and weights `wᵢ = scoreᵢ / Σ scoreⱼ`; all of shape `[n]`.
    ///
    /// A NaN in `normalized` marks a candidate without a vote: score and weight 0. Weights are non-negative and sum
    /// to one if anyone votes, else all are 0. They are computed from `exp(−s·(zᵢ − min z))`, so they are right
    /// where the plain scores would overflow or vanish; the scores themselves are cut at the largest finite number.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(
        self,
        normalized: ArrayView1<'_, f64>,
        mut scores: ArrayViewMut1<'_, f64>,
        mut weights: ArrayViewMut1<'_, f64>,
    ) {
        assert_eq!(normalized.len(), scores.len(), "one score a loss");
        assert_eq!(normalized.len(), weights.len(), "one weight a loss");
        let best = normalized
            .iter()
            .filter(|z| !z.is_nan())
            .fold(f64::INFINITY, |best, &z| best.min(z));
        let mut total = 0.0;
        for ((&z, score), weight) in normalized.iter().zip(&mut scores).zip(&mut weights) {
            (*score, *weight) = if z.is_nan() {
                (0.0, 0.0)
            } else if self.sharpness == 0.0 {
                (1.0, 1.0) // 0 · ∞ would be NaN
            } else {
                (
                    libm::exp(-self.sharpness * z).min(f64::MAX),
                    libm::exp(-self.sharpness * (z - best)),
                )
            };
            total += *weight;
        }
        if total > 0.0 {
            weights.mapv_inplace(|weight| weight / total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::{Array1, aview1};

    fn apply(sharpness: f64, normalized: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut scores = Array1::zeros(normalized.len());
        let mut weights = scores.clone();
        ExponentialScore::new(sharpness).unwrap().apply(
            aview1(normalized),
            scores.view_mut(),
            weights.view_mut(),
        );
        (scores.to_vec(), weights.to_vec())
    }

    #[test]
    fn by_hand() {
        let (scores, weights) = apply(1.0, &[0.0, std::f64::consts::LN_2]);
        assert_relative_eq!(scores[1], 0.5, max_relative = 1e-15);
        assert_relative_eq!(weights[0], 2.0 / 3.0, max_relative = 1e-15);
        assert_relative_eq!(weights[1], 1.0 / 3.0, max_relative = 1e-15);
    }

    #[test]
    fn sharpness_goes_from_indifferent_to_argmin() {
        assert_eq!(apply(0.0, &[-1e308, 1e308]).1, [0.5, 0.5]);
        assert_eq!(apply(1e308, &[-1e308, 1e308]).1, [1.0, 0.0]);
        assert_eq!(apply(1e308, &[3.0, 3.0]).1, [0.5, 0.5]);
    }

    #[test]
    fn without_a_vote() {
        let (scores, weights) = apply(1.0, &[f64::NAN, 0.0, f64::NAN]);
        assert_eq!(scores, [0.0, 1.0, 0.0]);
        assert_eq!(weights, [0.0, 1.0, 0.0]);
        assert_eq!(apply(1.0, &[f64::NAN]).1, [0.0]);
    }

    #[test]
    fn far_from_zero_the_weights_are_still_right() {
        let (scores, weights) = apply(1.0, &[-2000.0, -2000.0]);
        assert_eq!(scores, [f64::MAX; 2]);
        assert_eq!(weights, [0.5, 0.5]);
        assert_eq!(apply(1.0, &[2000.0, 2000.0]), (vec![0.0; 2], vec![0.5; 2]));
    }

    #[test]
    fn a_sharpness_out_of_range_is_named() {
        for bad in [-f64::MIN_POSITIVE, f64::NAN, f64::INFINITY] {
            let error = ExponentialScore::new(bad).unwrap_err();
            assert!(error.to_string().starts_with("sharpness = "), "{error}");
        }
        assert!(ExponentialScore::new(0.0).is_ok());
    }
}
