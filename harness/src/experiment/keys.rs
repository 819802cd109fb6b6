//! The tables and keys of a specification, and what each key holds.
//!
//! Checked before serde reads the tables: its messages name neither the key of a table with a `kind` nor what a
//! misspelt key was meant to be.

use toml::{Table, Value};

use crate::did_you_mean::unknown;
use crate::exit::BadInput;

/// What a key holds. Ranges are checked later.
#[derive(Debug, Clone, Copy)]
enum Holds {
    Number,
    Whole,
    Seed,
    Switch,
    Name,
    Factors,
}

use Holds::{Factors, Name, Number, Seed, Switch, Whole};

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
    (
        SCHEDULER,
        &[
            ("kind", Name),
            ("lr", Number),
            ("factors", Factors),
            ("normalization", Name),
            ("sharpness", Number),
            ("non_finite", Name),
            ("factor", Number),
            ("total_iters", Whole),
            ("start_factor", Number),
            ("end_factor", Number),
            ("t_max", Whole),
            ("eta_min", Number),
            ("step_size", Whole),
            ("gamma", Number),
        ],
    ),
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

/// Which keys this table may have depends on its kind, and is checked with it.
const SCHEDULER: &str = "scheduler";

impl Holds {
    /// The rule that `value` breaks, if it does.
    fn broken_by(self, value: &Value) -> Option<&'static str> {
        let number = |value: &Value| value.is_float() || value.is_integer();
        let (good, rule) = match self {
            Number => (number(value), "must be a number"),
            Whole => (
                // Sizes of networks are 32 bits wide, which is enough for all the others.
                value.as_integer().is_some_and(|n| u32::try_from(n).is_ok()),
                "must be a whole number from 0 to 4294967295",
            ),
            Seed => (
                value.as_integer().is_some_and(|n| n >= 0),
                "must be a whole number from 0 to 9223372036854775807",
            ),
            Switch => (value.is_bool(), "must be true or false"),
            Name => (value.is_str(), "must be a name in quotes"),
            Factors => (
                value.is_str() || value.as_array().is_some_and(|list| list.iter().all(number)),
                "must be a list of numbers, or a name such as \"factor_5\"",
            ),
        };
        (!good).then_some(rule)
    }
}

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
            match keys.iter().find(|(known, _)| known == key) {
                Some((_, holds)) => {
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

/// Whether some kind of scheduler has this key.
pub(super) fn is_of_some_scheduler(key: &str) -> bool {
    let tables = TABLES.iter().filter(|(name, _)| *name == SCHEDULER);
    tables.flat_map(|(_, keys)| *keys).any(|(of, _)| *of == key)
}

/// The message for a name at the top that is no table's.
fn no_table(name: &str, value: &Value) -> String {
    let home = TABLES
        .iter()
        .find(|(_, keys)| keys.iter().any(|(key, _)| *key == name));
    match home {
        Some((table, _)) if !value.is_table() => {
            format!("{name} = {value} stands outside of the tables: it belongs under [{table}]")
        }
        _ => unknown("table", name, &TABLES.map(|(name, _)| name)),
    }
}

/// TOML's message without its drawing, and with the key it speaks of in full: `scheduler.lr = 0: …`.
pub(super) fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.find_map(|line| line.strip_prefix("in `")) {
        Some(place) => joined(place.trim_end_matches('`'), first),
        None => first.to_owned(),
    }
}

/// `scheduler` and `lr = 0: …` as `scheduler.lr = 0: …`, `scheduler` and `missing field …` with a colon between.
fn joined(place: &str, message: &str) -> String {
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
