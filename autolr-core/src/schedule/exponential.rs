//! A constant factor at every step.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::geometric;
use super::range::{checked_lr, positive};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `ExponentialLR`: the rate is multiplied by `gamma` at every step.
///
/// `lr(t) = lr · gamma^t`
///
/// PyTorch has no default for `gamma`. A `gamma` above 1 is a schedule that grows: from a tiny `lr`
/// it sweeps the rates, as a learning-rate finder does. A rate below the smallest number is 0, and
/// one above the largest is [`f64::MAX`].
///
/// ```
/// use autolr_core::schedule::{ExponentialLr, Schedule};
///
/// let schedule = ExponentialLr::new(0.8, 0.5)?;
/// assert_eq!([0, 1, 2, 3].map(|step| schedule.lr(step)), [0.8, 0.4, 0.2, 0.1]);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// `torch.optim.lr_scheduler.ExponentialLR` of PyTorch 2.11.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawExponentialLr")]
pub struct ExponentialLr {
    lr: f64,
    gamma: f64,
}

impl ExponentialLr {
    /// A schedule of base rate `lr`, times `gamma` (dimensionless) at every step.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` and `gamma` are positive and finite. PyTorch checks
    /// neither.
    pub fn new(lr: f64, gamma: f64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: checked_lr(lr)?,
            gamma: positive("gamma", gamma)?,
        })
    }

    /// The rate of step 0.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// The factor from one rate to the next.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }
}

impl ExponentialLr {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::Shown;
        use crate::method::kind::ValueKind::Number;
        Kind::schedule(
            "exponential",
            &[
                LR,
                Key::new("gamma", Number, Shown("0.95"))
                    .within(Range::POSITIVE)
                    .about("what the rate is multiplied by at each epoch"),
            ],
            "PyTorch's ExponentialLR",
        )
    };
}

impl Schedule for ExponentialLr {
    fn lr(&self, step: u64) -> f64 {
        geometric(self.lr, self.gamma, step)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExponentialLr {
    lr: f64,
    gamma: f64,
}

impl ExponentialLr {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawExponentialLr, _>()
    }
}

impl TryFrom<RawExponentialLr> for ExponentialLr {
    type Error = ConfigError;

    fn try_from(raw: RawExponentialLr) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.gamma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_factor_into_the_far_future() -> Result<(), ConfigError> {
        let schedule = ExponentialLr::new(1.0, 0.5)?;
        assert_eq!(
            [0, 1, 10, 1074, u64::MAX].map(|step| schedule.lr(step)),
            [1.0, 0.5, 1.0 / 1024.0, 5e-324, 0.0]
        );
        assert_eq!(ExponentialLr::new(1e-8, 1.0)?.lr(u64::MAX), 1e-8);
        assert_eq!(ExponentialLr::new(1e-8, 1.01)?.lr(u64::MAX), f64::MAX);
        Ok(())
    }

    #[test]
    fn gamma_is_positive_and_finite() {
        for gamma in [f64::MIN_POSITIVE, 0.9, 1.0, f64::MAX] {
            assert!(ExponentialLr::new(0.1, gamma).is_ok(), "{gamma}");
        }
        for gamma in [0.0, -0.9, f64::NAN, f64::INFINITY] {
            let error = ExponentialLr::new(0.1, gamma).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "gamma = {}: must be positive and finite",
                    crate::short::Short(gamma)
                )
            );
        }
        assert!(ExponentialLr::new(0.0, 0.9).is_err());
    }
}
