//! The schedulers and their keys: the one list of them, for specification files and for `autolr schedule`.

use autolr_core::schedule::ScheduleConfig;
use toml::{Table, Value};

use super::spec_error::SpecError;
use super::value_kind::ValueKind::{
    self, Factors, Length, Milestones, Number, OneOf, Schedule, Schedules, Switch, Whole,
};
use crate::did_you_mean::unknown;

/// A kind of scheduler, as in `scheduler.kind`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Without `kind`, in the order in which a person reads them.
    pub(crate) keys: &'static [Key],
    /// What it is, in a few words.
    pub(crate) what: &'static str,
}

/// A key of a scheduler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) holds: ValueKind,
    pub(crate) absent: Absent,
}

/// What it means that a key is not given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Absent {
    /// An error.
    Refused,
    /// An error in a file, the paper's rate on the command line.
    Rate,
    /// An error in a file, this on the command line.
    Shown(&'static str),
    /// The number of epochs.
    Epochs,
    /// autolr-core's default.
    Core(&'static str),
}

use Absent::{Core, Epochs, Rate, Refused, Shown};

const fn key(name: &'static str, holds: ValueKind, absent: Absent) -> Key {
    Key {
        name,
        holds,
        absent,
    }
}

const fn kind(name: &'static str, keys: &'static [Key], what: &'static str) -> Kind {
    Kind { name, keys, what }
}

const LR: Key = key("lr", Number, Rate);
const GAMMA: Key = key("gamma", Number, Core("0.1"));
const ETA_MIN: Key = key("eta_min", Number, Core("0"));
const SCHEDULES: Key = key("schedules", Schedules, Refused);

/// The closed loop. Not here: `unit`, `groups` and `group_probing`, since a run decides after epochs and has one group.
const AUTOLR: Kind = kind(
    "autolr",
    &[
        LR,
        key("factors", Factors, Refused),
        key(
            "normalization",
            OneOf(&["z-score", "population-z-score", "min-max", "sum", "none"]),
            Core("z-score"),
        ),
        key("sharpness", Number, Core("1")),
        key(
            "non_finite",
            OneOf(&["no-vote", "propagate"]),
            Core("no-vote"),
        ),
        key("every", Whole, Core("1")),
        key("min_lr", Number, Core("none")),
        key("max_lr", Number, Core("none")),
        key(
            "all_non_finite",
            OneOf(&["hold", "lower", "fail"]),
            Core("hold"),
        ),
        key("edge_probes", Whole, Core("0")),
        key("base", Schedule, Core("none")),
    ],
    "the paper's scheduler",
);

/// The open-loop schedules, in autolr-core's order.
pub(crate) const OPEN_LOOP: [Kind; 14] = [
    kind(
        "constant",
        &[
            LR,
            key("factor", Number, Core("1/3")),
            key("total_iters", Length, Core("5")),
        ],
        "PyTorch's ConstantLR",
    ),
    kind(
        "linear",
        &[
            LR,
            key("start_factor", Number, Core("1/3")),
            key("end_factor", Number, Core("1")),
            key("total_iters", Length, Core("5")),
        ],
        "PyTorch's LinearLR",
    ),
    kind(
        "cosine",
        &[LR, key("t_max", Length, Epochs), ETA_MIN],
        "PyTorch's CosineAnnealingLR",
    ),
    kind(
        "step",
        // It fits the paper's curves.
        &[LR, key("step_size", Length, Shown("30")), GAMMA],
        "PyTorch's StepLR",
    ),
    kind("fixed", &[LR], "the same rate throughout"),
    kind(
        "linear-decay",
        &[LR, key("total_iters", Length, Epochs)],
        "a straight line to zero",
    ),
    kind(
        "multi-step",
        // Half and three quarters of a hundred epochs.
        &[LR, key("milestones", Milestones, Shown("50,75")), GAMMA],
        "PyTorch's MultiStepLR",
    ),
    kind(
        "exponential",
        &[LR, key("gamma", Number, Shown("0.95"))],
        "PyTorch's ExponentialLR",
    ),
    kind(
        "polynomial",
        &[
            LR,
            key("total_iters", Length, Core("5")),
            key("power", Number, Core("1")),
        ],
        "PyTorch's PolynomialLR",
    ),
    kind(
        "one-cycle",
        &[
            key("max_lr", Number, Rate),
            key("total_steps", Length, Epochs),
            key("pct_start", Number, Core("0.3")),
            key("anneal_strategy", OneOf(&["cos", "linear"]), Core("cos")),
            key("three_phase", Switch, Core("false")),
            key("div_factor", Number, Core("25")),
            key("final_div_factor", Number, Core("1e4")),
        ],
        "PyTorch's OneCycleLR",
    ),
    kind(
        "cosine-warm-restarts",
        &[
            LR,
            key("t_0", Length, Shown("10")),
            key("t_mult", Whole, Core("1")),
            ETA_MIN,
        ],
        "PyTorch's CosineAnnealingWarmRestarts",
    ),
    kind(
        "warm-up",
        &[
            key("steps", Length, Refused),
            key("start_factor", Number, Core("1/3")),
            key("schedule", Schedule, Refused),
        ],
        "a rise, then another schedule",
    ),
    kind(
        "sequential",
        &[SCHEDULES, key("milestones", Milestones, Refused)],
        "one schedule after another",
    ),
    kind("product", &[SCHEDULES], "several schedules multiplied"),
];

impl Kind {
    /// Whether it is made of other schedules.
    pub(crate) fn is_composed(&self) -> bool {
        let composed = |key: &Key| matches!(key.holds, Schedule | Schedules);
        self.keys.iter().any(composed)
    }

    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

fn all() -> impl Iterator<Item = &'static Kind> {
    [&AUTOLR].into_iter().chain(&OPEN_LOOP)
}

/// All keys that some scheduler has; one that several have stands there several times.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    all().flat_map(|kind| kind.keys)
}

/// Checks that a `[scheduler]` has a known kind, each key that this kind needs, and none that it has not; the schedules
/// within it too.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn check(table: &Table) -> Result<&'static Kind, SpecError> {
    let kinds: Vec<&Kind> = all().collect();
    let kind = check_kind(table, &kinds)?;
    check_within(kind, table, 1)?;
    check_complete(kind, table)?;
    Ok(kind)
}

fn check_kind(table: &Table, kinds: &[&'static Kind]) -> Result<&'static Kind, SpecError> {
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
    for (key, value) in table {
        if key == "kind" || kind.key(key).is_some() {
            continue;
        }
        let known: Vec<&str> = [&"kind"]
            .into_iter()
            .chain(kind.keys.iter().map(|key| &key.name))
            .copied()
            .collect();
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
        let filled_in = matches!(key.absent, Epochs | Core(_));
        // The base gives the closed loop its rate.
        let given = table.contains_key(key.name)
            || (kind.name == AUTOLR.name && key.name == "lr" && table.contains_key("base"));
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
    let kinds: Vec<&Kind> = OPEN_LOOP.iter().collect();
    for (path, inner) in within(kind, table) {
        let check = || -> Result<(), SpecError> {
            let kind = check_kind(inner, &kinds)?;
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

/// Fits a `[scheduler]` to another number of epochs: lengths change in proportion, rounded, at least 1 (`total_iters`:
/// 2), those of the schedules within it too.
pub(super) fn fit(scheduler: &mut Table, before: i64, after: i64) {
    if before > 0 && before != after {
        stretch(scheduler, after as f64 / before as f64, 1);
    }
}

/// Fills in a length whose default is the number of epochs, and that is absent, at the outermost.
pub(super) fn fill_in(scheduler: &mut Table, epochs: i64) {
    let kind = kind_of(scheduler);
    for key in kind.into_iter().flat_map(|kind| kind.keys) {
        if matches!(key.absent, Epochs) {
            scheduler.entry(key.name).or_insert(Value::Integer(epochs));
        }
    }
}

pub(super) fn kind_of(table: &Table) -> Option<&'static Kind> {
    let name = table.get("kind")?.as_str()?;
    all().find(|kind| kind.name == name)
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
