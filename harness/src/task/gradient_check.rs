//! Gradients against central differences, for the tests of every task.

use ndarray::Array1;

use super::{BatchOf, PureTask};

/// Checks each entry of the gradient at `weights` against (L(w + h) − L(w − h)) / 2h with h = 10⁻⁵.
///
/// The difference is off by h²/6 times the third derivative and by rounding, 10⁻¹⁶ / h: both are below 10⁻⁷ for losses and
/// derivatives of order 1 to 100.
pub(super) fn assert_gradient<T: PureTask>(task: &T, weights: &Array1<f64>, batch: &BatchOf<T>) {
    const H: f64 = 1e-5;
    let mut gradient = Array1::from_elem(weights.len(), f64::NAN);
    let with = task.evaluate(weights, batch, Some(&mut gradient));
    assert_eq!(with, task.evaluate(weights, batch, None));
    let mut moved = weights.clone();
    for (index, &derivative) in gradient.iter().enumerate() {
        let mut loss = |shift: f64| {
            moved[index] = weights[index] + shift;
            let loss = task.evaluate(&moved, batch, None).loss;
            moved[index] = weights[index];
            loss
        };
        let difference = (loss(H) - loss(-H)) / (2.0 * H);
        assert!(
            (derivative - difference).abs() < 1e-7 * (1.0 + difference.abs()),
            "weight {index}: {derivative} against {difference}"
        );
    }
    assert!(gradient.iter().any(|&g| g.abs() > 1e-3), "{gradient}");
}

/// Checks that the ranges of a task's layers cover its weights, each once.
pub(super) fn assert_layers_cover<T: PureTask>(task: &T) {
    let mut seen = vec![0; task.start(0).len()];
    for (_, range) in task.layers() {
        assert!(!range.is_empty());
        seen[range].iter_mut().for_each(|count| *count += 1);
    }
    assert!(seen.iter().all(|&count| count == 1), "{seen:?}");
}
