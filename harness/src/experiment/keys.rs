//! The tables and keys of a specification, and what each key holds.
//!
//! Checked before serde reads the tables: its messages name neither the key of a table with a `kind` nor what a
//! misspelt key was meant to be.

use toml::{Table, Value};

use super::holds::Holds::{self, Number, OneOf, Seed, Switch, Whole};
use super::holds::shown;
use super::schedulers;
use crate::did_you_mean::unknown;
use crate::exit::BadInput;

/// What is wrong with a specification, in one line, and the key that it is wrong at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// In full: `scheduler.schedules[0].lr`. Empty if it is about the file as a whole.
    pub(super) key: String,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            text: text.into(),
        }
    }

    /// A value against a rule: `scheduler.lr = 0: must be positive`.
    pub(super) fn value(
        key: impl Into<String>,
        value: &Value,
        rule: impl std::fmt::Display,
    ) -> Self {
        let key = key.into();
        let text = format!("{key} = {}: {rule}", shown(value));
        Self { key, text }
    }

    /// A key that has to be there.
    pub(super) fn missing(key: impl Into<String>, rest: impl std::fmt::Display) -> Self {
        let key = key.into();
        let text = format!("{key}: missing{rest}");
        Self { key, text }
    }

    /// The same, of a key within `place`.
    pub(super) fn within(self, place: &str) -> Self {
        Self {
            key: format!("{place}.{}", self.key),
            text: joined(place, &self.text),
        }
    }

    /// A message that begins with the key that it speaks of: `scheduler.lr = 0: …`, `optimizer: …`.
    pub(super) fn said(text: impl Into<String>) -> Self {
        let text = text.into();
        let in_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.[]".contains(c);
        let end = text.find(|c| !in_path(c)).unwrap_or(text.len());
        let (key, rest) = text.split_at(end);
        let begins = [" = ", ": ", " of length "]
            .iter()
            .any(|sign| rest.starts_with(sign));
        if !begins {
            return Self::new("", text);
        }
        // `scheduler.schedule: lr = 0: …`, from a schedule within another.
        let (key, inner) = (key.to_owned(), rest.strip_prefix(": ").map(Self::said));
        match inner {
            Some(inner) if !inner.key.is_empty() => inner.within(&key),
            _ => Self::new(key, text),
        }
    }
}

impl From<Fault> for BadInput {
    fn from(fault: Fault) -> Self {
        Self(fault.text)
    }
}

/// A table of a specification.
struct TableKeys {
    name: &'static str,
    keys: &'static [(&'static str, Holds)],
    /// The values of `kind` and the keys that each has, where the keys depend on it.
    kinds: &'static [(&'static str, &'static [&'static str])],
    /// Keys without a default.
    needed: &'static [&'static str],
}

/// The keys of `[scheduler]` depend on its kind, and are checked with it.
const TABLES: [TableKeys; 6] = [
    TableKeys {
        name: "data",
        keys: &[
            ("set", OneOf(&["cifar10", "cifar100", "synthetic"])),
            ("split", OneOf(&["disjoint", "independent"])),
            ("validation_fraction", Number),
            ("train_images", Whole),
            ("test_images", Whole),
            ("augment", Switch),
            ("drop_last", Switch),
        ],
        kinds: &[],
        needed: &["set"],
    },
    TableKeys {
        name: "network",
        keys: &[
            ("kind", OneOf(&["resnet18", "reference"])),
            ("width", Whole),
            ("batch_norm", Switch),
            ("hidden", Whole),
        ],
        kinds: &[
            ("resnet18", &["width", "batch_norm"]),
            ("reference", &["hidden"]),
        ],
        needed: &["kind"],
    },
    TableKeys {
        name: "optimizer",
        keys: &[
            ("kind", OneOf(&["sgd", "adamw"])),
            ("momentum", Number),
            ("nesterov", Switch),
            ("weight_decay", Number),
            ("beta1", Number),
            ("beta2", Number),
            ("eps", Number),
        ],
        kinds: &[
            ("sgd", &["momentum", "nesterov", "weight_decay"]),
            ("adamw", &["beta1", "beta2", "eps", "weight_decay"]),
        ],
        needed: &["kind"],
    },
    TableKeys {
        name: SCHEDULER,
        keys: &[],
        kinds: &[],
        needed: &[],
    },
    TableKeys {
        name: "probe",
        keys: &[
            ("batch_size", Whole),
            ("loss", OneOf(&["after-step", "before-step"])),
            ("batches", OneOf(&["shared", "per-candidate"])),
            ("gradient", OneOf(&["scoring", "own"])),
        ],
        kinds: &[],
        needed: &[],
    },
    TableKeys {
        name: "training",
        keys: &[
            ("epochs", Whole),
            ("batch_size", Whole),
            ("seed", Seed),
            ("device", OneOf(&["cpu", "cuda", "auto"])),
            (
                "batch_norm_after_validation",
                OneOf(&["batch-statistics", "frozen"]),
            ),
            ("tested_checkpoint", OneOf(&["best-validation", "last"])),
        ],
        kinds: &[],
        needed: &["epochs"],
    },
];

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
pub(super) fn check(table: &Table) -> Result<(), Fault> {
    for (name, value) in table {
        let Some(known) = TABLES.iter().find(|table| table.name == name) else {
            return Err(no_table(name, value));
        };
        let Value::Table(inner) = value else {
            let rule = format!("a table [{name}] is needed");
            return Err(Fault::value(name, value, rule));
        };
        if name == SCHEDULER {
            check_scheduler(inner).map_err(|fault| fault.within(name))?;
        } else {
            check_keys(known, inner).map_err(|fault| fault.within(name))?;
        }
    }
    match NEEDED.iter().find(|name| !table.contains_key(**name)) {
        Some(name) => Err(Fault::new("", format!("the table [{name}] is missing"))),
        None => Ok(()),
    }
}

fn check_keys(known: &TableKeys, table: &Table) -> Result<(), Fault> {
    for (key, value) in table {
        let Some((_, holds)) = known.keys.iter().find(|(name, _)| name == key) else {
            let names: Vec<&str> = known.keys.iter().map(|(key, _)| *key).collect();
            let text = match home(key, value) {
                Some(table) => {
                    format!("{key} = {}: belongs under [{table}]", shown(value))
                }
                None if TABLES.iter().any(|table| table.name == key) => {
                    format!("{key}: a table of its own, [{key}]")
                }
                None => unknown("key", key, &names),
            };
            return Err(Fault::new(key, text));
        };
        if let Some(rule) = holds.broken_by(value) {
            return Err(Fault::value(key, value, rule));
        }
    }
    let holds = |name: &str| known.keys.iter().find(|(key, _)| *key == name);
    for needed in known.needed {
        if !table.contains_key(*needed) {
            let names = match holds(needed) {
                Some((_, OneOf(names))) => format!(" ({})", names.join(", ")),
                _ => String::new(),
            };
            return Err(Fault::missing(*needed, names));
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
                return Err(Fault::value(key, value, rule));
            }
        }
    }
    Ok(())
}

/// First what each key holds, so that a number in quotes is named as such, then whether the kind has it.
fn check_scheduler(table: &Table) -> Result<(), Fault> {
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
            return Err(Fault::value(key, value, rule));
        }
    }
    schedulers::check(table).map(|_| ())
}

/// The table that a key is of, if it is of one alone.
fn home(name: &str, value: &Value) -> Option<&'static str> {
    let of_tables = TABLES
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
fn no_table(name: &str, value: &Value) -> Fault {
    match home(name, value) {
        Some(table) => {
            let rule = format!("stands outside of the tables: it belongs under [{table}]");
            Fault::new(name, format!("{name} = {} {rule}", shown(value)))
        }
        None => {
            let (what, names) = if value.is_table() {
                ("table", TABLES.map(|table| table.name).to_vec())
            } else {
                ("key", OF_THE_FILE.to_vec())
            };
            Fault::new(name, unknown(what, name, &names))
        }
    }
}

/// TOML's message without its drawing, and with the key it speaks of in full: `scheduler.lr = 0: …`.
pub(crate) fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.find_map(|line| line.strip_prefix("in `")) {
        Some(place) => joined(place.trim_end_matches('`'), first),
        None => first.to_owned(),
    }
}

/// `scheduler` and `lr = 0: …` as `scheduler.lr = 0: …`, `scheduler` and `missing field …` with a colon between.
pub(super) fn joined(place: &str, message: &str) -> String {
    let is_key = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c))
    };
    let key = message
        .find([' ', ':', '['])
        .map(|end| message.split_at(end))
        .filter(|(key, rest)| {
            let signs = [" = ", ": ", "[", " of length "];
            is_key(key) && signs.iter().any(|sign| rest.starts_with(sign))
        });
    match key {
        // The message of a list names the list itself.
        Some((key, _)) if key == place => message.to_owned(),
        Some(_) => format!("{place}.{message}"),
        None => format!("{place}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, TABLES, check, joined};
    use crate::experiment::RunSpec;
    use crate::experiment::holds::Holds::OneOf;
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
        for table in &TABLES {
            for (key, holds) in table.keys {
                let OneOf(names) = holds else { continue };
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

    #[test]
    fn a_message_begins_with_its_key() {
        for (text, key) in [
            ("scheduler.lr = 0: no", "scheduler.lr"),
            ("scheduler.factors[2] = 0: no", "scheduler.factors[2]"),
            (
                "scheduler.milestones of length 1: no",
                "scheduler.milestones",
            ),
            ("scheduler: no good", "scheduler"),
            ("the table [data] is missing", ""),
            ("", ""),
        ] {
            assert_eq!(Fault::said(text).key, key, "{text}");
        }
        let fault = Fault::said("lr = 0: no")
            .within("schedules[0]")
            .within("scheduler");
        assert_eq!(fault.key, "scheduler.schedules[0].lr");
        assert_eq!(fault.text, "scheduler.schedules[0].lr = 0: no");
    }

    #[test]
    fn a_key_is_named_in_full() {
        for (place, message, expected) in [
            ("scheduler", "lr = 0: no", "scheduler.lr = 0: no"),
            ("scheduler", "factors[1] = 0", "scheduler.factors[1] = 0"),
            ("factors", "factors[1] = 0", "factors[1] = 0"),
            ("scheduler", "loss: none", "scheduler.loss: none"),
            ("scheduler", "missing field", "scheduler: missing field"),
            ("scheduler", "unknown key: x", "scheduler: unknown key: x"),
            ("scheduler", "", "scheduler: "),
        ] {
            assert_eq!(joined(place, message), expected);
        }
    }
}
