//! What stands within other settings and has rules of its own.

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

use super::read::SettingsError;

/// What is read in two steps: its form, then its rules.
pub(crate) trait Checked: Sized {
    /// Reads the form; what breaks a rule is the inner error.
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Result<Self, SettingsError>, D::Error>;
}

/// A value within other settings, or what is wrong with it: as an error of serde it would be a text, without its key.
pub(crate) struct Within<T>(Result<T, SettingsError>);

impl<T> Within<T> {
    /// The value at a key.
    pub(crate) fn at(self, key: &str) -> Result<T, SettingsError> {
        self.0.map_err(|error| error.under(key))
    }

    /// The value, whose errors name its key already.
    pub(crate) fn named(self) -> Result<T, SettingsError> {
        self.0
    }

    /// The values of a list.
    pub(crate) fn all(key: &str, all: Vec<Self>) -> Result<Vec<T>, SettingsError> {
        let at = |(index, within): (usize, Self)| within.at(&format!("{key}[{index}]"));
        all.into_iter().enumerate().map(at).collect()
    }
}

impl<T> From<T> for Within<T> {
    fn from(value: T) -> Self {
        Self(Ok(value))
    }
}

impl<'de, T: Checked> Deserialize<'de> for Within<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

impl<T: Serialize> Serialize for Within<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(value) => value.serialize(serializer),
            Err(error) => Err(ser::Error::custom(error)),
        }
    }
}
