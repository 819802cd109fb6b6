//! Open-loop schedules: pure functions from the epoch to the learning rate, blind to the losses.
//!
//! They are the baselines that the paper compares its scheduler with (section 3.1, table 1):
//! PyTorch's `ConstantLR`, `LinearLR`, `CosineAnnealingLR` and `StepLR` "with PyTorch's default
//! value except for learning rate". Where PyTorch computes each rate from the one before it, these
//! are closed forms, so any epoch may be asked for in any order; the two agree to within PyTorch's
//! accumulated rounding.
//!
//! Rates are learning rates for one epoch (a factor on the gradient, in the units of weight per
//! gradient), and epochs count from 0. No epoch gives a NaN, an infinity, a negative rate or a
//! panic.
//!
//! | kind | type | PyTorch | parameters with a default |
//! |---|---|---|---|
//! | `constant` | [`ConstantLr`] | `ConstantLR` | `factor` 1/3, `total_iters` 5 |
//! | `linear` | [`LinearLr`] | `LinearLR` | `start_factor` 1/3, `end_factor` 1, `total_iters` 5 |
//! | `cosine` | [`CosineAnnealingLr`] | `CosineAnnealingLR` | `eta_min` 0 |
//! | `step` | [`StepLr`] | `StepLR` | `gamma` 0.1 |
//! | `fixed` | [`Fixed`] | no scheduler | |
//! | `linear-decay` | [`LinearDecay`] | `PolynomialLR` with `power` 1 | |

mod constant;
mod cosine;
mod linear;
mod step;

pub use constant::{ConstantLr, Fixed};
pub use cosine::CosineAnnealingLr;
pub use linear::{LinearDecay, LinearLr};
pub use step::StepLr;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// A learning rate that depends on the epoch alone.
pub trait Schedule {
    /// The learning rate of `epoch`, counted from 0: finite and non-negative for every epoch.
    fn lr(&self, epoch: u64) -> f64;
}

impl<S: Schedule + ?Sized> Schedule for &S {
    fn lr(&self, epoch: u64) -> f64 {
        (**self).lr(epoch)
    }
}

impl<S: Schedule + ?Sized> Schedule for Box<S> {
    fn lr(&self, epoch: u64) -> f64 {
        (**self).lr(epoch)
    }
}

/// Any of the schedules, as a configuration file names it.
///
/// The key `kind` says which one; the other keys are that schedule's own. Each variant holds a
/// validated schedule, so a configuration out of range, or with a key that its schedule does not
/// have, does not deserialise.
///
/// ```
/// use autolr_core::schedule::{Schedule, ScheduleConfig};
///
/// let json = r#"{ "kind": "step", "lr": 0.005, "step_size": 30 }"#;
/// let step: ScheduleConfig = serde_json::from_str(json)?;
/// assert_eq!(step.lr(29), 0.005);
/// assert_eq!(step.lr(30), 0.005 * 0.1);
///
/// let wrong = serde_json::from_str::<ScheduleConfig>(r#"{ "kind": "fixed", "lr": -1 }"#);
/// assert!(wrong.unwrap_err().to_string().starts_with("lr = -1: "));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ScheduleConfig {
    /// PyTorch's `ConstantLR`: a smaller rate for the first epochs.
    Constant(ConstantLr),
    /// PyTorch's `LinearLR`: a straight line over the first epochs.
    Linear(LinearLr),
    /// PyTorch's `CosineAnnealingLR`: a cosine, without restarts.
    Cosine(CosineAnnealingLr),
    /// PyTorch's `StepLR`: a constant factor every few epochs.
    Step(StepLr),
    /// The same rate at every epoch.
    Fixed(Fixed),
    /// A straight line down to zero.
    LinearDecay(LinearDecay),
}

impl Schedule for ScheduleConfig {
    fn lr(&self, epoch: u64) -> f64 {
        match self {
            Self::Constant(schedule) => schedule.lr(epoch),
            Self::Linear(schedule) => schedule.lr(epoch),
            Self::Cosine(schedule) => schedule.lr(epoch),
            Self::Step(schedule) => schedule.lr(epoch),
            Self::Fixed(schedule) => schedule.lr(epoch),
            Self::LinearDecay(schedule) => schedule.lr(epoch),
        }
    }
}

impl From<ConstantLr> for ScheduleConfig {
    fn from(schedule: ConstantLr) -> Self {
        Self::Constant(schedule)
    }
}

impl From<LinearLr> for ScheduleConfig {
    fn from(schedule: LinearLr) -> Self {
        Self::Linear(schedule)
    }
}

impl From<CosineAnnealingLr> for ScheduleConfig {
    fn from(schedule: CosineAnnealingLr) -> Self {
        Self::Cosine(schedule)
    }
}

impl From<StepLr> for ScheduleConfig {
    fn from(schedule: StepLr) -> Self {
        Self::Step(schedule)
    }
}

impl From<Fixed> for ScheduleConfig {
    fn from(schedule: Fixed) -> Self {
        Self::Fixed(schedule)
    }
}

impl From<LinearDecay> for ScheduleConfig {
    fn from(schedule: LinearDecay) -> Self {
        Self::LinearDecay(schedule)
    }
}

/// Passes a base rate on if it is one.
fn checked_lr(lr: f64) -> Result<f64, ConfigError> {
    positive("lr", lr)
}

fn positive(key: &'static str, value: f64) -> Result<f64, ConfigError> {
    // A comparison with NaN is false: NaN is refused too.
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(ConfigError::Value {
            key,
            value,
            rule: "must be positive and finite",
        })
    }
}

fn unit_interval(key: &'static str, value: f64) -> Result<f64, ConfigError> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::Value {
            key,
            value,
            rule: "must lie in [0, 1]",
        })
    }
}

fn at_least_one(key: &'static str, value: u64) -> Result<u64, ConfigError> {
    if value >= 1 {
        Ok(value)
    } else {
        Err(ConfigError::Value {
            key,
            value: 0.0,
            rule: "must be at least 1",
        })
    }
}

/// `from` at `share` 0 and `to` at `share` 1, both exactly; in between never outside of the two.
fn interpolate(from: f64, to: f64, share: f64) -> f64 {
    // The clamp takes away what rounding adds; the convex form cannot overflow.
    (from * (1.0 - share) + to * share).clamp(from.min(to), from.max(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_rate_is_positive_and_finite() {
        for lr in [f64::MIN_POSITIVE, 0.005, 1.0, f64::MAX] {
            assert!(Fixed::new(lr).is_ok(), "{lr}");
        }
        for lr in [
            0.0,
            -0.0,
            -0.005,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            let error = Fixed::new(lr).unwrap_err().to_string();
            assert_eq!(error, format!("lr = {lr}: must be positive and finite"));
        }
    }

    #[test]
    fn interpolation_is_exact_at_both_ends_and_stays_between_them() {
        for (from, to) in [
            (0.1, 0.7),
            (0.7, 0.1),
            (1.0 / 3.0, 1.0 / 3.0),
            (f64::MAX, 0.0),
            (f64::MAX, f64::MAX),
        ] {
            assert_eq!(interpolate(from, to, 0.0), from);
            assert_eq!(interpolate(from, to, 1.0), to);
            for share in [0.1, 1.0 / 3.0, 0.9] {
                let value = interpolate(from, to, share);
                assert!(
                    from.min(to) <= value && value <= from.max(to),
                    "{from} {to} {share}: {value}"
                );
            }
        }
    }

    #[test]
    fn a_configuration_survives_the_round_trip() -> Result<(), Box<dyn std::error::Error>> {
        let all: [ScheduleConfig; 6] = [
            ConstantLr::with_defaults(0.005)?.into(),
            LinearLr::with_defaults(0.005)?.into(),
            CosineAnnealingLr::new(0.005, 100, 1e-5)?.into(),
            StepLr::new(0.005, 30, 0.5)?.into(),
            Fixed::new(0.005)?.into(),
            LinearDecay::new(0.005, 100)?.into(),
        ];
        let kinds = [
            "constant",
            "linear",
            "cosine",
            "step",
            "fixed",
            "linear-decay",
        ];
        for (schedule, kind) in all.into_iter().zip(kinds) {
            let json = serde_json::to_value(schedule)?;
            assert_eq!(json["kind"], kind);
            assert_eq!(serde_json::from_value::<ScheduleConfig>(json)?, schedule);
        }
        Ok(())
    }

    #[test]
    fn a_configuration_that_is_wrong_says_where() {
        for (json, expected) in [
            (r#"{"kind": "cosin", "lr": 0.1}"#, "unknown variant `cosin`"),
            (
                r#"{"kind": "step", "lr": 0.1}"#,
                "missing field `step_size`",
            ),
            (r#"{"kind": "cosine", "lr": 0.1}"#, "missing field `t_max`"),
            (
                r#"{"kind": "step", "lr": 0.1, "step_size": 3, "gama": 0.1}"#,
                "unknown field `gama`",
            ),
            (
                r#"{"kind": "fixed", "lr": 0.1, "gamma": 0.1}"#,
                "unknown field `gamma`",
            ),
            (
                r#"{"kind": "constant", "lr": 0.1, "factor": 1.5}"#,
                "factor = 1.5: must lie in [0, 1]",
            ),
            (
                r#"{"kind": "linear", "lr": 0.1, "total_iters": 0}"#,
                "total_iters = 0: must be at least 1",
            ),
        ] {
            let error = serde_json::from_str::<ScheduleConfig>(json)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
    }

    #[test]
    fn references_and_boxes_are_schedules() -> Result<(), ConfigError> {
        fn first<S: Schedule>(schedule: S) -> f64 {
            schedule.lr(0)
        }
        let fixed = Fixed::new(0.1)?;
        let boxed: Box<dyn Schedule> = Box::new(fixed);
        assert_eq!(first::<&dyn Schedule>(&fixed), 0.1);
        assert_eq!(first(boxed), 0.1);
        Ok(())
    }
}
