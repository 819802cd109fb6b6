//! The tables and keys of a specification, and what each key holds.
//!
//! Checked before serde reads the tables: its messages name neither the key of a table with a `kind` nor what a
//! misspelt key was meant to be.

use toml::{Table, Value};

use super::holds::Holds::{self, Name, Number, Seed, Switch, Whole};
use super::schedulers;
use crate::did_you_mean::unknown;
use crate::exit::BadInput;

/// The keys of `[scheduler]` depend on its kind, and are checked with it.
const TABLES: [(&str, &[(&str, Holds)]); 6] = [
    (
        "data",
        &[
            ("set", Name),
            ("split", Name),
            ("validation_fraction", Number),
            ("train_images", Whole),
            ("test_images", Whole),
            ("augment", Switch),
            ("drop_last", Switch),
        ],
    ),
    (
        "network",
        &[
            ("kind", Name),
            ("width", Whole),
            ("batch_norm", Switch),
            ("hidden", Whole),
        ],
    ),
    (
        "optimizer",
        &[
            ("kind", Name),
            ("momentum", Number),
            ("nesterov", Switch),
            ("weight_decay", Number),
            ("beta1", Number),
            ("beta2", Number),
            ("eps", Number),
        ],
    ),
    (SCHEDULER, &[]),
    (
        "probe",
        &[
            ("batch_size", Whole),
            ("loss", Name),
            ("batches", Name),
            ("gradient", Name),
        ],
    ),
    (
        "training",
        &[
            ("epochs", Whole),
            ("batch_size", Whole),
            ("seed", Seed),
            ("device", Name),
            ("batch_norm_after_validation", Name),
            ("tested_checkpoint", Name),
        ],
    ),
];

/// The others have defaults.
const NEEDED: [&str; 4] = ["data", "network", SCHEDULER, "training"];

const SCHEDULER: &str = "scheduler";

/// Checks that there is no unknown table or key, that no table is missing, and that each key holds what it is for.
///
/// # Errors
/// [`BadInput`] that names the first key that is wrong, with its table.
pub(super) fn check(table: &Table) -> Result<(), BadInput> {
    for (name, value) in table {
        let Some((_, keys)) = TABLES.iter().find(|(table, _)| table == name) else {
            return Err(BadInput(no_table(name, value)));
        };
        let Value::Table(inner) = value else {
            return Err(BadInput(format!(
                "{name} = {value}: a table [{name}] is needed"
            )));
        };
        for (key, value) in inner {
            let holds = if name == SCHEDULER {
                let mut of_some_kind = schedulers::keys();
                of_some_kind
                    .find(|known| known.name == key)
                    .map(|key| key.holds)
            } else {
                let known = keys.iter().find(|(known, _)| known == key);
                known.map(|(_, holds)| *holds)
            };
            match holds {
                Some(holds) => {
                    if let Some(rule) = holds.broken_by(value) {
                        return Err(BadInput(format!("{name}.{key} = {value}: {rule}")));
                    }
                }
                None if name == SCHEDULER => {}
                None => {
                    let known: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
                    return Err(BadInput(format!("{name}: {}", unknown("key", key, &known))));
                }
            }
        }
    }
    match NEEDED.iter().find(|name| !table.contains_key(**name)) {
        Some(name) => Err(BadInput(format!("the table [{name}] is missing"))),
        None => Ok(()),
    }
}

/// The message for a name at the top that is no table's.
fn no_table(name: &str, value: &Value) -> String {
    let mut of_schedulers = schedulers::keys();
    let home = TABLES
        .iter()
        .find(|(_, keys)| keys.iter().any(|(key, _)| *key == name))
        .map(|(table, _)| *table)
        .or_else(|| {
            of_schedulers
                .any(|key| key.name == name)
                .then_some(SCHEDULER)
        });
    match home {
        Some(table) if !value.is_table() => {
            format!("{name} = {value} stands outside of the tables: it belongs under [{table}]")
        }
        _ => unknown("table", name, &TABLES.map(|(name, _)| name)),
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
            is_key(key) && [" = ", ": ", "["].iter().any(|sign| rest.starts_with(sign))
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
    use super::joined;

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
