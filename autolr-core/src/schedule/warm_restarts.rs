//! A cosine that starts again and again.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::{half_cosine, interpolate};
use super::range::{at_least_one, checked_lr, lowest_rate};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `CosineAnnealingWarmRestarts`: cycles of half a cosine, from `lr` down towards
/// `eta_min`, each `t_mult` times as long as the one before.
///
/// `lr(t) = eta_min + (lr − eta_min) · (1 + cos(π t_cur / t_i)) / 2`
///
/// where the cycle n that step t lies in is `t_i = t_0 · t_mult^n` steps long and began `t_cur`
/// steps ago. A cycle ends one step before the cosine reaches `eta_min`: the next step has the rate
/// `lr` again. PyTorch has no default for `t_0`.
///
/// The cycle is found in whole numbers, so the restarts are exact at any step, however far.
///
/// ```
/// use autolr_core::schedule::{CosineWarmRestarts, Schedule};
///
/// let schedule = CosineWarmRestarts::new(0.8, 10, 2, 0.0)?;
/// assert!((schedule.lr(5) - 0.4).abs() < 1e-15);   // half of the first 10
/// assert_eq!(schedule.lr(10), 0.8);
/// assert!((schedule.lr(20) - 0.4).abs() < 1e-15);  // half of the next 20
/// assert_eq!(schedule.lr(30), 0.8);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// I. Loshchilov, F. Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts,
/// arXiv:1608.03983, equation 5.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawCosineWarmRestarts")]
pub struct CosineWarmRestarts {
    lr: f64,
    t_0: u64,
    t_mult: u64,
    eta_min: f64,
}

impl CosineWarmRestarts {
    /// PyTorch's default of `t_mult`: all cycles have the same length.
    pub const DEFAULT_T_MULT: u64 = 1;
    /// PyTorch's default of `eta_min`.
    pub const DEFAULT_ETA_MIN: f64 = 0.0;

    /// A schedule of base rate `lr` and lowest rate `eta_min`, whose first cycle is `t_0` steps
    /// long and each other `t_mult` (dimensionless) times as long as the one before.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite, `t_0` and `t_mult` are at least
    /// 1, and `eta_min` lies in [0, `lr`]. PyTorch checks neither rate.
    pub fn new(lr: f64, t_0: u64, t_mult: u64, eta_min: f64) -> Result<Self, ConfigError> {
        let lr = checked_lr(lr)?;
        Ok(Self {
            lr,
            t_0: at_least_one("t_0", t_0)?,
            t_mult: at_least_one("t_mult", t_mult)?,
            eta_min: lowest_rate("eta_min", eta_min, lr)?,
        })
    }

    /// The highest rate, that of the first step of each cycle.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// How many steps the first cycle takes.
    pub fn t_0(&self) -> u64 {
        self.t_0
    }

    /// How many times as long as the one before a cycle is.
    pub fn t_mult(&self) -> u64 {
        self.t_mult
    }

    /// The lowest rate.
    pub fn eta_min(&self) -> f64 {
        self.eta_min
    }

    /// How many steps before `step` its cycle began, and how many the cycle takes.
    fn cycle(&self, step: u64) -> (u64, u128) {
        let (t_0, t_mult) = (u128::from(self.t_0), u128::from(self.t_mult));
        if t_mult == 1 {
            return (step % self.t_0, t_0);
        }
        // Cycle n begins at t_0 (t_mult^n − 1) / (t_mult − 1). It is the last one with
        // t_mult^n ≤ ⌊step / t_0⌋ (t_mult − 1) + 1; nothing here exceeds 128 bits.
        let bound = u128::from(step / self.t_0) * (t_mult - 1) + 1;
        let growth = t_mult.pow(bound.ilog(t_mult));
        let begin = (growth - 1) / (t_mult - 1) * t_0;
        ((u128::from(step) - begin) as u64, t_0 * growth)
    }
}

impl CosineWarmRestarts {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::{Core, Shown};
        use crate::method::kind::ValueKind::{Length, Number, Whole};
        Kind::schedule(
            "cosine-warm-restarts",
            &[
                LR,
                Key::new("t_0", Length, Shown("10"))
                    .within(Range::AT_LEAST_ONE)
                    .about("epochs of the first cycle"),
                Key::new("t_mult", Whole, Core("1"))
                    .within(Range::AT_LEAST_ONE)
                    .about("how many times as long each next cycle is"),
                Key::new("eta_min", Number, Core("0"))
                    .within(Range::NOT_NEGATIVE)
                    .about("the lowest rate; at most `lr`"),
            ],
            "PyTorch's CosineAnnealingWarmRestarts",
        )
    };
}

impl Schedule for CosineWarmRestarts {
    fn lr(&self, step: u64) -> f64 {
        let (t_cur, t_i) = self.cycle(step);
        interpolate(
            self.eta_min,
            self.lr,
            half_cosine(t_cur as f64 / t_i as f64),
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCosineWarmRestarts {
    lr: f64,
    t_0: u64,
    #[serde(default = "default_t_mult")]
    t_mult: u64,
    #[serde(default = "default_eta_min")]
    eta_min: f64,
}

fn default_t_mult() -> u64 {
    CosineWarmRestarts::DEFAULT_T_MULT
}

fn default_eta_min() -> f64 {
    CosineWarmRestarts::DEFAULT_ETA_MIN
}

impl CosineWarmRestarts {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawCosineWarmRestarts, _>()
    }
}

impl TryFrom<RawCosineWarmRestarts> for CosineWarmRestarts {
    type Error = ConfigError;

    fn try_from(raw: RawCosineWarmRestarts) -> Result<Self, ConfigError> {
        Self::new(raw.lr, raw.t_0, raw.t_mult, raw.eta_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_those_of_stepping_through_them() -> Result<(), ConfigError> {
        for (t_0, t_mult) in [(1, 1), (7, 1), (1, 2), (3, 2), (2, 3), (1, 10), (5, 1000)] {
            let schedule = CosineWarmRestarts::new(0.1, t_0, t_mult, 0.0)?;
            let (mut t_cur, mut t_i) = (0, u128::from(t_0));
            for step in 0..3000 {
                assert_eq!(schedule.cycle(step), (t_cur, t_i), "{t_0} {t_mult} {step}");
                t_cur += 1;
                if u128::from(t_cur) == t_i {
                    (t_cur, t_i) = (0, t_i * u128::from(t_mult));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn restarts_are_exact_in_the_far_future() -> Result<(), ConfigError> {
        let schedule = CosineWarmRestarts::new(0.3, 1, 2, 0.1)?;
        // Cycle n begins at 2ⁿ − 1: cycle 63 at i64::MAX, cycle 64 at u64::MAX.
        for begin in [(1 << 53) - 1, i64::MAX as u64, u64::MAX] {
            assert_eq!(schedule.lr(begin), 0.3, "{begin}");
            assert_eq!(schedule.cycle(begin), (0, u128::from(begin) + 1));
            // The last step of the cycle before.
            assert_eq!(schedule.cycle(begin - 1).0, begin / 2, "{begin}");
        }
        Ok(())
    }

    #[test]
    fn the_longest_cycles_do_not_overflow() -> Result<(), ConfigError> {
        for (t_0, t_mult) in [
            (u64::MAX, u64::MAX),
            (1, u64::MAX),
            (2, u64::MAX),
            (u64::MAX, 1),
            (u64::MAX, 2),
            (u64::MAX / 2, 3),
            (1, 2),
            (1, 3),
        ] {
            let schedule = CosineWarmRestarts::new(f64::MAX, t_0, t_mult, 0.0)?;
            for step in [0, 1, t_0 - 1, t_0, u64::MAX - 1, u64::MAX] {
                let (t_cur, t_i) = schedule.cycle(step);
                assert!(u128::from(t_cur) < t_i, "{t_0} {t_mult} {step}");
                let lr = schedule.lr(step);
                assert!(
                    (0.0..=f64::MAX).contains(&lr),
                    "{t_0} {t_mult} {step}: {lr}"
                );
            }
            assert_eq!(schedule.lr(t_0), f64::MAX);
        }
        Ok(())
    }

    #[test]
    fn cycles_take_a_step_and_the_lowest_rate_lies_between_zero_and_lr() {
        assert!(CosineWarmRestarts::new(0.1, 1, 1, 0.1).is_ok());
        for (t_0, t_mult, eta_min, expected) in [
            (0, 1, 0.0, "t_0 = 0: must be at least 1"),
            (1, 0, 0.0, "t_mult = 0: must be at least 1"),
            (1, 1, 0.2, "eta_min = 0.2: must not exceed lr"),
            (
                1,
                1,
                -0.1,
                "eta_min = -0.1: must be finite and not negative",
            ),
        ] {
            let error = CosineWarmRestarts::new(0.1, t_0, t_mult, eta_min).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert!(CosineWarmRestarts::new(f64::NAN, 1, 1, 0.0).is_err());
    }
}
