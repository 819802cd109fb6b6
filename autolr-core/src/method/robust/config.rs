//! The settings.

use serde::{Deserialize, Serialize};

use super::KIND;
use super::search::Lengths;
use super::state::Robust;
use crate::error::{ConfigError, StateError};
use crate::method::config::{Config, Forecast, MethodConfig};
use crate::method::kind::Range;
use crate::method::{Method, MethodState, Plan};
use crate::value::Table;
use crate::value::difference::differences;

/// The settings of [`Robust`]. All have defaults; each part of the method can be switched off alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct RobustConfig {
    pub(super) lr: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) search: Option<f64>,
    pub(super) rounds: u64,
    pub(super) scoring_batches: u64,
    pub(super) tie: f64,
    pub(super) trend: bool,
    pub(super) scale: f64,
    pub(super) warm_up: f64,
    pub(super) adopt: bool,
    pub(super) guard: bool,
}

/// What a file gives, not checked yet.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    lr: Option<f64>,
    search: Option<f64>,
    rounds: Option<u64>,
    scoring_batches: Option<u64>,
    tie: Option<f64>,
    trend: Option<bool>,
    scale: Option<f64>,
    warm_up: Option<f64>,
    adopt: Option<bool>,
    guard: Option<bool>,
}

impl TryFrom<RawConfig> for RobustConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let default = Self::default();
        let search = raw.search.map(|share| SEARCH.check("search", share));
        let batches = raw.scoring_batches.unwrap_or(default.scoring_batches);
        Range::AT_LEAST_ONE.check("scoring_batches", batches as f64)?;
        let rounds = raw.rounds.unwrap_or(default.rounds);
        ROUNDS.check("rounds", rounds as f64)?;
        Ok(Self {
            lr: Range::POSITIVE.check("lr", raw.lr.unwrap_or(default.lr))?,
            search: search.transpose()?,
            rounds,
            scoring_batches: batches,
            tie: Range::NOT_NEGATIVE.check("tie", raw.tie.unwrap_or(default.tie))?,
            trend: raw.trend.unwrap_or(default.trend),
            scale: SCALE.check("scale", raw.scale.unwrap_or(default.scale))?,
            warm_up: Range::SHARE.check("warm_up", raw.warm_up.unwrap_or(default.warm_up))?,
            adopt: raw.adopt.unwrap_or(default.adopt),
            guard: raw.guard.unwrap_or(default.guard),
        })
    }
}

/// Shares of a run that a search may take.
pub(super) const SEARCH: Range = Range::new(0.0, 0.5, "must be above 0, up to 0.5").without_least();

const ROUNDS: Range = Range::new(0.0, 2.0, "must be 0, 1 or 2");

/// What the highest rate may be of the one that was found.
pub(super) const SCALE: Range = Range::new(0.0, 1.0, "must be above 0, up to 1").without_least();

impl Default for RobustConfig {
    fn default() -> Self {
        Self {
            lr: 0.01,
            search: None,
            rounds: 2,
            scoring_batches: 16,
            tie: 1.0,
            trend: true,
            scale: 0.5,
            warm_up: 0.02,
            adopt: true,
            guard: true,
        }
    }
}

impl From<RobustConfig> for MethodConfig {
    fn from(config: RobustConfig) -> Self {
        Self::of(config)
    }
}

impl Config for RobustConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(Robust::new(*self))
    }

    fn resume(&self, state: &MethodState) -> Result<Box<dyn Method>, StateError> {
        let saved = super::saved(state)?;
        let differences = differences("", &saved.config, self);
        if !differences.is_empty() {
            return Err(StateError::Config { differences });
        }
        Ok(Box::new(saved))
    }

    fn forecast(&self, plan: Plan) -> Forecast {
        let Some(lengths) = Lengths::of(self, plan) else {
            return Forecast::default();
        };
        let [least_search, most_search] = lengths.cost(self.adopt);
        Forecast { least_search, most_search, ..Forecast::default() }
    }
}
