//! Labelled images in memory.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::data::DataSetName;
use crate::data::error::DataError;

/// Colour channels of an image: red, green, blue.
pub const CHANNELS: usize = 3;
/// Height and width of an image in pixels.
pub const SIDE: usize = 32;
/// Bytes of an image: channels × height × width.
pub const IMAGE_BYTES: usize = CHANNELS * SIDE * SIDE;

/// `n` labelled images of shape `[3, 32, 32]`, one byte a value, 0 to 255.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageSet {
    name: DataSetName,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    digest: String,
}

impl ImageSet {
    /// A set from `pixels` of shape `[n, 3, 32, 32]` and `labels` of shape `[n]`.
    ///
    /// # Errors
    /// If the lengths do not fit together or a label is not below the data set's number of classes.
    pub fn new(name: DataSetName, pixels: Vec<u8>, labels: Vec<u8>) -> Result<Self, DataError> {
        if pixels.len() != labels.len() * IMAGE_BYTES {
            return Err(DataError::Images {
                what: "bytes of pixels",
                found: pixels.len(),
                expected: format!(
                    "{} ({} labels × {IMAGE_BYTES})",
                    labels.len() * IMAGE_BYTES,
                    labels.len()
                ),
            });
        }
        if let Some(&label) = labels
            .iter()
            .find(|&&label| usize::from(label) >= name.classes())
        {
            return Err(DataError::Images {
                what: "label",
                found: usize::from(label),
                expected: format!("0 to {}", name.classes() - 1),
            });
        }
        Ok(Self::of_valid_parts(name, pixels, labels))
    }

    /// As [`Self::new`], for parts that are known to fit together.
    pub(crate) fn of_valid_parts(name: DataSetName, pixels: Vec<u8>, labels: Vec<u8>) -> Self {
        let mut hash = Sha256::new();
        hash.update((labels.len() as u64).to_le_bytes());
        hash.update((name.classes() as u64).to_le_bytes());
        hash.update(&labels);
        hash.update(&pixels);
        let digest = hex::encode(hash.finalize());
        Self {
            name,
            pixels,
            labels,
            digest,
        }
    }

    /// Which data set the images belong to.
    pub fn name(&self) -> DataSetName {
        self.name
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of classes, 10 or 100.
    pub fn classes(&self) -> usize {
        self.name.classes()
    }

    /// Whether the images were drawn by the harness instead of photographed.
    pub fn is_synthetic(&self) -> bool {
        self.name.cifar().is_none()
    }

    /// Image `index`, 3,072 bytes of shape `[3, 32, 32]`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * IMAGE_BYTES..(index + 1) * IMAGE_BYTES]
    }

    /// Label of image `index`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// All pixels, shape `[n, 3, 32, 32]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels, shape `[n]`.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// SHA-256 in hex over the number of images, the number of classes (both 64-bit little-endian),
    /// labels and pixels.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl fmt::Debug for ImageSet {
    /// Name, size and digest: the pixels would fill the screen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageSet")
            .field("name", &self.name)
            .field("len", &self.len())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// A data set's two official parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSet {
    /// Images to train on; a validation part is split off them.
    pub train: ImageSet,
    /// Images for the final accuracy.
    pub test: ImageSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_getters() {
        let pixels: Vec<u8> = (0..2 * IMAGE_BYTES)
            .map(|i| (i / IMAGE_BYTES) as u8 + 7)
            .collect();
        let set = ImageSet::new(DataSetName::Cifar10, pixels, vec![9, 0]).unwrap();
        assert_eq!(
            (set.len(), set.classes(), set.is_empty(), set.is_synthetic()),
            (2, 10, false, false)
        );
        assert!(set.image(0).iter().all(|&p| p == 7) && set.image(1).iter().all(|&p| p == 8));
        assert_eq!(
            (set.image(1).len(), set.label(0), set.labels()),
            (IMAGE_BYTES, 9, &[9, 0][..])
        );
    }

    #[test]
    fn the_digest_follows_every_byte() {
        let set = |pixel, label| {
            let mut pixels = vec![0; IMAGE_BYTES];
            pixels[IMAGE_BYTES - 1] = pixel;
            ImageSet::new(DataSetName::Cifar10, pixels, vec![label])
                .unwrap()
                .digest()
                .to_owned()
        };
        assert_eq!(set(0, 0), set(0, 0));
        assert_ne!(set(0, 0), set(1, 0));
        assert_ne!(set(0, 0), set(0, 1));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let one_short =
            ImageSet::new(DataSetName::Cifar10, vec![0; IMAGE_BYTES - 1], vec![0]).unwrap_err();
        assert_eq!(
            one_short.to_string(),
            "bytes of pixels: 3071, expected 3072 (1 labels × 3072)"
        );
        let label =
            ImageSet::new(DataSetName::Synthetic, vec![0; IMAGE_BYTES], vec![10]).unwrap_err();
        assert_eq!(label.to_string(), "label: 10, expected 0 to 9");
        assert!(ImageSet::new(DataSetName::Cifar100, vec![0; IMAGE_BYTES], vec![10]).is_ok());
    }
}
