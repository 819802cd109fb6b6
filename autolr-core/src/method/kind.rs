//! The kinds of methods, as files name them, and their keys.

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

    /// Of a method that is no schedule.
    pub(crate) const fn method(
        name: &'static str,
        keys: &'static [Key],
        what: &'static str,
    ) -> Self {
        Self {
            name,
            keys,
            what,
            is_schedule: false,
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
}

impl Key {
    pub(crate) const fn new(name: &'static str, holds: ValueKind, default: KeyDefault) -> Self {
        Self {
            name,
            holds,
            default,
        }
    }
}

/// What a key holds. Ranges are checked when the settings are made.
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
    /// The length of the run, in what the schedule counts.
    RunLength,
    /// This value.
    Core(&'static str),
}

/// The rate that a schedule or method starts with.
pub(crate) const LR: Key = Key::new("lr", ValueKind::Number, KeyDefault::Rate);

/// What a schedule counts.
pub(crate) const UNIT: Key = Key::new(
    "unit",
    ValueKind::OneOf(&["epoch", "step"]),
    KeyDefault::Core("epoch"),
);
