use crate::task::gradient_check::{assert_gradient, assert_layers_cover};
use super::*;
use crate::task::{Part, PureExamples};
use crate::data::synthetic::points;
use ndarray::array;

fn task(layers: u32, hidden: u32, normalization: Normalization) -> Mlp {
    let (train, test) = points(3, 40, 20);
    let settings = MlpSettings {
        hidden,
        layers,
        normalization,
    };
    Mlp::new(train, test, 10, settings).unwrap()
}

/// The network with two hidden layers as it was before the number of layers could be chosen: start, loss, right
/// answers, gradient. Recorded runs hang on its bits.
mod two_layers {
    use super::*;

    type Sizes = [usize; 4];

    fn range(sizes: Sizes, layer: usize) -> (usize, usize) {
        let length = |layer: usize| (sizes[layer] + 1) * sizes[layer + 1];
        let start = (0..layer).map(length).sum();
        (start, start + length(layer))
    }

    pub(super) fn start(sizes: Sizes, seed: u64) -> Array1<f64> {
        let mut rng = stream(seed, Purpose::Init, 0, 0);
        let mut weights = Array1::zeros(range(sizes, 2).1);
        for layer in 0..3 {
            let (start, end) = range(sizes, layer);
            let bound = 1.0 / (sizes[layer] as f64).sqrt();
            for weight in weights.slice_mut(s![start..end]) {
                *weight = rng.random_range(-bound..bound);
            }
        }
        weights
    }

    fn views(
        weights: &Array1<f64>,
        sizes: Sizes,
        layer: usize,
    ) -> (ArrayView2<'_, f64>, ArrayView1<'_, f64>) {
        let (start, end) = range(sizes, layer);
        let split = end - sizes[layer + 1];
        let matrix = weights.slice(s![start..split]);
        let matrix = matrix.into_shape_with_order((sizes[layer], sizes[layer + 1]));
        (matrix.unwrap(), weights.slice(s![split..end]))
    }

    pub(super) fn pass(
        weights: &Array1<f64>,
        sizes: Sizes,
        points: &Points,
        indices: &[u32],
    ) -> (f64, u64, Array1<f64>) {
        let rows: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
        let n = rows.len() as f64;
        let mut activations = vec![points.features.select(Axis(0), &rows)];
        for layer in 0..3 {
            let (matrix, bias) = views(weights, sizes, layer);
            let mut z = product(activations[layer].view(), matrix) + bias;
            if layer < 2 {
                z.mapv_inplace(|z| if z < 0.0 { 0.0 } else { z });
            }
            activations.push(z);
        }
        let logits = &activations[3];
        let mut delta = Array2::zeros(logits.dim());
        let (mut loss, mut correct) = (0.0, 0);
        for (row, &index) in rows.iter().enumerate() {
            let label = usize::from(points.labels[index]);
            let logit = logits.row(row);
            let max = logit.fold(f64::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let sum: f64 = logit.iter().map(|z| libm::exp(z - max)).sum();
            loss += libm::log(sum) + max - logit[label];
            let right = |(k, &z): (usize, &f64)| k == label || z < logit[label];
            correct += u64::from(logit.iter().enumerate().all(right));
            for (k, z) in logit.iter().enumerate() {
                delta[(row, k)] =
                    (libm::exp(z - max) / sum - f64::from(u8::from(k == label))) / n;
            }
        }
        let mut gradient = Array1::zeros(weights.len());
        for layer in (0..3).rev() {
            let (start, end) = range(sizes, layer);
            let inputs = &activations[layer];
            let flat = product(inputs.t(), delta.view())
                .iter()
                .chain(delta.sum_axis(Axis(0)).iter())
                .copied()
                .collect::<Array1<_>>();
            gradient.slice_mut(s![start..end]).assign(&flat);
            if layer > 0 {
                let (matrix, _) = views(weights, sizes, layer);
                let mut before = product(delta.view(), matrix.t());
                before.zip_mut_with(inputs, |d, &a| {
                    if a <= 0.0 {
                        *d = 0.0;
                    }
                });
                delta = before;
            }
        }
        (loss / n, correct, gradient)
    }
}

fn bits(values: &Array1<f64>) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn two_layers_have_the_bits_that_recorded_runs_hang_on() {
    for hidden in [1, 8, 32] {
        let task = task(2, hidden, Normalization::None);
        let sizes = [16, hidden as usize, hidden as usize, 10];
        let (train, _) = points(3, 40, 20);
        let mut weights = task.start(5);
        assert_eq!(bits(&weights), bits(&two_layers::start(sizes, 5)));
        let mut gradient = Array1::zeros(weights.len());
        // A step of this size makes some units die; the last is far enough to give infinities or NaN.
        for lr in [0.5, 3.0, 1e200, 1.0] {
            let indices = [3, 39, 0, 3, 17, 21, 8];
            let batch = task.batch(Part::Train, &indices, None);
            let found = task.evaluate(&weights, &batch, Some(&mut gradient));
            let (loss, correct, expected) = two_layers::pass(&weights, sizes, &train, &indices);
            assert_eq!(found.loss.to_bits(), loss.to_bits());
            assert_eq!(found.correct, Some(correct));
            assert_eq!(bits(&gradient), bits(&expected));
            weights.scaled_add(-lr, &gradient);
        }
        let batch = task.batch(Part::Train, &[0, 1], None);
        assert!(!task.evaluate(&weights, &batch, None).loss.is_finite());
    }
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    for normalization in [Normalization::None, Normalization::Layer] {
        for layers in 0..=3 {
            let task = task(layers, 6, normalization);
            // Gains and biases away from 1 and 0.
            let start = task.start(2);
            let weights = &start + &(0.1 * &task.start(9));
            let batch = task.batch(Part::Train, &[0, 1, 2, 13, 28], None);
            assert_gradient(&task, &weights, &batch);
        }
    }
}

#[test]
fn normalised_rows_have_mean_0_and_variance_1() {
    let norm = Norm {
        gain: 0..4,
        bias: 4..8,
    };
    let weights = array![1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.5, 0.0];
    let mut z = array![[1.0, 2.0, 3.0, 6.0], [5.0, 5.0, 5.0, 5.0]];
    norm.forward(&weights, &mut z);
    // Mean 3, variance 14/4.
    let scale = 1.0 / (3.5_f64 + EPS).sqrt();
    let expected = array![
        [-2.0 * scale, -scale, 0.5, 6.0 * scale],
        [0.0, 0.0, 0.5, 0.0]
    ];
    assert!((z - expected).iter().all(|d| d.abs() < 1e-15));
}

#[test]
fn layers_are_named_and_cover_the_weights() {
    use LayerKind::{BiasesAndNorms, Head, Weights};
    let task_of = task;
    for (layers, normalization) in [
        (0, Normalization::Layer),
        (1, Normalization::None),
        (3, Normalization::Layer),
    ] {
        assert_layers_cover(&task_of(layers, 5, normalization));
    }
    let plain = task(1, 5, Normalization::None);
    assert_eq!(
        plain.layers(),
        [
            (Weights, 0..80),
            (BiasesAndNorms, 80..85),
            (Head, 85..135),
            (Head, 135..145)
        ]
    );
    let normalized = task(1, 5, Normalization::Layer);
    assert_eq!(
        normalized.layers(),
        [
            (Weights, 0..80),
            (BiasesAndNorms, 80..85),
            (BiasesAndNorms, 85..90),
            (BiasesAndNorms, 90..95),
            (Head, 95..145),
            (Head, 145..155)
        ]
    );
    let start = normalized.start(0);
    assert_eq!(
        start.slice(s![85..95]).to_vec(),
        [[1.0; 5], [0.0; 5]].concat()
    );
    assert_eq!(bits(&start), bits(&normalized.start(0)));
    assert_ne!(bits(&start), bits(&normalized.start(1)));
}

#[test]
fn units_are_needed_only_by_hidden_layers() {
    let made = |hidden, layers| {
        let (train, test) = points(0, 10, 10);
        let settings = MlpSettings {
            hidden,
            layers,
            normalization: Normalization::None,
        };
        Mlp::new(train, test, 10, settings)
    };
    assert_eq!(made(0, 1).unwrap_err(), TaskError::Zero("hidden"));
    assert_eq!(made(0, 0).unwrap().start(0).len(), 170);
    let task = made(1, 1).unwrap().named("other points");
    assert_eq!(task.examples().name(), "other points");
    assert_eq!(
        (task.examples().count(Part::Train), task.examples().count(Part::Test)),
        (10, 10)
    );
    let batch = task.batch(Part::Test, &[], None);
    assert!(task.evaluate(&task.start(0), &batch, None).loss.is_nan());
}
