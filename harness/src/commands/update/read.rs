//! From the text of a line to what it asks, or to what is wrong with it.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::input::{Line, State};
use crate::did_you_mean::unknown;

/// A kind of line: the key that makes it one, and all its keys.
struct Form {
    head: &'static str,
    keys: &'static [&'static str],
}

const FORMS: [Form; 7] = [
    Form {
        head: "start",
        keys: &["start"],
    },
    Form {
        head: "ask",
        keys: &["ask", "config"],
    },
    Form {
        head: "tell",
        keys: &["tell", "losses", "cost", "config"],
    },
    Form {
        head: "skip",
        keys: &["skip", "config"],
    },
    Form {
        head: "method",
        keys: &["method"],
    },
    Form {
        head: "event",
        keys: &["event", "state", "budget"],
    },
    Form {
        head: "resume",
        keys: &["resume"],
    },
];

/// A line with none of their heads.
const QUESTION: Form = Form {
    head: "lr",
    keys: &[
        "lr",
        "factors",
        "losses",
        "normalization",
        "sharpness",
        "non_finite",
    ],
};

impl Line {
    /// # Errors
    /// What is wrong, with key and value.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let entries: Entries =
            serde_json::from_slice(line).map_err(|error| syntax(line, &error))?;
        let form = entries.form()?;
        match form.head {
            "start" => entries.typed(line).map(Self::Start),
            "ask" => entries.typed(line).map(Self::Ask),
            "tell" => entries.typed(line).map(Self::Tell),
            "skip" => entries.typed(line).map(Self::Skip),
            "method" => entries.typed(line).map(Self::Method),
            "event" => entries.typed(line).map(Self::Event),
            "resume" => entries.typed(line).map(Self::Resume),
            _ => entries.typed(line).map(Self::Question),
        }
    }
}

/// The entries of a JSON object in their order, keys that are given twice included.
struct Entries(Vec<(String, Value)>);

impl Entries {
    fn get(&self, key: &str) -> Option<&Value> {
        let entry = self.0.iter().find(|(given, _)| given == key);
        entry.map(|(_, value)| value)
    }

    /// The one form whose keys these are.
    fn form(&self) -> Result<&'static Form, String> {
        let mut heads = FORMS.iter().filter(|form| self.get(form.head).is_some());
        let form = heads.next().unwrap_or(&QUESTION);
        if let Some(second) = heads.next() {
            let names = FORMS.map(|form| form.head).join(", ");
            return Err(format!(
                "`{}` beside `{}`: a line has one of {names}",
                second.head, form.head
            ));
        }
        for (at, (key, value)) in self.0.iter().enumerate() {
            if !form.keys.contains(&key.as_str()) {
                return Err(self.misplaced(key, form));
            }
            if let Some((_, first)) = self.0[..at].iter().find(|(other, _)| other == key) {
                return Err(format!(
                    "{key} is given twice: {} and {}",
                    shown(first),
                    shown(value)
                ));
            }
        }
        match self.get(form.head) {
            Some(Value::Object(state)) if ["ask", "tell", "skip"].contains(&form.head) => {
                check_state(form.head, state)?;
            }
            _ => {}
        }
        Ok(form)
    }

    /// The message for a key that `form` does not have.
    fn misplaced(&self, key: &str, form: &Form) -> String {
        let is_question = form.head == QUESTION.head;
        let owners: Vec<&str> = FORMS
            .iter()
            .filter(|form| form.keys.contains(&key))
            .map(|form| form.head)
            .collect();
        if is_question && !owners.is_empty() {
            let owners = owners.join("` or `");
            return format!("`{key}` goes with `{owners}`, and the line has no such key");
        }
        if !owners.is_empty() || QUESTION.keys.contains(&key) {
            let keys = form.keys.join(", ");
            return format!(
                "`{key}` beside `{}`: the keys of such a line are {keys}",
                form.head
            );
        }
        let strays = self
            .0
            .iter()
            .all(|(key, _)| !QUESTION.keys.contains(&key.as_str()));
        if is_question && strays {
            let heads = FORMS.iter().map(|form| form.head);
            let known: Vec<&str> = heads.chain(QUESTION.keys.iter().copied()).collect();
            return unknown("key", key, &known);
        }
        unknown("key", key, form.keys)
    }

    /// The line as a `T`.
    fn typed<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T, String> {
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let place = Place::new(self, error.path());
            place.message(&without_place(error.inner()))
        })
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Refuses a state of another kind or version, whatever else is in it and in which order.
fn check_state(head: &str, state: &serde_json::Map<String, Value>) -> Result<(), String> {
    match state.get("kind") {
        Some(kind) if kind == State::KIND => {}
        Some(kind) => {
            return Err(format!(
                "{head}.kind = {}: must be {:?}, the closed loop",
                shown(kind),
                State::KIND
            ));
        }
        None if state.contains_key("state") => {
            return Err(format!(
                "{head}: `kind` is missing: a state is what stands under `state` in an answer"
            ));
        }
        None => return Err(format!("{head}: `kind` is missing")),
    }
    let versions = State::VERSIONS;
    match state.get("version").map(|found| (found, found.as_u64())) {
        Some((_, Some(version))) if !versions.contains(&version) => Err(format!(
            "{head}.version = {version}: this build reads version {}",
            versions.end()
        )),
        _ => Ok(()),
    }
}

/// Where in a line a mistake is.
struct Place<'a> {
    /// The key that holds the value, or the place in a list: `start`, `lr`; empty for the line itself.
    steps: Vec<String>,
    value: Option<&'a Value>,
}

impl<'a> Place<'a> {
    fn new(entries: &'a Entries, path: &serde_path_to_error::Path) -> Self {
        let mut place = Self {
            steps: Vec::new(),
            value: None,
        };
        for segment in path {
            let value = match segment {
                Segment::Map { key } if place.steps.is_empty() => entries.get(key),
                Segment::Map { key } => place.value.and_then(|value| value.get(key)),
                Segment::Seq { index } => place.value.and_then(|value| value.get(index)),
                Segment::Enum { .. } | Segment::Unknown => continue,
            };
            place.steps.push(match segment {
                Segment::Seq { index } => format!("[{index}]"),
                other => other.to_string(),
            });
            place.value = value;
        }
        place
    }

    /// `start.factors[1]`, of the first `n` steps.
    fn path(&self, n: usize) -> String {
        let mut path = String::new();
        for step in &self.steps[..n] {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path += step;
        }
        path
    }

    /// The path of the first `n` steps, to stand before a message.
    fn before(&self, n: usize) -> String {
        match self.path(n) {
            path if path.is_empty() => path,
            path => format!("{path}: "),
        }
    }

    /// What serde says, as this program says it.
    fn message(&self, text: &str) -> String {
        let n = self.steps.len();
        let last = self.steps.last().map_or("", String::as_str);
        let above = n.saturating_sub(1);
        if let Some((word, known)) = unknown_word(text, "unknown field `") {
            let n = if last == word { above } else { n };
            return format!("{}{}", self.before(n), unknown("key", word, &known));
        }
        if let Some((word, known)) = unknown_word(text, "unknown variant `") {
            return format!("{}{}", self.before(above), unknown(last, word, &known));
        }
        for (start, says) in [
            ("missing field `", "missing"),
            ("duplicate field `", "given twice"),
        ] {
            let key = text
                .strip_prefix(start)
                .and_then(|rest| rest.strip_suffix('`'));
            if let Some(key) = key {
                return format!("{}`{key}` is {says}", self.before(n));
            }
        }
        let expected = (text.starts_with("invalid type: ") || text.starts_with("invalid value: "))
            .then(|| text.rsplit_once(", expected "))
            .flatten();
        let text = match expected {
            Some((_, expected)) => format!("must be {}", in_words(expected)),
            // What serde_json says of a number where a word has to be.
            None if text == "expected value" => "must be a name, in quotes".to_owned(),
            None => text.to_owned(),
        };
        // Many of the core's messages begin with the key.
        let named = text
            .strip_prefix(last)
            .is_some_and(|rest| rest.starts_with(" = ") || rest.starts_with('['));
        match self.value {
            _ if n == 0 => text,
            _ if named => format!("{}{text}", self.before(above)),
            Some(value) if expected.is_some() || !(value.is_object() || value.is_array()) => {
                format!("{} = {}: {text}", self.path(n), shown(value))
            }
            _ => format!("{}{text}", self.before(n)),
        }
    }
}

/// The word, and those that there are, of serde's "… `word`, expected one of `this`, `that`".
fn unknown_word<'a>(text: &'a str, start: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (word, rest) = text.strip_prefix(start)?.split_once('`')?;
    Some((word, rest.split('`').skip(1).step_by(2).collect()))
}

/// What serde expects.
fn in_words(expected: &str) -> &str {
    match expected {
        "f64" => "a number",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 to 18446744073709551615",
        "unit" => "a name alone, without a value",
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    }
}

/// `value` as it was written, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The message without the place: serde_json counts lines within the text that it was given, which is one line.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

/// What is wrong with a line that is no JSON object, and where.
fn syntax(line: &[u8], error: &serde_json::Error) -> String {
    let message = without_place(error);
    let column = match error.column() {
        0 => String::new(),
        column => format!(" (column {column})"),
    };
    let has = |word: &[u8]| {
        line.windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word))
    };
    let hint = if has(b"nan") || has(b"inf") {
        r#"; a number that is not finite is written "nan", "inf" or "-inf", with the quotes"#
    } else {
        ""
    };
    format!("not a JSON object{column}: {message}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(
            shown(&Value::from("é".repeat(58))),
            format!("\"{}\"", "é".repeat(58))
        );
        assert_eq!(
            shown(&Value::from("é".repeat(99))),
            format!("\"{}…", "é".repeat(59))
        );
    }
}
