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
    pub fn in_order(indices: &[u32], batch_size: usize, drop_last: bool) -> Result<Self, DataError> {
        Ok(Self::checked(indices.to_vec(), batch_size)?.dropping(drop_last))
    }

    fn checked(order: Vec<u32>, batch_size: usize) -> Result<Self, DataError> {
        check_size(batch_size, order.len(), "epoch")?;
        Ok(Self { order, batch_size })
    }

    fn dropping(mut self, drop_last: bool) -> Self {
        if drop_last {
            self.order.truncate(self.order.len() / self.batch_size * self.batch_size);
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
