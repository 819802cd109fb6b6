use crate::task::gradient_check::{assert_gradient, assert_layers_cover};
use super::*;
use crate::data::{Purpose, stream};

fn task(spectrum: Spectrum, noise: f64) -> Quadratic {
    Quadratic::new(QuadraticSettings {
        spectrum,
        noise,
        start: 1.0,
        train: 1000,
        test: 100,
    })
    .unwrap()
}

fn geometric(dimension: u32, condition: f64) -> Spectrum {
    Spectrum::Geometric {
        dimension,
        condition,
    }
}

fn rng(index: u64) -> Stream {
    stream(1, Purpose::Augmentation, 0, index)
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    let task = task(geometric(5, 100.0), 1.0);
    let batch = task.batch(Part::Train, &[1, 2, 3], Some(&mut rng(0)));
    assert_gradient(&task, &task.start(0), &batch);
    assert_gradient(&task, &task.start(0), &task.batch(Part::Test, &[1], None));
    assert_layers_cover(&task);
    assert_eq!(
        batch,
        task.batch(Part::Train, &[9, 9, 9], Some(&mut rng(0)))
    );
    assert_ne!(
        batch,
        task.batch(Part::Train, &[1, 2, 3], Some(&mut rng(1)))
    );
    let none = task.batch(Part::Train, &[], None);
    assert!(task.evaluate(&task.start(0), &none, None).loss.is_nan());
}

#[test]
fn the_spectrum_runs_from_1_to_the_condition() {
    let ends = |task: Quadratic| {
        let h = task.curvatures();
        (h[0], h[h.len() - 1])
    };
    assert_eq!(ends(task(geometric(3, 100.0), 1.0)), (1.0, 0.01));
    assert_eq!(ends(task(geometric(1, 100.0), 1.0)), (1.0, 1.0));
    let explicit = task(Spectrum::Explicit(vec![2.0, 0.5]), 3.0);
    assert_eq!(explicit.variances.to_vec(), [1.5, 6.0]);
    // Without noise of the batch: ½ (2 + 0.5).
    let batch = explicit.batch(Part::Test, &[0, 1], None);
    let found = explicit.evaluate(&explicit.start(0), &batch, None);
    assert_eq!((found.loss, found.correct), (1.25, None));
}

#[test]
fn the_loss_of_drawn_examples_has_the_part_that_no_weights_remove() {
    let task = task(geometric(4, 10.0), 1.0);
    let indices: Vec<u32> = (0..20_000).collect();
    let batch = task.batch(Part::Train, &indices, Some(&mut rng(3)));
    let loss = task.evaluate(&Array1::zeros(4), &batch, None).loss;
    // ½ Σ h σ² = 4/2; an example's loss is half a χ² of 4 degrees: variance 2. Five standard errors.
    assert!(
        (loss - 2.0).abs() < 5.0 * (2.0_f64 / 20_000.0).sqrt(),
        "{loss}"
    );
}

#[test]
fn simulated_sgd_has_the_expected_loss() {
    const RUNS: usize = 4000;
    let rates: Vec<f64> = (0..12).map(|t| 0.5 / (1.0 + 0.2 * f64::from(t))).collect();
    for (momentum, size) in [(0.0, 1), (0.6, 2)] {
        let task = task(Spectrum::Explicit(vec![1.0, 0.3, 0.05]), 0.5);
        let expected = task.expected_loss(&rates, momentum, size);
        assert_eq!(expected.len(), rates.len() + 1);
        let clean = task.batch(Part::Test, &[0], None);
        let mut sums = vec![(0.0, 0.0); expected.len()];
        let mut gradient = Array1::zeros(3);
        for run in 0..RUNS {
            let mut rng = rng(run as u64);
            let (mut weights, mut velocity) = (task.start(0), Array1::zeros(3));
            for (step, sum) in sums.iter_mut().enumerate() {
                let loss = task.evaluate(&weights, &clean, None).loss;
                *sum = (sum.0 + loss, sum.1 + loss * loss);
                if let Some(&lr) = rates.get(step) {
                    let batch = task.batch(Part::Train, &vec![0; size], Some(&mut rng));
                    task.evaluate(&weights, &batch, Some(&mut gradient));
                    velocity = momentum * velocity + &gradient;
                    weights.scaled_add(-lr, &velocity);
                }
            }
        }
        for ((sum, squares), expected) in sums.into_iter().zip(expected) {
            let n = RUNS as f64;
            let mean = sum / n;
            let error = ((squares / n - mean * mean).max(0.0) / n).sqrt();
            // Four standard errors; the first loss is the same in all runs, up to rounding.
            assert!(
                (mean - expected).abs() < 4.0 * error + 1e-12,
                "{mean} {expected} {error}"
            );
        }
    }
}

#[test]
fn one_coordinate_is_solved_by_its_closed_form() {
    let plain = task(geometric(1, 1.0), 0.0);
    assert_eq!(plain.best_rates(3, 1), [1.0, 0.0, 0.0]);
    assert_eq!(plain.expected_loss(&[1.0], 0.0, 1), [0.5, 0.0]);
    // With E θ² = a and q = 1: α = a / (a + 1), and a becomes a / (a + 1), so that α is 1/2, 1/3, 1/4.
    let noisy = task(geometric(1, 1.0), 1.0);
    for rates in [noisy.best_rates(3, 1), noisy.best_schedule(3, 1)] {
        for (rate, t) in rates.iter().zip(2..) {
            assert!((rate - 1.0 / f64::from(t)).abs() < 1e-7, "{rates:?}");
        }
    }
}

/// The smallest final loss of a constant rate, over rates 1 % apart.
fn best_fixed(task: &Quadratic, steps: usize, batch: usize) -> f64 {
    let losses = (0..1000).map(|k| {
        let lr = 2.0 * libm::pow(0.99, f64::from(k));
        task.expected_loss(&vec![lr; steps], 0.0, batch)[steps]
    });
    losses.fold(f64::INFINITY, f64::min)
}

#[test]
fn the_best_schedule_beats_greed_and_every_fixed_rate() {
    for (dimension, condition, steps) in [(10, 100.0, 30), (20, 1000.0, 60)] {
        let task = task(geometric(dimension, condition), 0.1);
        let schedule = task.best_schedule(steps, 1);
        let last = |rates: &[f64]| task.expected_loss(rates, 0.0, 1)[steps];
        let (best, greedy) = (last(&schedule), last(&task.best_rates(steps, 1)));
        let fixed = best_fixed(&task, steps, 1);
        assert!(best < 0.5 * fixed.min(greedy), "{best} {fixed} {greedy}");
        // No rate can be moved alone, or all together, for the better.
        for factor in [0.99, 1.01] {
            for step in 0..steps {
                let mut moved = schedule.clone();
                moved[step] *= factor;
                assert!(last(&moved) >= best);
            }
            let moved: Vec<f64> = schedule.iter().map(|lr| lr * factor).collect();
            assert!(last(&moved) >= best);
        }
        assert_eq!(schedule, task.best_schedule(steps, 1));
        let (_, sweeps) = task.descend(task.best_rates(steps, 1), 1);
        assert!(sweeps < SWEEPS, "not converged");
    }
}

#[test]
fn greed_is_best_for_one_step() {
    let task = task(geometric(6, 50.0), 0.2);
    let (greedy, best) = (task.best_rates(1, 4), task.best_schedule(1, 4));
    assert!((greedy[0] - best[0]).abs() < 1e-12 * best[0]);
    assert!(task.best_rates(0, 1).is_empty() && task.best_schedule(0, 1).is_empty());
}

#[test]
fn what_is_no_problem_is_named() {
    let message = |spectrum, noise, start| {
        let settings = QuadraticSettings {
            spectrum,
            noise,
            start,
            train: 1,
            test: 1,
        };
        Quadratic::new(settings).unwrap_err().to_string()
    };
    let good = || geometric(2, 1.0);
    assert_eq!(
        message(geometric(0, 1.0), 1.0, 1.0),
        "dimension = 0: it must be at least 1"
    );
    assert_eq!(
        message(geometric(2, 0.5), 1.0, 1.0),
        "condition = 0.5: it must be at least 1 and finite"
    );
    for h in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let text = message(Spectrum::Explicit(vec![1.0, h]), 1.0, 1.0);
        assert!(text.starts_with("curvature = "), "{text}");
    }
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(message(geometric(2, bad), 1.0, 1.0).starts_with("condition"));
        assert!(message(good(), bad, 1.0).starts_with("noise"));
        assert!(message(good(), 1.0, bad).starts_with("start"));
    }
    assert!(message(good(), -0.1, 1.0).starts_with("noise = -0.1"));
}
