//! Division of the training images into training, validation and scoring images.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::data::error::DataError;
use crate::data::stream::{Purpose, stream};

/// How the three parts relate to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// No validation image is a training image; scoring images are the training images.
    Disjoint,
    /// Each part is drawn from all images on its own, as in the paper's released code: most validation images are
    /// training images too.
    Independent,
}

/// What is to be split, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitSpec {
    /// Number of images there are.
    pub images: usize,
    /// How many of them are used; all if absent.
    pub subset: Option<usize>,
    /// Share of the used images that validates, 0.2 in the paper.
    pub validation_fraction: f64,
    /// How the parts relate.
    pub kind: SplitKind,
}

/// Indices of images, each part without repetition and in random order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Images that the weights are fitted to.
    pub train: Vec<u32>,
    /// Images that choose the checkpoint.
    pub validation: Vec<u32>,
    /// Images that scoring batches are drawn from.
    pub scoring: Vec<u32>,
}

impl Split {
    /// Draws the split of the run with `seed`.
    ///
    /// A subset of m images is the first m of a random permutation of all. Of the m used images, v = round(m ·
    /// `validation_fraction`) validate and m − v train. `Disjoint` cuts one permutation in two; `Independent` takes the
    /// first m − v of a permutation for training, the last v of another for validation, the first m − v of a third for
    /// scoring.
    ///
    /// # Errors
    /// [`DataError::Split`] if the subset is larger than the set, the fraction is not between 0 and 1, or a part would be
    /// empty.
    pub fn draw(spec: &SplitSpec, seed: u64) -> Result<Self, DataError> {
        let SplitSpec { images, subset, validation_fraction, kind } = *spec;
        let used = subset.unwrap_or(images);
        if used > images {
            let reason = format!("there are {images} images");
            return Err(DataError::Split { what: "subset", value: used as f64, reason });
        }
        if u32::try_from(images).is_err() {
            let reason = format!("at most {} images can be split", u32::MAX);
            return Err(DataError::Split { what: "images", value: images as f64, reason });
        }
        // Written so that NaN fails too.
        if !(validation_fraction > 0.0 && validation_fraction < 1.0) {
            let reason = "it must lie between 0 and 1, both excluded".to_owned();
            return Err(DataError::Split { what: "validation_fraction", value: validation_fraction, reason });
        }
        let validating = (used as f64 * validation_fraction).round() as usize;
        let training = used - validating;
        if validating == 0 || training == 0 {
            let reason = format!("of {used} images, {training} would train and {validating} validate: neither may be 0");
            return Err(DataError::Split { what: "validation_fraction", value: validation_fraction, reason });
        }

        let mut pool: Vec<u32> = (0..images as u32).collect();
        if subset.is_some() {
            pool.shuffle(&mut stream(seed, Purpose::Subset, 0, 0));
            pool.truncate(used);
        }
        let shuffled = |division| {
            let mut indices = pool.clone();
            indices.shuffle(&mut stream(seed, Purpose::Split, 0, division));
            indices
        };
        let mut train = shuffled(0);
        let tail = train.split_off(training);
        let (validation, scoring) = match kind {
            SplitKind::Disjoint => (tail, train.clone()),
            SplitKind::Independent => {
                let mut scoring = shuffled(2);
                scoring.truncate(training);
                (shuffled(1).split_off(training), scoring)
            }
        };
        Ok(Self { train, validation, scoring })
    }
}
