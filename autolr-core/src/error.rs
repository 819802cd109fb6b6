//! Errors of this crate: what was given, and which rule it breaks.

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number outside its range.
    #[error("{key} = {value}: {rule}")]
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
    #[error("factors[{index}] = {value}: a factor must be positive and finite")]
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
}

/// Losses that do not fit the candidates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{losses} losses for {factors} factors: one loss a factor is needed")]
pub struct LengthError {
    /// Number of losses given.
    pub losses: usize,
    /// Number of factors configured.
    pub factors: usize,
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
    /// The state was written under another configuration.
    #[error("scheduler state of another configuration: {}", listed(differences))]
    Config {
        /// The fields that differ, at least one.
        differences: Vec<FieldDifference>,
    },
    /// A saved number that this scheduler cannot have come to.
    #[error("scheduler state {key} = {value}: {rule}")]
    Value {
        /// Name of the field.
        key: &'static str,
        /// The value found.
        value: f64,
        /// What the value has to be.
        rule: &'static str,
    },
    /// The saved rate cannot be a learning rate.
    #[error("scheduler state lr = {value}: a rate must be positive")]
    Rate {
        /// The value found.
        value: f64,
    },
}

/// A field of a configuration that is not the same in a saved state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDifference {
    /// Name of the field.
    pub field: &'static str,
    /// Its value in the saved state.
    pub saved: String,
    /// Its value in the configuration that the state was to continue with.
    pub configured: String,
}

impl std::fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self {
            field,
            saved,
            configured,
        } = self;
        write!(f, "{field} was {saved} and is {configured}")
    }
}

fn listed(differences: &[FieldDifference]) -> String {
    let parts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    parts.join(", ")
}
