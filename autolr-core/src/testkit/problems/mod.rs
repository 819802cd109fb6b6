//! Problems small enough to be understood, that behave as a network's training does.

mod quadratic;
mod regression;

pub use quadratic::Quadratic;
pub use regression::{NoisyRegression, TrialFailed};
