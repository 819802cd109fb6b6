//! Sweeps: values for keys of a specification, and every combination of them.

use std::path::Path;

use toml::{Table, Value};

use super::spec_error::shown;
use super::{SPEC_BYTES, seeds};
use crate::exit::BadInput;
use crate::regular_file::{self, Links};
use crate::typed_number;
use crate::visible::typed;

/// The key that seeds are values of.
pub(crate) const SEED: &str = "training.seed";

/// More combinations than anyone has a use for: a slip of the keyboard.
const MOST: usize = 100_000;

/// A key and the values that it takes in turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// With its table: `scheduler.lr`.
    pub key: String,
    /// At least one.
    pub values: Vec<Value>,
}

/// Reads `--set KEY=VALUE,VALUE,…`. A value is as in a file; a name needs no quotes.
///
/// # Errors
/// What is wrong with it.
pub fn axis(text: &str) -> Result<Axis, String> {
    let Some((key, values)) = text.split_once('=') else {
        return Err("write KEY=VALUE,VALUE,… such as scheduler.lr=1e-3,1e-2".into());
    };
    let key = key.trim();
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    if !key.split('.').all(plain) {
        return Err(format!("\"{}\" is no key such as scheduler.lr", typed(key)));
    }
    let values: Result<_, _> = split(values)?.into_iter().map(value).collect();
    Ok(Axis {
        key: key.to_owned(),
        values: values?,
    })
}

/// Splits at the commas that stand outside of brackets and quotes.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_i32, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    match parts.iter().find(|part| part.trim().is_empty()) {
        Some(_) => Err("a value is empty".into()),
        None => Ok(parts.into_iter().map(str::trim).collect()),
    }
}

/// A value of TOML; what is none is a name, unless it can only be meant for a number.
fn value(word: &str) -> Result<Value, String> {
    if let Some(meant) = typed_number::meant(word) {
        return Err(format!("`{}`: no number: write {meant}", typed(word)));
    }
    let document = format!("value = {word}");
    let parsed = document.parse::<Table>().ok();
    // A line feed in the word would bring other keys.
    let only = |table: &Table| table.len() == 1;
    let value = parsed
        .filter(only)
        .and_then(|mut table| table.remove("value"));
    Ok(value.unwrap_or_else(|| Value::String(word.to_owned())))
}

/// Reads a sweep file: `seeds = "0..6"` or a list, and `[set]` with a list of values for each key, whose name is quoted
/// (`"scheduler.lr" = [1e-3, 1e-2]`) or not.
///
/// # Errors
/// [`BadInput`] that names the file and the key.
pub fn read(path: &Path) -> Result<(Vec<Axis>, Option<Vec<u64>>), BadInput> {
    let wrong = |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
    let text =
        regular_file::read_text(path, Links::Follow, SPEC_BYTES).map_err(|error| wrong(&error))?;
    parse(&text).map_err(|error| wrong(&error))
}

fn parse(text: &str) -> Result<(Vec<Axis>, Option<Vec<u64>>), String> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| match error.span() {
            Some(span) => {
                let number = 1 + text[..span.start].matches('\n').count();
                format!("line {number}: {}", typed(error.message()))
            }
            None => typed(error.message()),
        })?;
    let (mut axes, mut given) = (Vec::new(), None);
    for (key, value) in table {
        match (key.as_str(), value) {
            ("seeds", Value::String(text)) => {
                given = Some(seeds(&text).map_err(|error| format!("seeds: {error}"))?);
            }
            ("seeds", Value::Array(list)) => {
                let words: Vec<String> = list.iter().map(ToString::to_string).collect();
                let list = seeds(&words.join(","));
                given = Some(list.map_err(|error| format!("seeds: {error}"))?);
            }
            ("set", Value::Table(set)) => flatten("", set, &mut axes)?,
            ("seeds" | "set", other) => {
                return Err(format!(
                    "{key} = {}: `seeds` is a text or a list, `set` a table",
                    shown(&other)
                ));
            }
            _ => {
                return Err(crate::did_you_mean::unknown("key", &key, &["seeds", "set"]));
            }
        }
    }
    Ok((axes, given))
}

fn flatten(above: &str, table: Table, axes: &mut Vec<Axis>) -> Result<(), String> {
    for (key, value) in table {
        let key = match above {
            "" => key,
            above => format!("{above}.{key}"),
        };
        match value {
            Value::Table(inner) => flatten(&key, inner, axes)?,
            Value::Array(values) if !values.is_empty() => axes.push(Axis { key, values }),
            other => {
                let (key, other) = (typed(&key), shown(&other));
                return Err(format!(
                    "set.{key} = {other}: a list of values is needed, such as [1e-3, 1e-2]"
                ));
            }
        }
    }
    Ok(())
}

/// One combination: a value for each axis, in their order.
pub type Point = Vec<(String, Value)>;

/// Every combination, the last axis running fastest; a single empty one without axes.
///
/// # Errors
/// [`BadInput`] if a key stands there twice or there are too many combinations.
pub fn points(axes: &[Axis]) -> Result<Vec<Point>, BadInput> {
    let mut points: Vec<Point> = vec![Vec::new()];
    for (index, axis) in axes.iter().enumerate() {
        if let Some(other) = axes[..index]
            .iter()
            .find(|other| clash(&other.key, &axis.key))
        {
            return Err(BadInput(match other.key == axis.key {
                true => format!("{} is set twice", typed(&axis.key)),
                false => format!(
                    "{} and {} set the same key",
                    typed(&other.key),
                    typed(&axis.key)
                ),
            }));
        }
        if points.len().saturating_mul(axis.values.len()) > MOST {
            return Err(BadInput(format!("more than {MOST} combinations")));
        }
        points = points
            .iter()
            .flat_map(|point| {
                axis.values.iter().map(|value| {
                    let mut point = point.clone();
                    point.push((axis.key.clone(), value.clone()));
                    point
                })
            })
            .collect();
    }
    Ok(points)
}

/// Whether a key is another, or lies within it.
fn clash(a: &str, b: &str) -> bool {
    let within = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    within(a, b) || within(b, a)
}

/// The tables that a combination lays over a specification.
pub fn settings(point: &Point) -> Table {
    let mut settings = Table::new();
    for (key, value) in point {
        let mut table = &mut settings;
        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            let inner = table
                .entry(part)
                .or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => table = inner,
                // Not with keys that do not clash.
                _ => return settings,
            }
        }
        table.insert(last.to_owned(), value.clone());
    }
    settings
}

/// A combination in words: `scheduler.lr = 0.001, seed 3`.
pub fn describe(point: &Point) -> String {
    let words: Vec<String> = point
        .iter()
        .map(|(key, value)| format!("{key} = {}", word(value)))
        .collect();
    words.join(", ")
}

/// A value as a person writes it: names without quotes.
pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) if *number != 0.0 && !(1e-3..1e6).contains(&number.abs()) => {
            format!("{number:e}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> (String, Vec<String>) {
        let axis = axis(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let values = axis.values.iter().map(ToString::to_string);
        (axis.key, values.collect())
    }

    #[test]
    fn values_are_those_of_a_file_and_names_need_no_quotes() {
        for (text, key, values) in [
            (
                "scheduler.lr=1e-4,1e-3",
                "scheduler.lr",
                &["0.0001", "0.001"][..],
            ),
            ("training.epochs=3", "training.epochs", &["3"]),
            (
                "optimizer.kind=sgd, adamw",
                "optimizer.kind",
                &["\"sgd\"", "\"adamw\""],
            ),
            (
                "data.augment=true,false",
                "data.augment",
                &["true", "false"],
            ),
            (
                "scheduler.factors=[2,1,0.5],\"factor_3\"",
                "scheduler.factors",
                &["[2, 1, 0.5]", "\"factor_3\""],
            ),
            ("a.b=best-validation", "a.b", &["\"best-validation\""]),
            ("a.b=1_000,2024-07.txt", "a.b", &["1000", "\"2024-07.txt\""]),
            (
                "a.b={kind=\"fixed\",lr=1},x",
                "a.b",
                &["{ kind = \"fixed\", lr = 1 }", "\"x\""],
            ),
        ] {
            let (found, list) = words(text);
            assert_eq!(
                (found.as_str(), list.as_slice()),
                (
                    key,
                    &values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()[..]
                ),
                "{text}"
            );
        }
        for text in [
            "",
            "lr",
            "=1",
            "scheduler..lr=1",
            "scheduler.lr=",
            "a=1,,2",
            "a b=1",
        ] {
            assert!(axis(text).is_err(), "{text}");
        }
        // Numbers as no file has them: no names either.
        let error = axis("scheduler.lr=0.1,.5").unwrap_err();
        assert_eq!(error, "`.5`: no number: write 0.5");
        // No further keys through the back door.
        assert_eq!(words("a=1\nb = 2").1, ["\"\"\"\n1\nb = 2\"\"\""]);
    }

    #[test]
    fn a_file_says_the_same_as_the_command_line() {
        let text = "seeds = [0, 1]\n[set]\n\"scheduler.lr\" = [0.1]\nnetwork.hidden = [4, 8]";
        let (axes, seeds) = parse(text).unwrap();
        assert_eq!(seeds, Some(vec![0, 1]));
        let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
        assert_eq!(keys, ["network.hidden", "scheduler.lr"]);
        for (text, names) in [
            ("seed = 1", "`seeds`"),
            ("seeds = 1", "seeds = 1"),
            ("[set]\nscheduler.lr = 0.1", "set.scheduler.lr = 0.1"),
            ("[set]\nscheduler.lr = []", "set.scheduler.lr = []"),
            ("seeds = [0.5]", "0.5"),
            ("seeds = [0\nx", "line "),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(names), "{text}: {error}");
        }
    }

    #[test]
    fn every_combination_once() {
        let axes = [axis("a.x=1,2").unwrap(), axis("a.y=u,v,w").unwrap()];
        let points = points(&axes).unwrap();
        let described: Vec<String> = points.iter().map(describe).collect();
        assert_eq!(described.len(), 6);
        assert_eq!(described[1], "a.x = 1, a.y = v");
        assert_eq!(settings(&points[1]).to_string(), "[a]\nx = 1\ny = \"v\"\n");
        assert_eq!(super::points(&[]).unwrap(), [Point::new()]);
    }

    #[test]
    fn a_key_is_set_once() {
        for (a, b) in [("a.x=1", "a.x=2"), ("a=1", "a.x=2"), ("a.x.y=1", "a.x=2")] {
            let axes = [axis(a).unwrap(), axis(b).unwrap()];
            assert!(points(&axes).is_err(), "{a} {b}");
        }
        assert!(points(&[axis("a.x=1").unwrap(), axis("a.xy=2").unwrap()]).is_ok());
        let many: String = (0..400).map(|n| format!(",{n}")).collect();
        let many = |key: &str| axis(&format!("{key}={}", &many[1..])).unwrap();
        let error = points(&[many("a"), many("b")]).unwrap_err();
        assert!(error.to_string().contains("100000"), "{error}");
    }
}
