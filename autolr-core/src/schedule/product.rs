//! Several schedules at the same time, multiplied.

use serde::{Deserialize, Serialize};

use super::config::composable;
use super::{Schedule, ScheduleConfig};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind};
use crate::value::Table;
use crate::value::read::SettingsError;
use crate::value::within::Within;

/// The product of several schedules: the first gives the rate, the others, with `lr` 1, are factors
/// on it.
///
/// `lr(t) = s_0(t) · s_1(t) · s_2(t) · …`
///
/// A product below the smallest number is 0, and one above the largest is [`f64::MAX`]; what the
/// factors come to on the way does not matter.
///
/// # PyTorch's `ChainedScheduler`
///
/// PyTorch has each schedule change the rate that the others have left, by a rule that goes from
/// step to step. Where every rule is a multiplication, the rates are those of the product: constant,
/// linear, step, multi-step, exponential, polynomial, and a cosine with `eta_min` 0 up to `t_max`.
/// Elsewhere they are not:
///
/// - After `t_max` a cosine's rule begins again at zero with the base rate, and forgets what the
///   others have done. Exponential (`lr` 0.1, `gamma` 0.9) and cosine (`lr` 1, `t_max` 5) have the
///   rate 0.005075 at step 6, in PyTorch 0.009549.
/// - Warm restarts and one-cycle set the rate instead of multiplying it, and what the others have
///   done until then is gone. Warm restarts (`lr` 0.1, `t_0` 10) and multi-step (`milestones` 1, 2,
///   3) have 9.0e-4 at step 2, in PyTorch 9.0e-3.
/// - A cosine with an `eta_min` above 0 adds to the rate as well.
/// - `SequentialLR`, and a warm-up made of it, sets the rate at a milestone from the closed form of the schedule that
///   begins, and the other factors are lost.
///
/// ```
/// use autolr_core::schedule::{ExponentialLr, LinearLr, Product, Schedule};
///
/// let warm_up = LinearLr::new(1.0, 0.5, 1.0, 2)?;
/// let schedule = Product::new(vec![ExponentialLr::new(0.8, 0.5)?.into(), warm_up.into()])?;
/// assert_eq!(schedule.lr(0), 0.8 * 0.5);
/// assert_eq!(schedule.lr(1), 0.4 * 0.75);
/// assert_eq!(schedule.lr(2), 0.2);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// `torch.optim.lr_scheduler.ChainedScheduler` of PyTorch 2.11; the rules are `get_lr` of each schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawProduct")]
pub struct Product {
    schedules: Vec<ScheduleConfig>,
}

impl Product {
    /// The product of `schedules`.
    ///
    /// # Errors
    /// [`ConfigError::Length`] without a schedule; [`ConfigError::Nesting`] if one is nested too
    /// deep already.
    pub fn new(schedules: Vec<ScheduleConfig>) -> Result<Self, ConfigError> {
        composable(&schedules)?;
        Ok(Self { schedules })
    }

    /// The schedules: first that of the rate, then the factors.
    pub fn schedules(&self) -> &[ScheduleConfig] {
        &self.schedules
    }
}

impl Product {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::Required;
        use crate::method::kind::ValueKind::Schedules;
        Kind::schedule(
            "product",
            &[Key::new("schedules", Schedules, Required)
                .about("the first gives the rate, the others, with `lr = 1`, are factors on it")],
            "the product of several schedules",
        )
    };
}

impl Schedule for Product {
    fn lr(&self, step: u64) -> f64 {
        // Fraction and power of two apart: what is multiplied cannot leave the range on the way.
        // Powers of two are exact, so within the range the bits are those of the plain product.
        let mut fraction = 1.0;
        let mut exponent = 0_i64;
        for schedule in &self.schedules {
            let (part, power) = libm::frexp(schedule.lr(step));
            let (part, carry) = libm::frexp(fraction * part);
            fraction = part;
            exponent += i64::from(power) + i64::from(carry);
        }
        // Beyond ±2200 it is 0 or infinite whatever the fraction.
        libm::ldexp(fraction, exponent.clamp(-2200, 2200) as i32).min(f64::MAX)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProduct {
    schedules: Vec<Within<ScheduleConfig>>,
}

impl Product {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawProduct, _>()
    }
}

impl TryFrom<RawProduct> for Product {
    type Error = SettingsError;

    fn try_from(raw: RawProduct) -> Result<Self, SettingsError> {
        let schedules = Within::all("schedules", raw.schedules)?;
        Ok(Self::new(schedules)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{ExponentialLr, Fixed, LinearDecay};

    fn fixed(values: &[f64]) -> Product {
        let schedules = values
            .iter()
            .map(|&lr| Fixed::new(lr).expect("valid").into());
        Product::new(schedules.collect()).expect("valid")
    }

    #[test]
    fn within_the_range_it_is_the_plain_product_to_the_bit() {
        for values in [
            &[0.1][..],
            &[0.1, 1.0 / 3.0],
            &[0.7, 0.3, 1.9, 1e-7],
            &[1e100, 1e-100, 3e200],
            &[f64::MIN_POSITIVE, 0.5],
            &[f64::MAX, 1.0],
        ] {
            let plain: f64 = values.iter().product();
            assert_eq!(fixed(values).lr(0), plain, "{values:?}");
        }
    }

    #[test]
    fn the_way_does_not_leave_the_range() {
        // Powers of two are exact.
        let (high, low) = (2_f64.powi(1000), 2_f64.powi(-1000));
        for (values, expected) in [
            (&[0.1, high, high, low, low][..], 0.1),
            (&[0.1, low, low, high, high], 0.1),
            (&[high, high], f64::MAX),
            (&[low, low], 0.0),
            (&[high; 5000], f64::MAX),
            (&[low; 5000], 0.0),
        ] {
            assert_eq!(fixed(values).lr(7), expected, "{}", values.len());
        }
    }

    /// PyTorch's rules from step to step, as in `get_lr` of its schedules, one after the other on one rate.
    fn chained(step: u64, rules: &[&dyn Fn(u64, f64) -> f64], start: f64) -> f64 {
        (1..=step).fold(start, |lr, t| rules.iter().fold(lr, |lr, rule| rule(t, lr)))
    }

    #[test]
    fn a_chain_of_multiplications_is_the_product_and_others_are_not() -> Result<(), ConfigError> {
        use crate::schedule::{CosineAnnealingLr, CosineWarmRestarts, MultiStepLr};
        use approx::assert_relative_eq;
        use std::f64::consts::PI;

        let decay = |_: u64, lr: f64| 0.9 * lr;
        let t_max = 5;
        let wave = |t: u64, lr: f64| {
            let cosine = |t: u64| (PI * t as f64 / t_max as f64).cos();
            if t == t_max + 1 {
                // From zero: by the base rate.
                return lr + 0.1 * (1.0 - cosine(1)) / 2.0;
            }
            (1.0 + cosine(t)) / (1.0 + cosine(t - 1)) * lr
        };
        let cosine = CosineAnnealingLr::new(1.0, t_max, 0.0)?;
        let schedule = Product::new(vec![ExponentialLr::new(0.1, 0.9)?.into(), cosine.into()])?;
        for step in 0..=4 {
            let theirs = chained(step, &[&decay, &wave], 0.1);
            assert_relative_eq!(schedule.lr(step), theirs, max_relative = 1e-12);
        }
        assert_relative_eq!(schedule.lr(6), 0.005_075, max_relative = 1e-4);
        assert_relative_eq!(
            chained(6, &[&decay, &wave], 0.1),
            0.009_549,
            max_relative = 1e-4
        );

        // A rule that sets the rate, after one that multiplies it by a tenth three times.
        let falls = |t: u64, lr: f64| if t <= 3 { 0.1 * lr } else { lr };
        let sets = |t: u64, _: f64| 0.1 * (1.0 + (PI * t as f64 / 10.0).cos()) / 2.0;
        let restarts = CosineWarmRestarts::new(0.1, 10, 1, 0.0)?;
        let milestones = MultiStepLr::new(1.0, vec![1, 2, 3], 0.1)?;
        let schedule = Product::new(vec![restarts.into(), milestones.into()])?;
        assert_relative_eq!(schedule.lr(2), 9.045e-4, max_relative = 1e-4);
        assert_relative_eq!(
            chained(2, &[&sets, &falls], 0.1),
            9.045e-3,
            max_relative = 1e-4
        );
        Ok(())
    }

    #[test]
    fn zero_wins() -> Result<(), ConfigError> {
        let growth = ExponentialLr::new(1.0, 10.0)?;
        let schedule = Product::new(vec![growth.into(), LinearDecay::new(1.0, 3)?.into()])?;
        assert_eq!(
            [0, 3, u64::MAX].map(|step| schedule.lr(step)),
            [1.0, 0.0, 0.0]
        );
        Ok(())
    }

    #[test]
    fn at_least_one_schedule_is_needed() {
        let error = Product::new(vec![]).unwrap_err().to_string();
        assert_eq!(error, "schedules of length 0: at least one is needed");
    }
}
