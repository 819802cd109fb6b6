//! Optimisers that find their own step size, against their public implementations.
//!
//! The steps lie in `fixtures/reference/optimizers/values.json`; `generate.py` beside it made them, and says with which versions.

use approx::assert_relative_eq;
use autolr_core::optimizer::{Optimizer, OptimizerConfig};
use ndarray::{Array1, Array2};
use serde::Deserialize;

#[derive(Deserialize)]
struct Recorded {
    sizes: Vec<usize>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    optimizer: OptimizerConfig,
    lr: f64,
    steps: Vec<Step>,
    end: Vec<f64>,
    evaluated: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Step {
    lr: f64,
    loss: f64,
    x: Vec<f64>,
}

#[derive(Deserialize)]
struct Problem {
    a: Vec<Vec<f64>>,
    b: Vec<f64>,
    x0: Vec<f64>,
    noise: Vec<Vec<f64>>,
}

/// Fifty steps, each rounding some twenty times, in another order than the reference does.
const TOLERANCE: f64 = 1e-10;

fn assert_same(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let same = approx::relative_eq!(
            found,
            expected,
            max_relative = TOLERANCE,
            epsilon = TOLERANCE
        );
        assert!(same, "{what}: {found:?} instead of {expected:?}");
    }
}

#[test]
fn steps_and_rates_are_those_of_the_references() {
    let text = include_str!("../../fixtures/reference/optimizers/values.json");
    let recorded: Recorded = serde_json::from_str(text).expect("the recorded steps are valid");
    let text = include_str!("../../fixtures/pytorch-trace/problem.json");
    let problem: Problem = serde_json::from_str(text).expect("the problem is valid");
    let n = problem.x0.len();
    let a = Array2::from_shape_vec((n, n), problem.a.concat()).unwrap();
    let mut begin = 0;
    let tensors = recorded.sizes.iter().map(|size| {
        begin += size;
        begin - size..begin
    });
    let tensors: Vec<_> = tensors.collect();
    // The others are checked against PyTorch, or, without a public implementation, beside their code.
    let elsewhere = [
        "sgd",
        "adamw",
        "signsgd",
        "averaged-sgd",
        "multiplicative-hypergradient-sgd",
    ];
    for name in OptimizerConfig::NAMES {
        let here = |case: &Case| case.optimizer.kind() == *name;
        let is_here = recorded.cases.iter().any(here);
        assert_ne!(is_here, elsewhere.contains(name), "{name}");
    }
    for case in &recorded.cases {
        case.optimizer.check().unwrap();
        let mut x = Array1::from(problem.x0.clone());
        let optimizer = Optimizer::new(case.optimizer, &x).unwrap();
        let mut optimizer = optimizer.with_tensors(tensors.clone());
        assert_eq!(case.steps.len(), 50);
        for (number, step) in case.steps.iter().enumerate() {
            let what = format!("{:?}, step {number}", case.optimizer);
            assert_same(x.as_slice().unwrap(), &step.x, &what);
            let noise = &problem.noise[number % problem.noise.len()];
            let pull = Array1::from(problem.b.clone()) - Array1::from(noise.clone());
            let ax = a.dot(&x);
            let loss = 0.5 * x.dot(&ax) - pull.dot(&x);
            assert_same(&[loss], &[step.loss], &what);
            let lr = optimizer
                .step_at_loss(&mut x, &mut (ax - pull), case.lr, loss)
                .unwrap();
            // Rates can be as small as 1e-7.
            assert_relative_eq!(lr, step.lr, max_relative = TOLERANCE, epsilon = 1e-16);
        }
        let what = format!("{:?}, end", case.optimizer);
        assert_same(x.as_slice().unwrap(), &case.end, &what);
        let evaluated = optimizer.evaluated(&x).unwrap();
        match (&evaluated, &case.evaluated) {
            (Some(found), Some(expected)) => {
                assert_same(found.as_slice().unwrap(), expected, &what);
            }
            (found, expected) => assert_eq!(found.is_some(), expected.is_some(), "{what}"),
        }
    }
}
