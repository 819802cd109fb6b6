//! A specification against the definitions of its keys, before anything reads it: serde's messages name neither the key
//! of a table with a `kind` nor what a misspelt key was meant to be.

use autolr_core::schedule::ScheduleConfig;
use autolr_core::{Key, KeyDefault, Kind, ValueKind};
use toml::{Table, Value};

use super::keys::{Keys, OF_THE_FILE, SCHEDULER, TABLES, TableKeys, of_kind};
use super::schedulers::{schedules, within};
use super::spec_error::SpecError;
use super::spec_error::shown;
use super::value_kind::check_value;
use crate::did_you_mean::unknown;

/// Checks that there is no unknown table or key, that no table and no key is missing, and that each key holds what it
/// is for. What one key says of another is checked where the settings are made.
///
/// # Errors
/// The first key that is wrong.
pub(super) fn check(table: &Table) -> Result<(), SpecError> {
    for (name, value) in table {
        let Some(known) = TABLES.iter().find(|table| table.name == name) else {
            return Err(no_table(name, value));
        };
        match value {
            Value::Table(inner) if !known.list => {
                check_table(known, inner).map_err(|error| error.within(name))?;
            }
            Value::Array(list) if known.list => check_list(known, list)?,
            other => return Err(SpecError::value(name, other, needed(known))),
        }
    }
    let missing = |known: &&TableKeys| !known.optional && !table.contains_key(known.name);
    match TABLES.iter().find(missing) {
        Some(known) => {
            let rest = format!("the table [{}] is missing", known.name);
            Err(SpecError::whole(rest))
        }
        None => Ok(()),
    }
}

/// Checks the keys of a `[scheduler]`.
///
/// # Errors
/// The first key that is wrong.
pub(super) fn check_scheduler(table: &Table) -> Result<(), SpecError> {
    let kinds: Vec<&Kind> = autolr_core::kinds().collect();
    check_kinds(SCHEDULER, &kinds, table, 1)
}

/// What has to stand there.
fn needed(known: &TableKeys) -> String {
    let name = known.name;
    if known.list {
        format!("[[{name}]] tables are needed")
    } else {
        format!("a table [{name}] is needed")
    }
}

fn check_list(known: &TableKeys, list: &[Value]) -> Result<(), SpecError> {
    let name = known.name;
    for (index, value) in list.iter().enumerate() {
        let place = format!("{name}[{index}]");
        let Value::Table(inner) = value else {
            return Err(SpecError::value(place, value, needed(known)));
        };
        check_table(known, inner).map_err(|error| error.at(&place, name))?;
    }
    Ok(())
}

fn check_table(known: &TableKeys, table: &Table) -> Result<(), SpecError> {
    match known.keys {
        Keys::Same(keys) => {
            let own: Vec<&Key> = keys.iter().collect();
            check_names(table, &own, None, |_| false)?;
            check_values(table, &own)?;
            check_complete(table, &own, None)
        }
        Keys::OfKind(kinds) => check_kinds(known.name, &kinds(), table, 1),
    }
}

/// Checks a table with a `kind`, and what lies within it, `level` levels deep.
fn check_kinds(
    what: &str,
    kinds: &[&'static Kind],
    table: &Table,
    level: usize,
) -> Result<(), SpecError> {
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
        return Err(SpecError::new(
            "kind",
            format!(": {}", unknown(what, name, &names)),
        ));
    };
    // Of schedules within each other the outermost says what all of them count.
    let own: Vec<&Key> = match level {
        1 => of_kind(kind).collect(),
        _ => kind.keys.iter().collect(),
    };
    let of_another = |key: &str| {
        let mut others = kinds.iter().flat_map(|kind| of_kind(kind));
        others.any(|other| other.name == key)
    };
    check_names(table, &own, Some(kind), of_another)?;
    check_values(table, &own)?;
    // Deeper ones are refused as a whole.
    if level < ScheduleConfig::MAX_NESTING {
        let kinds: Vec<&Kind> = schedules().collect();
        for (path, inner) in within(kind, table) {
            let checked = check_kinds(what, &kinds, inner, level + 1);
            checked.map_err(|error| error.within(&path))?;
        }
    }
    check_complete(table, &own, Some(kind))
}

fn check_names(
    table: &Table,
    own: &[&Key],
    kind: Option<&Kind>,
    of_another: impl Fn(&str) -> bool,
) -> Result<(), SpecError> {
    let names = kind.map(|_| "kind").into_iter();
    let known: Vec<&str> = names.chain(own.iter().map(|key| key.name)).collect();
    for (key, value) in table {
        if known.contains(&key.as_str()) {
            continue;
        }
        if let Some(kind) = kind.filter(|_| of_another(key)) {
            let list = known.join(", ");
            let rule = format!("kind = \"{}\" has no such key ({list})", kind.name);
            return Err(SpecError::value(key, value, rule));
        }
        if let Some(table) = home(key, value) {
            let rule = format!("belongs under [{table}]");
            return Err(SpecError::value(key, value, rule));
        }
        return Err(match TABLES.iter().find(|table| table.name == key) {
            Some(table) if table.list => {
                SpecError::new(key, format!(": tables of their own, [[{key}]]"))
            }
            Some(_) => SpecError::new(key, format!(": a table of its own, [{key}]")),
            None => SpecError::about(key, unknown("key", key, &known)),
        });
    }
    Ok(())
}

fn check_values(table: &Table, own: &[&Key]) -> Result<(), SpecError> {
    for key in own {
        if let Some(value) = table.get(key.name) {
            check_value(key, value)?;
        }
    }
    Ok(())
}

/// Checks that a table has every key that it needs.
fn check_complete(table: &Table, own: &[&Key], kind: Option<&Kind>) -> Result<(), SpecError> {
    for key in own {
        let rest = match (key.default, kind) {
            _ if table.contains_key(key.name) => continue,
            (KeyDefault::RunLength | KeyDefault::Core(_), _) => continue,
            (KeyDefault::Unless(other), _) if table.contains_key(other) => continue,
            (KeyDefault::Unless(other), _) => format!(" (or `{other}`)"),
            (_, Some(kind)) => format!(": kind = \"{}\" needs it", kind.name),
            (_, None) => match key.holds {
                ValueKind::OneOf(names) => format!(" ({})", names.join(", ")),
                _ => String::new(),
            },
        };
        return Err(SpecError::missing(key.name, rest));
    }
    Ok(())
}

/// The table that a key is of, if it is of one alone.
fn home(name: &str, value: &Value) -> Option<&'static str> {
    let has = |table: &&TableKeys| table.all().iter().any(|key| key.name == name);
    let mut homes = TABLES.iter().filter(has).map(|table| table.name);
    match (homes.next(), homes.next()) {
        (Some(table), None) if !value.is_table() => Some(table),
        _ => None,
    }
}

/// A name at the top that is no table's.
fn no_table(name: &str, value: &Value) -> SpecError {
    match home(name, value) {
        Some(table) => {
            let rule = format!("stands outside of the tables: it belongs under [{table}]");
            SpecError::new(name, format!(" = {} {rule}", shown(value)))
        }
        None => {
            let (what, names) = if value.is_table() {
                ("table", TABLES.map(|table| table.name).to_vec())
            } else {
                ("key", OF_THE_FILE.to_vec())
            };
            SpecError::about(name, unknown(what, name, &names))
        }
    }
}
