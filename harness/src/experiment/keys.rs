//! The tables and keys of a specification, and what each key holds.
//!
//! Checked before serde reads the tables: its messages name neither the key of a table with a `kind` nor what a
//! misspelt key was meant to be.

use autolr_core::Key;
use autolr_core::optimizer::OptimizerConfig;
use toml::{Table, Value};

use super::schedulers;
use super::spec_error::SpecError;
use super::value_kind::ValueKind::{self, Number, OneOf, Seed, Switch, Text, Whole};
use super::value_kind::ValuesOf;
use super::value_kind::shown;
use crate::did_you_mean::unknown;

/// A table of a specification.
struct TableKeys {
    name: &'static str,
    keys: Vec<(&'static str, ValueKind)>,
    /// The values of `kind` and the keys that each has, where the keys depend on it.
    kinds: Vec<(&'static str, Vec<&'static str>)>,
    /// Keys without a default.
    needed: &'static [&'static str],
}

/// The keys of `[scheduler]` depend on its kind, and are checked with it.
fn tables() -> [TableKeys; 6] {
    [
        TableKeys {
            name: "data",
            keys: vec![
                ("set", OneOf(&["cifar10", "cifar100", "synthetic"])),
                ("split", OneOf(&["disjoint", "independent"])),
                ("validation_fraction", Number),
                ("train_images", Whole),
                ("test_images", Whole),
                ("augment", Switch),
                ("drop_last", Switch),
            ],
            kinds: Vec::new(),
            needed: &["set"],
        },
        TableKeys {
            name: "network",
            keys: vec![
                ("kind", OneOf(&["resnet18", "reference"])),
                ("width", Whole),
                ("batch_norm", Switch),
                ("hidden", Whole),
            ],
            kinds: vec![
                ("resnet18", vec!["width", "batch_norm"]),
                ("reference", vec!["hidden"]),
            ],
            needed: &["kind"],
        },
        TableKeys {
            name: "optimizer",
            keys: optimizer_keys(),
            kinds: OptimizerConfig::KINDS
                .iter()
                .map(|kind| (kind.name, names(kind.keys)))
                .collect(),
            needed: &["kind"],
        },
        TableKeys {
            name: SCHEDULER,
            keys: vec![],
            kinds: Vec::new(),
            needed: &[],
        },
        TableKeys {
            name: "probe",
            keys: vec![
                ("batch_size", Whole),
                ("loss", OneOf(&["after-step", "before-step"])),
                ("batches", OneOf(&["shared", "per-candidate"])),
                ("gradient", OneOf(&["scoring", "own"])),
            ],
            kinds: Vec::new(),
            needed: &[],
        },
        TableKeys {
            name: "training",
            keys: vec![
                ("epochs", Whole),
                ("budget", Text),
                ("batch_size", Whole),
                ("seed", Seed),
                ("device", OneOf(&["cpu", "cuda", "auto"])),
                (
                    "batch_norm_after_validation",
                    OneOf(&["batch-statistics", "frozen"]),
                ),
                ("tested_checkpoint", OneOf(&["best-validation", "last"])),
            ],
            kinds: Vec::new(),
            needed: &["epochs"],
        },
    ]
}

fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// The keys that some optimiser has, each once.
fn optimizer_keys() -> Vec<(&'static str, ValueKind)> {
    let mut keys = vec![("kind", OneOf(OptimizerConfig::NAMES))];
    for key in OptimizerConfig::KINDS.iter().flat_map(|kind| kind.keys) {
        if !keys.iter().any(|(name, _)| *name == key.name) {
            keys.push((key.name, key.holds));
        }
    }
    keys
}

/// The others have defaults.
const NEEDED: [&str; 4] = ["data", "network", SCHEDULER, "training"];

/// What a file has beside its tables.
pub(super) const OF_THE_FILE: [&str; 3] = ["title", "description", "series"];

const SCHEDULER: &str = "scheduler";

/// Checks that there is no unknown table or key, that no table and no key is missing, and that each key holds what it
/// is for.
///
/// # Errors
/// The first key that is wrong, with its table.
pub(super) fn check(table: &Table) -> Result<(), SpecError> {
    for (name, value) in table {
        let Some(known) = tables().into_iter().find(|table| table.name == name) else {
            return Err(no_table(name, value));
        };
        let Value::Table(inner) = value else {
            let rule = format!("a table [{name}] is needed");
            return Err(SpecError::value(name, value, rule));
        };
        if name == SCHEDULER {
            check_scheduler(inner).map_err(|error| error.within(name))?;
        } else {
            check_keys(&known, inner).map_err(|error| error.within(name))?;
        }
    }
    match NEEDED.iter().find(|name| !table.contains_key(**name)) {
        Some(name) => Err(SpecError::new("", format!("the table [{name}] is missing"))),
        None => Ok(()),
    }
}

fn check_keys(known: &TableKeys, table: &Table) -> Result<(), SpecError> {
    for (key, value) in table {
        let Some((_, kind)) = known.keys.iter().find(|(name, _)| name == key) else {
            let names: Vec<&str> = known.keys.iter().map(|(key, _)| *key).collect();
            let text = match home(key, value) {
                Some(table) => {
                    format!("{key} = {}: belongs under [{table}]", shown(value))
                }
                None if tables().iter().any(|table| table.name == key) => {
                    format!("{key}: a table of its own, [{key}]")
                }
                None => unknown("key", key, &names),
            };
            return Err(SpecError::new(key, text));
        };
        if let Some(rule) = kind.broken_by(value) {
            return Err(SpecError::value(key, value, rule));
        }
    }
    let kind_of = |name: &str| known.keys.iter().find(|(key, _)| *key == name);
    for needed in known.needed {
        if !table.contains_key(*needed) {
            let names = match kind_of(needed) {
                Some((_, OneOf(names))) => format!(" ({})", names.join(", ")),
                _ => String::new(),
            };
            return Err(SpecError::missing(*needed, names));
        }
    }
    let kind = table
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if let Some((kind, keys)) = known.kinds.iter().find(|(name, _)| *name == kind) {
        for (key, value) in table {
            if key != "kind" && !keys.contains(&key.as_str()) {
                let rule = format!("kind = \"{kind}\" has no such key ({})", keys.join(", "));
                return Err(SpecError::value(key, value, rule));
            }
        }
    }
    Ok(())
}

/// First what each key holds, so that a number in quotes is named as such, then whether the kind has it.
fn check_scheduler(table: &Table) -> Result<(), SpecError> {
    let kind = schedulers::kind_of(table);
    for (key, value) in table {
        if kind.is_some_and(|kind| kind.key(key).is_none()) {
            continue;
        }
        let mut of_some_kind = schedulers::keys().filter(|known| known.name == key);
        if let Some(rule) = of_some_kind
            .next()
            .and_then(|key| key.holds.broken_by(value))
        {
            return Err(SpecError::value(key, value, rule));
        }
    }
    schedulers::check(table).map(|_| ())
}

/// The table that a key is of, if it is of one alone.
fn home(name: &str, value: &Value) -> Option<&'static str> {
    let tables = tables();
    let of_tables = tables
        .iter()
        .filter(|table| table.keys.iter().any(|(key, _)| *key == name))
        .map(|table| table.name);
    let of_scheduler = schedulers::keys().any(|key| key.name == name);
    let mut homes = of_tables.chain(of_scheduler.then_some(SCHEDULER));
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
            SpecError::new(name, format!("{name} = {} {rule}", shown(value)))
        }
        None => {
            let (what, names) = if value.is_table() {
                ("table", tables().map(|table| table.name).to_vec())
            } else {
                ("key", OF_THE_FILE.to_vec())
            };
            SpecError::new(name, unknown(what, name, &names))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{check, tables};
    use crate::experiment::RunSpec;
    use crate::experiment::value_kind::ValueKind::OneOf;
    use toml::{Table, Value};

    /// The names of each key are those that serde reads, and no other.
    #[test]
    fn names_are_those_of_the_types() {
        let text = "[data]\nset = \"cifar10\"\n[network]\nkind = \"resnet18\"\n[optimizer]\nkind = \"sgd\"\n\
            [scheduler]\nkind = \"fixed\"\nlr = 1\n[probe]\n[training]\nepochs = 1";
        let sound: Table = text.parse().unwrap();
        let with = |table: &str, key: &str, value: &str| {
            let mut changed = sound.clone();
            let Some(Value::Table(inner)) = changed.get_mut(table) else {
                unreachable!("all tables are there");
            };
            inner.insert(key.to_owned(), value.into());
            changed
        };
        let mut tried = 0;
        for table in &tables() {
            for (key, kind) in &table.keys {
                let OneOf(names) = kind else { continue };
                for name in *names {
                    let changed = with(table.name, key, name);
                    assert_eq!(check(&changed), Ok(()));
                    changed.try_into::<RunSpec>().unwrap();
                    tried += 1;
                }
                let error = with(table.name, key, "?")
                    .try_into::<RunSpec>()
                    .unwrap_err();
                let named = error.message().matches('`').count() / 2 - 1;
                assert_eq!(named, names.len(), "{}.{key}: {error}", table.name);
            }
        }
        assert_eq!(tried, 22);
    }
}
