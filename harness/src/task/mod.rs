//! Data and model of each problem that can be trained: no order of batches, no optimiser, no probe.

mod cholesky;
mod cross_entropy;
mod definition;
mod error;
#[cfg(test)]
mod gradient_check;
mod logistic;
mod mlp;
mod point_set;
mod product;
mod pure;
mod quadratic;
mod state;
#[cfg(feature = "tch")]
mod torch;

pub use definition::{DataIdentity, LayerKind, Part, Score, Sums, Task};
pub use error::TaskError;
pub use logistic::Logistic;
pub use mlp::{Mlp, MlpSettings, Normalization};
pub use pure::{Outcome, Pure, PureTask};
pub use quadratic::{Quadratic, QuadraticBatch, QuadraticSettings, Spectrum};
pub use state::{StateArray, StateValues};
#[cfg(feature = "tch")]
pub use torch::{Examples, Images, Torch};
