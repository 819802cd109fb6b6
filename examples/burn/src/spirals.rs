//! The data: points on the arms of a spiral, with noise.

use burn::prelude::*;

use crate::stream::Stream;

/// How many arms the spiral has: the classes.
pub const ARMS: usize = 3;
const TURNS: f32 = 1.25;
const NOISE: f32 = 0.04;

/// Points in the plane, and the arm that each belongs to.
pub struct Spirals {
    points: Vec<[f32; 2]>,
    arms: Vec<i32>,
}

impl Spirals {
    /// `n` points, the arms in turn, at a uniform distance from 0 to 1.
    pub fn draw(n: usize, stream: &mut Stream) -> Self {
        let mut point = |arm: usize| {
            let radius = stream.uniform();
            let turn = arm as f32 / ARMS as f32 + TURNS * radius;
            let (y, x) = (std::f32::consts::TAU * turn).sin_cos();
            [x, y].map(|c| radius * c + NOISE * stream.normal())
        };
        Self {
            points: (0..n).map(|i| point(i % ARMS)).collect(),
            arms: (0..n).map(|i| (i % ARMS) as i32).collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.arms.len()
    }

    /// The points at these places, shape `[n, 2]`, and their arms, shape `[n]`.
    pub fn select(&self, places: &[usize], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let points: Vec<f32> = places.iter().flat_map(|&i| self.points[i]).collect();
        let arms: Vec<i32> = places.iter().map(|&i| self.arms[i]).collect();
        let n = places.len();
        (
            Tensor::from_data(TensorData::new(points, [n, 2]), device),
            Tensor::from_data(TensorData::new(arms, [n]), device),
        )
    }
}
