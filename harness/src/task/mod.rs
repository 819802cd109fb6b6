//! Data and model of each problem that can be trained: no order of batches, no optimiser, no probe.

mod cholesky;
mod cross_entropy;
mod definition;
mod error;
#[cfg(test)]
mod gradient_check;
#[cfg(feature = "tch")]
mod images;
mod network;
mod point_set;
mod product;
mod pure;
#[cfg(feature = "tch")]
mod resident;
mod state;
#[cfg(feature = "tch")]
mod torch;

use anyhow::Result;
use autolr_core::{Kind, SettingsError};
use serde::{Deserialize, Serialize};

use crate::data::{DataSetName, Input};
use network::networks;

pub use definition::{DataIdentity, LayerKind, Metric, Part, Score, Sums, Task};
pub use error::TaskError;
#[cfg(feature = "tch")]
pub use images::Images;
pub use network::{Network, Parts, Visitor};
pub use pure::{BatchOf, Outcome, Pure, PureExamples, PureTask};
pub use state::{StateArray, StateValues};
#[cfg(feature = "tch")]
pub use torch::{Examples, Torch};

// A new task is a file beside this, and a line here.
networks! {
    resnet18: ResNet18(ResNet18Settings) = "resnet18",
    reference: Reference(ReferenceSettings) = "reference",
    mlp: Mlp(MlpSettings) = "mlp",
    logistic: Logistic(LogisticSettings) = "logistic",
    autoencoder: Autoencoder(AutoencoderSettings) = "autoencoder",
    text_transformer: TextTransformer(TransformerSettings) = "text-transformer",
    quadratic: Quadratic(NoisyQuadratic) = "quadratic",
}
