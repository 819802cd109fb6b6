//! Up to a high rate and far down again, once.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::{half_cosine, interpolate};
use super::range::{at_least_one, checked, positive, unit_interval};
use crate::error::ConfigError;
use crate::method::kind::{Key, Kind, Range};
use crate::value::Table;
use crate::value::read::SettingsError;

/// PyTorch's `OneCycleLR`: from `max_lr / div_factor` up to `max_lr`, then down to
/// `max_lr / div_factor / final_div_factor`, over `total_steps` steps.
///
/// With `T = total_steps` and `p = pct_start`, the rate passes through these points, which lie on
/// the steps' axis and need not be whole numbers:
///
/// | step | 0 | pT − 1 | 2pT − 2, if `three_phase` | T − 1 |
/// |---|---|---|---|---|
/// | rate | `max_lr / div_factor` | `max_lr` | `max_lr / div_factor` | `max_lr / div_factor / final_div_factor` |
///
/// Between two of them, at the share s of the way from rate a to rate b, it is
/// `b + (a − b) · (1 + cos(π s)) / 2`, or `a + (b − a) · s` if `anneal_strategy` is linear. A point
/// that lies before the one to its left is passed over. After step T − 1 the last rate stays, where
/// PyTorch refuses to go on.
///
/// Where pT = 1 the rise has no length, and the first rate is `max_lr`; PyTorch divides by zero.
/// PyTorch's scheduler moves the momentum too (`cycle_momentum`); this one is about the rate alone.
///
/// ```
/// use autolr_core::schedule::{AnnealStrategy, OneCycleLr, Schedule};
///
/// let schedule = OneCycleLr::new(0.1, 11)?
///     .with_pct_start(6.0 / 11.0)?
///     .with_anneal_strategy(AnnealStrategy::Linear)
///     .with_div_factors(10.0, 100.0)?;
/// for (step, expected) in [(0, 0.01), (1, 0.028), (5, 0.1), (10, 1e-4), (11, 1e-4)] {
///     assert!((schedule.lr(step) - expected).abs() < 1e-15);
/// }
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// L. N. Smith, N. Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large
/// Learning Rates, arXiv:1708.07120. As in PyTorch, two phases are the default; the paper has three.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawOneCycleLr")]
pub struct OneCycleLr {
    max_lr: f64,
    total_steps: u64,
    pct_start: f64,
    anneal_strategy: AnnealStrategy,
    three_phase: bool,
    div_factor: f64,
    final_div_factor: f64,
}

/// The curve between two rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AnnealStrategy {
    /// Half a cosine.
    #[default]
    Cos,
    /// A straight line.
    Linear,
}

impl OneCycleLr {
    /// PyTorch's default of `pct_start`.
    pub const DEFAULT_PCT_START: f64 = 0.3;
    /// PyTorch's default of `div_factor`.
    pub const DEFAULT_DIV_FACTOR: f64 = 25.0;
    /// PyTorch's default of `final_div_factor`.
    pub const DEFAULT_FINAL_DIV_FACTOR: f64 = 1e4;

    /// A schedule with the highest rate `max_lr` and a length of `total_steps` steps, and PyTorch's
    /// defaults for the rest.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `max_lr` is positive and finite and `total_steps` is at least
    /// 1.
    pub fn new(max_lr: f64, total_steps: u64) -> Result<Self, ConfigError> {
        Ok(Self {
            max_lr: positive("max_lr", max_lr)?,
            total_steps: at_least_one("total_steps", total_steps)?,
            pct_start: Self::DEFAULT_PCT_START,
            anneal_strategy: AnnealStrategy::default(),
            three_phase: false,
            div_factor: Self::DEFAULT_DIV_FACTOR,
            final_div_factor: Self::DEFAULT_FINAL_DIV_FACTOR,
        })
    }

    /// The same with another share of the steps for the rise.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `pct_start` lies in [0, 1].
    pub fn with_pct_start(self, pct_start: f64) -> Result<Self, ConfigError> {
        let pct_start = unit_interval("pct_start", pct_start)?;
        Ok(Self { pct_start, ..self })
    }

    /// The same with another curve between the rates.
    #[must_use]
    pub fn with_anneal_strategy(self, anneal_strategy: AnnealStrategy) -> Self {
        Self {
            anneal_strategy,
            ..self
        }
    }

    /// The same with three phases (the fall is as long as the rise, then the rest) or with two.
    #[must_use]
    pub fn with_three_phases(self, three_phase: bool) -> Self {
        Self {
            three_phase,
            ..self
        }
    }

    /// The same with another first rate `max_lr / div_factor` and last rate
    /// `max_lr / div_factor / final_div_factor`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `div_factor` is finite and at least 1, `final_div_factor` is
    /// positive and finite, and the last rate does not exceed `max_lr`. PyTorch checks none of
    /// these, and takes a `max_lr` that is not the highest rate.
    pub fn with_div_factors(
        self,
        div_factor: f64,
        final_div_factor: f64,
    ) -> Result<Self, ConfigError> {
        checked(
            "div_factor",
            div_factor,
            div_factor >= 1.0 && div_factor.is_finite(),
            "must be finite and at least 1",
        )?;
        positive("final_div_factor", final_div_factor)?;
        let changed = Self {
            div_factor,
            final_div_factor,
            ..self
        };
        checked(
            "final_div_factor",
            final_div_factor,
            changed.final_lr() <= self.max_lr,
            "must be at least 1 / div_factor, so that the last rate does not exceed max_lr",
        )?;
        Ok(changed)
    }

    /// The highest rate.
    pub fn max_lr(&self) -> f64 {
        self.max_lr
    }

    /// The rate of step 0, if the rise has more than one step: `max_lr / div_factor`.
    pub fn initial_lr(&self) -> f64 {
        self.max_lr / self.div_factor
    }

    /// The rate at the end: `max_lr / div_factor / final_div_factor`.
    pub fn final_lr(&self) -> f64 {
        self.initial_lr() / self.final_div_factor
    }

    /// How many steps the cycle takes.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// The share of the steps that the rise takes.
    pub fn pct_start(&self) -> f64 {
        self.pct_start
    }

    /// The curve between two rates.
    pub fn anneal_strategy(&self) -> AnnealStrategy {
        self.anneal_strategy
    }

    /// Whether the fall stops over at the first rate.
    pub fn three_phase(&self) -> bool {
        self.three_phase
    }

    /// The quotient of the highest and the first rate.
    pub fn div_factor(&self) -> f64 {
        self.div_factor
    }

    /// The quotient of the first and the last rate.
    pub fn final_div_factor(&self) -> f64 {
        self.final_div_factor
    }

    /// The rate at `step` on the way from `(begin, from)` to `(end, to)`.
    fn anneal(&self, step: f64, (begin, from): (f64, f64), (end, to): (f64, f64)) -> f64 {
        // A way without a length is at its end.
        let share = if end > begin {
            ((step - begin) / (end - begin)).clamp(0.0, 1.0)
        } else {
            1.0
        };
        match self.anneal_strategy {
            AnnealStrategy::Cos => interpolate(to, from, half_cosine(share)),
            AnnealStrategy::Linear => interpolate(from, to, share),
        }
    }
}

impl OneCycleLr {
    /// As files name it, with its keys.
    pub(crate) const KIND: Kind = {
        use crate::method::kind::KeyDefault::{Core, Rate, RunLength};
        use crate::method::kind::ValueKind::{Length, Number, OneOf, Switch};
        Kind::schedule(
            "one-cycle",
            &[
                Key::new("max_lr", Number, Rate)
                    .within(Range::POSITIVE)
                    .about("the highest rate"),
                Key::new("total_steps", Length, RunLength)
                    .within(Range::AT_LEAST_ONE)
                    .about("epochs of the cycle"),
                Key::new("pct_start", Number, Core("0.3"))
                    .within(Range::UNIT)
                    .about("share of the rise"),
                Key::new("anneal_strategy", OneOf(&["cos", "linear"]), Core("cos"))
                    .about("shape of rise and fall"),
                Key::new("three_phase", Switch, Core("false"))
                    .about("whether the fall is as long as the rise, and a third phase follows"),
                Key::new("div_factor", Number, Core("25"))
                    .within(Range::new(1.0, f64::MAX, "must be finite and at least 1"))
                    .about("the highest rate over the first"),
                Key::new("final_div_factor", Number, Core("1e4"))
                    .within(Range::POSITIVE)
                    .about("the first rate over the last; at least 1 / `div_factor`"),
            ],
            "PyTorch's OneCycleLR",
        )
    };
}

impl Schedule for OneCycleLr {
    fn lr(&self, step: u64) -> f64 {
        let last = self.total_steps - 1;
        let step = step.min(last) as f64;
        let rise = self.pct_start * self.total_steps as f64;
        let start = (0.0, self.initial_lr());
        let peak = (rise - 1.0, self.max_lr);
        let stopover = (2.0 * rise - 2.0, self.initial_lr());
        let end = (last as f64, self.final_lr());
        if step <= peak.0 {
            self.anneal(step, start, peak)
        } else if !self.three_phase {
            self.anneal(step, peak, end)
        } else if step <= stopover.0 {
            self.anneal(step, peak, stopover)
        } else {
            self.anneal(step, stopover, end)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOneCycleLr {
    max_lr: f64,
    total_steps: u64,
    #[serde(default = "default_pct_start")]
    pct_start: f64,
    #[serde(default)]
    anneal_strategy: AnnealStrategy,
    #[serde(default)]
    three_phase: bool,
    #[serde(default = "default_div_factor")]
    div_factor: f64,
    #[serde(default = "default_final_div_factor")]
    final_div_factor: f64,
}

fn default_pct_start() -> f64 {
    OneCycleLr::DEFAULT_PCT_START
}

fn default_div_factor() -> f64 {
    OneCycleLr::DEFAULT_DIV_FACTOR
}

fn default_final_div_factor() -> f64 {
    OneCycleLr::DEFAULT_FINAL_DIV_FACTOR
}

impl OneCycleLr {
    /// The schedule of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawOneCycleLr, _>()
    }
}

impl TryFrom<RawOneCycleLr> for OneCycleLr {
    type Error = ConfigError;

    fn try_from(raw: RawOneCycleLr) -> Result<Self, ConfigError> {
        Ok(Self::new(raw.max_lr, raw.total_steps)?
            .with_pct_start(raw.pct_start)?
            .with_div_factors(raw.div_factor, raw.final_div_factor)?
            .with_anneal_strategy(raw.anneal_strategy)
            .with_three_phases(raw.three_phase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// First, highest and last rate 0.25, 1 and 1/16, all exact.
    fn cycle(total_steps: u64, pct_start: f64) -> Result<OneCycleLr, ConfigError> {
        OneCycleLr::new(1.0, total_steps)?
            .with_pct_start(pct_start)?
            .with_div_factors(4.0, 4.0)
    }

    #[test]
    fn the_points_are_exact_and_the_last_rate_stays() -> Result<(), ConfigError> {
        for strategy in [AnnealStrategy::Cos, AnnealStrategy::Linear] {
            let two = cycle(20, 0.25)?.with_anneal_strategy(strategy);
            assert_eq!(
                [0, 4, 19, 20, u64::MAX].map(|step| two.lr(step)),
                [0.25, 1.0, 0.0625, 0.0625, 0.0625]
            );
            let three = two.with_three_phases(true);
            assert_eq!(
                [0, 4, 8, 19, 20, u64::MAX].map(|step| three.lr(step)),
                [0.25, 1.0, 0.25, 0.0625, 0.0625, 0.0625]
            );
            // Half-way up.
            assert_relative_eq!(two.lr(2), 0.625, max_relative = 4.0 * f64::EPSILON);
        }
        Ok(())
    }

    #[test]
    fn a_rise_without_a_length_is_at_its_top() -> Result<(), ConfigError> {
        // pT = 1: PyTorch divides by zero here.
        assert_eq!(cycle(4, 0.25)?.lr(0), 1.0);
        assert_eq!(cycle(4, 0.25)?.with_three_phases(true).lr(0), 1.0);
        assert_eq!(cycle(1, 1.0)?.lr(0), 1.0);
        Ok(())
    }

    #[test]
    fn the_extreme_shares_are_all_fall_and_all_rise() -> Result<(), ConfigError> {
        // As in PyTorch the fall began one step before step 0.
        let fall = cycle(4, 0.0)?.with_anneal_strategy(AnnealStrategy::Linear);
        assert_eq!(
            [0, 3].map(|step| fall.lr(step)),
            [1.0 - 0.9375 / 4.0, 0.0625]
        );
        let rise = cycle(4, 1.0)?;
        assert_eq!([0, 3, 4].map(|step| rise.lr(step)), [0.25, 1.0, 1.0]);
        assert_eq!(cycle(1, 0.3)?.lr(0), 0.0625);
        Ok(())
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() -> Result<(), ConfigError> {
        for pct_start in [0.0, 0.3, 0.5, 1.0] {
            for three_phase in [false, true] {
                let schedule = OneCycleLr::new(f64::MAX, u64::MAX)?
                    .with_pct_start(pct_start)?
                    .with_div_factors(f64::MAX, f64::MAX)?
                    .with_three_phases(three_phase);
                for step in [0, 1, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX] {
                    let lr = schedule.lr(step);
                    assert!((0.0..=f64::MAX).contains(&lr), "{schedule:?} {step}: {lr}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn max_lr_is_the_highest_rate() {
        let with =
            |div, last| OneCycleLr::new(0.1, 10).and_then(|it| it.with_div_factors(div, last));
        for (div, last) in [(1.0, 1.0), (25.0, 0.04), (f64::MAX, f64::MAX)] {
            assert!(with(div, last).is_ok(), "{div} {last}");
        }
        for div in [1.0 - f64::EPSILON, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(
                with(div, 1.0).unwrap_err().to_string(),
                format!(
                    "div_factor = {}: must be finite and at least 1",
                    crate::short::Short(div)
                )
            );
        }
        for last in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(
                with(25.0, last).unwrap_err().to_string(),
                format!(
                    "final_div_factor = {}: must be positive and finite",
                    crate::short::Short(last)
                )
            );
        }
        assert!(
            with(25.0, 0.03)
                .unwrap_err()
                .to_string()
                .starts_with("final_div_factor = 0.03: must be at least 1 / div_factor")
        );
    }

    #[test]
    fn the_other_parameters_have_their_ranges() -> Result<(), ConfigError> {
        for (built, expected) in [
            (
                OneCycleLr::new(0.0, 10),
                "max_lr = 0: must be positive and finite",
            ),
            (
                OneCycleLr::new(0.1, 0),
                "total_steps = 0: must be at least 1",
            ),
            (
                OneCycleLr::new(0.1, 10)?.with_pct_start(1.0 + f64::EPSILON),
                "pct_start = 1.0000000000000002: must lie in [0, 1]",
            ),
            (
                OneCycleLr::new(0.1, 10)?.with_pct_start(f64::NAN),
                "pct_start = NaN: must lie in [0, 1]",
            ),
        ] {
            assert_eq!(built.unwrap_err().to_string(), expected);
        }
        Ok(())
    }
}
