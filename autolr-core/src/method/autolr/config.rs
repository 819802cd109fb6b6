//! The settings of the closed loop.

mod differences;
mod file;

use serde::{Deserialize, Serialize};

use crate::clock::Cadence;
use crate::method::kind::Range;
use crate::schedule::{Schedule, ScheduleConfig};
use crate::{ConfigError, ScaleUpdate};
use file::RawConfig;

/// What happens when none of the losses of a probe is finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AllNonFinite {
    /// The rate is held.
    #[default]
    Hold,
    /// The rate is scaled by the smallest factor, which has to be below 1: a rate at which everything blows up is too
    /// large. With `edge_probes` the next probe is centred on that rate, and so on: it is lowered once a probe.
    Lower,
    /// The decision fails with [`crate::TellError::NoFiniteLoss`], and the scheduler is as before.
    Fail,
}

impl AllNonFinite {
    /// Name as in files: `hold`, `lower`, `fail`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Lower => "lower",
            Self::Fail => "fail",
        }
    }
}

/// How the rates of several parameter groups are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GroupProbing {
    /// One scale for all: a trial scales all rates by the same factor, and they keep their ratios.
    #[default]
    Together,
    /// A scale each: decision k tries rates for group k mod g, while the others keep theirs.
    InTurn,
}

impl GroupProbing {
    /// Name as in files: `together`, `in-turn`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::InTurn => "in-turn",
        }
    }
}

/// The validated settings of an [`AutoLr`](crate::AutoLr).
///
/// In files (TOML, JSON):
///
/// | key | what | default |
/// |---|---|---|
/// | `lr` | initial rate, positive; or `base` instead | |
/// | `base` | an open-loop schedule that the closed loop scales: the rate is base(t) · scale | |
/// | `factors` | a list of numbers, or a name such as `"factor_5"` | |
/// | `normalization` | `"z-score"`, `"population-z-score"`, `"min-max"`, `"sum"`, `"rank"`, `"none"` | `"z-score"` |
/// | `sharpness` | ≥ 0; under `"z-score"` a lower loss never lowers a weight at 1 with up to 86 candidates, see [`Normalization`](crate::Normalization) | 1 |
/// | `non_finite` | a loss that is not finite: `"no-vote"`, `"propagate"` | `"no-vote"` |
/// | `every`, `unit` | a decision every so many `"epoch"`s or `"step"`s | 1, `"epoch"` |
/// | `min_lr`, `max_lr` | bounds of the rate and of the candidates, before `groups` | the positive normal numbers |
/// | `all_non_finite` | no loss is finite: `"hold"`, `"lower"` (a factor below 1 is needed), `"fail"` | `"hold"` |
/// | `edge_probes` | how often to probe again, around the best candidate, while that is the outermost one | 0 |
/// | `groups` | a multiplier for each parameter group's rate | `[1.0]` |
/// | `group_probing` | `"together"`, `"in-turn"` | `"together"` |
///
/// ```
/// use autolr_core::{AutoLrConfig, Cadence, Factors, ScaleUpdate, Unit};
/// let config = AutoLrConfig::new(0.005, ScaleUpdate::new(Factors::powers_of_two(5)?))?
///     .with_cadence(Cadence::new(200, Unit::Step)?)
///     .with_bounds(1e-5, 0.5)?
///     .with_edge_probes(4);
/// let read: AutoLrConfig = serde_json::from_str(
///     r#"{"lr": 0.005, "factors": "factor_5", "every": 200, "unit": "step",
///         "min_lr": 1e-5, "max_lr": 0.5, "edge_probes": 4}"#,
/// )?;
/// assert_eq!(config, read);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "RawConfig", into = "RawConfig")]
pub struct AutoLrConfig {
    start: Start,
    rule: ScaleUpdate,
    cadence: Cadence,
    bounds: (f64, f64),
    all_non_finite: AllNonFinite,
    edge_probes: u32,
    groups: Vec<f64>,
    group_probing: GroupProbing,
}

/// What the scale multiplies.
#[derive(Debug, Clone, PartialEq)]
enum Start {
    /// Nothing: the scale is the rate, and starts here.
    Lr(f64),
    /// A schedule; the scale starts at 1.
    Base(ScheduleConfig),
}

/// The rates that exist.
const UNBOUNDED: (f64, f64) = (f64::MIN_POSITIVE, f64::MAX);

impl AutoLrConfig {
    /// Start at `lr` and update by `rule`, once an epoch.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `lr` is NaN, zero, negative, infinite or below [`f64::MIN_POSITIVE`], the least rate
    /// that there is.
    pub fn new(lr: f64, rule: ScaleUpdate) -> Result<Self, ConfigError> {
        Range::RATE.check("lr", lr)?;
        Ok(Self::starting(Start::Lr(lr), rule))
    }

    /// Follow `base`, scaled by what `rule` finds: the rate of tick t is `base(t) · scale`, the scale starts at 1.
    ///
    /// The base counts what the cadence counts. The rate is cut to the bounds, and the scale does not run away behind
    /// them: a decision moves it from where a bound holds the rate. Where the base is zero, or so far below the lower
    /// bound that the decision's factor does not lift it there, the rate is that bound and the scale stays as it is.
    pub fn over(base: impl Into<ScheduleConfig>, rule: ScaleUpdate) -> Self {
        Self::starting(Start::Base(base.into()), rule)
    }

    fn starting(start: Start, rule: ScaleUpdate) -> Self {
        Self {
            start,
            rule,
            cadence: Cadence::default(),
            bounds: UNBOUNDED,
            all_non_finite: AllNonFinite::default(),
            edge_probes: 0,
            groups: vec![1.0],
            group_probing: GroupProbing::default(),
        }
    }

    /// The same with another cadence: whether a decision is due is what [`AutoLr::is_due`](crate::AutoLr::is_due)
    /// answers, and [`drive`](crate::drive) goes by. [`AutoLr::step`](crate::AutoLr::step) decides whenever it is
    /// called.
    #[must_use]
    pub fn with_cadence(mut self, cadence: Cadence) -> Self {
        self.cadence = cadence;
        self
    }

    /// The same with bounds: neither a rate nor a candidate leaves `[min, max]` (before the groups' multipliers).
    ///
    /// Candidates beyond a bound are tried at the bound, once for all of them. If no rate tried has a lower loss, they
    /// vote with their own factors, and the rate goes no farther than to the minimum of the parabola in ln lr through the
    /// losses of the bound and of the two rates nearest to it: losses which fall all the way hold the rate at the bound.
    /// If one has, they vote with the factor of the bound, so that the rate finds the better one within.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if a bound is not finite or below [`f64::MIN_POSITIVE`], the least rate that there is,
    /// [`ConfigError::EmptyRange`] if `min` exceeds `max`, [`ConfigError::OutOfBounds`] if the initial rate lies outside.
    pub fn with_bounds(mut self, min: f64, max: f64) -> Result<Self, ConfigError> {
        for (key, value) in [("min_lr", min), ("max_lr", max)] {
            Range::RATE.check(key, value)?;
        }
        if min > max {
            return Err(ConfigError::EmptyRange { min, max });
        }
        match self.start {
            Start::Lr(lr) if !(min..=max).contains(&lr) && (min, max) != UNBOUNDED => {
                Err(ConfigError::OutOfBounds { lr, min, max })
            }
            _ => {
                self.bounds = (min, max);
                Ok(self)
            }
        }
    }

    /// The same with another answer to a probe without a finite loss.
    ///
    /// # Errors
    /// [`ConfigError::CannotLower`] for [`AllNonFinite::Lower`] if no factor is below 1.
    pub fn with_all_non_finite(
        mut self,
        all_non_finite: AllNonFinite,
    ) -> Result<Self, ConfigError> {
        let factors = self.rule.factors().values();
        let smallest = factors.iter().copied().fold(f64::INFINITY, f64::min);
        if all_non_finite == AllNonFinite::Lower && smallest >= 1.0 {
            return Err(ConfigError::CannotLower { smallest });
        }
        self.all_non_finite = all_non_finite;
        Ok(self)
    }

    /// The same with up to `edge_probes` further probes a decision: while the best candidate is the outermost one, the
    /// next probe is centred on it. 0 (the paper) takes the outermost as it is.
    #[must_use]
    pub fn with_edge_probes(mut self, edge_probes: u32) -> Self {
        self.edge_probes = edge_probes;
        self
    }

    /// The same with several parameter groups: the rate of group g is the rate times `multipliers[g]`.
    ///
    /// # Errors
    /// [`ConfigError::NoGroups`] for an empty list, [`ConfigError::Group`] for the first multiplier that is not
    /// positive and finite.
    pub fn with_groups(
        mut self,
        multipliers: impl Into<Vec<f64>>,
        probing: GroupProbing,
    ) -> Result<Self, ConfigError> {
        let multipliers = multipliers.into();
        if multipliers.is_empty() {
            return Err(ConfigError::NoGroups);
        }
        for (index, &value) in multipliers.iter().enumerate() {
            if !is_positive(value) {
                return Err(ConfigError::Group { index, value });
            }
        }
        self.groups = multipliers;
        self.group_probing = probing;
        Ok(self)
    }

    /// The rate that training starts with, before the groups' multipliers.
    pub fn lr(&self) -> f64 {
        self.rate(0, self.initial_scale())
    }

    /// The base schedule, if there is one.
    pub fn base(&self) -> Option<&ScheduleConfig> {
        match &self.start {
            Start::Lr(_) => None,
            Start::Base(base) => Some(base),
        }
    }

    /// The update rule.
    pub fn rule(&self) -> &ScaleUpdate {
        &self.rule
    }

    /// How often a decision is due.
    pub fn cadence(&self) -> Cadence {
        self.cadence
    }

    /// Lower and upper bound of the rate.
    pub fn bounds(&self) -> (f64, f64) {
        self.bounds
    }

    pub(crate) fn is_bounded(&self) -> bool {
        self.bounds != UNBOUNDED
    }

    /// What a probe without a finite loss does.
    pub fn all_non_finite(&self) -> AllNonFinite {
        self.all_non_finite
    }

    /// How many further probes a decision may take.
    pub fn edge_probes(&self) -> u32 {
        self.edge_probes
    }

    /// The groups' multipliers, at least one.
    pub fn groups(&self) -> &[f64] {
        &self.groups
    }

    /// How several groups are probed.
    pub fn group_probing(&self) -> GroupProbing {
        self.group_probing
    }

    /// How many scales there are: one, or one a group.
    pub(crate) fn scales(&self) -> usize {
        match self.group_probing {
            GroupProbing::Together => 1,
            GroupProbing::InTurn => self.groups.len(),
        }
    }

    /// What a scale starts at.
    pub(crate) fn initial_scale(&self) -> f64 {
        match self.start {
            Start::Lr(lr) => lr,
            Start::Base(_) => 1.0,
        }
    }

    /// The rate of tick `t` at this scale, before a group's multiplier.
    pub(crate) fn rate(&self, t: u64, scale: f64) -> f64 {
        match &self.start {
            Start::Lr(_) => self.within_bounds(scale),
            Start::Base(base) => self.within_bounds(base.lr(t) * scale),
        }
    }

    /// Cuts a rate to the bounds; NaN stays NaN.
    pub(crate) fn within_bounds(&self, lr: f64) -> f64 {
        let (min, max) = self.bounds;
        lr.clamp(min, max)
    }
}

fn is_positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

