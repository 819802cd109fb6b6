//! A cosine, without restarts.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::{half_cosine, interpolate};
use super::range::{at_least_one, checked_lr, lowest_rate};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `CosineAnnealingLR`: half a cosine from `lr` at step 0 down to `eta_min` at step
/// `t_max`.
///
/// `lr(t) = eta_min + (lr − eta_min) · (1 + cos(π t / t_max)) / 2`
///
/// After `t_max` the cosine goes on, as in PyTorch: up to `lr` again at `2 t_max`, down at `3
/// t_max`, and so on. It is the paper's schedule "cosine" (section 3.1). PyTorch has no default for
/// `t_max`; the length of the training is the usual choice.
///
/// The error is about one ulp of `lr`, as PyTorch's: close to a minimum of zero, where the rate itself is smaller than
/// `lr` by many orders of magnitude, few of its digits are right (at the last of 10⁸ steps none).
///
/// ```
/// use autolr_core::schedule::{CosineAnnealingLr, Schedule};
///
/// let schedule = CosineAnnealingLr::new(0.005, 100, 0.0)?;
/// assert_eq!(schedule.lr(0), 0.005);
/// assert!((schedule.lr(50) - 0.0025).abs() < 1e-15);
/// assert_eq!(schedule.lr(100), 0.0);
/// assert_eq!(schedule.lr(200), 0.005);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// I. Loshchilov, F. Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts,
/// arXiv:1608.03983, equation 5.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawCosineAnnealingLr")]
pub struct CosineAnnealingLr {
    lr: f64,
    t_max: u64,
    eta_min: f64,
}

impl CosineAnnealingLr {
    /// PyTorch's default of `eta_min`.
    pub const DEFAULT_ETA_MIN: f64 = 0.0;

    /// A schedule of base rate `lr` that reaches its lowest rate `eta_min` at step `t_max`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite, `t_max` is at least 1, and
    /// `eta_min` lies in [0, `lr`]. PyTorch checks none of these: it takes an `eta_min` above `lr`,
    /// which would be a maximum.
    pub fn new(lr: f64, t_max: u64, eta_min: f64) -> Result<Self, ConfigError> {
        let lr = checked_lr(lr)?;
        let t_max = at_least_one("t_max", t_max)?;
        let eta_min = lowest_rate("eta_min", eta_min, lr)?;
        Ok(Self { lr, t_max, eta_min })
    }

    /// The highest rate, that of step 0.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// The step of the lowest rate.
    pub fn t_max(&self) -> u64 {
        self.t_max
    }

    /// The lowest rate.
    pub fn eta_min(&self) -> f64 {
        self.eta_min
    }
}

impl CosineAnnealingLr {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::{Core, RunLength};
        use crate::method::kind::ValueKind::{Length, Number};
        Kind::schedule(
            "cosine",
            &[
                LR,
                Key::new("t_max", Length, RunLength)
                    .within(Range::AT_LEAST_ONE)
                    .about("epochs until the lowest rate"),
                Key::new("eta_min", Number, Core("0"))
                    .within(Range::NOT_NEGATIVE)
                    .about("the lowest rate; at most `lr`"),
            ],
            "PyTorch's CosineAnnealingLR",
        )
    };
}

impl Schedule for CosineAnnealingLr {
    fn lr(&self, step: u64) -> f64 {
        // The remainder keeps the argument of the cosine small, hence exact, at any step.
        let turn = match self.t_max.checked_mul(2) {
            Some(period) => step % period,
            None => step,
        };
        let share = half_cosine(turn as f64 / self.t_max as f64);
        interpolate(self.eta_min, self.lr, share)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCosineAnnealingLr {
    lr: f64,
    t_max: u64,
    #[serde(default = "default_eta_min")]
    eta_min: f64,
}

fn default_eta_min() -> f64 {
    CosineAnnealingLr::DEFAULT_ETA_MIN
}

impl CosineAnnealingLr {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawCosineAnnealingLr, _>()
    }
}

impl TryFrom<RawCosineAnnealingLr> for CosineAnnealingLr {
    type Error = ConfigError;

    fn try_from(raw: RawCosineAnnealingLr) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.t_max, raw.eta_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_are_exact_and_come_back() -> Result<(), ConfigError> {
        for t_max in [1, 2, 7, 100, u64::MAX / 4] {
            let schedule = CosineAnnealingLr::new(0.3, t_max, 0.1)?;
            assert_eq!(
                [0, 1, 2, 3].map(|half| schedule.lr(half * t_max)),
                [0.3, 0.1, 0.3, 0.1],
                "t_max {t_max}"
            );
        }
        Ok(())
    }

    #[test]
    fn the_longest_period_does_not_overflow() -> Result<(), ConfigError> {
        let schedule = CosineAnnealingLr::new(0.3, u64::MAX, 0.1)?;
        assert_eq!(schedule.lr(u64::MAX), 0.1);
        let schedule = CosineAnnealingLr::new(f64::MAX, 3, f64::MAX)?;
        assert_eq!(schedule.lr(u64::MAX), f64::MAX);
        Ok(())
    }

    #[test]
    fn the_far_future_repeats_the_first_period_exactly() -> Result<(), ConfigError> {
        let schedule = CosineAnnealingLr::new(0.005, 70, 0.0)?;
        let start = u64::MAX / 140 * 140 - 140;
        for step in 0..140 {
            assert_eq!(schedule.lr(start + step), schedule.lr(step), "step {step}");
        }
        Ok(())
    }

    #[test]
    fn the_lowest_rate_lies_between_zero_and_lr() {
        for eta_min in [0.0, -0.0, 0.05, 0.1] {
            assert!(
                CosineAnnealingLr::new(0.1, 10, eta_min).is_ok(),
                "{eta_min}"
            );
        }
        for eta_min in [
            -f64::MIN_POSITIVE,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            let error = CosineAnnealingLr::new(0.1, 10, eta_min)
                .unwrap_err()
                .to_string();
            assert_eq!(
                error,
                format!(
                    "eta_min = {}: must be finite and not negative",
                    crate::short::Short(eta_min)
                )
            );
        }
        let error = CosineAnnealingLr::new(0.1, 10, 0.2)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "eta_min = 0.2: must not exceed lr");
        let error = CosineAnnealingLr::new(0.1, 0, 0.0).unwrap_err().to_string();
        assert_eq!(error, "t_max = 0: must be at least 1");
    }
}
