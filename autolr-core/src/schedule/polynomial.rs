//! A power of the steps that are left.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::range::{at_least_one, checked_lr, not_negative};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `PolynomialLR`: a power of the share of the steps that are left, down to zero at step
/// `total_iters`.
///
/// `lr(t) = lr · (1 − min(t, total_iters) / total_iters)^power`
///
/// With `power` 1 it is [`LinearDecay`](super::LinearDecay); a power above 1 falls faster at first,
/// one below 1 faster at the end, and with 0 the rate stays `lr`.
///
/// ```
/// use autolr_core::schedule::{PolynomialLr, Schedule};
///
/// let schedule = PolynomialLr::new(0.8, 4, 2.0)?;
/// assert_eq!(schedule.lr(0), 0.8);
/// assert_eq!(schedule.lr(2), 0.2);
/// assert_eq!(schedule.lr(4), 0.0);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// L.-C. Chen et al.: DeepLab, arXiv:1606.00915, whose "poly" policy has power 0.9.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPolynomialLr")]
pub struct PolynomialLr {
    lr: f64,
    total_iters: u64,
    power: f64,
}

impl PolynomialLr {
    /// PyTorch's default of `total_iters`.
    pub const DEFAULT_TOTAL_ITERS: u64 = 5;
    /// PyTorch's default of `power`.
    pub const DEFAULT_POWER: f64 = 1.0;

    /// A schedule of base rate `lr` that falls to zero over `total_iters` steps, as the `power`-th
    /// power (dimensionless) of what is left.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite, `total_iters` is at least 1, and
    /// `power` is finite and not negative. PyTorch checks none of these; with a negative power it
    /// ends in an infinite rate.
    pub fn new(lr: f64, total_iters: u64, power: f64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: checked_lr(lr)?,
            total_iters: at_least_one("total_iters", total_iters)?,
            power: not_negative("power", power)?,
        })
    }

    /// The schedule of base rate `lr` with PyTorch's defaults for the rest.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite.
    pub fn with_defaults(lr: f64) -> Result<Self, ConfigError> {
        Self::new(lr, Self::DEFAULT_TOTAL_ITERS, Self::DEFAULT_POWER)
    }

    /// The rate of step 0.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// The first step whose rate is zero.
    pub fn total_iters(&self) -> u64 {
        self.total_iters
    }

    /// The exponent.
    pub fn power(&self) -> f64 {
        self.power
    }
}

impl PolynomialLr {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::Core;
        use crate::method::kind::ValueKind::{Length, Number};
        Kind::schedule(
            "polynomial",
            &[
                LR,
                Key::new("total_iters", Length, Core("5"))
                    .within(Range::AT_LEAST_ONE)
                    .about("epochs until the rate is zero"),
                Key::new("power", Number, Core("1"))
                    .within(Range::NOT_NEGATIVE)
                    .about("of the share of epochs that are left"),
            ],
            "PyTorch's PolynomialLR",
        )
    };
}

impl Schedule for PolynomialLr {
    fn lr(&self, step: u64) -> f64 {
        // The difference of the whole numbers is exact, where 1 − t / total_iters cancels.
        let left = self.total_iters.saturating_sub(step) as f64 / self.total_iters as f64;
        self.lr * libm::pow(left, self.power)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolynomialLr {
    lr: f64,
    #[serde(default = "default_total_iters")]
    total_iters: u64,
    #[serde(default = "default_power")]
    power: f64,
}

fn default_total_iters() -> u64 {
    PolynomialLr::DEFAULT_TOTAL_ITERS
}

fn default_power() -> f64 {
    PolynomialLr::DEFAULT_POWER
}

impl PolynomialLr {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawPolynomialLr, _>()
    }
}

impl TryFrom<RawPolynomialLr> for PolynomialLr {
    type Error = ConfigError;

    fn try_from(raw: RawPolynomialLr) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.total_iters, raw.power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_zero_from_total_iters_on() -> Result<(), ConfigError> {
        let schedule = PolynomialLr::with_defaults(1.0)?;
        assert_eq!(
            [0, 1, 4, 5, 6, u64::MAX].map(|step| schedule.lr(step)),
            [1.0, 0.8, 0.2, 0.0, 0.0, 0.0]
        );
        // Exact to the last step of the longest training: one step of 2⁶⁴ is left.
        let schedule = PolynomialLr::new(1.0, u64::MAX, 1.0)?;
        assert_eq!(schedule.lr(u64::MAX - 1), 1.0 / 2_f64.powi(64));
        assert_eq!(schedule.lr(u64::MAX), 0.0);
        Ok(())
    }

    #[test]
    fn the_extreme_powers_are_a_constant_and_a_fall() -> Result<(), ConfigError> {
        let schedule = PolynomialLr::new(0.3, 5, 0.0)?;
        assert_eq!([0, 4, 5, 6].map(|step| schedule.lr(step)), [0.3; 4]);
        let schedule = PolynomialLr::new(0.3, 5, f64::MAX)?;
        assert_eq!([0, 1, 5].map(|step| schedule.lr(step)), [0.3, 0.0, 0.0]);
        Ok(())
    }

    #[test]
    fn the_power_is_finite_and_not_negative() {
        for power in [0.0, 0.5, 1.0, f64::MAX] {
            assert!(PolynomialLr::new(0.1, 1, power).is_ok(), "{power}");
        }
        for power in [-f64::MIN_POSITIVE, f64::NAN, f64::INFINITY] {
            let error = PolynomialLr::new(0.1, 1, power).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "power = {}: must be finite and not negative",
                    crate::short::Short(power)
                )
            );
        }
        let error = PolynomialLr::new(0.1, 0, 1.0).unwrap_err().to_string();
        assert_eq!(error, "total_iters = 0: must be at least 1");
        assert!(PolynomialLr::new(-0.1, 1, 1.0).is_err());
    }
}
