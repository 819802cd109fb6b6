//! For authors of back ends: a conformance suite that says in words what is wrong, and analytic problems to try it on.
//!
//! Describe the back end to the suite by implementing [`Subject`], and ask [`conformance`] for a [`Report`]:
//!
//! ```
//! use autolr_core::testkit::{NoisyRegression, conformance};
//! let mut subject = NoisyRegression::new(1);
//! let report = conformance(&mut subject, 0.05, 0.0)?;
//! assert!(report.conforms(), "{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What each [`Finding`] means and how it is mended stands in the guide, `ADDING-A-BACKEND.md`, which is in this package.

mod conformance;
mod finding;
mod fingerprint;
mod problems;
mod report;
pub mod strategies;
mod subject;
mod suite;

pub use conformance::conformance;
pub use finding::Finding;
pub use fingerprint::{Change, Fingerprint};
pub use problems::{NoisyRegression, Quadratic, TrialFailed};
pub use report::{Check, Report, Skip};
pub use subject::Subject;
