//! Points of four classes whose features have scales from 1 to 1/100, for convex problems that a single learning rate
//! fits badly: the Hessian's condition number is about the square of the scales' ratio.

use ndarray::Array2;

use super::name::{Definition, Form};
use super::normal::normal;
use super::synthetic::Points;
use crate::data::stream::{Purpose, Stream, stream};

/// Points, as [`points`] draws them.
pub const DEFINITION: Definition = Definition {
    title: "badly scaled",
    what: "points of four classes whose 20 features have scales from 1 to 1/100",
    classes: CLASSES,
    examples: (50_000, 10_000),
    forms: &[Form::Points {
        name: "badly scaled points",
        features: FEATURES,
        draw: points,
    }],
};

/// Number of classes.
pub const CLASSES: usize = 4;
/// Features of a point.
pub const FEATURES: usize = 20;

/// Index of the streams of the training and the test points.
const PARTS: [u64; 2] = [4, 5];
/// Scale of the last feature; the first has scale 1.
const SMALLEST: f64 = 1e-2;
/// Standard deviation of the classes' means, beside noise of standard deviation 1. Two classes lie about 2.2 apart, so
/// that they overlap and no model is without loss.
const SPREAD: f64 = 0.35;

/// Independent draws of `train` and `test` points around the same class means; point i is of class i mod 4.
///
/// Feature j of a point of class k is sⱼ (mₖⱼ + ε), with sⱼ = 10^(−2j/19), m normal of standard deviation 0.35, drawn once
/// a seed from the head of the training points' stream, and ε standard normal.
pub fn points(seed: u64, train: usize, test: usize) -> (Points, Points) {
    let mut rng = stream(seed, Purpose::Synthetic, 0, PARTS[0]);
    let means = Array2::from_shape_simple_fn((CLASSES, FEATURES), || SPREAD * normal(&mut rng));
    let train = draw(train, &means, &mut rng);
    let mut rng = stream(seed, Purpose::Synthetic, 0, PARTS[1]);
    (train, draw(test, &means, &mut rng))
}

/// Scale of feature j.
fn scale(j: usize) -> f64 {
    libm::pow(SMALLEST, j as f64 / (FEATURES - 1) as f64)
}

fn draw(n: usize, means: &Array2<f64>, rng: &mut Stream) -> Points {
    let labels: Vec<u8> = (0..n).map(|i| (i % CLASSES) as u8).collect();
    let mut features = Array2::zeros((n, FEATURES));
    for (i, mut point) in features.rows_mut().into_iter().enumerate() {
        for (j, value) in point.iter_mut().enumerate() {
            *value = scale(j) * (means[(i % CLASSES, j)] + normal(rng));
        }
    }
    Points { features, labels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_fall_from_1_to_a_hundredth() {
        assert_eq!((scale(0), scale(FEATURES - 1)), (1.0, SMALLEST));
        let (train, _) = points(0, 4000, 0);
        for (j, column) in train.features.columns().into_iter().enumerate() {
            let mean = column.sum() / 4000.0;
            let squares = column.fold(0.0, |sum, x| sum + (x - mean) * (x - mean));
            let deviation = (squares / 4000.0).sqrt() / scale(j);
            // Noise 1 and the spread of four means; the latter varies from feature to feature.
            assert!((0.95..1.5).contains(&deviation), "{j}: {deviation}");
        }
    }

    #[test]
    fn both_parts_have_the_same_class_means() {
        let (train, test) = points(1, 8000, 8000);
        let mean = |points: &Points, class: usize, j: usize| {
            let rows = (class..8000).step_by(CLASSES);
            rows.map(|i| points.features[(i, j)]).sum::<f64>() / 2000.0 / scale(j)
        };
        for class in 0..CLASSES {
            for j in 0..FEATURES {
                // Standard error of the difference √(2/2000) = 0.032; five of them, far below the means' spread.
                let (a, b) = (mean(&train, class, j), mean(&test, class, j));
                assert!((a - b).abs() < 0.16, "{a} {b}");
            }
        }
        assert_ne!(train.features.row(0), test.features.row(0));
    }

    #[test]
    fn the_seed_decides_and_more_points_begin_with_the_same() {
        let (train, test) = points(7, 12, 5);
        assert_eq!(
            (train.labels.len(), test.features.dim()),
            (12, (5, FEATURES))
        );
        assert_eq!(train.labels[..6], [0, 1, 2, 3, 0, 1]);
        assert_eq!(points(7, 12, 5), (train.clone(), test.clone()));
        assert_ne!(points(8, 12, 5).0, train);
        let (longer, same) = points(7, 20, 5);
        assert_eq!(longer.features.slice(ndarray::s![..12, ..]), train.features);
        assert_eq!(same, test);
    }
}
