//! One update: losses in, the factor and everything in between out.

mod factors;
mod mean;
mod normalize;
mod score;

use ndarray::{Array1, ArrayView1};
use serde::{Deserialize, Serialize};

pub use factors::Factors;
pub(crate) use mean::Basis;
use mean::geometric_mean;
pub use mean::weighted_geometric_mean;
pub use normalize::Normalization;
pub use score::ExponentialScore;

use crate::LengthError;
use crate::same::{all_same, same};

/// What a loss that is NaN or infinite does to an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NonFinite {
    /// Its candidate counts as absent; if no loss is finite, the factor is 1.
    #[default]
    NoVote,
    /// Every normalised loss, score, weight and the factor become NaN, as the z-score of the paper's released code does.
    Propagate,
}

impl NonFinite {
    /// Name as in files: `no-vote`, `propagate`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoVote => "no-vote",
            Self::Propagate => "propagate",
        }
    }
}

/// The paper's update: normalise, score, average (Algorithm 1, lines 7 to 11).
///
/// ```
/// use autolr_core::{Factors, ScaleUpdate};
/// use ndarray::array;
/// let rule = ScaleUpdate::new(Factors::powers_of_two(3)?);
/// let update = rule.update(array![0.9, 1.0, 1.1].view())?; // doubling the rate gave the lowest loss
/// assert!(update.factor > 1.0 && update.factor < 2.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleUpdate {
    factors: Factors,
    normalization: Normalization,
    score: ExponentialScore,
    non_finite: NonFinite,
}

/// The outcome of one update, with every intermediate; vectors have shape `[n]`, one entry a candidate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Update {
    /// Normalised losses; NaN for a candidate without a vote.
    pub normalized: Array1<f64>,
    /// Scores `exp(−s·z)`.
    pub scores: Array1<f64>,
    /// Weights, non-negative, summing to one; all 0 where no candidate has a vote, all NaN where a loss that is not finite
    /// propagates.
    pub weights: Array1<f64>,
    /// The factor by which the rate is to be scaled, in the hull of the factors.
    pub factor: f64,
}

/// A clone is equal, whatever its losses.
impl PartialEq for Update {
    fn eq(&self, other: &Self) -> bool {
        all_same(&self.normalized, &other.normalized)
            && all_same(&self.scores, &other.scores)
            && all_same(&self.weights, &other.weights)
            && same(self.factor, other.factor)
    }
}

impl Update {
    /// Buffers for `n` candidates, for [`ScaleUpdate::update_into`].
    pub fn with_capacity(n: usize) -> Self {
        Self {
            normalized: Array1::zeros(n),
            scores: Array1::zeros(n),
            weights: Array1::zeros(n),
            factor: 1.0,
        }
    }
}

impl ScaleUpdate {
    /// The paper's settings: z-score with sample deviation, sharpness 1; losses that are not finite have no vote.
    pub fn new(factors: Factors) -> Self {
        Self {
            factors,
            normalization: Normalization::default(),
            score: ExponentialScore::default(),
            non_finite: NonFinite::default(),
        }
    }

    /// The same with another normalisation.
    #[must_use]
    pub fn with_normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = normalization;
        self
    }

    /// The same with another score.
    #[must_use]
    pub fn with_score(mut self, score: ExponentialScore) -> Self {
        self.score = score;
        self
    }

    /// The same with another treatment of losses that are not finite.
    #[must_use]
    pub fn with_non_finite(mut self, non_finite: NonFinite) -> Self {
        self.non_finite = non_finite;
        self
    }

    /// The factors.
    pub fn factors(&self) -> &Factors {
        &self.factors
    }

    /// The normalisation.
    pub fn normalization(&self) -> Normalization {
        self.normalization
    }

    /// The score.
    pub fn score(&self) -> ExponentialScore {
        self.score
    }

    /// The treatment of losses that are not finite.
    pub fn non_finite(&self) -> NonFinite {
        self.non_finite
    }

    /// The update for `losses` of shape `[n]`, one a factor, in the order of the factors.
    ///
    /// # Errors
    /// [`LengthError`] if there is not one loss a factor.
    pub fn update<'a>(
        &self,
        losses: impl Into<ArrayView1<'a, f64>>,
    ) -> Result<Update, LengthError> {
        let mut update = Update::with_capacity(self.factors.len());
        self.update_into(losses, &mut update)?;
        Ok(update)
    }

    /// As [`ScaleUpdate::update`], without allocation if `update` was made for as many candidates.
    ///
    /// # Errors
    /// [`LengthError`] if there is not one loss a factor; `update` is then untouched.
    pub fn update_into<'a>(
        &self,
        losses: impl Into<ArrayView1<'a, f64>>,
        update: &mut Update,
    ) -> Result<(), LengthError> {
        let losses = losses.into();
        let n = self.factors.len();
        LengthError::check((losses.len(), "losses"), (n, "factors"))?;
        self.update_over(self.factors.basis(), losses, update);
        Ok(())
    }

    /// The update over other factors than the rule's own, as many as there are losses.
    pub(crate) fn update_over(
        &self,
        basis: Basis<'_>,
        losses: ArrayView1<'_, f64>,
        update: &mut Update,
    ) {
        let n = losses.len();
        if update.normalized.len() != n || update.scores.len() != n || update.weights.len() != n {
            *update = Update::with_capacity(n);
        }
        let Update {
            normalized,
            scores,
            weights,
            factor,
        } = update;
        if self.non_finite == NonFinite::Propagate && losses.iter().any(|loss| !loss.is_finite()) {
            normalized.fill(f64::NAN);
            scores.fill(f64::NAN);
            weights.fill(f64::NAN);
            *factor = f64::NAN;
            return;
        }
        self.normalization
            .normalize(losses, normalized.view_mut(), scores.view_mut());
        self.score
            .score(normalized.view(), scores.view_mut(), weights.view_mut());
        *factor = geometric_mean(basis, weights.view());
    }
}

/// The sum, term after term in their order, which is part of its value.
fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    terms.fold(0.0, |sum, term| sum + term)
}

/// The smallest and the largest of the values; ∞ and −∞ if there is none. Of +0 and −0 the first that comes.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
        (
            if value < min { value } else { min },
            if value > max { value } else { max },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::array;

    #[test]
    fn by_hand() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let update = rule.update(array![1.0, 2.0, 3.0].view()).unwrap();
        let e = std::f64::consts::E;
        let sum = e + 1.0 + 1.0 / e;
        assert_eq!(update.normalized.to_vec(), [-1.0, 0.0, 1.0]);
        assert_relative_eq!(update.weights[0], e / sum, max_relative = 1e-15);
        assert_relative_eq!(
            update.factor,
            2.0_f64.powf((e - 1.0 / e) / sum),
            max_relative = 1e-15
        );
    }

    #[test]
    fn non_finite_losses_have_no_vote_or_propagate() {
        let factors = Factors::powers_of_two(3).unwrap();
        let rule = ScaleUpdate::new(factors.clone());
        let losses = array![f64::INFINITY, 1.0, 1.0];
        let update = rule.update(losses.view()).unwrap();
        assert_relative_eq!(update.factor, 0.5_f64.sqrt(), max_relative = 1e-15);
        let nobody = rule.update(array![f64::NAN, f64::NAN, f64::INFINITY].view());
        assert_eq!(nobody.unwrap().factor, 1.0);
        let update = rule
            .with_non_finite(NonFinite::Propagate)
            .update(losses.view())
            .unwrap();
        assert!(update.factor.is_nan() && update.weights.iter().all(|w| w.is_nan()));
    }

    #[test]
    fn losses_and_buffers_may_lie_scattered() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let losses = array![3.0, 0.0, 2.0, 0.0, 1.0];
        let expected = rule.update(&[1.0, 2.0, 3.0]).unwrap();
        let mut update = Update::with_capacity(3);
        for buffer in [
            &mut update.normalized,
            &mut update.scores,
            &mut update.weights,
        ] {
            buffer.invert_axis(ndarray::Axis(0));
        }
        let backwards = losses.slice(ndarray::s![..;-2]);
        rule.update_into(backwards, &mut update).unwrap();
        assert_eq!(update, expected);
    }

    #[test]
    fn buffers_of_another_length_are_made_anew() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let losses = array![1.0, 2.0, 3.0];
        let expected = rule.update(losses.view()).unwrap();
        for which in 0..3 {
            for len in [2, 4] {
                let mut update = Update::with_capacity(3);
                let buffers = [
                    &mut update.normalized,
                    &mut update.scores,
                    &mut update.weights,
                ];
                for (i, buffer) in buffers.into_iter().enumerate() {
                    if i == which {
                        *buffer = Array1::zeros(len);
                    }
                }
                rule.update_into(losses.view(), &mut update).unwrap();
                assert_eq!(update, expected);
            }
        }
    }

    #[test]
    fn a_rule_tells_what_it_was_made_of() {
        let score = ExponentialScore::new(2.0).unwrap();
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap())
            .with_normalization(Normalization::MinMax)
            .with_score(score)
            .with_non_finite(NonFinite::Propagate);
        assert_eq!(rule.factors().len(), 3);
        assert_eq!(rule.normalization(), Normalization::MinMax);
        assert_eq!(rule.score(), score);
        assert_eq!(rule.non_finite(), NonFinite::Propagate);
        for kind in [NonFinite::NoVote, NonFinite::Propagate] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn equal_if_no_field_differs() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let update = rule.update(&[f64::NAN, 1.0, 2.0]).unwrap();
        assert_eq!(update, update.clone());
        let changes: [fn(&mut Update); 4] = [
            |u| u.normalized[0] = 1.0,
            |u| u.scores[0] = 1.0,
            |u| u.weights[0] = 1.0,
            |u| u.factor = f64::NAN,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut other = update.clone();
            change(&mut other);
            assert_ne!(update, other, "{i}");
        }
    }

    #[test]
    fn losses_are_taken_as_they_are_held() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let held = [1.0, 2.0, 4.0];
        let expected = rule.update(&held).unwrap();
        let (vec, array) = (held.to_vec(), Array1::from_iter(held));
        for update in [
            rule.update(&held[..]),
            rule.update(&vec),
            rule.update(&array),
            rule.update(array.view()),
        ] {
            assert_eq!(update.as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn one_loss_a_factor() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let error = rule.update(array![1.0, 2.0].view()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 losses for 3 factors: one each is needed"
        );
    }
}
