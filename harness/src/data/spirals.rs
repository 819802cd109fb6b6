//! Three spirals in the plane, one a class: no straight line tells them apart, and a small network does.

use ndarray::Array2;
use rand::RngExt;

use super::name::{Definition, Form};
use super::normal::normal;
use super::synthetic::Points;
use crate::data::stream::{Purpose, Stream, stream};

/// Points, as [`points`] draws them.
pub const DEFINITION: Definition = Definition {
    title: "spirals",
    what: "points in the plane on three spirals, one a class",
    classes: CLASSES,
    examples: (50_000, 10_000),
    forms: &[Form::Points {
        name: "spirals",
        features: 2,
        draw: points,
    }],
};

/// Number of classes.
pub const CLASSES: usize = 3;

/// Index of the streams of the training and the test points.
const PARTS: [u64; 2] = [13, 14];
/// Turns of a spiral, and the standard deviation of the noise; neighbouring arms are 2/(3 · 1.5) = 0.44 apart.
const TURNS: f64 = 1.5;
const NOISE: f64 = 0.05;

/// Independent draws of `train` and `test` points; point i is of class i mod 3.
///
/// A point of class k lies at radius 2t and angle 2π(1.5 t + k/3), with t = √u and u uniform in [0, 1), so that points lie
/// as densely outside as inside; both coordinates have noise of standard deviation 0.05.
pub fn points(seed: u64, train: usize, test: usize) -> (Points, Points) {
    let draw = |n, part| draw(n, &mut stream(seed, Purpose::Synthetic, 0, part));
    (draw(train, PARTS[0]), draw(test, PARTS[1]))
}

fn draw(n: usize, rng: &mut Stream) -> Points {
    let labels: Vec<u8> = (0..n).map(|i| (i % CLASSES) as u8).collect();
    let mut features = Array2::zeros((n, 2));
    for (mut point, &class) in features.rows_mut().into_iter().zip(&labels) {
        let uniform: f64 = rng.random();
        let t = uniform.sqrt();
        let turns = TURNS * t + f64::from(class) / CLASSES as f64;
        let angle = std::f64::consts::TAU * turns;
        point[0] = 2.0 * t * libm::cos(angle) + NOISE * normal(rng);
        point[1] = 2.0 * t * libm::sin(angle) + NOISE * normal(rng);
    }
    Points { features, labels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_lies_on_its_spiral() {
        let (train, test) = points(0, 3000, 30);
        for (point, &class) in train.features.rows().into_iter().zip(&train.labels) {
            let radius = libm::hypot(point[0], point[1]);
            let turns = libm::atan2(point[1], point[0]) / std::f64::consts::TAU;
            let expected = TURNS * radius / 2.0 + f64::from(class) / CLASSES as f64;
            let off = (turns - expected).rem_euclid(1.0);
            // The arc, and half the distance to the next arm at this radius.
            let arc = off.min(1.0 - off) * std::f64::consts::TAU * radius;
            assert!(radius < 2.3 && arc < 6.0 * NOISE * (1.0 + 5.0 * radius), "{radius} {arc}");
        }
        assert_ne!(train.features.row(0), test.features.row(0));
        assert_eq!(points(0, 3000, 30), (train, test));
    }
}
