//! Errors of this crate: what was given, and which rule it breaks.

use std::borrow::Cow;
use std::fmt;

use crate::same::same_in_debug;
use crate::short::Short;

/// A configuration that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number outside its range.
    #[error("{key} = {}: {rule}", Short(*.value))]
    Value {
        /// Name of the key.
        key: &'static str,
        /// The value given.
        value: f64,
        /// What the value has to be.
        rule: &'static str,
    },
    /// An entry of a list outside its range.
    #[error("{key}[{index}] = {value}: {rule}")]
    Entry {
        /// Name of the list.
        key: &'static str,
        /// Position in the list, from 0.
        index: usize,
        /// The value given.
        value: u64,
        /// What the value has to be.
        rule: &'static str,
    },
    /// A list with too few or too many entries.
    #[error("{key} of length {length}: {rule}")]
    Length {
        /// Name of the list.
        key: &'static str,
        /// How many entries it has.
        length: usize,
        /// How many there have to be.
        rule: &'static str,
    },
    /// Schedules within schedules, too many levels deep.
    #[error("schedules are nested {depth} levels deep: at most {limit} are possible")]
    Nesting {
        /// Levels, a schedule without others in it being one.
        depth: usize,
        /// The most there may be.
        limit: usize,
    },
    /// A factor that is not a positive finite number.
    #[error("factors[{index}] = {}: a factor must be positive and finite", Short(*.value))]
    Factor {
        /// Position in the list, from 0.
        index: usize,
        /// The value given.
        value: f64,
    },
    /// A list of factors without an entry.
    #[error("factors = []: at least one factor is needed")]
    NoFactors,
    /// A named set of factors that does not exist.
    #[error(
        "factors = {name:?}: a named set is `factor_N` with an odd N from 1 to 101, for example `factor_5`"
    )]
    UnknownFactors {
        /// The name given.
        name: String,
    },
    /// Bounds with nothing between them.
    #[error("min_lr = {}: exceeds max_lr = {}", Short(*.min), Short(*.max))]
    EmptyRange {
        /// The lower bound given.
        min: f64,
        /// The upper bound given.
        max: f64,
    },
    /// An initial rate outside the bounds.
    #[error("lr = {}: {}", Short(*.lr), Beyond { lr: *.lr, min: *.min, max: *.max })]
    OutOfBounds {
        /// The rate given.
        lr: f64,
        /// The lower bound; the smallest normal number if none was given.
        min: f64,
        /// The upper bound; the largest number if none was given.
        max: f64,
    },
    /// To lower the rate where no loss is finite, by factors that do not.
    #[error(
        "all_non_finite = \"lower\": takes the smallest factor, which is {}; one below 1 is needed", Short(*.smallest)
    )]
    CannotLower {
        /// The smallest factor.
        smallest: f64,
    },
    /// A multiplier of a parameter group that is not a positive finite number.
    #[error("groups[{index}] = {}: a multiplier must be positive and finite", Short(*.value))]
    Group {
        /// Position in the list, from 0.
        index: usize,
        /// The value given.
        value: f64,
    },
    /// A list of parameter groups without an entry.
    #[error("groups = []: at least one parameter group is needed")]
    NoGroups,
    /// Neither, or both, of an initial rate and a base schedule.
    #[error("lr: {0}")]
    Base(&'static str),
}

impl ConfigError {
    /// The path to the key that is wrong, such as `factors[2]`; empty for what concerns all keys. The message begins
    /// with it.
    pub fn key(&self) -> String {
        match self {
            Self::Value { key, .. } | Self::Length { key, .. } => (*key).to_owned(),
            Self::Entry { key, index, .. } => format!("{key}[{index}]"),
            Self::Nesting { .. } => String::new(),
            Self::Factor { index, .. } => format!("factors[{index}]"),
            Self::NoFactors | Self::UnknownFactors { .. } => "factors".to_owned(),
            Self::EmptyRange { .. } => "min_lr".to_owned(),
            Self::OutOfBounds { .. } | Self::Base(_) => "lr".to_owned(),
            Self::CannotLower { .. } => "all_non_finite".to_owned(),
            Self::Group { index, .. } => format!("groups[{index}]"),
            Self::NoGroups => "groups".to_owned(),
        }
    }

    /// The key, and what follows it in the message.
    pub(crate) fn parts(&self) -> (String, String) {
        let (key, text) = (self.key(), self.to_string());
        match key.as_str() {
            "" => (key, format!(": {text}")),
            _ => (key.clone(), text[key.len()..].to_owned()),
        }
    }
}

/// A clone is equal, with a NaN in it too.
impl PartialEq for ConfigError {
    fn eq(&self, other: &Self) -> bool {
        same_in_debug(self, other)
    }
}

/// The bound that a rate is beyond. It was given: no rate is beyond one that was not.
struct Beyond {
    lr: f64,
    min: f64,
    max: f64,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lr < self.min {
            write!(f, "lies below min_lr = {}", Short(self.min))
        } else {
            write!(f, "exceeds max_lr = {}", Short(self.max))
        }
    }
}

/// Vectors whose lengths do not fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} {what} for {expected} {of}: one each is needed")]
#[non_exhaustive]
pub struct LengthError {
    /// What was given, in the plural.
    pub what: &'static str,
    /// How many were given.
    pub found: usize,
    /// How many are needed.
    pub expected: usize,
    /// What they are needed for, in the plural.
    pub of: &'static str,
}

impl LengthError {
    /// Passes if `found` is what is needed.
    pub(crate) fn check(
        (found, what): (usize, &'static str),
        (expected, of): (usize, &'static str),
    ) -> Result<(), Self> {
        if found == expected {
            return Ok(());
        }
        Err(Self {
            what,
            found,
            expected,
            of,
        })
    }
}

/// Losses that a scheduler cannot take. The scheduler is then as before.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// There is not one loss a candidate.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// No loss was finite, and the configuration says to fail then (`all_non_finite = "fail"`).
    #[error(
        "none of the losses of {candidates} candidate rates from {} to {} is finite", Short(*.lowest), Short(*.highest)
    )]
    #[non_exhaustive]
    NoFiniteLoss {
        /// How many rates were tried.
        candidates: usize,
        /// The lowest rate tried.
        lowest: f64,
        /// The highest rate tried.
        highest: f64,
    },
}

/// A clone is equal, with a NaN in it too.
impl PartialEq for TellError {
    fn eq(&self, other: &Self) -> bool {
        same_in_debug(self, other)
    }
}

/// A saved scheduler state that cannot be continued.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The state was written by another version of this crate's format.
    #[error("scheduler state version {found}: this build reads version {expected}")]
    Version {
        /// Version in the state.
        found: u32,
        /// Version this build reads and writes.
        expected: u32,
    },
    /// The state is one of another kind of scheduler.
    #[error("scheduler state of kind `{found}`: the configuration is of kind `{expected}`")]
    Kind {
        /// Kind of the state.
        found: String,
        /// Kind of the configuration.
        expected: &'static str,
    },
    /// The state is one of a kind of scheduler that this build does not have.
    #[error("scheduler state of kind `{kind}`: this build has no such scheduler")]
    Unknown {
        /// Kind of the state.
        kind: String,
    },
    /// A field of the state that is missing, unknown or of another type.
    #[error("scheduler state: {0}")]
    Field(String),
    /// The state was saved under another configuration.
    #[error("scheduler state of another configuration: {}", list(differences))]
    Config {
        /// The fields that differ; at least one.
        differences: Vec<FieldDifference>,
    },
    /// A value in the state that no scheduler can have.
    #[error("scheduler state {field} = {value}: {rule}")]
    Value {
        /// The field.
        field: &'static str,
        /// The value found.
        value: String,
        /// What the value has to be.
        rule: &'static str,
    },
}

/// A field of a configuration that differs between a saved state and the scheduler that is to go on from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDifference {
    /// Name of the field, as in files; of a schedule, with the path to it: `base.t_max`.
    pub field: Cow<'static, str>,
    /// Its value in the saved state.
    pub saved: String,
    /// Its value in the configuration given.
    pub configured: String,
}

impl fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            saved,
            configured,
        } = self;
        write!(f, "{field} was {saved} and is {configured}")
    }
}

fn list(differences: &[FieldDifference]) -> String {
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::ConfigError;

    /// The key and the message come from two places.
    #[test]
    fn a_message_begins_with_its_key() {
        let (value, rule) = (0.0, "must be more");
        for error in [
            ConfigError::Value {
                key: "lr",
                value,
                rule,
            },
            ConfigError::Entry {
                key: "milestones",
                index: 3,
                value: 0,
                rule,
            },
            ConfigError::Length {
                key: "schedules",
                length: 0,
                rule,
            },
            ConfigError::Nesting {
                depth: 33,
                limit: 32,
            },
            ConfigError::Factor { index: 2, value },
            ConfigError::NoFactors,
            ConfigError::UnknownFactors {
                name: "x".to_owned(),
            },
            ConfigError::EmptyRange { min: 1.0, max: 0.0 },
            ConfigError::OutOfBounds {
                lr: 1.0,
                min: 2.0,
                max: 3.0,
            },
            ConfigError::CannotLower { smallest: 1.0 },
            ConfigError::Group { index: 1, value },
            ConfigError::NoGroups,
            ConfigError::Base("missing"),
        ] {
            let (key, rest) = error.parts();
            let signs = [" = ", ": ", " of length "];
            assert!(signs.iter().any(|sign| rest.starts_with(sign)), "{error}");
            assert!(error.to_string().starts_with(&key), "{error}");
            let none = matches!(error, ConfigError::Nesting { .. });
            assert_eq!(key.is_empty(), none, "{error}");
        }
    }
}
