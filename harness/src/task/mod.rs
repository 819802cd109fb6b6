//! Data and model of each problem that can be trained: no order of batches, no optimiser, no probe.

mod cholesky;
mod cross_entropy;
mod error;
#[cfg(test)]
mod gradient_check;
mod logistic;
mod mlp;
mod point_set;
mod product;
mod pure;
mod quadratic;

pub use error::TaskError;
pub use logistic::Logistic;
pub use mlp::{Mlp, MlpSettings, Normalization};
pub use pure::{LayerKind, Outcome, Part, PureTask};
pub use quadratic::{Quadratic, QuadraticBatch, QuadraticSettings, Spectrum};
