//! The settings of the closed loop.

use serde::{Deserialize, Serialize};

use crate::clock::{Cadence, Unit};
use crate::error::FieldDifference;
use crate::leaves;
use crate::schedule::{Schedule, ScheduleConfig};
use crate::short::{List, Short};
use crate::{ConfigError, ExponentialScore, Factors, NonFinite, Normalization, ScaleUpdate};

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
/// | `normalization` | `"z-score"`, `"population-z-score"`, `"min-max"`, `"sum"`, `"none"` | `"z-score"` |
/// | `sharpness` | ≥ 0; see [`Normalization`] for what is safe | 1 |
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
    /// [`ConfigError::Value`] if `lr` is NaN, zero, negative or infinite.
    pub fn new(lr: f64, rule: ScaleUpdate) -> Result<Self, ConfigError> {
        positive("lr", lr, "a learning rate must be positive and finite")?;
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

    /// The same with another cadence.
    #[must_use]
    pub fn with_cadence(mut self, cadence: Cadence) -> Self {
        self.cadence = cadence;
        self
    }

    /// The same with bounds: neither a rate nor a candidate leaves `[min, max]` (before the groups' multipliers).
    ///
    /// # Errors
    /// [`ConfigError::Value`] if a bound is not finite or below [`f64::MIN_POSITIVE`], the least rate that there is,
    /// [`ConfigError::EmptyRange`] if `min` exceeds `max`, [`ConfigError::OutOfBounds`] if the initial rate lies outside.
    pub fn with_bounds(mut self, min: f64, max: f64) -> Result<Self, ConfigError> {
        for (key, value) in [("min_lr", min), ("max_lr", max)] {
            if !(f64::MIN_POSITIVE..=f64::MAX).contains(&value) {
                return Err(ConfigError::Value {
                    key,
                    value,
                    rule: "must be finite and at least 2.2250738585072014e-308",
                });
            }
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
        let (smallest, _) = self.rule.factors().basis().hull;
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

    /// The fields in which a state's configuration differs from this one. Values are compared before they are written:
    /// there may be a million factors.
    pub(crate) fn differences(&self, saved: &Self) -> Vec<FieldDifference> {
        type Row = (&'static str, bool, fn(&AutoLrConfig) -> String);
        let (old, new) = (&saved.rule, &self.rule);
        let rows: [Row; 10] = [
            (
                "normalization",
                old.normalization() != new.normalization(),
                |config| config.rule.normalization().name().to_owned(),
            ),
            ("sharpness", old.score() != new.score(), |config| {
                Short(config.rule.score().sharpness()).to_string()
            }),
            (
                "non_finite",
                old.non_finite() != new.non_finite(),
                |config| config.rule.non_finite().name().to_owned(),
            ),
            (
                "every",
                saved.cadence.every() != self.cadence.every(),
                |config| config.cadence.every().to_string(),
            ),
            (
                "unit",
                saved.cadence.unit() != self.cadence.unit(),
                |config| config.cadence.unit().name().to_owned(),
            ),
            ("min_lr", saved.bounds.0 != self.bounds.0, |config| {
                text_unless(UNBOUNDED.0, config.bounds.0)
            }),
            ("max_lr", saved.bounds.1 != self.bounds.1, |config| {
                text_unless(UNBOUNDED.1, config.bounds.1)
            }),
            (
                "all_non_finite",
                saved.all_non_finite != self.all_non_finite,
                |config| config.all_non_finite.name().to_owned(),
            ),
            (
                "edge_probes",
                saved.edge_probes != self.edge_probes,
                |config| config.edge_probes.to_string(),
            ),
            (
                "group_probing",
                saved.group_probing != self.group_probing,
                |config| config.group_probing.name().to_owned(),
            ),
        ];
        let lists = [
            ("factors", old.factors().slice(), new.factors().slice()),
            ("groups", &saved.groups, &self.groups),
        ];
        let rows = rows.into_iter().filter(|(_, differs, _)| *differs);
        let rows = rows.map(|(field, _, text)| FieldDifference {
            field: field.into(),
            saved: text(saved),
            configured: text(self),
        });
        let [factors, groups] = lists.map(|(name, old, new)| difference_of_lists(name, old, new));
        let mut found = differences_of_start(&saved.start, &self.start);
        found.extend(factors.into_iter().chain(rows).chain(groups));
        found
    }
}

fn text_unless(absent: f64, value: f64) -> String {
    if value == absent {
        "absent".to_owned()
    } else {
        Short(value).to_string()
    }
}

fn differences_of_start(saved: &Start, configured: &Start) -> Vec<FieldDifference> {
    if let (Start::Base(saved), Start::Base(configured)) = (saved, configured) {
        return leaves::differences("base", saved, configured);
    }
    let texts = |start: &Start| match start {
        Start::Lr(lr) => [Short(*lr).to_string(), "absent".to_owned()],
        Start::Base(base) => ["absent".to_owned(), base.kind().to_owned()],
    };
    let pairs = texts(saved).into_iter().zip(texts(configured));
    ["lr", "base"]
        .into_iter()
        .zip(pairs)
        .filter(|(_, (saved, configured))| saved != configured)
        .map(|(field, (saved, configured))| FieldDifference {
            field: field.into(),
            saved,
            configured,
        })
        .collect()
}

/// How two lists differ: short ones whole, long ones by their length or the first entry that differs.
fn difference_of_lists(name: &'static str, saved: &[f64], new: &[f64]) -> Option<FieldDifference> {
    let index = saved.iter().zip(new).position(|(old, new)| old != new);
    let (n, m) = (saved.len(), new.len());
    let difference = |field, saved, configured| FieldDifference {
        field,
        saved,
        configured,
    };
    match index {
        None if n == m => None,
        _ if n.max(m) <= 8 => {
            let text = |list| format!("[{}]", List(list));
            Some(difference(name.into(), text(saved), text(new)))
        }
        Some(i) if n == m => {
            let text = |list: &[f64]| Short(list[i]).to_string();
            let field = format!("{name}[{i}]").into();
            Some(difference(field, text(saved), text(new)))
        }
        _ => {
            let text = |length: usize| format!("a list of {length}");
            Some(difference(name.into(), text(n), text(m)))
        }
    }
}

fn is_positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

fn positive(key: &'static str, value: f64, rule: &'static str) -> Result<(), ConfigError> {
    if is_positive(value) {
        Ok(())
    } else {
        Err(ConfigError::Value { key, value, rule })
    }
}

/// The keys of a file. What has its default value is not written.
#[derive(Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(
        rename = "AutoLrConfig",
        description = "The settings of the closed loop: `factors`, and either `lr` or `base`"
    )
)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    /// Initial rate; or `base` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    lr: Option<f64>,
    /// What a probe scales the rate by.
    factors: Factors,
    /// How the losses of a probe are made comparable.
    #[serde(default)]
    normalization: Normalization,
    /// How much a low loss counts.
    #[serde(default = "default_sharpness")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    sharpness: f64,
    /// What a loss does that is not finite.
    #[serde(default)]
    non_finite: NonFinite,
    /// A decision every so many units.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    every: u64,
    /// What is counted.
    #[serde(default, skip_serializing_if = "is_default")]
    unit: Unit,
    /// Lower bound of the rate and of the candidates, before `groups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    min_lr: Option<f64>,
    /// Upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    max_lr: Option<f64>,
    /// What a probe without a finite loss does.
    #[serde(default, skip_serializing_if = "is_default")]
    all_non_finite: AllNonFinite,
    /// How often to probe again, around the best candidate, while that is the outermost one.
    #[serde(default, skip_serializing_if = "is_default")]
    edge_probes: u32,
    /// A multiplier for each parameter group's rate.
    #[serde(default = "one_group", skip_serializing_if = "is_one_group")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    groups: Vec<f64>,
    /// How the rates of several parameter groups are probed.
    #[serde(default, skip_serializing_if = "is_default")]
    group_probing: GroupProbing,
    /// A schedule that the closed loop scales.
    // Last: TOML wants tables behind plain values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<ScheduleConfig>,
}

fn default_sharpness() -> f64 {
    ExponentialScore::default().sharpness()
}

fn one() -> u64 {
    1
}

fn one_group() -> Vec<f64> {
    vec![1.0]
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(value: &u64) -> bool {
    *value == 1
}

fn is_one_group(groups: &[f64]) -> bool {
    groups == [1.0]
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TryFrom<RawConfig> for AutoLrConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let rule = ScaleUpdate::new(raw.factors)
            .with_normalization(raw.normalization)
            .with_score(ExponentialScore::new(raw.sharpness)?)
            .with_non_finite(raw.non_finite);
        let config = match (raw.lr, raw.base) {
            (Some(lr), None) => Self::new(lr, rule)?,
            (None, Some(base)) => Self::over(base, rule),
            (None, None) => return Err(ConfigError::Base("lr: missing (or `base`, a schedule)")),
            (Some(_), Some(_)) => {
                return Err(ConfigError::Base(
                    "lr: not beside `base`, whose own rate it starts from",
                ));
            }
        };
        config
            .with_cadence(Cadence::new(raw.every, raw.unit)?)
            .with_all_non_finite(raw.all_non_finite)?
            .with_edge_probes(raw.edge_probes)
            .with_groups(raw.groups, raw.group_probing)?
            .with_bounds(
                raw.min_lr.unwrap_or(UNBOUNDED.0),
                raw.max_lr.unwrap_or(UNBOUNDED.1),
            )
    }
}

impl From<AutoLrConfig> for RawConfig {
    fn from(config: AutoLrConfig) -> Self {
        let bound = |value: f64, none: f64| (value != none).then_some(value);
        let (lr, base) = match config.start {
            Start::Lr(lr) => (Some(lr), None),
            Start::Base(base) => (None, Some(base)),
        };
        Self {
            lr,
            factors: config.rule.factors().clone(),
            normalization: config.rule.normalization(),
            sharpness: config.rule.score().sharpness(),
            non_finite: config.rule.non_finite(),
            every: config.cadence.every(),
            unit: config.cadence.unit(),
            min_lr: bound(config.bounds.0, UNBOUNDED.0),
            max_lr: bound(config.bounds.1, UNBOUNDED.1),
            all_non_finite: config.all_non_finite,
            edge_probes: config.edge_probes,
            groups: config.groups,
            group_probing: config.group_probing,
            base,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_begins_like_the_other_differs_from_it() {
        let differ = |saved: &[f64], new: &[f64]| {
            difference_of_lists("factors", saved, new).map(|difference| difference.to_string())
        };
        assert_eq!(differ(&[2.0, 1.0], &[2.0, 1.0]), None);
        assert_eq!(
            differ(&[2.0, 1.0], &[2.0, 1.0, 0.5]).as_deref(),
            Some("factors was [2, 1] and is [2, 1, 0.5]")
        );
        assert_eq!(
            differ(&[1.0; 9], &[1.0; 10]).as_deref(),
            Some("factors was a list of 9 and is a list of 10")
        );
    }
}
