//! Ten classes drawn from a seed, for runs without CIFAR: images, and points for the pure-Rust
//! reference workload.
//!
//! A class is a codeword: which of d patterns are strong and which are weak. The sign (points) or
//! phase (images) of every pattern is drawn anew for every sample, so that all classes have the
//! same mean and a linear model stays near chance, while a network that can measure a pattern's
//! strength whatever its sign tells the classes apart. Codewords come from the Hadamard code: half
//! of the patterns are strong in every class, and any two classes differ in at least half of them.
//!
//! Only sums, products and integers are used on the way from the stream to the data, so that every
//! platform gets the same bits.

use ndarray::Array2;
use rand::{Rng, RngExt};

use crate::data::images::{CHANNELS, DataSet, IMAGE_BYTES, ImageSet, SIDE};
use crate::data::DataSetName;
use crate::data::name::{Definition, Form};
use crate::data::stream::{Purpose, Stream, stream};

/// Images for a network that takes images, points for one that takes points.
pub const DEFINITION: Definition = Definition {
    title: "synthetic",
    what: "images, or points, of ten classes that no linear model tells apart",
    classes: CLASSES,
    examples: (50_000, 10_000),
    forms: &[
        Form::Images(images),
        Form::Points {
            name: "synthetic points",
            features: FEATURES,
            draw: points,
        },
    ],
};

/// Number of classes.
pub const CLASSES: usize = 10;
/// Features of a point.
pub const FEATURES: usize = 16;

/// Index of the stream of the training images, the test images, the training points and the test
/// points.
const PARTS: [u64; 4] = [0, 1, 2, 3];

/// Strength of a strong pattern of a point, beside noise of standard deviation [`POINT_NOISE`]; a
/// weak one has strength 0.
const POINT_STRENGTH: f64 = 3.0;
const POINT_NOISE: f64 = 0.5;

/// Patterns of an image: {rows, columns} × {2, 5 periods} × {luminance, red against green}. A
/// mirror image and a rotation by 10° keep them apart.
const PATTERNS: usize = 8;
const PERIODS: [usize; 2] = [2, 5];
const COLOURS: [[i32; CHANNELS]; 2] = [[1, 1, 1], [1, -1, 0]];
/// Strength of a pattern in grey levels, drawn uniformly: `WEAK` or `STRONG`, ends included.
const WEAK: [i32; 2] = [0, 14];
const STRONG: [i32; 2] = [12, 28];
/// Largest deviation of a pixel's noise in grey levels; all values are about equally likely.
const PIXEL_NOISE: u8 = 15;

/// Steps of a full turn; a phase is a whole number of them.
const TURN: usize = 64;
/// Denominator of [`cosine`].
const COSINE_ONE: i32 = 1024;

/// Points of shape `[n, 16]` and their labels, 0 to 9, of shape `[n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// Features, mean 0, standard deviation 2.2, dimensionless.
    pub features: Array2<f64>,
    /// Classes; point i is of class i mod 10.
    pub labels: Vec<u8>,
}

/// Independent draws of `train` and `test` points: feature j of class k is s·3c + 0.5 ε, with s =
/// ±1 at random, c = 1 if codeword k has bit j and else 0, and ε of mean 0 and variance 1 (the sum
/// of four uniform numbers).
pub fn points(seed: u64, train: usize, test: usize) -> (Points, Points) {
    let draw = |n, part| draw_points(n, &mut stream(seed, Purpose::Synthetic, 0, part));
    (draw(train, PARTS[2]), draw(test, PARTS[3]))
}

fn draw_points(n: usize, rng: &mut Stream) -> Points {
    let labels: Vec<u8> = (0..n).map(|i| (i % CLASSES) as u8).collect();
    let mut features = Array2::zeros((n, FEATURES));
    for (i, mut point) in features.rows_mut().into_iter().enumerate() {
        for (j, value) in point.iter_mut().enumerate() {
            let strength = if point_codeword(i % CLASSES, j) {
                POINT_STRENGTH
            } else {
                0.0
            };
            let signed = if rng.random_bool(0.5) {
                strength
            } else {
                -strength
            };
            *value = signed + POINT_NOISE * unit_noise(rng);
        }
    }
    Points { features, labels }
}

/// Sum of four uniform numbers, scaled to mean 0 and variance 1.
fn unit_noise(rng: &mut impl Rng) -> f64 {
    let sum: f64 = (0..4).map(|_| rng.random::<f64>()).sum();
    (sum - 2.0) * 1.732_050_807_568_877_2
}

/// Bit `j` of the codeword of a class of points: rows 1 to 10 of the Hadamard code of length 16.
fn point_codeword(class: usize, j: usize) -> bool {
    parity((class + 1) & j)
}

/// Bit `j` of the codeword of a class of images: the seven non-constant rows of the Hadamard code
/// of length 8, then the complements of the first three.
fn image_codeword(class: usize, j: usize) -> bool {
    parity((class % 7 + 1) & j) != (class >= 7)
}

fn parity(bits: usize) -> bool {
    bits.count_ones() % 2 == 1
}

/// Independent draws of `train` and `test` images; image i is of class i mod 10.
///
/// A pixel is 128 plus the sum of eight gratings plus noise between −15 and 15, clamped to a byte.
/// A grating is constant along one axis and a cosine of 2 or 5 periods along the other, in all
/// channels alike or in red against green; its phase is uniform, its amplitude uniform in 12 to 28
/// where the class's codeword has a bit and in 0 to 14 where it has none.
pub fn images(seed: u64, train: usize, test: usize) -> DataSet {
    let draw = |n, part| draw_images(n, &mut stream(seed, Purpose::Synthetic, 0, part));
    DataSet {
        train: draw(train, PARTS[0]),
        test: draw(test, PARTS[1]),
    }
}

fn draw_images(n: usize, rng: &mut Stream) -> ImageSet {
    let cosine = cosine();
    let mut pixels = vec![0; n * IMAGE_BYTES];
    let labels = (0..n).map(|i| (i % CLASSES) as u8).collect();
    for (i, image) in pixels.chunks_exact_mut(IMAGE_BYTES).enumerate() {
        // Gratings are constant along one axis: two profiles of 32 values a channel make the image.
        let mut profiles = [[[0; SIDE]; CHANNELS]; 2];
        for pattern in 0..PATTERNS {
            let [low, high] = if image_codeword(i % CLASSES, pattern) {
                STRONG
            } else {
                WEAK
            };
            let amplitude = rng.random_range(low..=high);
            let phase = rng.random_range(0..TURN as u32) as usize;
            let (axis, periods, colour) = (
                pattern & 1,
                PERIODS[pattern >> 1 & 1],
                COLOURS[pattern >> 2],
            );
            for (profile, sign) in profiles[axis].iter_mut().zip(colour) {
                for (position, value) in profile.iter_mut().enumerate() {
                    let angle = (phase + position * periods * TURN / SIDE) % TURN;
                    *value += sign * amplitude * cosine[angle];
                }
            }
        }
        // The noise is drawn in place.
        rng.fill_bytes(image);
        for (channel, plane) in image.chunks_exact_mut(SIDE * SIDE).enumerate() {
            for (y, row) in plane.chunks_exact_mut(SIDE).enumerate() {
                for (x, pixel) in row.iter_mut().enumerate() {
                    let signal = profiles[0][channel][y] + profiles[1][channel][x];
                    let noise = i32::from(*pixel % (2 * PIXEL_NOISE + 1)) - i32::from(PIXEL_NOISE);
                    *pixel = (128 + signal.div_euclid(COSINE_ONE) + noise).clamp(0, 255) as u8;
                }
            }
        }
    }
    ImageSet::of_valid_parts(DataSetName::Synthetic, pixels, labels)
}

/// A full turn of the cosine in 64 steps, as whole multiples of 1/1024.
fn cosine() -> [i32; TURN] {
    std::array::from_fn(|step| {
        let angle = step as f64 * std::f64::consts::TAU / TURN as f64;
        (angle.cos() * f64::from(COSINE_ONE)).round() as i32
    })
}
