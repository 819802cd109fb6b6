//! What kind of value a key holds, in a specification file and on the command line. Ranges are checked later.

use autolr_core::{ConfigError, Factors, Key, SettingsError};
use toml::Value;

use super::spec_error::SpecError;
use crate::did_you_mean::did_you_mean;
use crate::typed_number;

pub(crate) use autolr_core::ValueKind;

/// Checks that a value is one that a key takes: of its type, and in its range.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn check_value(key: &Key, value: &Value) -> Result<(), SpecError> {
    let whole = matches!(key.holds, ValueKind::Whole | ValueKind::Length);
    match value {
        // The range before the type, which has a range of its own: what it says is not enough.
        Value::Integer(number) if whole && !key.range.has(*number as f64) => {
            return Err(SpecError::value(key.name, value, key.range.rule()));
        }
        Value::Integer(number) if key.holds == ValueKind::Number => {
            key.range
                .check(key.name, *number as f64)
                .map_err(settings)?;
        }
        Value::Float(number) if key.holds == ValueKind::Number => {
            key.range.check(key.name, *number).map_err(settings)?;
        }
        _ => {}
    }
    if let Some(rule) = key.holds.broken_by(value) {
        return Err(SpecError::value(key.name, value, rule));
    }
    let number = |value: &Value| {
        let whole = value.as_integer().map(|number| number as f64);
        value.as_float().or(whole)
    };
    match (key.holds, value) {
        (ValueKind::Numbers, Value::Array(list)) => {
            for (index, number) in list.iter().filter_map(number).enumerate() {
                let checked = key.range.check(key.name, number);
                checked.map_err(|_| {
                    SpecError::value(
                        format!("{}[{index}]", key.name),
                        &list[index],
                        key.range.rule(),
                    )
                })?;
            }
        }
        (ValueKind::Factors, Value::String(name)) => {
            Factors::named(name).map_err(settings)?;
        }
        (ValueKind::Factors, Value::Array(list)) => {
            let numbers: Vec<f64> = list.iter().filter_map(number).collect();
            Factors::new(numbers).map_err(settings)?;
        }
        _ => {}
    }
    Ok(())
}

fn settings(error: ConfigError) -> SpecError {
    SettingsError::from(error).into()
}

/// Values of a kind, in TOML and in words.
pub(crate) trait ValuesOf: Copy {
    /// The rule that `value` breaks, if it does.
    fn broken_by(self, value: &Value) -> Option<String>;

    /// The value that a word of the command line stands for, or the rule that it breaks.
    fn parse(self, word: &str) -> Result<Value, String>;
}

impl ValuesOf for ValueKind {
    fn broken_by(self, value: &Value) -> Option<String> {
        let number = |value: &Value| value.is_float() || value.is_integer();
        // Sizes of networks are 32 bits wide, which is enough for all the others.
        let whole = |value: &Value| value.as_integer().is_some_and(|n| u32::try_from(n).is_ok());
        let list_of = |good: &dyn Fn(&Value) -> bool| {
            value.as_array().is_some_and(|list| list.iter().all(good))
        };
        let quoted = |kind: Self| {
            let word = value.as_str().map(str::trim);
            let unquoted = word.is_some_and(|word| kind.parse(word).is_ok());
            if unquoted { ", without quotes" } else { "" }
        };
        let (good, rule) = match self {
            Self::Number => (number(value), format!("must be a number{}", quoted(self))),
            Self::Whole | Self::Length => (
                whole(value),
                if let Some(number) = value.as_integer() {
                    if number < 0 {
                        "must not be negative".to_owned()
                    } else {
                        "must be at most 4294967295".to_owned()
                    }
                } else {
                    format!("must be a whole number{}", quoted(self))
                },
            ),
            Self::Milestones => (
                list_of(&whole),
                "must be a list of whole numbers from 0 to 4294967295".to_owned(),
            ),
            Self::Seed => (
                value.as_integer().is_some_and(|n| n >= 0),
                if value.is_integer() {
                    "must not be negative".to_owned()
                } else {
                    format!("must be a whole number{}", quoted(self))
                },
            ),
            Self::Switch => (
                value.is_bool(),
                format!("must be true or false{}", quoted(self)),
            ),
            Self::OneOf(names) => (
                value.as_str().is_some_and(|name| names.contains(&name)),
                one_of(names, value.as_str()),
            ),
            Self::Numbers => (list_of(&number), "must be a list of numbers".to_owned()),
            Self::Factors => (
                value.is_str() || list_of(&number),
                "must be a list of numbers, or a name such as \"factor_5\"".to_owned(),
            ),
            Self::Schedule => (
                value.is_table(),
                "must be a table with the keys of a schedule".to_owned(),
            ),
            Self::Schedules => (
                list_of(&Value::is_table),
                "must be a list of tables with the keys of a schedule each".to_owned(),
            ),
            // What there is no rule for is read by its owner.
            _ => (value.is_str(), "must be a text in quotes".to_owned()),
        };
        (!good).then_some(rule)
    }

    fn parse(self, word: &str) -> Result<Value, String> {
        // What is read is at most TOML's largest.
        let whole = |word: &str| typed_number::whole(word).map(|n| Value::Integer(n as i64));
        match self {
            Self::Number => typed_number::number(word).map(Value::Float),
            Self::Length => {
                whole(word).map_err(|_| "must be a whole number of epochs, at least 1".to_owned())
            }
            Self::Whole | Self::Seed => whole(word),
            Self::Milestones => {
                let list: Result<_, _> = word.split(',').map(whole).collect();
                list.map(Value::Array).map_err(|_| {
                    "must be whole numbers of epochs with commas in between, such as 30,80"
                        .to_owned()
                })
            }
            Self::Switch => word
                .parse()
                .map(Value::Boolean)
                .map_err(|_| "must be true or false".to_owned()),
            Self::OneOf(_) => Ok(Value::String(word.to_owned())),
            _ => Err("is for specification files only".to_owned()),
        }
    }
}

/// `must be "a", "b" or "c"`, and which of them is meant, if that can be guessed.
fn one_of(names: &[&str], found: Option<&str>) -> String {
    let names_in_quotes: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let list = match names_in_quotes.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    };
    match found.and_then(|found| did_you_mean(found, names)) {
        Some(meant) => format!("must be {list}; did you mean \"{meant}\"?"),
        None => format!("must be {list}"),
    }
}

#[cfg(test)]
mod tests {
    use super::ValueKind::{self, Length, Milestones, Number, OneOf, Schedule, Switch, Whole};
    use super::ValuesOf;
    use crate::experiment::spec_error::shown;
    use toml::Value;

    const NAMES: ValueKind = OneOf(&["x", "cos"]);

    #[test]
    fn values_are_shown_on_a_short_line() {
        let text = |text: &str| shown(&Value::String(text.to_owned()));
        assert_eq!(text("a\nb\u{202e}"), "\"a\\nb\\u{202e}\"");
        assert!(text(&"x".repeat(10_000)).len() < 140);
        assert_eq!(shown(&Value::Float(f64::NAN)), "nan");
    }

    #[test]
    fn rules_say_what_is_meant() {
        for (kind, text, rule) in [
            (Number, "0.1", "must be a number, without quotes"),
            (Number, "fast", "must be a number"),
            (Whole, "3", "must be a whole number, without quotes"),
            (Switch, "true", "must be true or false, without quotes"),
            (NAMES, "sine", "must be \"x\" or \"cos\""),
            (
                NAMES,
                "cso",
                "must be \"x\" or \"cos\"; did you mean \"cos\"?",
            ),
        ] {
            let found = kind.broken_by(&Value::String(text.to_owned()));
            assert_eq!(found.as_deref(), Some(rule), "{text}");
        }
    }

    #[test]
    fn words_become_values_or_name_the_rule() {
        let whole = |n| Value::Integer(n);
        for (kind, word, value) in [
            (Number, "1e-3", Value::Float(0.001)),
            (Number, "inf", Value::Float(f64::INFINITY)),
            (Length, "30", whole(30)),
            (Whole, "0", whole(0)),
            (Milestones, "30", Value::Array(vec![whole(30)])),
            (Milestones, "30,0", Value::Array(vec![whole(30), whole(0)])),
            (Switch, "true", Value::Boolean(true)),
            (NAMES, "cos", Value::String("cos".to_owned())),
        ] {
            assert_eq!(kind.parse(word), Ok(value), "{kind:?} {word}");
        }
        for (kind, words) in [
            (Number, &["", "fast"][..]),
            (Length, &["", "2.5", "-3", "99999999999999999999"]),
            (Whole, &["", "-1"]),
            (Milestones, &["", "30,", "30 80", "-1", "[30]"]),
            (Switch, &["", "yes", "1"]),
            (Schedule, &["cosine"]),
        ] {
            for word in words {
                assert!(kind.parse(word).is_err(), "{kind:?} {word}");
            }
        }
    }

    #[test]
    fn values_of_another_type_break_a_rule() {
        let text = r#"number = 1.5
            whole = 3
            negative = -1
            name = "x"
            list = [1, 2]
            fractions = [1.5]
            switch = true
            table = {}
            tables = [{}, {}]
            mixed = [{}, 1]"#;
        let values: toml::Table = text.parse().expect("valid TOML");
        let good = |kind: ValueKind| -> Vec<&str> {
            let fits = |(_, value): &(&String, &Value)| kind.broken_by(value).is_none();
            values
                .iter()
                .filter(fits)
                .map(|(key, _)| key.as_str())
                .collect()
        };
        assert_eq!(good(Number), ["negative", "number", "whole"]);
        assert_eq!(good(Whole), ["whole"]);
        assert_eq!(good(Length), ["whole"]);
        assert_eq!(good(Milestones), ["list"]);
        assert_eq!(good(ValueKind::Seed), ["whole"]);
        assert_eq!(good(Switch), ["switch"]);
        assert_eq!(good(NAMES), ["name"]);
        assert_eq!(good(ValueKind::Factors), ["fractions", "list", "name"]);
        assert_eq!(good(ValueKind::Numbers), ["fractions", "list"]);
        assert_eq!(good(Schedule), ["table"]);
        assert_eq!(good(ValueKind::Schedules), ["tables"]);
    }
}
