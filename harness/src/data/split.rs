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
    /// Each part is drawn from all images on its own, as in the paper's released code: most
    /// validation images are training images too.
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
    /// A subset of m images is the first m of a random permutation of all. Of the m used images, v
    /// = round(m · `validation_fraction`) validate and m − v train. `Disjoint` cuts one permutation
    /// in two; `Independent` takes the first m − v of a permutation for training, the last v of
    /// another for validation, the first m − v of a third for scoring.
    ///
    /// # Errors
    /// [`DataError::Split`] if the subset is larger than the set, the fraction is not between 0 and
    /// 1, or a part would be empty.
    pub fn draw(spec: &SplitSpec, seed: u64) -> Result<Self, DataError> {
        let SplitSpec {
            images,
            subset,
            validation_fraction,
            kind,
        } = *spec;
        let used = subset.unwrap_or(images);
        if used > images {
            let reason = format!("there are {images} images");
            return Err(DataError::Split {
                what: "subset",
                value: used as f64,
                reason,
            });
        }
        if u32::try_from(images).is_err() {
            let reason = format!("at most {} images can be split", u32::MAX);
            return Err(DataError::Split {
                what: "images",
                value: images as f64,
                reason,
            });
        }
        // Written so that NaN fails too.
        if !(validation_fraction > 0.0 && validation_fraction < 1.0) {
            let reason = "it must lie between 0 and 1, both excluded".to_owned();
            return Err(DataError::Split {
                what: "validation_fraction",
                value: validation_fraction,
                reason,
            });
        }
        let validating = (used as f64 * validation_fraction).round() as usize;
        let training = used - validating;
        if validating == 0 || training == 0 {
            let reason = format!(
                "of {used} images, {training} would train and {validating} validate: neither may be 0"
            );
            return Err(DataError::Split {
                what: "validation_fraction",
                value: validation_fraction,
                reason,
            });
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
        Ok(Self {
            train,
            validation,
            scoring,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn spec(images: usize, kind: SplitKind) -> SplitSpec {
        SplitSpec {
            images,
            subset: None,
            validation_fraction: 0.2,
            kind,
        }
    }

    fn set(indices: &[u32]) -> HashSet<u32> {
        let set: HashSet<u32> = indices.iter().copied().collect();
        assert_eq!(set.len(), indices.len(), "an index twice");
        set
    }

    fn sizes(split: &Split) -> [usize; 3] {
        [
            split.train.len(),
            split.validation.len(),
            split.scoring.len(),
        ]
    }

    #[test]
    fn disjoint_parts_make_up_the_whole() {
        let split = Split::draw(&spec(50_000, SplitKind::Disjoint), 0).unwrap();
        assert_eq!(sizes(&split), [40_000, 10_000, 40_000]);
        let (train, validation) = (set(&split.train), set(&split.validation));
        assert!(train.is_disjoint(&validation));
        assert_eq!(train.union(&validation).max(), Some(&49_999));
        assert_eq!(set(&split.scoring), train);
    }

    #[test]
    fn independent_parts_overlap_as_chance_has_it() {
        let split = Split::draw(&spec(50_000, SplitKind::Independent), 0).unwrap();
        assert_eq!(sizes(&split), [40_000, 10_000, 40_000]);
        let (train, validation, scoring) = (
            set(&split.train),
            set(&split.validation),
            set(&split.scoring),
        );
        // Hypergeometric: mean 8,000 with standard deviation 36, and 32,000 with 36 · 2 = 72; six
        // of them either way.
        let leaked = validation.intersection(&train).count();
        assert!(leaked.abs_diff(8_000) < 6 * 36, "{leaked}");
        let shared = scoring.intersection(&train).count();
        assert!(shared.abs_diff(32_000) < 6 * 72, "{shared}");
        let judged = validation.intersection(&scoring).count();
        assert!(judged.abs_diff(8_000) < 6 * 36, "{judged}");
    }

    #[test]
    fn a_subset_is_the_head_of_a_permutation_and_nests() {
        for kind in [SplitKind::Disjoint, SplitKind::Independent] {
            let of = |subset| {
                let split = Split::draw(
                    &SplitSpec {
                        subset: Some(subset),
                        ..spec(1000, kind)
                    },
                    3,
                )
                .unwrap();
                let all: HashSet<u32> = split
                    .train
                    .iter()
                    .chain(&split.validation)
                    .copied()
                    .collect();
                (split, all)
            };
            let (small, members) = of(100);
            let (_, larger) = of(500);
            assert_eq!(sizes(&small), [80, 20, 80]);
            assert!(members.is_subset(&larger) || kind == SplitKind::Independent);
            assert!(
                members.iter().any(|&index| index >= 500),
                "not the first images of the file"
            );
        }
    }

    #[test]
    fn the_seed_decides() {
        let spec = spec(100, SplitKind::Independent);
        assert_eq!(
            Split::draw(&spec, 1).unwrap(),
            Split::draw(&spec, 1).unwrap()
        );
        assert_ne!(
            Split::draw(&spec, 1).unwrap(),
            Split::draw(&spec, 2).unwrap()
        );
        // Recorded runs hang on these values.
        let ten = SplitSpec { images: 10, ..spec };
        let split = Split::draw(&ten, 0).unwrap();
        assert_eq!(
            split,
            Split {
                train: vec![8, 5, 4, 1, 7, 2, 0, 3],
                validation: vec![8, 4],
                scoring: vec![7, 3, 4, 2, 5, 6, 8, 9]
            }
        );
    }

    #[test]
    fn what_cannot_be_split_is_named_with_its_values() {
        let message = |spec| Split::draw(&spec, 0).unwrap_err().to_string();
        let base = spec(50, SplitKind::Disjoint);
        assert_eq!(
            message(SplitSpec {
                subset: Some(51),
                ..base
            }),
            "subset = 51: there are 50 images"
        );
        assert_eq!(
            message(SplitSpec {
                subset: Some(2),
                ..base
            }),
            "validation_fraction = 0.2: of 2 images, 2 would train and 0 validate: neither may be 0"
        );
        assert!(
            message(SplitSpec {
                subset: Some(0),
                ..base
            })
            .contains("of 0 images, 0 would train")
        );
        assert!(
            message(SplitSpec {
                images: 1,
                validation_fraction: 0.9,
                ..base
            })
            .contains("0 would train and 1 validate")
        );
        for fraction in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
            assert!(
                message(SplitSpec {
                    validation_fraction: fraction,
                    ..base
                })
                .contains("between 0 and 1"),
                "{fraction}"
            );
        }
        // The smallest that works: one image validates.
        let split = Split::draw(
            &SplitSpec {
                subset: Some(3),
                ..base
            },
            0,
        )
        .unwrap();
        assert_eq!(sizes(&split), [2, 1, 2]);
    }

    #[test]
    fn names_in_files() {
        assert_eq!(
            serde_json::to_string(&SplitKind::Independent).unwrap(),
            "\"independent\""
        );
        assert_eq!(
            serde_json::from_str::<SplitKind>("\"disjoint\"").unwrap(),
            SplitKind::Disjoint
        );
    }
}
