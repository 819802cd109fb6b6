//! Arrays of a saved state.

/// A named array, in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct StateArray {
    /// Name, unique in a state; `optimizer.…` for the optimiser's.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Entries.
    pub values: StateValues,
}

/// Entries of a [`StateArray`].
#[derive(Debug, Clone, PartialEq)]
pub enum StateValues {
    /// Networks of libtorch.
    F32(Vec<f32>),
    /// Tasks in pure Rust.
    F64(Vec<f64>),
    /// Counters and labels.
    I64(Vec<i64>),
}

impl StateValues {
    /// Their size in a file.
    pub(crate) fn bytes(&self) -> u64 {
        let (entries, each) = match self {
            Self::F32(values) => (values.len(), 4),
            Self::F64(values) => (values.len(), 8),
            Self::I64(values) => (values.len(), 8),
        };
        entries as u64 * each
    }
}

impl StateArray {
    /// Float64 numbers, shape `[n]`.
    pub fn vector(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            shape: vec![values.len()],
            values: StateValues::F64(values),
        }
    }

    /// A single counter.
    pub fn counter(name: &str, value: u64) -> Self {
        Self {
            name: name.to_owned(),
            shape: vec![1],
            values: StateValues::I64(vec![value as i64]),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The array of a name.
    ///
    /// # Errors
    /// If there is none.
    pub fn find<'a>(state: &'a [Self], name: &str) -> anyhow::Result<&'a Self> {
        let found = state.iter().find(|array| array.name == name);
        found.ok_or_else(|| anyhow::anyhow!("saved state: {name} is missing"))
    }
}
