//! The settings of any method, as a file has them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Method, MethodState, Plan, registry};
use crate::StateError;
use crate::value::Table;
use crate::value::read::SettingsError;

/// What is read, in the words of an error.
const WHAT: &str = "a scheduler: a table with the key `kind`";

/// What the settings of a method can do. One implementation a method, beside it.
pub(crate) trait Config: AsAny + fmt::Debug + Send + Sync + 'static {
    /// What the key `kind` says.
    fn kind(&self) -> &'static str;

    /// The other keys.
    fn keys(&self) -> Table;

    /// The method at its beginning.
    fn build(&self) -> Box<dyn Method>;

    /// The method where it was saved.
    fn resume(&self, state: &MethodState) -> Result<Box<dyn Method>, StateError>;

    /// How often it will ask for what costs compute.
    fn forecast(&self, plan: Plan) -> Forecast {
        let _ = plan;
        Forecast::default()
    }
}

/// For [`MethodConfig::downcast`]; a compiler as old as 1.85 does not go from a trait to its supertrait by itself.
pub(crate) trait AsAny {
    fn as_any(&self) -> &dyn Any;
}

impl<T: Any> AsAny for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What a method will ask for beside the training, in a run that keeps to its plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forecast {
    /// Decisions.
    pub decisions: u64,
    /// Candidates of each probe, at most: those that a bound cuts are fewer trials.
    pub candidates: usize,
    /// Further probes that a decision may take.
    pub further_probes: u64,
    /// The search, at least.
    pub least_search: SearchForecast,
    /// The search, at most.
    pub most_search: SearchForecast,
}

/// What a search takes, without the steps that the training goes on from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchForecast {
    /// Optimiser steps of its trials.
    pub steps: u64,
    /// Batches on which their ends are scored.
    pub scores: u64,
}

impl Forecast {
    /// So many decisions of a probe of `candidates` each.
    pub fn probes(decisions: u64, candidates: usize) -> Self {
        Self {
            decisions,
            candidates,
            ..Self::default()
        }
    }
}

/// The settings of any method, validated, as a file has them: the key `kind` says which, the others are its own.
/// [`kinds`](crate::kinds) lists them.
///
/// ```
/// use autolr_core::MethodConfig;
/// let text = r#"{"kind": "warm-up", "steps": 5, "schedule": {"kind": "fixed", "lr": 0.3}, "unit": "step"}"#;
/// let config: MethodConfig = serde_json::from_str(text)?;
/// assert!((config.build().lr() - 0.1).abs() < 1e-15);
/// let wrong = serde_json::from_str::<MethodConfig>(r#"{"kind": "reduce-on-plateau", "lr": 0}"#);
/// assert!(wrong.unwrap_err().to_string().starts_with("lr = 0: "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct MethodConfig(Arc<dyn Config>);

impl MethodConfig {
    pub(crate) fn of(config: impl Config) -> Self {
        Self(Arc::new(config))
    }

    /// Reads settings, as [`Deserialize`] does, with the key of an error apart.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn read<'de>(from: impl Deserializer<'de>) -> Result<Self, SettingsError> {
        let table = Table::read(from, WHAT).map_err(<SettingsError as de::Error>::custom)?;
        Self::of_table(table)
    }

    fn of_table(mut table: Table) -> Result<Self, SettingsError> {
        let kind = table.take_text("kind")?;
        registry::read(&kind, table)
    }

    /// What the key `kind` says.
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// The method at its beginning.
    pub fn build(&self) -> Box<dyn Method> {
        self.0.build()
    }

    /// The method where it was saved.
    ///
    /// # Errors
    /// [`StateError`] for a state of another kind, version or configuration, with the fields that differ.
    pub fn resume(&self, state: &MethodState) -> Result<Box<dyn Method>, StateError> {
        self.0.resume(state)
    }

    /// The settings under which a state was saved.
    ///
    /// # Errors
    /// [`StateError`] for a state of no kind that there is, or another version.
    pub fn of_state(state: &MethodState) -> Result<Self, StateError> {
        registry::config_of(state)
    }

    /// How often the method will probe.
    pub fn forecast(&self, plan: Plan) -> Forecast {
        self.0.forecast(plan)
    }

    /// The settings as those of one method, if it is that.
    pub fn downcast<T: Any>(&self) -> Option<&T> {
        (*self.0).as_any().downcast_ref()
    }

    fn table(&self) -> Table {
        let mut table = self.0.keys();
        if !table.has("kind") {
            table.0.insert(
                0,
                (
                    "kind".to_owned(),
                    crate::value::Value::Text(self.kind().to_owned()),
                ),
            );
        }
        table
    }
}

/// Equal if a file would say the same.
impl PartialEq for MethodConfig {
    fn eq(&self, other: &Self) -> bool {
        self.table() == other.table()
    }
}

impl Serialize for MethodConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.table().serialize(serializer)
    }
}

/// What is wrong is said with the path to its key, such as `schedule.lr = -1: …`.
impl<'de> Deserialize<'de> for MethodConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::read(deserializer, WHAT)?;
        Self::of_table(table).map_err(de::Error::custom)
    }
}
