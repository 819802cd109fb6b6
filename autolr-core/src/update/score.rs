//! From normalised losses to scores and weights.

use ndarray::{ArrayView1, ArrayViewMut1};

use super::{extent, sum};
use crate::method::kind::Range;
use crate::{ConfigError, LengthError};

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
        let sharpness = Range::NOT_NEGATIVE.check("sharpness", sharpness)?;
        Ok(Self { sharpness })
    }

    /// The sharpness s.
    pub fn sharpness(self) -> f64 {
        self.sharpness
    }

    /// Writes scores `exp(−s·zᵢ)` and weights `wᵢ = scoreᵢ / Σ scoreⱼ`; all of shape `[n]`, dimensionless.
    ///
    /// What is not finite in `normalized`, NaN or ±∞, marks a candidate without a vote: score and weight 0. Weights are
    /// non-negative and sum to one if anyone votes, else all are 0; nothing is NaN. They are computed from
    /// `exp(−s·(zᵢ − min z))`, so they are right where the plain scores would overflow or vanish; the scores themselves
    /// are cut at the largest finite number.
    ///
    /// # Errors
    /// [`LengthError`] if the lengths differ; `scores` and `weights` are then untouched.
    pub fn apply<'z, 's, 'w>(
        self,
        normalized: impl Into<ArrayView1<'z, f64>>,
        scores: impl Into<ArrayViewMut1<'s, f64>>,
        weights: impl Into<ArrayViewMut1<'w, f64>>,
    ) -> Result<(), LengthError> {
        let (normalized, scores, weights) = (normalized.into(), scores.into(), weights.into());
        let losses = (normalized.len(), "losses");
        LengthError::check((scores.len(), "scores"), losses)?;
        LengthError::check((weights.len(), "weights"), losses)?;
        self.score(normalized, scores, weights);
        Ok(())
    }

    /// The same, of lengths that are known to be equal.
    pub(super) fn score(
        self,
        normalized: ArrayView1<'_, f64>,
        mut scores: ArrayViewMut1<'_, f64>,
        mut weights: ArrayViewMut1<'_, f64>,
    ) {
        let s = self.sharpness;
        let (best, worst) = extent(normalized.iter().copied().filter(|z| z.is_finite()));
        let peak = libm::exp(-s * best);
        // Whether a score can be the best one's times the share, without leaving the normal numbers on the way. Not
        // where the distance overflows either: infinity and NaN are not below.
        let is_product = peak.is_normal() && s * (worst - best) < 700.0;
        for ((&z, score), weight) in normalized.iter().zip(&mut scores).zip(&mut weights) {
            if !z.is_finite() {
                (*score, *weight) = (0.0, 0.0);
                continue;
            }
            let share = self.share(z, best);
            *weight = share;
            *score = if is_product {
                peak * share
            } else {
                libm::exp(-s * z).min(f64::MAX)
            };
        }
        let total = sum(weights.iter().copied());
        if total > 0.0 {
            weights.mapv_inplace(|share| share / total);
        }
    }

    /// `exp(−s·(z − best))`.
    fn share(self, z: f64, best: f64) -> f64 {
        let s = self.sharpness;
        let distance = z - best;
        libm::exp(if distance.is_finite() {
            -s * distance
        } else {
            // z and best at the two ends of f64: a small s brings them back.
            s * best - s * z
        })
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
        ExponentialScore::new(sharpness)
            .unwrap()
            .apply(aview1(normalized), scores.view_mut(), weights.view_mut())
            .unwrap();
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
    fn what_is_not_finite_has_no_vote() {
        const INF: f64 = f64::INFINITY;
        for sharpness in [0.0, 1.0, 1e308] {
            for (normalized, weights) in [
                ([-INF, 0.0], [0.0, 1.0]),
                ([0.0, INF], [1.0, 0.0]),
                ([f64::NAN, 700.0], [0.0, 1.0]),
                ([INF, INF], [0.0, 0.0]),
                ([-INF, INF], [0.0, 0.0]),
            ] {
                let (scores, found) = apply(sharpness, &normalized);
                assert_eq!(found, weights, "{sharpness} {normalized:?}");
                let silent = normalized.iter().zip(&scores);
                assert!(
                    silent
                        .clone()
                        .all(|(z, s)| s.is_finite() && (z.is_finite() || *s == 0.0))
                );
            }
        }
    }

    #[test]
    fn the_ends_of_f64_at_a_sharpness_that_brings_them_back() {
        let (_, weights) = apply(1e-308, &[-1e308, 1e308]);
        assert_relative_eq!(
            weights[1] / weights[0],
            libm::exp(-2.0),
            max_relative = 1e-14
        );
    }

    #[test]
    fn scores_are_exponentials_on_either_way() {
        // Near zero one exponential serves both; far from it each has its own.
        for (sharpness, normalized) in [
            (1.0, [0.0, 1.0, -2.5]),
            (1.0, [650.0, 651.0, 652.5]),
            (1.0, [-720.0, -715.0, 30.0]),
            (1.0, [0.0, 699.0, 701.0]),
            // The largest share vanishes, the score does not.
            (10.0, [-70.0, 0.0, 30.0]),
            (0.1, [-700.0, 0.0, 6400.0]),
        ] {
            let (scores, weights) = apply(sharpness, &normalized);
            let best = normalized.iter().copied().fold(f64::INFINITY, f64::min);
            let shares = normalized.map(|z| libm::exp(sharpness * (best - z)));
            for i in 0..3 {
                let score = libm::exp(-sharpness * normalized[i]).min(f64::MAX);
                assert_relative_eq!(
                    scores[i],
                    score,
                    max_relative = 1e-15,
                    epsilon = f64::MIN_POSITIVE
                );
                let weight = shares[i] / shares.iter().sum::<f64>();
                assert_relative_eq!(
                    weights[i],
                    weight,
                    max_relative = 1e-15,
                    epsilon = f64::MIN_POSITIVE
                );
            }
        }
    }

    /// The two ways round differently: which one is taken shows in the bits.
    #[test]
    fn one_exponential_serves_both_up_to_a_distance_of_700() {
        let product = |best: f64, z: f64| libm::exp(-best) * libm::exp(best - z);
        let mut differ = 0;
        for k in 0..40 {
            let best = -1.5 + 0.1 * f64::from(k);
            for (distance, is_shared) in
                [(0.7, true), (699.5, true), (700.0, false), (701.0, false)]
            {
                let worst = best + distance;
                if worst - best != distance || product(best, worst) == libm::exp(-worst) {
                    continue;
                }
                differ += 1;
                let (scores, _) = apply(1.0, &[best, worst]);
                let expected = if is_shared {
                    product(best, worst)
                } else {
                    libm::exp(-worst)
                };
                assert_eq!(scores[1], expected, "{best} {distance}");
            }
        }
        assert!(differ > 20, "{differ}");
    }

    #[test]
    fn one_score_and_weight_a_loss() {
        let score = ExponentialScore::default();
        let (mut two, mut three) = (Array1::zeros(2), Array1::zeros(3));
        let z = aview1(&[1.0, 2.0, 3.0]);
        let error = score
            .apply(z, two.view_mut(), three.view_mut())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 scores for 3 losses: one each is needed"
        );
        let error = score
            .apply(z, three.view_mut(), two.view_mut())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 weights for 3 losses: one each is needed"
        );
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
        assert_eq!(ExponentialScore::new(0.0).unwrap().sharpness(), 0.0);
    }
}
