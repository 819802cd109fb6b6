//! Errors of this crate.

use tch::TchError;

/// What can go wrong with a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch refused an operation: a device is gone, memory is short, a shape does not fit.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
    /// The C++ shim failed.
    #[error("libtorch: {0}")]
    Shim(String),
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
    /// A setting of the optimiser outside its range.
    #[error(transparent)]
    Setting(#[from] autolr_core::SettingsError),
    /// The number of scoring batches does not fit the candidates.
    #[error("{batches} scoring batches for {candidates} candidates: one a candidate is needed")]
    Batches {
        /// Batches given.
        batches: usize,
        /// Candidates asked for.
        candidates: usize,
    },
    /// A saved state that is not one of this model.
    #[error("saved state: {0}")]
    State(String),
    /// A device that is not there.
    #[error("device = cuda: {0}")]
    NoCuda(&'static str),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
