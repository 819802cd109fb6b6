//! A straight rise to where another schedule begins.

use serde::{Deserialize, Serialize};

use super::config::composable;
use super::curve::{interpolate, share};
use super::range::{at_least_one, unit_interval};
use super::{Schedule, ScheduleConfig};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, Range};
use crate::value::Table;
use crate::value::read::SettingsError;
use crate::value::within::Within;

/// A linear warm-up over `steps` steps, then another schedule on its own clock.
///
/// With s(t) for the schedule that is warmed up to:
///
/// `lr(t) = s(0) · (start_factor + (1 − start_factor) · t / steps)` for t < `steps`, and
/// `lr(t) = s(t − steps)` from step `steps` on.
///
/// It is PyTorch's `SequentialLR` of a `LinearLR` and the schedule, except that the warm-up ends
/// where the schedule begins also if that is not the base rate. `start_factor` may be 0, which
/// `LinearLR` refuses; step 0 then leaves the weights as they are.
///
/// ```
/// use autolr_core::schedule::{CosineAnnealingLr, Schedule, WarmUp};
///
/// let schedule = WarmUp::new(4, 0.0, CosineAnnealingLr::new(0.8, 100, 0.0)?)?;
/// assert_eq!([0, 1, 2, 3, 4].map(|step| schedule.lr(step)), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8]);
/// assert_eq!(schedule.lr(104), 0.0);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// P. Goyal et al.: Accurate, Large Minibatch SGD, arXiv:1706.02677, section 2.2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawWarmUp")]
pub struct WarmUp {
    steps: u64,
    start_factor: f64,
    schedule: Box<ScheduleConfig>,
}

impl WarmUp {
    /// PyTorch's default of `LinearLR`'s `start_factor`, so that a warm-up with defaults is
    /// `SequentialLR` of a `LinearLR` with defaults.
    pub const DEFAULT_START_FACTOR: f64 = 1.0 / 3.0;

    /// A rise over `steps` steps, from `start_factor` (dimensionless) times the first rate of
    /// `schedule` up to it, and `schedule` from there.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `steps` is at least 1 and `start_factor` lies in [0, 1];
    /// [`ConfigError::Nesting`] if `schedule` is nested too deep already.
    pub fn new(
        steps: u64,
        start_factor: f64,
        schedule: impl Into<ScheduleConfig>,
    ) -> Result<Self, ConfigError> {
        let schedule = schedule.into();
        let steps = at_least_one("steps", steps)?;
        let start_factor = unit_interval("start_factor", start_factor)?;
        composable(std::slice::from_ref(&schedule))?;
        Ok(Self {
            steps,
            start_factor,
            schedule: Box::new(schedule),
        })
    }

    /// How many steps the rise takes.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The factor at step 0.
    pub fn start_factor(&self) -> f64 {
        self.start_factor
    }

    /// What comes after the rise.
    pub fn schedule(&self) -> &ScheduleConfig {
        &self.schedule
    }
}

impl WarmUp {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::{Core, Required};
        use crate::method::kind::ValueKind::{Length, Number, Schedule};
        Kind::schedule(
            "warm-up",
            &[
                Key::new("steps", Length, Required)
                    .within(Range::AT_LEAST_ONE)
                    .about("epochs of the rise"),
                Key::new("start_factor", Number, Core("1/3"))
                    .within(Range::UNIT)
                    .about("where it begins, of the first rate of `schedule`"),
                Key::new("schedule", Schedule, Required)
                    .about("what comes after it, on its own clock"),
            ],
            "a rise, then another schedule",
        )
    };
}

impl Schedule for WarmUp {
    fn lr(&self, step: u64) -> f64 {
        match step.checked_sub(self.steps) {
            Some(step) => self.schedule.lr(step),
            None => {
                let factor = interpolate(self.start_factor, 1.0, share(step, self.steps));
                self.schedule.lr(0) * factor
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWarmUp {
    steps: u64,
    #[serde(default = "default_start_factor")]
    start_factor: f64,
    schedule: Within<ScheduleConfig>,
}

fn default_start_factor() -> f64 {
    WarmUp::DEFAULT_START_FACTOR
}

impl WarmUp {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawWarmUp, _>()
    }
}

impl TryFrom<RawWarmUp> for WarmUp {
    type Error = SettingsError;

    fn try_from(raw: RawWarmUp) -> Result<Self, SettingsError> {
        let schedule = raw.schedule.at("schedule")?;
        Ok(Self::new(raw.steps, raw.start_factor, schedule)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{ConstantLr, Fixed, StepLr};

    #[test]
    fn the_schedule_begins_where_the_rise_ends() -> Result<(), ConfigError> {
        let inner = StepLr::new(0.8, 2, 0.5)?;
        let schedule = WarmUp::new(4, 0.5, inner)?;
        assert_eq!(
            [0, 1, 2, 3].map(|step| schedule.lr(step)),
            [0.4, 0.5, 0.6000000000000001, 0.7000000000000001]
        );
        for step in [0, 1, 2, 3, u64::MAX - 4] {
            assert_eq!(schedule.lr(4 + step), inner.lr(step), "{step}");
        }
        Ok(())
    }

    #[test]
    fn the_rise_goes_up_to_the_first_rate_of_the_schedule() -> Result<(), ConfigError> {
        // Whose first rate is a quarter of its base rate.
        let inner = ConstantLr::new(0.8, 0.25, 10)?;
        let schedule = WarmUp::new(2, 0.0, inner)?;
        assert_eq!(
            [0, 1, 2, 11, 12].map(|step| schedule.lr(step)),
            [0.0, 0.1, 0.2, 0.2, 0.8]
        );
        Ok(())
    }

    #[test]
    fn the_longest_rise_is_defined_throughout() -> Result<(), ConfigError> {
        let schedule = WarmUp::new(u64::MAX, 0.0, Fixed::new(f64::MAX)?)?;
        assert_eq!(schedule.lr(0), 0.0);
        assert_eq!(schedule.lr(u64::MAX), f64::MAX);
        let flat = WarmUp::new(3, 1.0, Fixed::new(0.3)?)?;
        assert_eq!([0, 1, 2, 3].map(|step| flat.lr(step)), [0.3; 4]);
        Ok(())
    }

    #[test]
    fn the_start_factor_lies_in_the_closed_unit_interval() -> Result<(), ConfigError> {
        let fixed = Fixed::new(0.1)?;
        for factor in [0.0, 0.5, 1.0] {
            assert!(WarmUp::new(1, factor, fixed).is_ok(), "{factor}");
        }
        for factor in [-f64::MIN_POSITIVE, 1.0 + f64::EPSILON, f64::NAN] {
            let error = WarmUp::new(1, factor, fixed).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "start_factor = {}: must lie in [0, 1]",
                    crate::short::Short(factor)
                )
            );
        }
        let error = WarmUp::new(0, 0.5, fixed).unwrap_err().to_string();
        assert_eq!(error, "steps = 0: must be at least 1");
        Ok(())
    }
}
