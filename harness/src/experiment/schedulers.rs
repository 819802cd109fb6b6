//! `[scheduler]` of a specification file: its keys, which autolr-core lists, and what a scale does to its lengths.

use autolr_core::schedule::ScheduleConfig;
use autolr_core::{Key, KeyDefault, Kind};
use toml::{Table, Value};

use super::spec_error::SpecError;
use super::value_kind::ValueKind::{Length, Milestones, Schedule, Schedules};
use super::value_kind::ValuesOf;
use crate::did_you_mean::unknown;

/// The kind of the paper's scheduler, whose base may give it its rate.
const AUTOLR: &str = "autolr";
const UNIT: &str = "unit";

/// The open-loop schedules, in autolr-core's order.
pub(crate) fn schedules() -> impl Iterator<Item = &'static Kind> {
    autolr_core::kinds().filter(|kind| kind.is_schedule)
}

/// All keys that some scheduler has; one that several have stands there several times.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    autolr_core::kinds().flat_map(|kind| kind.keys.iter().chain(unit(kind)))
}

/// What a schedule counts, which one within another has no say in.
fn unit(kind: &'static Kind) -> Option<&'static Key> {
    kind.is_schedule.then(|| kind.key(UNIT)).flatten()
}

/// Checks that a `[scheduler]` has a known kind, each key that this kind needs, and none that it has not; the schedules
/// within it too.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn check(table: &Table) -> Result<&'static Kind, SpecError> {
    let kinds: Vec<&Kind> = autolr_core::kinds().collect();
    let kind = check_kind(table, &kinds, true)?;
    check_within(kind, table, 1)?;
    check_complete(kind, table)?;
    Ok(kind)
}

fn check_kind(
    table: &Table,
    kinds: &[&'static Kind],
    outermost: bool,
) -> Result<&'static Kind, SpecError> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    let name = match table.get("kind") {
        Some(Value::String(name)) => name,
        Some(other) => return Err(SpecError::value("kind", other, "must be a name in quotes")),
        None => {
            return Err(SpecError::missing(
                "kind",
                format!(" ({})", names.join(", ")),
            ));
        }
    };
    let Some(kind) = kinds.iter().find(|kind| kind.name == name) else {
        let text = format!("kind: {}", unknown("scheduler", name, &names));
        return Err(SpecError::new("kind", text));
    };
    let unit = unit(kind).filter(|_| outermost);
    let own = || kind.keys.iter().chain(unit).map(|key| key.name);
    for (key, value) in table {
        if key == "kind" || own().any(|name| name == key) {
            continue;
        }
        let known: Vec<&str> = ["kind"].into_iter().chain(own()).collect();
        return Err(if keys().any(|other| other.name == key) {
            let list = known.join(", ");
            let rule = format!("kind = \"{name}\" has no such key ({list})");
            SpecError::value(key, value, rule)
        } else {
            SpecError::new(key, unknown("key", key, &known))
        });
    }
    Ok(kind)
}

/// Checks that a scheduler has every key that its kind needs.
fn check_complete(kind: &Kind, table: &Table) -> Result<(), SpecError> {
    for key in kind.keys {
        let filled_in = matches!(key.default, KeyDefault::RunLength | KeyDefault::Core(_));
        // The base gives the closed loop its rate.
        let given = table.contains_key(key.name)
            || (kind.name == AUTOLR && key.name == "lr" && table.contains_key("base"));
        if !filled_in && !given {
            let rest = format!(": kind = \"{}\" needs it", kind.name);
            return Err(SpecError::missing(key.name, rest));
        }
    }
    Ok(())
}

/// Checks the schedules within one of `kind`, `level` levels deep.
fn check_within(kind: &Kind, table: &Table, level: usize) -> Result<(), SpecError> {
    // Deeper ones are refused as a whole.
    if level >= ScheduleConfig::MAX_NESTING {
        return Ok(());
    }
    let kinds: Vec<&Kind> = schedules().collect();
    for (path, inner) in within(kind, table) {
        let check = || -> Result<(), SpecError> {
            let kind = check_kind(inner, &kinds, false)?;
            for (key, value) in inner {
                if let Some(rule) = kind.key(key).and_then(|key| key.holds.broken_by(value)) {
                    return Err(SpecError::value(key, value, rule));
                }
            }
            check_within(kind, inner, level + 1)?;
            check_complete(kind, inner)
        };
        check().map_err(|error| error.within(&path))?;
    }
    Ok(())
}

/// The schedules that one of `kind` is made of, each with where it stands.
fn within<'a>(kind: &Kind, table: &'a Table) -> Vec<(String, &'a Table)> {
    let mut found = Vec::new();
    for key in kind.keys {
        match (key.holds, table.get(key.name)) {
            (Schedule, Some(Value::Table(inner))) => found.push((key.name.to_owned(), inner)),
            (Schedules, Some(Value::Array(list))) => {
                let tables = list.iter().enumerate().filter_map(|(index, value)| {
                    Some((format!("{}[{index}]", key.name), value.as_table()?))
                });
                found.extend(tables);
            }
            _ => {}
        }
    }
    found
}

/// Fits a `[scheduler]` to another length of the run, in what it counts: its lengths change in proportion, rounded, at
/// least 1 (`total_iters`: 2), those of the schedules within it too.
pub(super) fn fit(scheduler: &mut Table, before: i64, after: i64) {
    if before > 0 && before != after {
        stretch(scheduler, after as f64 / before as f64, 1);
    }
}

/// Fills in a length whose default is that of the run, in what the scheduler counts, and that is absent, at the outermost.
pub(crate) fn fill_in(scheduler: &mut Table, length: i64) {
    let kind = kind_of(scheduler);
    for key in kind.into_iter().flat_map(|kind| kind.keys) {
        if matches!(key.default, KeyDefault::RunLength) {
            scheduler.entry(key.name).or_insert(Value::Integer(length));
        }
    }
}

/// Whether a `[scheduler]` counts steps instead of epochs.
pub(super) fn counts_steps(scheduler: &Table) -> bool {
    scheduler.get(UNIT).and_then(Value::as_str) == Some("step")
}

pub(super) fn kind_of(table: &Table) -> Option<&'static Kind> {
    let name = table.get("kind")?.as_str()?;
    autolr_core::kinds().find(|kind| kind.name == name)
}

fn stretch(scheduler: &mut Table, times: f64, level: usize) {
    let Some(kind) = kind_of(scheduler) else {
        return;
    };
    for key in kind.keys {
        // With a warm-up of one epoch, `constant` and `linear` would be the same schedule.
        let least = if key.name == "total_iters" { 2 } else { 1 };
        let stretched = |length: i64| ((length as f64 * times).round() as i64).max(least);
        match (key.holds, scheduler.get_mut(key.name)) {
            (Length, Some(Value::Integer(length))) => *length = stretched(*length),
            (Milestones, Some(Value::Array(list))) => {
                for value in list {
                    match value {
                        // From the start on: no length.
                        Value::Integer(0) => {}
                        Value::Integer(length) => *length = stretched(*length),
                        _ => {}
                    }
                }
            }
            (Schedule, Some(Value::Table(inner))) if level < ScheduleConfig::MAX_NESTING => {
                stretch(inner, times, level + 1);
            }
            (Schedules, Some(Value::Array(list))) if level < ScheduleConfig::MAX_NESTING => {
                for inner in list.iter_mut().filter_map(Value::as_table_mut) {
                    stretch(inner, times, level + 1);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
