//! A rise, a long stretch at one rate, and a fall at the end.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::{half_cosine, interpolate};
use super::range::{at_least_one, checked, checked_lr, unit_interval};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, LR, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// Warm-up, stable, decay: `get_wsd_schedule` of Hugging Face's transformers, with lengths as shares of `total_steps`.
///
/// With `T = total_steps`, `W = ⌊warmup_ratio · T⌋`, `D = ⌊decay_ratio · T⌋` and `m = min_lr_ratio`, the rate is
///
/// - `lr · (m + (1 − m) · t / W)` for t < W,
/// - `lr` for W ≤ t < T − D,
/// - `lr · (m + (1 − m) · f((t − T + D) / D))` for T − D ≤ t < T, and
/// - `lr · m` from step T on,
///
/// where f falls from 1 to 0: `(1 + cos πs) / 2` (`cosine`, the default of transformers), `1 − s` (`linear`) or `1 − √s`
/// (`1-sqrt`, the best of Hägele et al.). With `warmup_ratio` = 0 it is "hold and cool down".
///
/// As in transformers, step 0 of a warm-up to `m` = 0 has the rate 0. The other shapes of its warm-up and its
/// `num_cycles` are left out.
///
/// ```
/// use autolr_core::schedule::{DecayType, Schedule, WarmupStableDecay};
///
/// let schedule = WarmupStableDecay::new(0.8, 20)?.with_ratios(0.1, 0.2)?.with_decay_type(DecayType::Linear);
/// assert_eq!([0, 1, 2, 15, 16, 18, 20].map(|step| schedule.lr(step)), [0.0, 0.4, 0.8, 0.8, 0.8, 0.4, 0.0]);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// S. Hu et al.: MiniCPM, arXiv:2404.06395, section 4.2. A. Hägele et al.: Scaling Laws and Compute-Optimal Training
/// Beyond Fixed Training Durations, arXiv:2405.18392: a decay over 20 % of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawWarmupStableDecay")]
pub struct WarmupStableDecay {
    lr: f64,
    total_steps: u64,
    warmup_ratio: f64,
    decay_ratio: f64,
    decay_type: DecayType,
    min_lr_ratio: f64,
}

/// The shape of the fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DecayType {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
    /// One minus a square root: steep at first.
    #[serde(rename = "1-sqrt")]
    OneMinusSqrt,
}

impl WarmupStableDecay {
    /// Default of `warmup_ratio`; transformers has none.
    pub const DEFAULT_WARMUP_RATIO: f64 = 0.05;
    /// Default of `decay_ratio`; transformers has none.
    pub const DEFAULT_DECAY_RATIO: f64 = 0.2;

    /// Up to `lr` and down again, over `total_steps` steps, with the defaults for the rest.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite and `total_steps` is at least 1.
    pub fn new(lr: f64, total_steps: u64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: checked_lr(lr)?,
            total_steps: at_least_one("total_steps", total_steps)?,
            warmup_ratio: Self::DEFAULT_WARMUP_RATIO,
            decay_ratio: Self::DEFAULT_DECAY_RATIO,
            decay_type: DecayType::default(),
            min_lr_ratio: 0.0,
        })
    }

    /// The same with other shares of the steps for the rise and for the fall.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless both lie in [0, 1], and their sum too.
    pub fn with_ratios(self, warmup_ratio: f64, decay_ratio: f64) -> Result<Self, ConfigError> {
        unit_interval("warmup_ratio", warmup_ratio)?;
        unit_interval("decay_ratio", decay_ratio)?;
        checked(
            "decay_ratio",
            decay_ratio,
            warmup_ratio + decay_ratio <= 1.0,
            "must not exceed 1 - warmup_ratio",
        )?;
        Ok(Self {
            warmup_ratio,
            decay_ratio,
            ..self
        })
    }

    /// The same with another shape of the fall.
    #[must_use]
    pub fn with_decay_type(self, decay_type: DecayType) -> Self {
        Self { decay_type, ..self }
    }

    /// The same with another rate at the beginning of the rise and the end of the fall, as a share of `lr`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless it lies in [0, 1].
    pub fn with_min_lr_ratio(self, min_lr_ratio: f64) -> Result<Self, ConfigError> {
        let min_lr_ratio = unit_interval("min_lr_ratio", min_lr_ratio)?;
        Ok(Self {
            min_lr_ratio,
            ..self
        })
    }

    /// The rate of the stretch in the middle.
    pub fn base_lr(&self) -> f64 {
        self.lr
    }

    /// How many steps there are.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// Steps of the rise.
    pub fn warmup_steps(&self) -> u64 {
        self.steps_of(self.warmup_ratio)
    }

    /// Steps of the fall.
    pub fn decay_steps(&self) -> u64 {
        // Of two shares that sum to 1, rounding could make more steps than there are.
        let rest = self.total_steps - self.warmup_steps();
        self.steps_of(self.decay_ratio).min(rest)
    }

    /// The shape of the fall.
    pub fn decay_type(&self) -> DecayType {
        self.decay_type
    }

    /// The rate at both ends, as a share of the highest.
    pub fn min_lr_ratio(&self) -> f64 {
        self.min_lr_ratio
    }

    fn steps_of(&self, ratio: f64) -> u64 {
        ((ratio * self.total_steps as f64) as u64).min(self.total_steps)
    }

    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::{Core, RunLength};
        use crate::method::kind::ValueKind::{Length, Number, OneOf};
        Kind::schedule(
            "warmup-stable-decay",
            &[
                LR,
                Key::new("total_steps", Length, RunLength)
                    .within(Range::AT_LEAST_ONE)
                    .about("epochs of rise, stretch and fall together"),
                Key::new("warmup_ratio", Number, Core("0.05"))
                    .within(Range::UNIT)
                    .about("share of the rise"),
                Key::new("decay_ratio", Number, Core("0.2"))
                    .within(Range::UNIT)
                    .about("share of the fall; at most 1 - `warmup_ratio`"),
                Key::new(
                    "decay_type",
                    OneOf(&["cosine", "linear", "1-sqrt"]),
                    Core("cosine"),
                )
                .about("shape of the fall"),
                Key::new("min_lr_ratio", Number, Core("0"))
                    .within(Range::UNIT)
                    .about("the rate at both ends, as a share of `lr`"),
            ],
            "a rise, one rate, a fall at the end",
        )
    };

    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawWarmupStableDecay, _>()
    }
}

impl Schedule for WarmupStableDecay {
    fn lr(&self, step: u64) -> f64 {
        let (warm_up, decay) = (self.warmup_steps(), self.decay_steps());
        let left = self.total_steps.saturating_sub(step);
        let height = if step < warm_up {
            step as f64 / warm_up as f64
        } else if left > decay {
            1.0
        } else if left == 0 {
            0.0
        } else {
            let behind = (decay - left) as f64 / decay as f64;
            match self.decay_type {
                DecayType::Cosine => half_cosine(behind),
                DecayType::Linear => 1.0 - behind,
                DecayType::OneMinusSqrt => 1.0 - behind.sqrt(),
            }
        };
        self.lr * interpolate(self.min_lr_ratio, 1.0, height)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWarmupStableDecay {
    lr: f64,
    total_steps: u64,
    #[serde(default = "default_warmup_ratio")]
    warmup_ratio: f64,
    #[serde(default = "default_decay_ratio")]
    decay_ratio: f64,
    #[serde(default)]
    decay_type: DecayType,
    #[serde(default)]
    min_lr_ratio: f64,
}

fn default_warmup_ratio() -> f64 {
    WarmupStableDecay::DEFAULT_WARMUP_RATIO
}

fn default_decay_ratio() -> f64 {
    WarmupStableDecay::DEFAULT_DECAY_RATIO
}

impl TryFrom<RawWarmupStableDecay> for WarmupStableDecay {
    type Error = ConfigError;

    fn try_from(raw: RawWarmupStableDecay) -> Result<Self, ConfigError> {
        Ok(Self::new(raw.lr, raw.total_steps)?
            .with_ratios(raw.warmup_ratio, raw.decay_ratio)?
            .with_min_lr_ratio(raw.min_lr_ratio)?
            .with_decay_type(raw.decay_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_are_exact() -> Result<(), ConfigError> {
        for decay_type in [
            DecayType::Cosine,
            DecayType::Linear,
            DecayType::OneMinusSqrt,
        ] {
            let schedule = WarmupStableDecay::new(2.0, 40)?
                .with_ratios(0.25, 0.5)?
                .with_decay_type(decay_type);
            let steps = [0, 5, 10, 19, 20, 40, u64::MAX];
            let expected = [0.0, 1.0, 2.0, 2.0, 2.0, 0.0, 0.0];
            assert_eq!(steps.map(|step| schedule.lr(step)), expected);
            let raised = schedule.with_min_lr_ratio(0.5)?;
            let expected = [1.0, 1.5, 2.0, 2.0, 2.0, 1.0, 1.0];
            assert_eq!(steps.map(|step| raised.lr(step)), expected);
        }
        Ok(())
    }

    #[test]
    fn a_part_without_a_length_is_left_out() -> Result<(), ConfigError> {
        let with = |warm_up, decay| WarmupStableDecay::new(1.0, 4)?.with_ratios(warm_up, decay);
        let rates = |schedule: WarmupStableDecay| [0, 3, 4].map(|step| schedule.lr(step));
        assert_eq!(rates(with(0.0, 0.0)?), [1.0, 1.0, 0.0]);
        assert_eq!(rates(with(1.0, 0.0)?), [0.0, 0.75, 0.0]);
        // The fall begins at the full rate.
        assert_eq!(with(0.0, 1.0)?.lr(0), 1.0);
        // Less than a step each.
        assert_eq!(rates(with(0.2, 0.2)?), [1.0, 1.0, 0.0]);
        Ok(())
    }

    #[test]
    fn the_square_root_is_below_the_line() -> Result<(), ConfigError> {
        let root = WarmupStableDecay::new(1.0, 100)?
            .with_ratios(0.0, 0.64)?
            .with_decay_type(DecayType::OneMinusSqrt);
        // A quarter of the fall is behind at step 36 + 16: 1 − √¼.
        assert_eq!(root.lr(52), 0.5);
        assert_eq!(root.with_decay_type(DecayType::Linear).lr(52), 0.75);
        Ok(())
    }

    #[test]
    fn ratios_have_their_ranges() -> Result<(), ConfigError> {
        let schedule = WarmupStableDecay::new(1.0, 10)?;
        assert!(schedule.with_ratios(0.5, 0.5).is_ok());
        for (warm_up, decay, expected) in [
            (
                0.5,
                0.5 + f64::EPSILON,
                "decay_ratio = 0.5000000000000002: must not exceed 1",
            ),
            (-0.1, 0.5, "warmup_ratio = -0.1: must lie in [0, 1]"),
            (0.0, f64::NAN, "decay_ratio = NaN: must lie in [0, 1]"),
        ] {
            let error = schedule.with_ratios(warm_up, decay).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        assert!(schedule.with_min_lr_ratio(1.5).is_err());
        Ok(())
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() -> Result<(), ConfigError> {
        for (warm_up, decay) in [(0.0, 0.0), (0.05, 0.2), (0.1, 0.9), (0.0, 1.0), (1.0, 0.0)] {
            let schedule =
                WarmupStableDecay::new(f64::MAX, u64::MAX)?.with_ratios(warm_up, decay)?;
            for step in [0, 1, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX] {
                let lr = schedule.lr(step);
                assert!((0.0..=f64::MAX).contains(&lr), "{schedule:?} {step}: {lr}");
            }
        }
        Ok(())
    }
}
