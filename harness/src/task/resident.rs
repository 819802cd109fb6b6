//! Images that stay in a device's memory as bytes, and batches that are made there.

use anyhow::Result;
use autolr_tch::Batch;
use tch::{Device, Kind, Tensor};

use crate::data::augment::{Augmentation, NORMALIZED};
use crate::data::{CHANNELS, ImageSet, SIDE, Stream};

const PIXELS: i64 = (SIDE * SIDE) as i64;

/// The images and labels of a part of a data set on a device.
#[derive(Debug)]
pub(super) struct Resident {
    /// Bytes, shape `[n, 3, 1024]`.
    pixels: Tensor,
    /// Int64, shape `[n]`.
    labels: Tensor,
    /// The float of each byte, shape `[256]`.
    normalized: Tensor,
    /// Column and row of each pixel, int64, shape `[1024]` each.
    places: (Tensor, Tensor),
}

impl Resident {
    /// Puts them there.
    ///
    /// # Errors
    /// If libtorch refuses: memory.
    pub(super) fn new(set: &ImageSet, device: Device) -> Result<Self> {
        let shape = [set.len() as i64, CHANNELS as i64, PIXELS];
        let labels: Vec<i64> = set.labels().iter().map(|&label| i64::from(label)).collect();
        let places = Tensor::f_arange(PIXELS, (Kind::Int64, device))?;
        let side = SIDE as i64;
        Ok(Self {
            pixels: Tensor::f_from_slice(set.pixels())?
                .f_view_(shape)?
                .f_to(device)?,
            labels: Tensor::f_from_slice(&labels)?.f_to(device)?,
            normalized: Tensor::f_from_slice(&NORMALIZED)?.f_to(device)?,
            places: (
                places.f_remainder(side)?,
                places.f_divide_scalar_mode(side, "floor")?,
            ),
        })
    }

    /// The images of these indices, flipped and rotated with `random` if it is given, normalised, and halved in height
    /// and width if `downsample`: the bits that the same draws give on the CPU.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(super) fn batch(
        &self,
        indices: &[u32],
        random: Option<&mut Stream>,
        downsample: bool,
    ) -> Result<Batch> {
        let device = self.pixels.device();
        let chosen: Vec<i64> = indices.iter().map(|&index| i64::from(index)).collect();
        let chosen = Tensor::f_from_slice(&chosen)?.f_to(device)?;
        let bytes = self.pixels.f_index_select(0, &chosen)?;
        let images = match random {
            Some(random) => {
                let drawn: Vec<i64> = indices
                    .iter()
                    .flat_map(|_| Augmentation::draw(random).numbers())
                    .collect();
                let drawn = Tensor::f_from_slice(&drawn)?
                    .f_view_([indices.len() as i64, Augmentation::NUMBERS as i64])?
                    .f_to(device)?;
                self.augmented(&bytes, &drawn)?
            }
            None => self.normalized(&bytes)?,
        };
        let side = SIDE as i64;
        let mut images = images.f_view_([indices.len() as i64, CHANNELS as i64, side, side])?;
        if downsample {
            images = halved(&images)?;
        }
        Ok(Batch {
            images,
            labels: self.labels.f_index_select(0, &chosen)?,
        })
    }

    fn normalized(&self, bytes: &Tensor) -> Result<Tensor> {
        let values = bytes.f_to_kind(Kind::Int64)?.f_flatten(0, -1)?;
        Ok(self
            .normalized
            .f_index_select(0, &values)?
            .f_view_(bytes.size())?)
    }

    /// As `transform_into` in `data::augment`, of all images at once. `drawn` has shape `[batch, 7]`.
    fn augmented(&self, bytes: &Tensor, drawn: &Tensor) -> Result<Tensor> {
        let number = |index| drawn.f_narrow(1, index, 1);
        let (column, row) = &self.places;
        // 16.16 fixed point, where in the input an output pixel comes from.
        let place = |origin, along_x, along_y| -> Result<Tensor> {
            let sum = (number(along_x)?.f_mul(column)?).f_add(&number(along_y)?.f_mul(row)?)?;
            let sum = sum.f_add(&number(origin)?)?;
            Ok(sum.f_bitwise_right_shift_tensor_scalar(16)?)
        };
        let (x, y) = (place(1, 3, 5)?, place(2, 4, 6)?);
        let side = SIDE as i64;
        let within = |at: &Tensor| at.f_ge(0)?.f_logical_and(&at.f_lt(side)?);
        let inside = within(&x)?.f_logical_and(&within(&y)?)?;
        let mirrored = x.f_neg()?.f_add_scalar(side - 1)?;
        let x = mirrored.f_where_self(&number(0)?.f_ne(0)?, &x)?;
        let from = y.f_mul_scalar(side)?.f_add(&x)?.f_clamp(0, PIXELS - 1)?;
        let from = from.f_unsqueeze(1)?.f_expand(bytes.size(), false)?;
        // What comes from outside is the byte 0.
        let outside = inside.f_logical_not()?.f_unsqueeze(1)?;
        let moved = bytes
            .f_gather(2, &from, false)?
            .f_masked_fill(&outside, 0)?;
        self.normalized(&moved)
    }
}

/// Means of the 2 × 2 squares, summed row by row.
fn halved(images: &Tensor) -> Result<Tensor> {
    let pick = |row, column| -> Result<Tensor> {
        let rows = images.f_slice(2, row, None, 2)?;
        Ok(rows.f_slice(3, column, None, 2)?)
    };
    let sum = pick(0, 0)?
        .f_add(&pick(0, 1)?)?
        .f_add(&pick(1, 0)?)?
        .f_add(&pick(1, 1)?)?;
    Ok(sum.f_div_scalar(4.0)?)
}
