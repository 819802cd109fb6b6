//! The record of one decision of the closed loop.

use std::fmt;

use ndarray::{Array1, ArrayView1};
use serde::{Deserialize, Serialize};

use crate::float_serde;

/// One decision, with everything that led to it; vectors have shape `[n]`, one entry a candidate.
///
/// In JSON, values that are not finite are the strings `"nan"`, `"inf"`, `"-inf"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Number of the decision, from 0.
    pub index: u64,
    /// The rate before.
    #[serde(with = "float_serde")]
    pub lr: f64,
    /// The rates tried.
    #[serde(with = "float_serde::array")]
    pub candidates: Array1<f64>,
    /// Their losses.
    #[serde(with = "float_serde::array")]
    pub losses: Array1<f64>,
    /// Their normalised losses; NaN without a vote.
    #[serde(with = "float_serde::array")]
    pub normalized: Array1<f64>,
    /// Their scores.
    #[serde(with = "float_serde::array")]
    pub scores: Array1<f64>,
    /// Their weights.
    #[serde(with = "float_serde::array")]
    pub weights: Array1<f64>,
    /// The factor chosen.
    #[serde(with = "float_serde")]
    pub factor: f64,
    /// The rate after.
    #[serde(with = "float_serde")]
    pub new_lr: f64,
    /// The outcome in a word.
    pub verdict: Verdict,
}

/// The outcome of a decision in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// The factor is above 1.
    Raised,
    /// The factor is below 1.
    Lowered,
    /// The factor is 1.
    Held,
    /// No candidate's loss was finite: nobody voted, the rate is held.
    NoFiniteLoss,
    /// A loss that was not finite made the rate NaN, as configured.
    Propagated,
}

impl Verdict {
    pub(crate) fn of(losses: ArrayView1<'_, f64>, factor: f64) -> Self {
        if factor.is_nan() {
            Self::Propagated
        } else if losses.iter().all(|loss| !loss.is_finite()) {
            Self::NoFiniteLoss
        } else if factor > 1.0 {
            Self::Raised
        } else if factor < 1.0 {
            Self::Lowered
        } else {
            Self::Held
        }
    }

    /// The word, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Lowered => "lowered",
            Self::Held => "held",
            Self::NoFiniteLoss => "no-finite-loss",
            Self::Propagated => "propagated",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lr {:.4e} → {:.4e} (×{:.3}, {}):",
            self.lr,
            self.new_lr,
            self.factor,
            self.verdict.name()
        )?;
        for ((lr, loss), weight) in self.candidates.iter().zip(&self.losses).zip(&self.weights) {
            write!(f, " {lr:.3e}: {loss:.4} ({:.0} %)", 100.0 * weight)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{AutoLr, AutoLrConfig, Decision, Factors, ScaleUpdate};
    use ndarray::array;

    #[test]
    fn reads_as_one_line_and_survives_json() {
        let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
        let mut scheduler = AutoLr::new(AutoLrConfig::new(0.005, rule).unwrap());
        let losses = array![f64::INFINITY, 1.0, 1.5];
        let decision = scheduler.tell(losses.view()).unwrap();
        assert_eq!(
            decision.to_string(),
            "lr 5.0000e-3 → 4.3661e-3 (×0.873, lowered): \
             1.000e-2: inf (0 %) 5.000e-3: 1.0000 (80 %) 2.500e-3: 1.5000 (20 %)"
        );
        let text = serde_json::to_string(&decision).unwrap();
        let back: Decision = serde_json::from_str(&text).unwrap();
        assert_eq!(back.losses, losses);
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}
