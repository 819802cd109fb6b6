//! The kinds of methods, as files name them, and their keys.

use crate::error::ConfigError;

/// A kind of method or schedule, as in `scheduler.kind`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Kind {
    /// Name, in files and on the command line.
    pub name: &'static str,
    /// Its keys beside `kind`, in the order in which a person reads them.
    pub keys: &'static [Key],
    /// What it is, in a few words.
    pub what: &'static str,
    /// Whether it is an open-loop schedule.
    pub is_schedule: bool,
}

impl Kind {
    /// Of anything else that a file names by its kind: an optimiser, a network.
    pub const fn new(name: &'static str, keys: &'static [Key], what: &'static str) -> Self {
        Self {
            name,
            keys,
            what,
            is_schedule: false,
        }
    }

    /// Of a schedule.
    pub(crate) const fn schedule(
        name: &'static str,
        keys: &'static [Key],
        what: &'static str,
    ) -> Self {
        Self {
            name,
            keys,
            what,
            is_schedule: true,
        }
    }

    /// The key of a name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        let own = self.keys.iter().find(|key| key.name == name);
        own.or_else(|| (self.is_schedule && name == UNIT.name).then_some(&UNIT))
    }

    /// Whether it is made of other schedules.
    pub fn is_composed(&self) -> bool {
        let composed = |key: &Key| matches!(key.holds, ValueKind::Schedule | ValueKind::Schedules);
        self.is_schedule && self.keys.iter().any(composed)
    }
}

/// A key of a kind.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub holds: ValueKind,
    /// What it means that it is not given.
    pub default: KeyDefault,
    /// Which numbers it takes.
    pub range: Range,
    /// What it is for, in a few words.
    pub what: &'static str,
}

impl Key {
    /// A key that takes whatever its kind of value can be.
    pub const fn new(name: &'static str, holds: ValueKind, default: KeyDefault) -> Self {
        Self {
            name,
            holds,
            default,
            range: Range::ANY,
            what: "",
        }
    }

    /// The same, of numbers within a range.
    #[must_use]
    pub const fn within(self, range: Range) -> Self {
        Self { range, ..self }
    }

    /// The same, with what it is for.
    #[must_use]
    pub const fn about(self, what: &'static str) -> Self {
        Self { what, ..self }
    }
}

/// Which numbers a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    least: f64,
    /// Whether `least` itself is too little.
    above: bool,
    most: f64,
    /// Whether `most` itself is too much.
    below: bool,
    /// As an error says it.
    rule: &'static str,
}

impl Range {
    /// Any number, NaN and infinities too.
    pub const ANY: Self = Self {
        least: f64::NEG_INFINITY,
        above: false,
        most: f64::INFINITY,
        below: false,
        rule: "",
    };
    /// Any number but NaN and infinities.
    pub const FINITE: Self = Self {
        above: true,
        below: true,
        rule: "must be finite",
        ..Self::ANY
    };
    /// Above 0, finite.
    pub const POSITIVE: Self = Self {
        least: 0.0,
        rule: "must be positive and finite",
        ..Self::FINITE
    };
    /// A rate of the closed loop: [`Range::POSITIVE`] without the numbers that have lost digits.
    pub(crate) const RATE: Self = Self::new(f64::MIN_POSITIVE, f64::MAX, Self::POSITIVE.rule);
    /// A whole number, 0 not being one.
    pub const AT_LEAST_ONE: Self = Self::new(1.0, f64::INFINITY, "must be at least 1");
    /// From 0 to 1.
    pub const UNIT: Self = Self::new(0.0, 1.0, "must lie in [0, 1]");
    /// 0 or above, finite.
    pub const NOT_NEGATIVE: Self = Self {
        least: 0.0,
        above: false,
        rule: "must be finite and not negative",
        ..Self::FINITE
    };
    /// From 0 to below 1.
    pub const SHARE: Self = Self {
        least: 0.0,
        above: false,
        most: 1.0,
        below: true,
        rule: "must be from 0 to below 1",
    };

    /// From `least` to `most`, both included; `rule` says so in an error.
    pub const fn new(least: f64, most: f64, rule: &'static str) -> Self {
        Self {
            least,
            above: false,
            most,
            below: false,
            rule,
        }
    }

    /// The same without `least` itself.
    #[must_use]
    pub const fn without_least(self) -> Self {
        Self {
            above: true,
            ..self
        }
    }

    /// The same without `most` itself.
    #[must_use]
    pub const fn without_most(self) -> Self {
        Self {
            below: true,
            ..self
        }
    }

    /// Whether a number is in it. NaN is in [`Range::ANY`] alone.
    pub fn has(&self, number: f64) -> bool {
        if *self == Self::ANY {
            return true;
        }
        let enough = if self.above {
            number > self.least
        } else {
            number >= self.least
        };
        let not_too_much = if self.below {
            number < self.most
        } else {
            number <= self.most
        };
        enough && not_too_much
    }

    /// Passes a number that is in it on, and says what is wrong with another.
    ///
    /// # Errors
    /// [`ConfigError::Value`], with the rule.
    pub fn check(&self, key: &'static str, value: f64) -> Result<f64, ConfigError> {
        if self.has(value) {
            return Ok(value);
        }
        let rule = match value > 0.0 && value < f64::MIN_POSITIVE {
            // Positive and finite is what it is.
            true if self.least == f64::MIN_POSITIVE => "must be at least 2.2250738585072014e-308",
            _ => self.rule,
        };
        Err(ConfigError::Value { key, value, rule })
    }

    /// The rule that a number outside of it breaks, such as `must be positive and finite`.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// The ends of the range, least and most.
    pub fn ends(&self) -> (f64, f64) {
        (self.least, self.most)
    }

    /// Whether it is every number there is.
    pub fn is_any(&self) -> bool {
        *self == Self::ANY
    }
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueKind {
    /// A number.
    Number,
    /// A whole number.
    Whole,
    /// A number of epochs or steps: it changes in proportion to the length of the training.
    Length,
    /// A list of such numbers.
    Milestones,
    /// A list of numbers, each within the key's range.
    Numbers,
    /// A seed.
    Seed,
    /// True or false.
    Switch,
    /// One of these names.
    OneOf(&'static [&'static str]),
    /// A list of factors, or the name of one.
    Factors,
    /// A table with the keys of another schedule.
    Schedule,
    /// Several of them.
    Schedules,
    /// A text that a rule of its own reads.
    Text,
}

/// What it means that a key is not given.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum KeyDefault {
    /// An error.
    Required,
    /// An error in a file, the paper's rate on the command line.
    Rate,
    /// An error in a file, this on the command line.
    Shown(&'static str),
    /// An error unless this other key is given.
    Unless(&'static str),
    /// The length of the run, in what the schedule counts.
    RunLength,
    /// This value.
    Core(&'static str),
}

/// The rate that a schedule or method starts with.
pub(crate) const LR: Key = Key::new("lr", ValueKind::Number, KeyDefault::Rate)
    .within(Range::POSITIVE)
    .about("the base rate");

/// What a schedule counts.
pub(crate) const UNIT: Key = Key::new(
    "unit",
    ValueKind::OneOf(&["epoch", "step"]),
    KeyDefault::Core("epoch"),
)
.about("what is counted: epochs, or optimiser steps");

#[cfg(test)]
mod tests;
