//! What finds a method by its kind.

use serde::de;

use super::config::MethodConfig;
use super::kind::Kind;
use super::{METHODS, MethodState, scheduled};
use crate::StateError;
use crate::schedule::ScheduleConfig;
use crate::value::Table;
use crate::value::read::SettingsError;

/// A method: its kind, and how its settings are read from a file and from a state.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) read: fn(Table) -> Result<MethodConfig, SettingsError>,
    pub(super) of_state: fn(&MethodState) -> Result<MethodConfig, StateError>,
}

/// All kinds of methods: closed loops first, then the schedules.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    let methods = METHODS.iter().map(|entry| &entry.kind);
    methods.chain(ScheduleConfig::ALL)
}

pub(super) fn read(kind: &str, table: Table) -> Result<MethodConfig, SettingsError> {
    if let Some(entry) = METHODS.iter().find(|entry| entry.kind.name == kind) {
        return (entry.read)(table);
    }
    if kind == scheduled::KIND || ScheduleConfig::KINDS.contains(&kind) {
        return scheduled::read(kind, table);
    }
    let names: Vec<String> = kinds().map(|kind| format!("`{}`", kind.name)).collect();
    // As serde says it of the variants of an enum.
    Err(de::Error::custom(format_args!(
        "unknown variant `{kind}`, expected one of {}",
        names.join(", ")
    )))
}

pub(super) fn config_of(state: &MethodState) -> Result<MethodConfig, StateError> {
    if let Some(entry) = METHODS.iter().find(|entry| entry.kind.name == state.kind()) {
        return (entry.of_state)(state);
    }
    if state.kind() == scheduled::KIND {
        return scheduled::of_state(state);
    }
    Err(StateError::Unknown {
        kind: state.kind().to_owned(),
    })
}
