//! A constant rate, plain or smaller for the first steps.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::range::{at_least_one, checked_lr, unit_interval};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `ConstantLR`: `lr · factor` for the first `total_iters` steps, `lr` from then on.
///
/// With PyTorch's defaults (`factor` 1/3, `total_iters` 5) it is the paper's schedule "constant"
/// (section 3.1).
///
/// `factor` may be 0, as in PyTorch. The rate then comes back to `lr` here, where PyTorch's recursion
/// divides by zero.
///
/// ```
/// use autolr_core::schedule::{ConstantLr, Schedule};
///
/// let schedule = ConstantLr::new(0.005, 0.5, 5)?;
/// assert_eq!(schedule.lr(4), 0.0025);
/// assert_eq!(schedule.lr(5), 0.005);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConstantLr")]
pub struct ConstantLr {
    lr: f64,
    factor: f64,
    total_iters: u64,
}

impl ConstantLr {
    /// PyTorch's default of `factor`.
    pub const DEFAULT_FACTOR: f64 = 1.0 / 3.0;
    /// PyTorch's default of `total_iters`.
    pub const DEFAULT_TOTAL_ITERS: u64 = 5;

    /// A schedule of base rate `lr`, times `factor` (dimensionless) for `total_iters` steps.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite, `factor` lies in [0, 1] and
    /// `total_iters` is at least 1.
    pub fn new(lr: f64, factor: f64, total_iters: u64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: checked_lr(lr)?,
            factor: unit_interval("factor", factor)?,
            total_iters: at_least_one("total_iters", total_iters)?,
        })
    }

    /// The schedule of base rate `lr` with PyTorch's defaults for the rest.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite.
    pub fn with_defaults(lr: f64) -> Result<Self, ConfigError> {
        Self::new(lr, Self::DEFAULT_FACTOR, Self::DEFAULT_TOTAL_ITERS)
    }

    /// The rate from step `total_iters` on.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// The factor on the rate of the first steps.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// How many steps have the factor.
    pub fn total_iters(&self) -> u64 {
        self.total_iters
    }
}

impl ConstantLr {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::Core;
        use crate::method::kind::ValueKind::{Length, Number};
        Kind::schedule(
            "constant",
            &[
                LR,
                Key::new("factor", Number, Core("1/3"))
                    .within(Range::UNIT)
                    .about("on the rate of the first epochs"),
                Key::new("total_iters", Length, Core("5"))
                    .within(Range::AT_LEAST_ONE)
                    .about("how many epochs have the factor"),
            ],
            "PyTorch's ConstantLR",
        )
    };
}

impl Schedule for ConstantLr {
    fn lr(&self, step: u64) -> f64 {
        if step < self.total_iters {
            self.lr * self.factor
        } else {
            self.lr
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConstantLr {
    lr: f64,
    #[serde(default = "default_factor")]
    factor: f64,
    #[serde(default = "default_total_iters")]
    total_iters: u64,
}

fn default_factor() -> f64 {
    ConstantLr::DEFAULT_FACTOR
}

fn default_total_iters() -> u64 {
    ConstantLr::DEFAULT_TOTAL_ITERS
}

impl ConstantLr {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawConstantLr, _>()
    }
}

impl TryFrom<RawConstantLr> for ConstantLr {
    type Error = ConfigError;

    fn try_from(raw: RawConstantLr) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.factor, raw.total_iters)
    }
}

/// The same rate at every step: training without a scheduler.
///
/// Not to be confused with PyTorch's `ConstantLR` (here [`ConstantLr`]), which starts with a
/// smaller rate.
///
/// ```
/// use autolr_core::schedule::{Fixed, Schedule};
///
/// let schedule = Fixed::new(0.005)?;
/// assert_eq!(schedule.lr(1_000), 0.005);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawFixed")]
pub struct Fixed {
    lr: f64,
}

impl Fixed {
    /// The schedule whose every rate is `lr`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite.
    pub fn new(lr: f64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: checked_lr(lr)?,
        })
    }

    /// The rate.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }
}

impl Fixed {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = { Kind::schedule("fixed", &[LR], "the same rate throughout") };
}

impl Schedule for Fixed {
    fn lr(&self, _step: u64) -> f64 {
        self.lr
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFixed {
    lr: f64,
}

impl Fixed {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawFixed, _>()
    }
}

impl TryFrom<RawFixed> for Fixed {
    type Error = ConfigError;

    fn try_from(raw: RawFixed) -> Result<Self, ConfigError> {
        Self::new(raw.lr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_ends_with_step_total_iters() -> Result<(), ConfigError> {
        let schedule = ConstantLr::with_defaults(0.005)?;
        let warm_up = 0.005 * (1.0 / 3.0);
        assert_eq!(
            [0, 4, 5, u64::MAX].map(|step| schedule.lr(step)),
            [warm_up, warm_up, 0.005, 0.005]
        );
        let schedule = ConstantLr::new(0.005, 0.0, u64::MAX)?;
        assert_eq!(
            [0, u64::MAX - 1, u64::MAX].map(|step| schedule.lr(step)),
            [0.0, 0.0, 0.005]
        );
        Ok(())
    }

    #[test]
    fn the_factor_lies_in_the_closed_unit_interval() {
        for factor in [0.0, 0.5, 1.0] {
            assert!(ConstantLr::new(0.1, factor, 1).is_ok(), "{factor}");
        }
        for factor in [
            -f64::MIN_POSITIVE,
            1.0 + f64::EPSILON,
            f64::NAN,
            f64::INFINITY,
        ] {
            let error = ConstantLr::new(0.1, factor, 1).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "factor = {}: must lie in [0, 1]",
                    crate::short::Short(factor)
                )
            );
        }
        assert_eq!(
            ConstantLr::new(0.1, 0.5, 0),
            Err(ConfigError::Value {
                key: "total_iters",
                value: 0.0,
                rule: "must be at least 1"
            })
        );
    }
}
