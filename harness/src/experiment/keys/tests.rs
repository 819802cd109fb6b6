use toml::{Table, Value};

use super::{Keys, TABLES, TableKeys};
use crate::experiment::RunSpec;
use crate::experiment::check::check;
use autolr_core::{Key, KeyDefault, ValueKind};

fn sound() -> Table {
    let text = "[data]\nset = \"cifar10\"\n[network]\nkind = \"resnet18\"\n[optimizer]\nkind = \"sgd\"\n\
        [scheduler]\nkind = \"fixed\"\nlr = 1\n[probe]\n[training]\nepochs = 1";
    text.parse().unwrap()
}

/// The tables with their kinds, if they have some, but for the scheduler, whose keys are the core's.
fn tables() -> impl Iterator<Item = (&'static TableKeys, Option<&'static str>, Vec<&'static Key>)> {
    let others = TABLES
        .iter()
        .filter(|table| table.name != "scheduler" && !table.list);
    others.flat_map(|table| match table.keys {
        Keys::Same(keys) => vec![(table, None, keys.iter().collect())],
        Keys::OfKind(kinds) => kinds()
            .into_iter()
            .map(|kind| (table, Some(kind.name), kind.keys.iter().collect()))
            .collect(),
    })
}

fn with(table: &str, kind: Option<&str>, key: &str, value: Value) -> Table {
    let mut changed = sound();
    let Some(Value::Table(inner)) = changed.get_mut(table) else {
        unreachable!("all tables are there");
    };
    if let Some(kind) = kind {
        inner.insert("kind".to_owned(), kind.into());
    }
    inner.insert(key.to_owned(), value);
    changed
}

/// The names of each key are those that serde reads, and no other.
#[test]
fn names_are_those_of_the_types() {
    let mut tried = 0;
    for (table, kind, keys) in tables() {
        for key in keys {
            let ValueKind::OneOf(names) = key.holds else {
                continue;
            };
            for name in names {
                let changed = with(table.name, kind, key.name, (*name).into());
                assert_eq!(check(&changed), Ok(()));
                changed.try_into::<RunSpec>().unwrap();
                tried += 1;
            }
            let unknown = with(table.name, kind, key.name, "?".into());
            let error = unknown.try_into::<RunSpec>().unwrap_err();
            let named = error.message().matches('`').count() / 2 - 1;
            assert_eq!(named, names.len(), "{}.{}: {error}", table.name, key.name);
        }
    }
    assert!(tried > 20, "{tried}");
}

/// The defaults are those that serde fills in, and every key is one that it reads.
#[test]
fn keys_and_defaults_are_those_of_the_types() {
    let mut compared = 0;
    for (table, kind, keys) in tables() {
        let name = kind.unwrap_or("cifar10");
        let first = if kind.is_some() { "kind" } else { "set" };
        let given = match table.name {
            "data" | "network" | "optimizer" => with(table.name, None, first, name.into()),
            _ => sound(),
        };
        let spec: RunSpec = given.clone().try_into().unwrap();
        let written = Table::try_from(&spec).unwrap();
        let written = written[table.name].as_table().unwrap();
        for name in written.keys() {
            let known = keys.iter().any(|key| key.name == name) || name == "kind";
            assert!(known, "{}.{name}", table.name);
        }
        for key in keys {
            let KeyDefault::Core(default) = key.default else {
                assert!(
                    written.contains_key(key.name),
                    "{}.{}",
                    table.name,
                    key.name
                );
                continue;
            };
            let Some(value) = written.get(key.name) else {
                // Not written where it is the default: a switch that says so makes the same specification.
                if key.holds == ValueKind::Switch {
                    let mut said = given.clone();
                    let Some(Value::Table(inner)) = said.get_mut(table.name) else {
                        unreachable!("all tables are there");
                    };
                    inner.insert(key.name.to_owned(), default.parse::<bool>().unwrap().into());
                    assert_eq!(said.try_into::<RunSpec>().unwrap(), spec, "{}", key.name);
                    compared += 1;
                    continue;
                }
                let none = default == "none" || default.starts_with("all");
                assert!(none, "{}.{} is {default}", table.name, key.name);
                continue;
            };
            let same = match value {
                Value::String(text) => text == default,
                Value::Float(number) => default.parse() == Ok(*number),
                other => other.to_string() == default,
            };
            assert!(same, "{}.{} = {value}, not {default}", table.name, key.name);
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn every_key_says_what_it_is_for() {
    for (table, _, keys) in tables() {
        for key in keys {
            assert!(!key.what.is_empty(), "{}.{}", table.name, key.name);
        }
    }
}
