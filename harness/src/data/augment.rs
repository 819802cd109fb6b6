//! The paper's augmentation: random horizontal flip, random rotation in ±10°, normalisation.
//!
//! Flip and rotation act on bytes and give the same bytes as torchvision's `RandomHorizontalFlip`
//! and `RandomRotation` on a Pillow image; normalisation gives the same floats as `ToTensor` and
//! `Normalize(0.5, 0.5)`. Paper, section 4 and the released code: training and scoring batches are
//! augmented, validation and test images are not.

use rand::{Rng, RngExt};

use crate::data::images::{CHANNELS, IMAGE_BYTES, SIDE};

/// Largest rotation in degrees, either way.
pub const MAX_DEGREES: f64 = 10.0;

const PLANE: usize = SIDE * SIDE;

/// `(v / 255 − 0.5) / 0.5` for every byte `v`, each operation rounded to f32 as in torchvision.
pub const NORMALIZED: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut v = 0;
    while v < 256 {
        table[v] = (v as f32 / 255.0 - 0.5) / 0.5;
        v += 1;
    }
    table
};

/// The 16.16 fixed-point map from output to input pixels that Pillow's affine transform uses.
struct FixedAffine {
    /// Input column and row, at the centre of the first output pixel.
    origin: (i32, i32),
    /// Change of input column and row when the output column grows by one.
    along_x: (i32, i32),
    /// The same for the output row.
    along_y: (i32, i32),
}

impl FixedAffine {
    /// Counter-clockwise rotation by `degrees` about the middle of the image.
    fn rotation(degrees: f64) -> Self {
        let angle = -degrees.rem_euclid(360.0).to_radians();
        // Pillow rounds to 15 decimals. Beside its decimal rounding this one can differ by 1e-15,
        // and another platform's sine by as much: both are 1e-10 of a step of the fixed-point
        // numbers below.
        let round = |v: f64| (v * 1e15).round_ties_even() / 1e15;
        let (a, b, d, e) = (
            round(angle.cos()),
            round(angle.sin()),
            round(-angle.sin()),
            round(angle.cos()),
        );
        let centre = SIDE as f64 / 2.0;
        let c = a * -centre + b * -centre + centre;
        let f = d * -centre + e * -centre + centre;
        let fix = |v: f64| (v * 65536.0 + 0.5).floor() as i32;
        Self {
            origin: (fix(c + a * 0.5 + b * 0.5), fix(f + d * 0.5 + e * 0.5)),
            along_x: (fix(a), fix(d)),
            along_y: (fix(b), fix(e)),
        }
    }

    /// Calls `visit(output offset, input offset)` within a plane, `None` for an output pixel that
    /// comes from outside.
    fn for_each(&self, mut visit: impl FnMut(usize, Option<(usize, usize)>)) {
        let side = SIDE as i32;
        let (mut row_x, mut row_y) = self.origin;
        for y in 0..SIDE {
            let (mut xx, mut yy) = (row_x, row_y);
            for x in 0..SIDE {
                let (source_x, source_y) = (xx >> 16, yy >> 16);
                let inside = (0..side).contains(&source_x) && (0..side).contains(&source_y);
                visit(
                    y * SIDE + x,
                    inside.then_some((source_x as usize, source_y as usize)),
                );
                xx += self.along_x.0;
                yy += self.along_x.1;
            }
            row_x += self.along_y.0;
            row_y += self.along_y.1;
        }
    }
}

/// `out = (image / 255 − 0.5) / 0.5`, so that bytes 0 to 255 become −1 to 1; both have shape `[3,
/// 32, 32]`.
///
/// # Panics
/// If the lengths differ.
pub fn normalize_into(image: &[u8], out: &mut [f32]) {
    assert_eq!(image.len(), out.len(), "lengths of image and output");
    for (value, &byte) in out.iter_mut().zip(image) {
        *value = NORMALIZED[usize::from(byte)];
    }
}

/// Flips with probability ½, rotates by an angle uniform in ±10°, normalises; all have shape `[3,
/// 32, 32]`.
///
/// Takes two draws from `rng`, the flip first, whatever they come out as.
///
/// # Panics
/// If a length is not 3,072.
pub fn augment_into(image: &[u8], rng: &mut impl Rng, out: &mut [f32]) {
    let Augmentation { flip, degrees } = Augmentation::draw(rng);
    transform_into(image, flip, degrees, out);
}

/// What is drawn for an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// Whether it is flipped left to right, first.
    pub flip: bool,
    /// By how much it is rotated counter-clockwise.
    pub degrees: f64,
}

impl Augmentation {
    /// How many [`Augmentation::numbers`] there are.
    pub const NUMBERS: usize = 7;

    /// Two draws from `rng`, the flip first.
    pub fn draw(rng: &mut impl Rng) -> Self {
        Self {
            flip: rng.random_bool(0.5),
            degrees: rng.random_range(-MAX_DEGREES..=MAX_DEGREES),
        }
    }

    /// For who moves the pixels elsewhere: the flip (0 or 1), then the map from output to input pixels of the rotation in
    /// 16.16 fixed point. The output pixel at column c and row r is the input's at column
    /// `(numbers[1] + c · numbers[3] + r · numbers[5]) >> 16`, row `(numbers[2] + c · numbers[4] + r · numbers[6]) >> 16`
    /// of the flipped image; outside of it, it is 0.
    pub fn numbers(&self) -> [i64; Self::NUMBERS] {
        let FixedAffine {
            origin,
            along_x,
            along_y,
        } = FixedAffine::rotation(self.degrees);
        let map = [
            origin.0, origin.1, along_x.0, along_x.1, along_y.0, along_y.1,
        ];
        let mut numbers = [i64::from(self.flip), 0, 0, 0, 0, 0, 0];
        numbers[1..].copy_from_slice(&map.map(i64::from));
        numbers
    }
}

/// Flips left to right if `flip`, then rotates counter-clockwise by `degrees` about the middle,
/// nearest neighbour, zero fill, then normalises (the fill becomes −1). All have shape `[3, 32,
/// 32]`.
///
/// # Panics
/// If a length is not 3,072.
pub fn transform_into(image: &[u8], flip: bool, degrees: f64, out: &mut [f32]) {
    assert_eq!(
        (image.len(), out.len()),
        (IMAGE_BYTES, IMAGE_BYTES),
        "lengths of image and output"
    );
    FixedAffine::rotation(degrees).for_each(|to, from| match from {
        Some((x, y)) => {
            let from = y * SIDE + if flip { SIDE - 1 - x } else { x };
            for channel in 0..CHANNELS {
                out[channel * PLANE + to] = NORMALIZED[usize::from(image[channel * PLANE + from])];
            }
        }
        None => {
            for channel in 0..CHANNELS {
                out[channel * PLANE + to] = NORMALIZED[0];
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::stream::{Purpose, stream};

    #[test]
    fn bytes_become_minus_one_to_one() {
        let mut out = [0.0; 4];
        normalize_into(&[0, 255, 51, 128], &mut out);
        // 51/255 = 0.2, so that the third is −0.6 up to f32's rounding in three operations.
        assert_eq!(&out[..2], [-1.0, 1.0]);
        approx::assert_abs_diff_eq!(out[2], -0.6, epsilon = 3.0 * f32::EPSILON);
        approx::assert_abs_diff_eq!(out[3], 1.0 / 255.0, epsilon = 3.0 * f32::EPSILON);
        assert!(NORMALIZED.is_sorted());
    }

    #[test]
    fn a_flip_is_its_own_inverse() {
        let image: Vec<u8> = (0..IMAGE_BYTES).map(|i| (i * 7 % 251) as u8).collect();
        let (mut straight, mut flipped) = (vec![0.0; IMAGE_BYTES], vec![0.0; IMAGE_BYTES]);
        transform_into(&image, false, 0.0, &mut straight);
        transform_into(&image, true, 0.0, &mut flipped);
        let mut normalized = vec![0.0; IMAGE_BYTES];
        normalize_into(&image, &mut normalized);
        assert_eq!(straight, normalized);
        assert_ne!(flipped, straight);
        flipped.chunks_exact_mut(SIDE).for_each(<[f32]>::reverse);
        assert_eq!(flipped, straight);
    }

    /// Flips come in half of all cases, angles cover ±10° evenly, and each image takes the same
    /// number of draws.
    #[test]
    fn draws_have_the_stated_distribution() {
        // Grey everywhere but one bright pixel at (16, 31), 15.5 pixels right of the centre and ½
        // below: after a flip it is on the left; by its row the angle's sign is known.
        let mut image = vec![100; IMAGE_BYTES];
        image[16 * SIDE + 31] = 255;
        let mut out = vec![0.0; IMAGE_BYTES];
        let mut rng = stream(0, Purpose::Augmentation, 0, 0);
        let (mut left, mut up, mut seen) = (0, 0, 0);
        for _ in 0..2_000 {
            augment_into(&image, &mut rng, &mut out);
            if let Some(at) = out[..PLANE].iter().position(|&v| v == 1.0) {
                let (row, column) = (at / SIDE, at % SIDE);
                seen += 1;
                left += i32::from(column < SIDE / 2);
                up += i32::from(row < SIDE / 2);
            }
        }
        assert!(
            seen > 1_500,
            "{seen}: nearest neighbour loses the pixel now and then, not often"
        );
        // Binomial(seen, ½): six standard deviations of √seen / 2, and half a pixel of row counts
        // for a tenth.
        let slack = 3.0 * f64::from(seen).sqrt();
        assert!(
            (f64::from(left) - f64::from(seen) / 2.0).abs() < slack,
            "{left} of {seen} on the left"
        );
        assert!(
            (f64::from(up) - f64::from(seen) / 2.0).abs() < slack + 0.1 * f64::from(seen),
            "{up} of {seen} above"
        );

        let mut image_draws = stream(0, Purpose::Augmentation, 0, 0);
        augment_into(&image, &mut image_draws, &mut out);
        let mut by_hand = stream(0, Purpose::Augmentation, 0, 0);
        let _ = by_hand.random_bool(0.5);
        let _ = by_hand.random_range(-MAX_DEGREES..=MAX_DEGREES);
        assert_eq!(image_draws.next_u64(), by_hand.next_u64());
    }
}
