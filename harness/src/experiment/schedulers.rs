//! `[scheduler]` of a specification file: the schedules within it, and its lengths.

use std::cmp::Ordering;

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

/// What becomes of a run's length, or of a part of it, in what its scheduler counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    /// How many times as long the whole run is now.
    pub(super) times: f64,
    /// When the run, or the part, ended.
    pub(super) was: i64,
    /// When it ends now.
    pub(super) is: i64,
}

impl Stretch {
    /// A length in proportion, rounded. What came before the end still does, what came at the end or never still comes
    /// there or never: milestone 99 of 100 epochs is 39 of 40.
    fn length(self, length: i64, least: i64) -> i64 {
        let stretched = (length as f64 * self.times).round() as i64;
        match length.cmp(&self.was) {
            Ordering::Less => stretched.min(self.is.saturating_sub(1)).max(least),
            Ordering::Equal => self.is.max(1),
            Ordering::Greater => stretched.max(self.is).max(least),
        }
    }

    /// The part between two points, each as it was and as it is now; none is after the end.
    fn part(self, from: (i64, i64), to: (i64, i64)) -> Self {
        let between =
            |from: i64, to: i64, end: i64| to.min(end).saturating_sub(from.min(end)).max(0);
        Self {
            was: between(from.0, to.0, self.was),
            is: between(from.1, to.1, self.is),
            ..self
        }
    }
}

/// Fits a `[scheduler]` to another length of the run: its lengths change in proportion, at least 1 (`total_iters` of
/// `constant`, `linear` and `polynomial`: 2), those of the schedules within it too. A length that is not given is its
/// default, which changes as if it were written.
pub(super) fn fit(scheduler: &mut Table, stretch: Stretch) {
    stretch_level(scheduler, stretch, 1);
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

fn stretch_level(scheduler: &mut Table, stretch: Stretch, level: usize) {
    let Some(kind) = kind_of(scheduler) else {
        return;
    };
    let (mut steps, mut milestones) = ((0, 0), Vec::new());
    for key in kind.keys {
        let mut least = 1;
        if let (Length, KeyDefault::Core(default)) = (key.holds, key.default) {
            // With a warm-up of one epoch, `constant` and `linear` would be the same schedule.
            least = 2;
            if let Ok(default) = default.parse::<i64>() {
                scheduler.entry(key.name).or_insert(default.into());
            }
        }
        match (key.holds, scheduler.get_mut(key.name)) {
            (Length, Some(Value::Integer(length))) => {
                let was = *length;
                *length = stretch.length(was, least);
                steps = (was, *length);
            }
            (Milestones, Some(Value::Array(list))) => {
                for value in list {
                    if let Value::Integer(length) = value {
                        let was = *length;
                        // From the start on: no length.
                        if was != 0 {
                            *length = stretch.length(was, least);
                        }
                        milestones.push((was, *length));
                    }
                }
            }
            _ => {}
        }
    }
    if level == ScheduleConfig::MAX_NESTING {
        return;
    }
    // Schedules within a schedule count from where they begin.
    let end = (stretch.was, stretch.is);
    for key in kind.keys {
        match (key.holds, scheduler.get_mut(key.name)) {
            // After the steps of a warm-up.
            (Schedule, Some(Value::Table(inner))) => {
                stretch_level(inner, stretch.part(steps, end), level + 1);
            }
            // One after another, or all from the start where there are no milestones.
            (Schedules, Some(Value::Array(list))) => {
                for (index, inner) in list.iter_mut().enumerate() {
                    let from = index
                        .checked_sub(1)
                        .and_then(|before| milestones.get(before));
                    let from = from.copied().unwrap_or((0, 0));
                    let to = milestones.get(index).copied().unwrap_or(end);
                    if let Value::Table(inner) = inner {
                        stretch_level(inner, stretch.part(from, to), level + 1);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
