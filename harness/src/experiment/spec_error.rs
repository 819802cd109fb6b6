//! What is wrong with a specification, and the key that it is wrong at.

use std::fmt;

use autolr_core::SettingsError;
use toml::Value;

use crate::exit::BadInput;
use crate::visible::typed;

/// A value as an error shows it: on one line, and not at length.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        // TOML would write a text of several lines on several lines.
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    };
    typed(&text)
}

/// What is wrong with a specification, in one line, and the key that it is wrong at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// Where it stands, in full: `scheduler.schedules[0].lr`. None if it is about the file as a whole.
    key: Option<String>,
    /// What the message begins with: the key, or the table that it is of.
    named: Option<String>,
    /// What follows, with the sign that it begins with: ` = 0: must be …`, `: missing`.
    rest: String,
}

impl SpecError {
    /// A message that begins with the key; `rest` has the sign that comes first.
    pub(super) fn new(key: impl Into<String>, rest: impl Into<String>) -> Self {
        let key = Some(key.into());
        Self {
            named: key.clone(),
            key,
            rest: rest.into(),
        }
    }

    /// A message about a key that does not begin with it, such as one that is unknown.
    pub(super) fn about(key: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            key: Some(key.into()),
            named: None,
            rest: format!(": {message}"),
        }
    }

    /// What is wrong with no key, but the whole.
    pub(crate) fn whole(rest: impl Into<String>) -> Self {
        Self {
            key: None,
            named: None,
            rest: rest.into(),
        }
    }

    /// A value against a rule: `scheduler.lr = 0: must be positive`.
    pub(super) fn value(key: impl Into<String>, value: &Value, rule: impl fmt::Display) -> Self {
        Self::new(key, format!(" = {}: {rule}", shown(value)))
    }

    /// The same of a value that is read already.
    pub(crate) fn set(
        key: impl Into<String>,
        value: impl fmt::Display,
        rule: impl fmt::Display,
    ) -> Self {
        Self::new(key, format!(" = {value}: {rule}"))
    }

    /// A key that has to be there.
    pub(super) fn missing(key: impl Into<String>, rest: impl fmt::Display) -> Self {
        Self::new(key, format!(": missing{rest}"))
    }

    /// The same, of a key within `place`.
    pub(super) fn within(self, place: &str) -> Self {
        self.at(place, place)
    }

    /// The same, of a key within `place`, which a message calls `called`.
    pub(super) fn at(self, place: &str, called: &str) -> Self {
        Self {
            key: join(place, self.key),
            named: join(called, self.named),
            rest: self.rest,
        }
    }

    /// Where it stands, in full; none if it is about the file as a whole.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// `scheduler` and `lr`, `schedules[0].lr` or nothing.
fn join(place: &str, key: Option<String>) -> Option<String> {
    Some(match key {
        Some(key) => format!("{place}.{key}"),
        None => place.to_owned(),
    })
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.named {
            Some(named) => write!(f, "{named}{}", self.rest),
            None => f.write_str(self.rest.strip_prefix(": ").unwrap_or(&self.rest)),
        }
    }
}

impl std::error::Error for SpecError {}

impl From<SettingsError> for SpecError {
    fn from(error: SettingsError) -> Self {
        match error.path() {
            "" => Self::whole(error.rest()),
            path => Self::new(path, error.rest()),
        }
    }
}

impl From<SpecError> for BadInput {
    fn from(error: SpecError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::SpecError;

    #[test]
    fn a_key_is_named_in_full() {
        let value = SpecError::set("lr", 0, "no");
        let inner = value.within("schedules[0]").within("scheduler");
        assert_eq!(inner.key().unwrap(), "scheduler.schedules[0].lr");
        assert_eq!(inner.to_string(), "scheduler.schedules[0].lr = 0: no");

        let about = SpecError::about("gama", "unknown key `gama`");
        assert_eq!(about.to_string(), "unknown key `gama`");
        let about = about.within("scheduler");
        assert_eq!(about.key().unwrap(), "scheduler.gama");
        assert_eq!(about.to_string(), "scheduler: unknown key `gama`");

        let missing = SpecError::missing("name", "").at("series[1]", "series");
        assert_eq!(missing.key().unwrap(), "series[1].name");
        assert_eq!(missing.to_string(), "series.name: missing");

        // A key may be empty.
        let empty = SpecError::about("", "unknown key ``").within("data");
        assert_eq!(empty.key(), Some("data."));
        let whole = SpecError::whole(": no good");
        assert_eq!((whole.key(), whole.to_string().as_str()), (None, "no good"));
        assert_eq!(whole.within("data").to_string(), "data: no good");
    }
}
