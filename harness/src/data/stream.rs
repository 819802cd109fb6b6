//! Random streams: the one place where randomness comes from.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The generator behind every stream: the same numbers on every platform.
pub type Stream = ChaCha8Rng;

/// What a stream is drawn for. Streams of different purposes are independent, whatever their other
/// keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Which images a subset keeps.
    Subset,
    /// Division into training, validation and scoring images; index = which of the divisions.
    Split,
    /// Order of the training images; epoch = epoch.
    Order,
    /// Flips and rotations of training images; epoch = epoch, index = batch.
    Augmentation,
    /// Which images a scoring batch holds; epoch = epoch, index = batch.
    Scoring,
    /// Flips and rotations of scoring images; epoch = epoch, index = batch.
    ScoringAugmentation,
    /// Initial weights.
    Init,
    /// The synthetic data; index 0 = training images, 1 = test images, 2 = training points, 3 =
    /// test points, 4 and 5 = badly scaled points, 6 and 7 = one-dimensional digits.
    Synthetic,
    /// Resampling in the statistics of a report.
    Resampling,
    /// Which images a trial of several steps takes them on; index = step.
    Trial,
    /// Flips and rotations of those images.
    TrialAugmentation,
}

impl Purpose {
    /// The tag that enters the derivation. It never changes: every recorded run hangs on it.
    fn tag(self) -> &'static [u8] {
        match self {
            Self::Subset => b"subset",
            Self::Split => b"split",
            Self::Order => b"order",
            Self::Augmentation => b"augmentation",
            Self::Scoring => b"scoring",
            Self::ScoringAugmentation => b"scoring-augmentation",
            Self::Init => b"init",
            Self::Synthetic => b"synthetic",
            Self::Resampling => b"resampling",
            Self::Trial => b"trial",
            Self::TrialAugmentation => b"trial-augmentation",
        }
    }
}

/// The random stream for `purpose` in `epoch` at `index` of the run with `seed`.
///
/// ChaCha8 keyed with SHA-256("autolr stream 1" ‖ 0 ‖ tag ‖ 0 ‖ seed ‖ epoch ‖ index), the numbers
/// as 64-bit little-endian. The encoding is injective, so two streams are equal only when all four
/// keys are.
///
/// ```
/// use harness::data::{Purpose, stream};
/// use rand::Rng;
///
/// let order = |epoch| stream(0, Purpose::Order, epoch, 0).next_u64();
/// assert_eq!(order(3), order(3));
/// assert_ne!(order(3), order(4));
/// ```
pub fn stream(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> Stream {
    attempt_stream(0, seed, purpose, epoch, index)
}

/// The same in the attempt of a number: after going back to an earlier state, a training sees other batches than the first
/// time. Attempt 0 has the streams of [`stream`]; of the others, the number is hashed after the rest.
pub fn attempt_stream(attempt: u64, seed: u64, purpose: Purpose, epoch: u64, index: u64) -> Stream {
    let mut hash = Sha256::new();
    hash.update(b"autolr stream 1\0");
    hash.update(purpose.tag());
    hash.update(b"\0");
    for number in [seed, epoch, index] {
        hash.update(number.to_le_bytes());
    }
    if attempt > 0 {
        hash.update(attempt.to_le_bytes());
    }
    Stream::from_seed(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::collections::HashSet;

    /// Recorded runs hang on these values: they change only with a line in the changelog. They are
    /// those of ChaCha8 by its definition, computed apart from this code.
    #[test]
    fn value_stability() {
        let mut split = stream(0, Purpose::Split, 0, 0);
        assert_eq!(
            [split.next_u64(), split.next_u64()],
            [13_130_393_309_832_912_552, 18_014_026_772_590_612_077]
        );
        assert_eq!(
            stream(7, Purpose::Augmentation, 3, 1249).next_u64(),
            6_031_740_396_822_863_053
        );
        assert_eq!(
            stream(u64::MAX, Purpose::ScoringAugmentation, u64::MAX, u64::MAX).next_u64(),
            9_844_533_472_213_532_943
        );
    }

    #[test]
    fn every_key_matters() {
        let purposes = [
            Purpose::Subset,
            Purpose::Split,
            Purpose::Order,
            Purpose::Augmentation,
            Purpose::Scoring,
            Purpose::ScoringAugmentation,
            Purpose::Init,
            Purpose::Synthetic,
            Purpose::Resampling,
            Purpose::Trial,
            Purpose::TrialAugmentation,
        ];
        let mut first = HashSet::new();
        for purpose in purposes {
            for (seed, epoch, index) in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (256, 0, 0)] {
                for attempt in [0, 1, 256] {
                    assert!(
                        first.insert(
                            attempt_stream(attempt, seed, purpose, epoch, index).next_u64()
                        ),
                        "{attempt} {purpose:?} {seed} {epoch} {index}"
                    );
                }
            }
        }
    }
}
