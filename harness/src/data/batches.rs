//! Batches of image indices.

use rand::Rng;
use rand::seq::SliceRandom;

use crate::data::error::DataError;

/// One pass over a set of images, batch by batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    order: Vec<u32>,
    batch_size: usize,
}

impl Epoch {
    /// A pass in random order. With `drop_last`, images that do not fill a batch are left out.
    ///
    /// # Errors
    /// [`DataError::Batch`] if the batch size is 0 or exceeds the number of images.
    pub fn shuffled(
        indices: &[u32],
        batch_size: usize,
        drop_last: bool,
        rng: &mut impl Rng,
    ) -> Result<Self, DataError> {
        let mut epoch = Self::checked(indices.to_vec(), batch_size)?;
        epoch.order.shuffle(rng);
        Ok(epoch.dropping(drop_last))
    }

    /// A pass in the given order. With `drop_last`, images that do not fill a batch are left out.
    ///
    /// # Errors
    /// [`DataError::Batch`] if the batch size is 0 or exceeds the number of images.
    pub fn in_order(
        indices: &[u32],
        batch_size: usize,
        drop_last: bool,
    ) -> Result<Self, DataError> {
        Ok(Self::checked(indices.to_vec(), batch_size)?.dropping(drop_last))
    }

    fn checked(order: Vec<u32>, batch_size: usize) -> Result<Self, DataError> {
        check_size(batch_size, order.len(), "epoch")?;
        Ok(Self { order, batch_size })
    }

    fn dropping(mut self, drop_last: bool) -> Self {
        if drop_last {
            self.order
                .truncate(self.order.len() / self.batch_size * self.batch_size);
        }
        self
    }

    /// The batches, in order; all have the batch size, except the last when it was not dropped.
    pub fn batches(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.order.chunks(self.batch_size)
    }

    /// Number of batches.
    pub fn len(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }

    /// Always false: a pass has at least one batch.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Number of images in all batches together.
    pub fn images(&self) -> usize {
        self.order.len()
    }
}

/// Draws a batch of `size` different images from `pool`, every such batch equally likely.
///
/// # Errors
/// [`DataError::Batch`] if `size` is 0 or exceeds the pool.
pub fn sample(pool: &[u32], size: usize, rng: &mut impl Rng) -> Result<Vec<u32>, DataError> {
    check_size(size, pool.len(), "scoring pool")?;
    let mut pool = pool.to_vec();
    Ok(pool.partial_shuffle(rng, size).0.to_vec())
}

fn check_size(size: usize, pool: usize, what: &'static str) -> Result<(), DataError> {
    if size == 0 || size > pool {
        return Err(DataError::Batch { size, pool, what });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::stream::{Purpose, stream};
    use std::collections::HashSet;

    #[test]
    fn an_epoch_visits_every_image_once_in_a_new_order() {
        let indices: Vec<u32> = (100..200).collect();
        let rng = |epoch| stream(0, Purpose::Order, epoch, 0);
        let epoch = Epoch::shuffled(&indices, 32, false, &mut rng(0)).unwrap();
        assert_eq!((epoch.len(), epoch.images()), (4, 100));
        assert_eq!(
            epoch.batches().map(<[u32]>::len).collect::<Vec<_>>(),
            [32, 32, 32, 4]
        );
        let mut visited: Vec<u32> = epoch.batches().flatten().copied().collect();
        assert_ne!(visited, indices);
        visited.sort_unstable();
        assert_eq!(visited, indices);
        assert_eq!(
            epoch,
            Epoch::shuffled(&indices, 32, false, &mut rng(0)).unwrap()
        );
        assert_ne!(
            epoch,
            Epoch::shuffled(&indices, 32, false, &mut rng(1)).unwrap()
        );
    }

    #[test]
    fn drop_last_leaves_out_what_does_not_fill_a_batch() {
        let indices: Vec<u32> = (0..10_000).collect();
        let epoch = Epoch::in_order(&indices, 32, true).unwrap();
        // The paper's test accuracy is over 9,984 of the 10,000 images for this reason.
        assert_eq!((epoch.len(), epoch.images()), (312, 9_984));
        assert_eq!(epoch.batches().next(), Some(&indices[..32]));
        assert_eq!(Epoch::in_order(&indices[..64], 32, true).unwrap().len(), 2);
        let exact = Epoch::in_order(&indices[..32], 32, true).unwrap();
        assert_eq!((exact.len(), exact.images()), (1, 32));
        let shuffled =
            Epoch::shuffled(&indices, 32, true, &mut stream(0, Purpose::Order, 0, 0)).unwrap();
        assert!(
            shuffled.batches().flatten().any(|&i| i >= 9_984),
            "what is left out is random"
        );
    }

    #[test]
    fn a_scoring_batch_has_no_image_twice() {
        let pool: Vec<u32> = (0..100).map(|i| 3 * i).collect();
        let draw =
            |index, size| sample(&pool, size, &mut stream(0, Purpose::Scoring, 0, index)).unwrap();
        for size in [1, 50, 100] {
            let batch = draw(0, size);
            let distinct: HashSet<u32> = batch.iter().copied().collect();
            assert_eq!((batch.len(), distinct.len()), (size, size));
            assert!(batch.iter().all(|index| pool.contains(index)));
        }
        assert_eq!(draw(0, 32), draw(0, 32));
        assert_ne!(draw(0, 32), draw(1, 32));
    }

    #[test]
    fn every_image_is_drawn_equally_often() {
        let pool: Vec<u32> = (0..10).collect();
        let mut rng = stream(0, Purpose::Scoring, 0, 0);
        let mut counts = [0_u32; 10];
        for _ in 0..10_000 {
            for index in sample(&pool, 3, &mut rng).unwrap() {
                counts[index as usize] += 1;
            }
        }
        // Binomial(10,000, 0.3): standard deviation 46; six of them either way.
        assert!(
            counts.iter().all(|count| count.abs_diff(3_000) < 6 * 46),
            "{counts:?}"
        );
    }

    #[test]
    fn sizes_that_do_not_fit_are_named() {
        let rng = &mut stream(0, Purpose::Scoring, 0, 0);
        for size in [0, 11] {
            let message = sample(&(0..10).collect::<Vec<_>>(), size, rng)
                .unwrap_err()
                .to_string();
            assert_eq!(
                message,
                format!(
                    "batch size {size}: it must lie between 1 and the 10 images of the scoring pool"
                )
            );
            assert!(Epoch::in_order(&[1; 10], size, false).is_err());
            assert!(Epoch::shuffled(&[1; 10], size, true, rng).is_err());
        }
        assert!(Epoch::in_order(&[], 1, false).is_err());
    }
}
