//! Straight lines: PyTorch's warm-up, and the decay to zero.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::{interpolate, share};
use super::range::{at_least_one, checked, checked_lr, unit_interval};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `LinearLR`: a factor that runs straight from `start_factor` to `end_factor` over
/// `total_iters` steps.
///
/// `lr(t) = lr · (start_factor + (end_factor − start_factor) · min(t, total_iters) / total_iters)`
///
/// With PyTorch's defaults (1/3, 1, 5) it is the paper's schedule "linear" (section 3.1): a
/// warm-up, no decay. For a decay to zero see [`LinearDecay`].
///
/// ```
/// use autolr_core::schedule::{LinearLr, Schedule};
///
/// let schedule = LinearLr::new(0.005, 0.5, 1.0, 4)?;
/// assert_eq!(schedule.lr(0), 0.0025);
/// assert_eq!(schedule.lr(2), 0.00375);
/// assert_eq!(schedule.lr(4), 0.005);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawLinearLr")]
pub struct LinearLr {
    lr: f64,
    start_factor: f64,
    end_factor: f64,
    total_iters: u64,
}

impl LinearLr {
    /// PyTorch's default of `start_factor`.
    pub const DEFAULT_START_FACTOR: f64 = 1.0 / 3.0;
    /// PyTorch's default of `end_factor`.
    pub const DEFAULT_END_FACTOR: f64 = 1.0;
    /// PyTorch's default of `total_iters`.
    pub const DEFAULT_TOTAL_ITERS: u64 = 5;

    /// A schedule of base rate `lr`, whose factor (dimensionless) runs from `start_factor` at step
    /// 0 to `end_factor` at step `total_iters` and stays there.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite, `start_factor` lies in (0, 1],
    /// `end_factor` in [0, 1], and `total_iters` is at least 1.
    pub fn new(
        lr: f64,
        start_factor: f64,
        end_factor: f64,
        total_iters: u64,
    ) -> Result<Self, ConfigError> {
        let lr = checked_lr(lr)?;
        let start_factor = checked(
            "start_factor",
            start_factor,
            start_factor > 0.0 && start_factor <= 1.0,
            "must lie in (0, 1]",
        )?;
        Ok(Self {
            lr,
            start_factor,
            end_factor: unit_interval("end_factor", end_factor)?,
            total_iters: at_least_one("total_iters", total_iters)?,
        })
    }

    /// The schedule of base rate `lr` with PyTorch's defaults for the rest.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite.
    pub fn with_defaults(lr: f64) -> Result<Self, ConfigError> {
        Self::new(
            lr,
            Self::DEFAULT_START_FACTOR,
            Self::DEFAULT_END_FACTOR,
            Self::DEFAULT_TOTAL_ITERS,
        )
    }

    /// The rate that the factors multiply.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// The factor at step 0.
    pub fn start_factor(&self) -> f64 {
        self.start_factor
    }

    /// The factor from step `total_iters` on.
    pub fn end_factor(&self) -> f64 {
        self.end_factor
    }

    /// How many steps the line takes.
    pub fn total_iters(&self) -> u64 {
        self.total_iters
    }
}

impl LinearLr {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::Core;
        use crate::method::kind::ValueKind::{Length, Number};
        Kind::schedule(
            "linear",
            &[
                LR,
                Key::new("start_factor", Number, Core("1/3"))
                    .within(Range::new(0.0, 1.0, "must lie in (0, 1]").without_least())
                    .about("on the first rate"),
                Key::new("end_factor", Number, Core("1"))
                    .within(Range::UNIT)
                    .about("on the last rate"),
                Key::new("total_iters", Length, Core("5"))
                    .within(Range::AT_LEAST_ONE)
                    .about("epochs from one to the other"),
            ],
            "PyTorch's LinearLR",
        )
    };
}

impl Schedule for LinearLr {
    fn lr(&self, step: u64) -> f64 {
        self.lr
            * interpolate(
                self.start_factor,
                self.end_factor,
                share(step, self.total_iters),
            )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLinearLr {
    lr: f64,
    #[serde(default = "default_start_factor")]
    start_factor: f64,
    #[serde(default = "default_end_factor")]
    end_factor: f64,
    #[serde(default = "default_total_iters")]
    total_iters: u64,
}

fn default_start_factor() -> f64 {
    LinearLr::DEFAULT_START_FACTOR
}

fn default_end_factor() -> f64 {
    LinearLr::DEFAULT_END_FACTOR
}

fn default_total_iters() -> u64 {
    LinearLr::DEFAULT_TOTAL_ITERS
}

impl LinearLr {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawLinearLr, _>()
    }
}

impl TryFrom<RawLinearLr> for LinearLr {
    type Error = ConfigError;

    fn try_from(raw: RawLinearLr) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.start_factor, raw.end_factor, raw.total_iters)
    }
}

/// A straight line from `lr` at step 0 to zero at step `total_iters`: `lr(t) = lr · max(0, 1 − t
/// / total_iters)`.
///
/// It is PyTorch's `PolynomialLR` with `power` 1, and what the words "linear decay" of the paper's
/// introduction (section 1.1) mean elsewhere; the paper's own "linear" is [`LinearLr`].
///
/// ```
/// use autolr_core::schedule::{LinearDecay, Schedule};
///
/// let schedule = LinearDecay::new(0.005, 100)?;
/// assert_eq!(schedule.lr(50), 0.0025);
/// assert_eq!(schedule.lr(100), 0.0);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawLinearDecay")]
pub struct LinearDecay {
    lr: f64,
    total_iters: u64,
}

impl LinearDecay {
    /// The line from `lr` at step 0 to zero at step `total_iters`, zero from then on.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite and `total_iters` is at least 1.
    pub fn new(lr: f64, total_iters: u64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: checked_lr(lr)?,
            total_iters: at_least_one("total_iters", total_iters)?,
        })
    }

    /// The rate at step 0.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// The first step whose rate is zero.
    pub fn total_iters(&self) -> u64 {
        self.total_iters
    }
}

impl LinearDecay {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::RunLength;
        use crate::method::kind::ValueKind::Length;
        Kind::schedule(
            "linear-decay",
            &[
                LR,
                Key::new("total_iters", Length, RunLength)
                    .within(Range::AT_LEAST_ONE)
                    .about("epochs until the rate is zero"),
            ],
            "a straight line to zero",
        )
    };
}

impl Schedule for LinearDecay {
    fn lr(&self, step: u64) -> f64 {
        // The difference of the whole numbers is exact, where 1 − t / total_iters cancels.
        let left = self.total_iters.saturating_sub(step);
        self.lr * (left as f64 / self.total_iters as f64)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLinearDecay {
    lr: f64,
    total_iters: u64,
}

impl LinearDecay {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawLinearDecay, _>()
    }
}

impl TryFrom<RawLinearDecay> for LinearDecay {
    type Error = ConfigError;

    fn try_from(raw: RawLinearDecay) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.total_iters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_exact_at_its_ends() -> Result<(), ConfigError> {
        let schedule = LinearLr::new(0.005, 0.25, 0.75, 3)?;
        assert_eq!(schedule.lr(0), 0.005 * 0.25);
        assert_eq!(
            [3, 4, u64::MAX].map(|step| schedule.lr(step)),
            [0.005 * 0.75; 3]
        );
        let schedule = LinearDecay::new(0.005, 3)?;
        assert_eq!(schedule.lr(0), 0.005);
        assert_eq!([3, 4, u64::MAX].map(|step| schedule.lr(step)), [0.0; 3]);
        Ok(())
    }

    #[test]
    fn the_decay_does_not_cancel_at_its_end() -> Result<(), ConfigError> {
        assert_eq!(LinearDecay::new(1.0, 10)?.lr(9), 0.1);
        assert_eq!(
            LinearDecay::new(1.0, 1 << 53)?.lr((1 << 53) - 1),
            f64::EPSILON / 2.0
        );
        Ok(())
    }

    #[test]
    fn a_line_between_equal_factors_is_flat() -> Result<(), ConfigError> {
        let schedule = LinearLr::new(0.005, 0.3, 0.3, 7)?;
        for step in 0..10 {
            assert_eq!(schedule.lr(step), 0.005 * 0.3, "step {step}");
        }
        Ok(())
    }

    #[test]
    fn the_start_factor_excludes_zero_and_the_end_factor_does_not() {
        for (start, end) in [(f64::MIN_POSITIVE, 0.0), (1.0, 1.0), (1.0, 0.0)] {
            assert!(LinearLr::new(0.1, start, end, 1).is_ok(), "{start} {end}");
        }
        for start in [0.0, -0.5, 1.0 + f64::EPSILON, f64::NAN] {
            let error = LinearLr::new(0.1, start, 1.0, 1).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "start_factor = {}: must lie in (0, 1]",
                    crate::short::Short(start)
                )
            );
        }
        for end in [-f64::MIN_POSITIVE, 1.0 + f64::EPSILON, f64::NAN] {
            let error = LinearLr::new(0.1, 1.0, end, 1).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "end_factor = {}: must lie in [0, 1]",
                    crate::short::Short(end)
                )
            );
        }
        assert!(LinearLr::new(0.1, 1.0, 1.0, 0).is_err());
        assert!(LinearDecay::new(0.1, 0).is_err());
    }
}
