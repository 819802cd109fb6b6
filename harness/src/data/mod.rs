//! What is trained on: CIFAR-10, CIFAR-100 and a synthetic set; splits, batches, augmentation and
//! random streams.
//!
//! One image is 3 × 32 × 32 bytes, channel first, as in CIFAR's binary records. Nothing here keeps
//! state or draws hidden randomness: whatever is random takes a stream from [`stream::stream`].

pub mod augment;
pub mod badly_scaled;
pub mod batches;
pub mod cifar;
pub mod digits_1d;
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
pub mod synthetic;

pub use error::DataError;
pub use images::{CHANNELS, DataSet, IMAGE_BYTES, ImageSet, SIDE};
pub use locate::{Location, Origin};
pub use name::{Cifar, DataSetName};
pub use split::{Split, SplitKind, SplitSpec};
pub use stream::{Purpose, Stream, attempt_stream, stream};
pub use synthetic::Points;
