//! The settings as a file has them.

use serde::{Deserialize, Serialize};

use super::{AllNonFinite, AutoLrConfig, GroupProbing, Start, UNBOUNDED};
use crate::clock::{Cadence, Unit};
use crate::schedule::ScheduleConfig;
use crate::value::Table;
use crate::value::read::SettingsError;
use crate::value::within::Within;
use crate::{ConfigError, ExponentialScore, Factors, NonFinite, Normalization, ScaleUpdate};

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
pub(super) struct RawConfig {
    /// Initial rate; or `base` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    lr: Option<f64>,
    /// What a probe scales the rate by.
    #[cfg_attr(feature = "schema", schemars(with = "Factors"))]
    factors: Within<Factors>,
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
    #[cfg_attr(feature = "schema", schemars(with = "Option<ScheduleConfig>"))]
    base: Option<Within<ScheduleConfig>>,
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

impl AutoLrConfig {
    /// The settings of a file's keys.
    pub(in crate::method) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawConfig, _>()
    }
}

impl TryFrom<RawConfig> for AutoLrConfig {
    type Error = SettingsError;

    fn try_from(raw: RawConfig) -> Result<Self, SettingsError> {
        let base = raw.base.map(|base| base.at("base")).transpose()?;
        let rule = ScaleUpdate::new(raw.factors.named()?)
            .with_normalization(raw.normalization)
            .with_score(ExponentialScore::new(raw.sharpness)?)
            .with_non_finite(raw.non_finite);
        let config = match (raw.lr, base) {
            (Some(lr), None) => Self::new(lr, rule)?,
            (None, Some(base)) => Self::over(base, rule),
            (None, None) => return Err(ConfigError::Base("missing (or `base`, a schedule)").into()),
            (Some(_), Some(_)) => {
                return Err(ConfigError::Base(
                    "not beside `base`, whose own rate it starts from",
                )
                .into());
            }
        };
        let config = config
            .with_cadence(Cadence::new(raw.every, raw.unit)?)
            .with_all_non_finite(raw.all_non_finite)?
            .with_edge_probes(raw.edge_probes)
            .with_groups(raw.groups, raw.group_probing)?
            .with_bounds(
                raw.min_lr.unwrap_or(UNBOUNDED.0),
                raw.max_lr.unwrap_or(UNBOUNDED.1),
            )?;
        Ok(config)
    }
}

impl From<AutoLrConfig> for RawConfig {
    fn from(config: AutoLrConfig) -> Self {
        let bound = |value: f64, none: f64| (value != none).then_some(value);
        let (lr, base) = match config.start {
            Start::Lr(lr) => (Some(lr), None),
            Start::Base(base) => (None, Some(Within::from(base))),
        };
        Self {
            lr,
            factors: config.rule.factors().clone().into(),
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
