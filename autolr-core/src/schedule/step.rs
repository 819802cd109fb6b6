//! A constant factor every few steps.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::geometric;
use super::range::{at_least_one, checked_lr, positive};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `StepLR`: the rate is multiplied by `gamma` every `step_size` steps.
///
/// `lr(t) = lr · gamma^⌊t / step_size⌋`
///
/// With PyTorch's default (`gamma` 0.1) it is the paper's schedule "step" (section 3.1). PyTorch
/// has no default for `step_size`. A `gamma` above 1 is a schedule that grows. A rate below the
/// smallest number is 0, and one above the largest is [`f64::MAX`].
///
/// ```
/// use autolr_core::schedule::{Schedule, StepLr};
///
/// let schedule = StepLr::new(0.5, 30, 0.5)?;
/// assert_eq!(schedule.lr(29), 0.5);
/// assert_eq!(schedule.lr(30), 0.25);
/// assert_eq!(schedule.lr(60), 0.125);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawStepLr")]
pub struct StepLr {
    lr: f64,
    step_size: u64,
    gamma: f64,
}

impl StepLr {
    /// PyTorch's default of `gamma`.
    pub const DEFAULT_GAMMA: f64 = 0.1;

    /// A schedule of base rate `lr`, times `gamma` (dimensionless) after every `step_size` steps.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` and `gamma` are positive and finite and `step_size` is at
    /// least 1. PyTorch checks none of these; a `gamma` of zero or below gives rates that are no
    /// learning rates.
    pub fn new(lr: f64, step_size: u64, gamma: f64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: checked_lr(lr)?,
            step_size: at_least_one("step_size", step_size)?,
            gamma: positive("gamma", gamma)?,
        })
    }

    /// The rate of the first `step_size` steps.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// How many steps have the same rate.
    pub fn step_size(&self) -> u64 {
        self.step_size
    }

    /// The factor from one rate to the next.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }
}

impl StepLr {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::{Core, Shown};
        use crate::method::kind::ValueKind::{Length, Number};
        Kind::schedule(
            "step",
            &[
                LR,
                Key::new("step_size", Length, Shown("30"))
                    .within(Range::AT_LEAST_ONE)
                    .about("a fall every so many epochs"),
                Key::new("gamma", Number, Core("0.1"))
                    .within(Range::POSITIVE)
                    .about("what the rate is multiplied by"),
            ],
            "PyTorch's StepLR",
        )
    };
}

impl Schedule for StepLr {
    fn lr(&self, step: u64) -> f64 {
        geometric(self.lr, self.gamma, step / self.step_size)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStepLr {
    lr: f64,
    step_size: u64,
    #[serde(default = "default_gamma")]
    gamma: f64,
}

fn default_gamma() -> f64 {
    StepLr::DEFAULT_GAMMA
}

impl StepLr {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawStepLr, _>()
    }
}

impl TryFrom<RawStepLr> for StepLr {
    type Error = ConfigError;

    fn try_from(raw: RawStepLr) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.step_size, raw.gamma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decay_comes_with_the_first_step_of_the_next_period() -> Result<(), ConfigError> {
        let schedule = StepLr::new(1.0, 30, 0.5)?;
        assert_eq!(
            [0, 29, 30, 59, 60].map(|step| schedule.lr(step)),
            [1.0, 1.0, 0.5, 0.5, 0.25]
        );
        let schedule = StepLr::new(1.0, u64::MAX, 0.5)?;
        assert_eq!(
            [0, u64::MAX - 1, u64::MAX].map(|step| schedule.lr(step)),
            [1.0, 1.0, 0.5]
        );
        Ok(())
    }

    #[test]
    fn the_far_future_is_zero_or_the_largest_number() -> Result<(), ConfigError> {
        assert_eq!(StepLr::new(1.0, 1, 0.9)?.lr(u64::MAX), 0.0);
        assert_eq!(StepLr::new(1.0, 1, 1.0)?.lr(u64::MAX), 1.0);
        assert_eq!(
            StepLr::new(f64::MIN_POSITIVE, 1, 1.1)?.lr(u64::MAX),
            f64::MAX
        );
        assert_eq!(StepLr::new(f64::MAX, 1, 1.5)?.lr(1), f64::MAX);
        Ok(())
    }

    #[test]
    fn gamma_is_positive_and_finite_and_a_period_takes_a_step() {
        for gamma in [f64::MIN_POSITIVE, 0.1, 1.0, 2.0] {
            assert!(StepLr::new(0.1, 1, gamma).is_ok(), "{gamma}");
        }
        for gamma in [0.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = StepLr::new(0.1, 1, gamma).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "gamma = {}: must be positive and finite",
                    crate::short::Short(gamma)
                )
            );
        }
        let error = StepLr::new(0.1, 0, 0.1).unwrap_err().to_string();
        assert_eq!(error, "step_size = 0: must be at least 1");
    }
}
