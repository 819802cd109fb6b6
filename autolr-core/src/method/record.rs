//! What a method leaves in the log.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::same::all_same;
use crate::value::{Table, Value};
use crate::{Decision, float_serde};

/// A change of the rate and what led to it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// Of the paper's scheduler.
    Decision(Box<Decision>),
    /// Of any other method.
    Change(Change),
}

impl Record {
    /// The rate before; with several parameter groups, that of the first or of the group decided about.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Decision(decision) => decision.lr,
            Self::Change(change) => change.lr,
        }
    }

    /// The rate after.
    pub fn new_lr(&self) -> f64 {
        match self {
            Self::Decision(decision) => decision.new_lr,
            Self::Change(change) => change.new_lr,
        }
    }

    /// The decision, of the paper's scheduler.
    pub fn decision(self) -> Option<Decision> {
        match self {
            Self::Decision(decision) => Some(*decision),
            Self::Change(_) => None,
        }
    }
}

/// A change of the rate, with what its method has to say of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The rate before.
    #[serde(with = "float_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "float_serde::Float"))]
    pub lr: f64,
    /// The rate after.
    #[serde(with = "float_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "float_serde::Float"))]
    pub new_lr: f64,
    /// The method's own part.
    pub details: Details,
}

/// A clone is equal, with a NaN rate too.
impl PartialEq for Change {
    fn eq(&self, other: &Self) -> bool {
        all_same(&[self.lr, self.new_lr], &[other.lr, other.new_lr])
            && self.details == other.details
    }
}

impl Change {
    /// From `lr` to `new_lr`, for reasons that serialise as a table.
    ///
    /// # Panics
    /// If the type of `details` does not, as [`MethodState::new`](super::MethodState::new).
    pub fn new<T: Serialize>(lr: f64, new_lr: f64, details: &T) -> Self {
        Self {
            lr,
            new_lr,
            details: Details(Table::of(details)),
        }
    }
}

/// Keys and values, whatever they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Details(Table);

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Table::read(deserializer, "a table").map(Self)
    }
}

impl Details {
    /// The number of a key, if it has one.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.0.0.iter().find(|(name, _)| name == key)? {
            (_, Value::Number(number)) => Some(*number),
            (_, Value::Unsigned(number)) => Some(*number as f64),
            (_, Value::Signed(number)) => Some(*number as f64),
            (_, Value::Text(text)) => match text.as_str() {
                "nan" => Some(f64::NAN),
                "inf" => Some(f64::INFINITY),
                "-inf" => Some(f64::NEG_INFINITY),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_survives_json_with_what_is_not_finite() {
        #[derive(Serialize)]
        struct Why {
            #[serde(with = "float_serde")]
            loss: f64,
            bad: u64,
        }
        let change = Change::new(
            0.1,
            0.05,
            &Why {
                loss: f64::NAN,
                bad: 3,
            },
        );
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(
            text,
            r#"{"lr":0.1,"new_lr":0.05,"details":{"loss":"nan","bad":3}}"#
        );
        let back: Change = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        assert_eq!(back.details.number("bad"), Some(3.0));
        assert!(back.details.number("loss").unwrap().is_nan());
        assert_eq!(back.details.number("other"), None);
    }
}
