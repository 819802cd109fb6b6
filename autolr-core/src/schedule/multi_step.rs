//! A constant factor at each of some steps.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::geometric;
use super::range::{checked_lr, positive};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `MultiStepLR`: the rate is multiplied by `gamma` at each milestone.
///
/// `lr(t) = lr · gamma^(number of milestones ≤ t)`
///
/// A milestone that stands in the list twice counts twice, one at step 0 counts from the start, and
/// the order of the list does not matter, all as in PyTorch. PyTorch has no default for
/// `milestones`; half and three quarters of the training is a usual choice. A `gamma` above 1 is a
/// schedule that grows. A rate below the smallest number is 0, and one above the largest is
/// [`f64::MAX`].
///
/// ```
/// use autolr_core::schedule::{MultiStepLr, Schedule};
///
/// let schedule = MultiStepLr::new(0.8, vec![30, 80], 0.5)?;
/// assert_eq!(schedule.lr(29), 0.8);
/// assert_eq!(schedule.lr(30), 0.4);
/// assert_eq!(schedule.lr(80), 0.2);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// K. He et al.: Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2: a
/// tenth of the rate at 32,000 and at 48,000 of 64,000 steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawMultiStepLr")]
pub struct MultiStepLr {
    lr: f64,
    /// In ascending order.
    milestones: Vec<u64>,
    gamma: f64,
}

impl MultiStepLr {
    /// PyTorch's default of `gamma`.
    pub const DEFAULT_GAMMA: f64 = 0.1;

    /// A schedule of base rate `lr`, times `gamma` (dimensionless) at each of the steps
    /// `milestones`. Without milestones the rate stays `lr`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` and `gamma` are positive and finite. PyTorch checks
    /// neither.
    pub fn new(lr: f64, mut milestones: Vec<u64>, gamma: f64) -> Result<Self, ConfigError> {
        milestones.sort_unstable();
        Ok(Self {
            lr: checked_lr(lr)?,
            milestones,
            gamma: positive("gamma", gamma)?,
        })
    }

    /// The rate before the first milestone.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// The steps from which another factor counts, in ascending order.
    pub fn milestones(&self) -> &[u64] {
        &self.milestones
    }

    /// The factor of a milestone.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }
}

impl MultiStepLr {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::{Core, Shown};
        use crate::method::kind::ValueKind::{Milestones, Number};
        Kind::schedule(
            "multi-step",
            &[
                LR,
                Key::new("milestones", Milestones, Shown("50,75"))
                    .about("the epochs at which the rate falls"),
                Key::new("gamma", Number, Core("0.1"))
                    .within(Range::POSITIVE)
                    .about("what the rate is multiplied by"),
            ],
            "PyTorch's MultiStepLR",
        )
    };
}

impl Schedule for MultiStepLr {
    fn lr(&self, step: u64) -> f64 {
        let passed = self
            .milestones
            .partition_point(|&milestone| milestone <= step);
        geometric(self.lr, self.gamma, passed as u64)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMultiStepLr {
    lr: f64,
    milestones: Vec<u64>,
    #[serde(default = "default_gamma")]
    gamma: f64,
}

fn default_gamma() -> f64 {
    MultiStepLr::DEFAULT_GAMMA
}

impl MultiStepLr {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawMultiStepLr, _>()
    }
}

impl TryFrom<RawMultiStepLr> for MultiStepLr {
    type Error = ConfigError;

    fn try_from(raw: RawMultiStepLr) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.milestones, raw.gamma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_milestone_counts_from_its_own_step_on_and_as_often_as_it_stands_there()
    -> Result<(), ConfigError> {
        let schedule = MultiStepLr::new(1.0, vec![7, 3, 7, u64::MAX], 0.5)?;
        assert_eq!(schedule.milestones(), [3, 7, 7, u64::MAX]);
        assert_eq!(
            [0, 2, 3, 6, 7, u64::MAX - 1, u64::MAX].map(|step| schedule.lr(step)),
            [1.0, 1.0, 0.5, 0.5, 0.125, 0.125, 0.0625]
        );
        assert_eq!(MultiStepLr::new(1.0, vec![0], 0.5)?.lr(0), 0.5);
        assert_eq!(MultiStepLr::new(1.0, vec![], 0.5)?.lr(u64::MAX), 1.0);
        Ok(())
    }

    #[test]
    fn many_milestones_end_at_zero_or_the_largest_number() -> Result<(), ConfigError> {
        assert_eq!(MultiStepLr::new(1.0, vec![1; 5000], 0.5)?.lr(1), 0.0);
        assert_eq!(MultiStepLr::new(1.0, vec![1; 5000], 2.0)?.lr(1), f64::MAX);
        Ok(())
    }

    #[test]
    fn gamma_is_positive_and_finite() {
        for gamma in [f64::MIN_POSITIVE, 0.1, 1.0, f64::MAX] {
            assert!(MultiStepLr::new(0.1, vec![1], gamma).is_ok(), "{gamma}");
        }
        for gamma in [0.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = MultiStepLr::new(0.1, vec![1], gamma).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "gamma = {}: must be positive and finite",
                    crate::short::Short(gamma)
                )
            );
        }
        assert!(MultiStepLr::new(f64::INFINITY, vec![1], 0.1).is_err());
    }
}
