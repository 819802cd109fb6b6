//! The data: the ten digits, drawn somewhere on a small canvas under heavy noise.

use candle_core::{Device, Result, Tensor};

use crate::stream::Stream;

/// Width and height of an image in pixels.
pub const SIDE: usize = 9;

/// Five pixels a row, the leftmost is the highest bit.
const GLYPHS: [[u8; 7]; 10] = [
    [
        0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110,
    ],
    [
        0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111,
    ],
    [
        0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110,
    ],
    [
        0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010,
    ],
    [
        0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110,
    ],
    [
        0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b11111, 0b00001, 0b00010, 0b00100, 0b00100, 0b01000, 0b01000,
    ],
    [
        0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100,
    ],
];

/// Images of shape `[n, SIDE²]` and their labels, shape `[n]`.
pub struct Digits {
    pub images: Tensor,
    pub labels: Tensor,
}

impl Digits {
    /// `n` images, the digits in turn.
    pub fn draw(n: usize, noise: f32, stream: &mut Stream) -> Result<Self> {
        let mut pixels = Vec::with_capacity(n * SIDE * SIDE);
        let mut labels = Vec::with_capacity(n);
        for i in 0..n {
            let digit = i % 10;
            let (top, left) = (stream.below(SIDE - 6), stream.below(SIDE - 4));
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let row = y.checked_sub(top).and_then(|y| GLYPHS[digit].get(y));
                    let column = x.checked_sub(left).filter(|&x| x < 5);
                    let ink = match (row, column) {
                        (Some(row), Some(x)) => f32::from(row >> (4 - x) & 1),
                        _ => 0.0,
                    };
                    pixels.push(ink + noise * stream.normal());
                }
            }
            labels.push(digit as u32);
        }
        Ok(Self {
            images: Tensor::from_vec(pixels, (n, SIDE * SIDE), &Device::Cpu)?,
            labels: Tensor::from_vec(labels, n, &Device::Cpu)?,
        })
    }

    pub fn len(&self) -> Result<usize> {
        self.labels.dim(0)
    }

    /// The images and labels at these places.
    pub fn select(&self, places: &[usize]) -> Result<Self> {
        let places: Vec<u32> = places.iter().map(|&place| place as u32).collect();
        let places = Tensor::new(places, &Device::Cpu)?;
        Ok(Self {
            images: self.images.index_select(&places, 0)?,
            labels: self.labels.index_select(&places, 0)?,
        })
    }
}
