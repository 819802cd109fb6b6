//! What is wrong with a specification, and the key that it is wrong at.

use toml::Value;

use super::value_kind::shown;
use crate::exit::BadInput;

/// What is wrong with a specification, in one line, and the key that it is wrong at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpecError {
    /// In full: `scheduler.schedules[0].lr`. Empty if it is about the file as a whole.
    pub(super) key: String,
    pub(super) text: String,
}

impl SpecError {
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

impl From<SpecError> for BadInput {
    fn from(error: SpecError) -> Self {
        Self(error.text)
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
    use super::{SpecError, joined};

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
            assert_eq!(SpecError::said(text).key, key, "{text}");
        }
        let error = SpecError::said("lr = 0: no")
            .within("schedules[0]")
            .within("scheduler");
        assert_eq!(error.key, "scheduler.schedules[0].lr");
        assert_eq!(error.text, "scheduler.schedules[0].lr = 0: no");
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
