//! The tasks around `autolr-core`, the report, the engines and the Python package, a file each; of them only the last
//! needs libtorch, as PyTorch.

pub(crate) mod browser;
pub(crate) mod deny;
mod devtools;
pub(crate) mod doc;
pub(crate) mod engines;
pub(crate) mod examples;
pub(crate) mod fuzz;
pub(crate) mod msrv;
pub(crate) mod mutants;
pub(crate) mod package;
pub(crate) mod properties;
pub(crate) mod python;
pub(crate) mod semver;
pub(crate) mod soak;
pub(crate) mod tensorboard;

/// The crate that they are about.
pub(crate) const CRATE: &str = "autolr-core";
