//! The compiled part of `autolr_torch`: a [`Method`] of autolr-core, told and asked in floats and JSON. Tensors stay in
//! Python.

mod guard;
mod method;

use pyo3::prelude::*;

/// See `_core.pyi` for what each has to be given, and gives.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::method::{Scheduler, course};
    #[pymodule_export]
    use super::{keys, version};
}

/// The keys of a method's settings beside `kind`, in the order in which a person reads them.
#[pyfunction]
fn keys(kind: &str) -> PyResult<Vec<&'static str>> {
    guard::guarded(|| {
        let found = autolr_core::kinds().find(|k| k.name == kind);
        let found =
            found.ok_or_else(|| guard::value_error(format!("no method is called {kind}")))?;
        Ok(found.keys.iter().map(|key| key.name).collect())
    })
}

/// The version of this package.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
