//! What can be wrong with a task's data or settings.

use crate::number::exact;

/// A task that cannot be made; each case names the thing and the value that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A size that must be positive is 0.
    #[error("{0} = 0: it must be at least 1")]
    Zero(&'static str),
    /// Two sizes that must be equal are not.
    #[error("{what}: {found}, expected {expected}")]
    Size {
        /// Which quantity.
        what: &'static str,
        /// Its value.
        found: usize,
        /// What it must be.
        expected: usize,
    },
    /// A label outside the classes.
    #[error("label {label}, expected 0 to {}", .classes - 1)]
    Label {
        /// The label found.
        label: u8,
        /// Number of classes.
        classes: usize,
    },
    /// A number outside its range.
    #[error("{what} = {}: it must be {range}", exact(*value))]
    Range {
        /// Which quantity.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it must be, in words.
        range: &'static str,
    },
    /// An iteration that did not converge.
    #[error("{what}: not converged after {iterations} iterations")]
    NotConverged {
        /// Which iteration.
        what: &'static str,
        /// How many there were.
        iterations: usize,
    },
}
