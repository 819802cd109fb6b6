//! `[scheduler]` of a specification file: the schedules within it, and its lengths.

use autolr_core::schedule::ScheduleConfig;
use autolr_core::{KeyDefault, Kind};
use toml::{Table, Value};

use super::keys::UNIT;
use super::value_kind::ValueKind::{Length, Milestones, Schedule, Schedules};

/// The open-loop schedules, in autolr-core's order.
pub(crate) fn schedules() -> impl Iterator<Item = &'static Kind> {
    autolr_core::kinds().filter(|kind| kind.is_schedule)
}

/// The schedules that one of `kind` is made of, each with where it stands.
pub(super) fn within<'a>(kind: &Kind, table: &'a Table) -> Vec<(String, &'a Table)> {
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

fn kind_of(table: &Table) -> Option<&'static Kind> {
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
