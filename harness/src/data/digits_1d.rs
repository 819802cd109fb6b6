//! One-dimensional digits: ten small shapes that appear anywhere on a line, stretched, tilted and in noise.
//!
//! A linear model cannot follow a shape that moves, while a small network can: the set tells models apart that cost a
//! fraction of a second to train. It is made in the manner of MNIST-1D, with templates, sizes and noise of its own.
//!
//! Source: Greydanus and Kobak 2020, "Scaling down Deep Learning", arXiv:2011.14439.

use ndarray::Array2;
use rand::RngExt;

use super::name::{Definition, Form};
use super::normal::normal;
use super::synthetic::Points;
use crate::data::stream::{Purpose, Stream, stream};

/// Points, as [`points`] draws them.
pub const DEFINITION: Definition = Definition {
    title: "digits 1D",
    what: "40 numbers in which one of ten shapes appears somewhere, in the manner of MNIST-1D",
    classes: CLASSES,
    examples: (50_000, 10_000),
    forms: &[Form::Points {
        name: "one-dimensional digits",
        features: FEATURES,
        draw: points,
    }],
};

/// Number of classes.
pub const CLASSES: usize = 10;
/// Features of a point.
pub const FEATURES: usize = 40;

/// Index of the streams of the training and the test points.
const PARTS: [u64; 2] = [6, 7];

/// Points of a template.
const LENGTH: usize = 12;
/// Heights along each digit, drawn after the outline of a handwritten one, from left to right.
const TEMPLATES: [[f64; LENGTH]; CLASSES] = [
    [2.0, 4.0, 5.0, 4.5, 2.0, -1.0, -1.0, 2.0, 4.5, 5.0, 4.0, 2.0],
    [0.0, 0.0, 0.5, 1.0, 2.0, 6.0, 6.0, 2.0, 0.0, 0.0, -0.5, -0.5],
    [
        4.0, 5.0, 4.0, 2.0, 0.0, -2.0, -3.5, -4.0, -4.0, -3.0, -3.0, -4.0,
    ],
    [
        3.0, 4.0, 1.0, 3.0, 4.0, 1.0, -1.0, -3.0, -4.0, -1.0, -3.0, -4.0,
    ],
    [
        -3.0, -1.0, 1.0, 3.0, 5.0, 0.0, -1.0, -1.0, 4.0, -4.0, -1.0, -1.0,
    ],
    [
        5.0, 5.0, 5.0, 0.0, 0.0, 1.0, 2.0, 1.0, -1.0, -4.0, -5.0, -4.0,
    ],
    [
        5.0, 3.0, 0.0, -2.0, -4.0, -5.0, -4.0, -2.0, 0.0, 0.0, -2.0, -4.0,
    ],
    [
        4.0, 4.0, 4.0, 4.5, 5.0, 3.0, 1.0, -1.0, -2.0, -3.0, -4.0, -5.0,
    ],
    [1.0, 4.0, 1.0, -2.0, 1.0, 4.0, 4.0, 1.0, -2.0, 1.0, 4.0, 1.0],
    [
        0.0, 3.0, 4.0, 2.0, 0.0, 2.0, 5.0, 3.0, 0.0, -3.0, -5.0, -5.0,
    ],
];

/// Points of the fine line that a digit is drawn on.
const LINE: usize = 120;
/// Points of the line that a template spans, drawn uniformly.
const SPAN: [f64; 2] = [45.0, 65.0];
/// Factor of a template's heights, drawn uniformly.
const HEIGHT: [f64; 2] = [0.7, 1.3];
/// Largest rise of a digit from its one end to the other.
const SHEAR: f64 = 3.0;
/// Standard deviations of the noise that neighbours share and of that of each feature alone.
const CORRELATED: f64 = 0.8;
const WHITE: f64 = 0.3;
/// Points of the line whose white noise is averaged to correlated noise.
const WINDOW: usize = 13;

/// Independent draws of `train` and `test` digits; point i is of class i mod 10.
///
/// A digit is its template less its mean: stretched to 45 to 65 points of a line of 120, with linear interpolation, times a
/// factor of 0.7 to 1.3, tilted by up to ±3 from end to end, placed uniformly where it fits, and 0 elsewhere. The line is
/// added noise of standard deviation 0.8, a moving average of white noise over 13 points. Every third point is a feature,
/// with white noise of 0.3.
pub fn points(seed: u64, train: usize, test: usize) -> (Points, Points) {
    let draw = |n, part| draw(n, &mut stream(seed, Purpose::Synthetic, 0, part));
    (draw(train, PARTS[0]), draw(test, PARTS[1]))
}

fn draw(n: usize, rng: &mut Stream) -> Points {
    let labels: Vec<u8> = (0..n).map(|i| (i % CLASSES) as u8).collect();
    let mut features = Array2::zeros((n, FEATURES));
    for (i, mut point) in features.rows_mut().into_iter().enumerate() {
        let line = line(&TEMPLATES[i % CLASSES], rng);
        for (value, height) in point.iter_mut().zip(line.iter().step_by(LINE / FEATURES)) {
            *value = height + WHITE * normal(rng);
        }
    }
    Points { features, labels }
}

/// A template on the line, with the correlated noise.
fn line(template: &[f64; LENGTH], rng: &mut Stream) -> [f64; LINE] {
    let mean = template.iter().fold(0.0, |sum, height| sum + height) / LENGTH as f64;
    let span = rng.random_range(SPAN[0]..SPAN[1]);
    let factor = rng.random_range(HEIGHT[0]..HEIGHT[1]);
    let shear = rng.random_range(-SHEAR..SHEAR);
    let left = rng.random_range(0.0..LINE as f64 - span);
    let white: Vec<f64> = (0..LINE + WINDOW - 1).map(|_| normal(rng)).collect();
    let share = CORRELATED / (WINDOW as f64).sqrt();
    std::array::from_fn(|x| {
        let noise = white[x..x + WINDOW].iter().fold(0.0, |sum, w| sum + w);
        // From 0 at the digit's left end to 1 at its right.
        let place = (x as f64 - left) / span;
        let digit = if (0.0..1.0).contains(&place) {
            factor * (height(template, place) - mean) + shear * (place - 0.5)
        } else {
            0.0
        };
        digit + share * noise
    })
}

/// Height of a template at a place in [0, 1), interpolated linearly between its points.
fn height(template: &[f64; LENGTH], place: f64) -> f64 {
    let at = place * (LENGTH - 1) as f64;
    let before = (at as usize).min(LENGTH - 2);
    let part = at - before as f64;
    template[before] * (1.0 - part) + template[before + 1] * part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::logistic::Logistic;
    use crate::task::mlp::{Mlp, MlpSettings, Normalization};
    use crate::task::{Part, PureExamples, PureTask};
    use rand::seq::SliceRandom;

    #[test]
    fn heights_are_those_of_the_template_and_between() {
        let template = &TEMPLATES[1];
        assert_eq!(height(template, 0.0), template[0]);
        assert_eq!(height(template, 4.5 / 11.0), 4.0);
        assert!((height(template, 1.0 - f64::EPSILON) - template[11]).abs() < 1e-12);
    }

    #[test]
    fn no_two_templates_are_alike() {
        // Correlation of the shapes, each less its mean: tilt, height and place are random.
        let centred = |k: usize| {
            let mean = TEMPLATES[k].iter().sum::<f64>() / LENGTH as f64;
            TEMPLATES[k].map(|height| height - mean)
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for k in 0..CLASSES {
            for l in 0..k {
                let (a, b) = (centred(k), centred(l));
                let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
                assert!(cosine < 0.95, "{k} {l}: {cosine}");
            }
        }
    }

    #[test]
    fn the_seed_decides_and_parts_differ() {
        let (train, test) = points(7, 12, 5);
        assert_eq!(
            (train.features.dim(), test.labels.len()),
            ((12, FEATURES), 5)
        );
        assert_eq!(train.labels[8..], [8, 9, 0, 1]);
        assert_eq!(points(7, 12, 5), (train.clone(), test.clone()));
        assert_ne!(points(8, 12, 5).0, train);
        assert_ne!(train.features.row(0), test.features.row(0));
        assert!(train.features.iter().all(|x| x.abs() < 20.0));
    }

    /// Test accuracy after plain SGD on batches of 32.
    fn trained<T: PureTask>(task: &T, lr: f64, steps: usize) -> f64 {
        let mut rng = stream(0, Purpose::Order, 0, 0);
        let mut order: Vec<u32> = (0..task.examples().count(Part::Train) as u32).collect();
        let mut weights = task.start(0);
        let mut gradient = weights.clone();
        for step in 0..steps {
            let per_epoch = order.len() / 32;
            if step % per_epoch == 0 {
                order.shuffle(&mut rng);
            }
            let first = step % per_epoch * 32;
            let batch = task.batch(Part::Train, &order[first..first + 32], None);
            task.evaluate(&weights, &batch, Some(&mut gradient));
            weights.scaled_add(-lr, &gradient);
        }
        let all: Vec<u32> = (0..task.examples().count(Part::Test) as u32).collect();
        let batch = task.batch(Part::Test, &all, None);
        let found = task.evaluate(&weights, &batch, None);
        found.correct.unwrap() as f64 / all.len() as f64
    }

    #[test]
    fn a_small_network_learns_what_a_linear_model_cannot() {
        let (train, test) = points(0, 4000, 1000);
        let settings = MlpSettings {
            hidden: 64,
            layers: 2,
            normalization: Normalization::None,
        };
        let network = Mlp::new(train.clone(), test.clone(), CLASSES, settings).unwrap();
        let linear = Logistic::new(train, test, CLASSES, 0.0).unwrap();
        let (network, line) = (trained(&network, 0.1, 800), trained(&linear, 0.02, 800));
        assert!(network > 0.6, "{network}");
        assert!(line > 0.1 && line < network - 0.15, "{line} {network}");
    }
}
