//! What is trained on: CIFAR-10, CIFAR-100 and sets that are drawn from a seed; splits, batches,
//! augmentation and random streams.
//!
//! One image is 3 × 32 × 32 bytes, channel first, as in CIFAR's binary records. Nothing here keeps
//! state or draws hidden randomness: whatever is random takes a stream from [`stream::stream`].

pub mod augment;
pub mod batches;
pub mod download;
mod error;
pub mod fetch;
mod images;
mod install;
pub mod locate;
#[cfg(test)]
mod loopback;
mod name;
pub(crate) mod normal;
pub mod split;
pub mod stream;

use serde::{Deserialize, Serialize};

use name::data_sets;

pub use error::DataError;
pub use images::{CHANNELS, DataSet, IMAGE_BYTES, ImageSet, SIDE};
pub use locate::{Location, Origin};
pub use name::{Cifar, Definition, Form, Input};
pub use split::{Split, SplitKind, SplitSpec};
pub use stream::{Purpose, Stream, attempt_stream, stream};
pub use synthetic::Points;

// A new data set is a file beside this, and a line here.
data_sets! {
    cifar: Cifar10 = "cifar10" as CIFAR10, Cifar100 = "cifar100" as CIFAR100;
    synthetic: Synthetic = "synthetic" as DEFINITION;
    badly_scaled: BadlyScaled = "badly-scaled" as DEFINITION;
    digits_1d: Digits1d = "digits-1d" as DEFINITION;
    spirals: Spirals = "spirals" as DEFINITION;
    noise: Noise = "noise" as DEFINITION;
    markov: Markov = "markov" as DEFINITION;
    text: Text = "text" as DEFINITION;
}
