//! What a scheduler saves, and how it goes on from there.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::decision::Probed;
use crate::lr_scheduler::OpenLoopState;
use crate::plateau::PlateauState;
use crate::{AutoLrConfig, ProbeCost, StateError, float_serde};

/// The state of a scheduler of any kind, to be saved with a training run's checkpoint.
///
/// It holds the configuration in full: [`AutoLr::with_state`](crate::AutoLr::with_state) and its like refuse a state of
/// another kind, version or configuration, and name the fields that differ. Going on from a state gives the same rates
/// as not having stopped, bit for bit. In JSON nothing is lost, NaN included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SchedulerState {
    /// Of an [`AutoLr`](crate::AutoLr).
    #[serde(rename = "autolr")]
    AutoLr(Box<AutoLrState>),
    /// Of an [`OpenLoop`](crate::OpenLoop).
    OpenLoop(OpenLoopState),
    /// Of a [`ReduceOnPlateau`](crate::ReduceOnPlateau).
    ReduceOnPlateau(PlateauState),
}

impl SchedulerState {
    /// Name of the kind, as in files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AutoLr(_) => "autolr",
            Self::OpenLoop(_) => "open-loop",
            Self::ReduceOnPlateau(_) => "reduce-on-plateau",
        }
    }

    /// The error of a configuration of kind `expected` that is given this state.
    pub(crate) fn not_of_kind(&self, expected: &'static str) -> StateError {
        StateError::Kind {
            found: self.kind(),
            expected,
        }
    }
}

/// The state of an [`AutoLr`](crate::AutoLr): its configuration, where it stands, and an unfinished decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        description = "The state of the closed loop: its configuration, where it stands, and an unfinished decision"
    )
)]
#[serde(deny_unknown_fields)]
pub struct AutoLrState {
    // First, so that a state of another version is told by its version, not by its other fields.
    #[serde(deserialize_with = "version::<_, { AutoLrState::VERSION }>")]
    #[cfg_attr(feature = "schema", schemars(extend("const" = AutoLrState::VERSION)))]
    pub(crate) version: u32,
    pub(crate) config: AutoLrConfig,
    /// Ticks so far.
    pub(crate) tick: u64,
    /// Decisions so far.
    pub(crate) decisions: u64,
    /// What the base is multiplied by; one, or one a group.
    #[serde(with = "float_serde::vec")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<float_serde::Float>"))]
    pub(crate) scales: Vec<f64>,
    /// The decision that is not taken yet, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<Window>,
}

/// Where a decision that probes several times stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// The rate that the next probe is centred on, before a group's multiplier.
    #[serde(with = "float_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "float_serde::Float"))]
    pub(crate) centre: f64,
    /// The probes so far, at least one.
    pub(crate) probes: Vec<Probed>,
    /// What they cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<ProbeCost>,
}

impl AutoLrState {
    /// The version that this build writes and reads.
    pub const VERSION: u32 = 2;

    /// The configuration under which the state was saved.
    pub fn config(&self) -> &AutoLrConfig {
        &self.config
    }

    /// Ticks (epochs or steps) so far.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Decisions so far.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Checks that a scheduler of `config` can go on from here.
    pub(crate) fn check(&self, config: &AutoLrConfig) -> Result<(), StateError> {
        let differences = config.differences(&self.config);
        if !differences.is_empty() {
            return Err(StateError::Config { differences });
        }
        if self.scales.len() != config.scales() {
            return Err(StateError::Value {
                field: "scales",
                value: format!("{:?}", self.scales),
                rule: "must be one, or one a parameter group probed in turn",
            });
        }
        // NaN passes: under `NonFinite::Propagate` that is where a run can end.
        let is_rate = |value: f64| !(value <= 0.0 || value == f64::INFINITY);
        if let Some(scale) = self.scales.iter().find(|scale| !is_rate(**scale)) {
            return Err(StateError::Value {
                field: "scales",
                value: scale.to_string(),
                rule: "must be positive and finite",
            });
        }
        match &self.window {
            Some(window) => window.check(config),
            None => Ok(()),
        }
    }
}

impl Window {
    fn check(&self, config: &AutoLrConfig) -> Result<(), StateError> {
        if !(self.centre > 0.0 && self.centre.is_finite()) {
            return Err(StateError::Value {
                field: "window.centre",
                value: self.centre.to_string(),
                rule: "must be positive and finite",
            });
        }
        let probes = self.probes.len();
        if probes == 0 || probes > config.edge_probes() as usize {
            return Err(StateError::Value {
                field: "window.probes",
                value: format!("a list of {probes}"),
                rule: "must be from one to edge_probes",
            });
        }
        let n = config.rule().factors().len();
        let fits = |probe: &Probed| probe.candidates.len() == n && probe.losses.len() == n;
        if !self.probes.iter().all(fits) {
            return Err(StateError::Value {
                field: "window.probes",
                value: "a probe of another length".to_owned(),
                rule: "must have one candidate and one loss a factor",
            });
        }
        Ok(())
    }
}

/// Reads the version of a state and refuses another than `EXPECTED`.
pub(crate) fn version<'de, D: Deserializer<'de>, const EXPECTED: u32>(
    deserializer: D,
) -> Result<u32, D::Error> {
    let found = u32::deserialize(deserializer)?;
    if found == EXPECTED {
        Ok(found)
    } else {
        Err(de::Error::custom(StateError::Version {
            found,
            expected: EXPECTED,
        }))
    }
}
