//! Optimisers with parameter groups against PyTorch's `param_groups`.
//!
//! The steps lie in `fixtures/pytorch-trace/groups.json`; `generate.py` beside them made them.

use approx::assert_relative_eq;
use autolr_core::optimizer::{Flat, Groups, Optimizer, OptimizerConfig};
use ndarray::Array1;
use serde::Deserialize;

#[derive(Deserialize)]
struct Recorded {
    groups: Vec<Group>,
    start: Vec<f64>,
    gradients: Vec<Vec<f64>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Group {
    parameters: usize,
    lr_multiplier: f64,
    weight_decay: f64,
}

#[derive(Deserialize)]
struct Case {
    dtype: String,
    optimizer: OptimizerConfig,
    lr: f64,
    x: Vec<Vec<f64>>,
}

/// The weights after each step.
fn steps<F: Flat>(
    recorded: &Recorded,
    case: &Case,
    vector: impl Fn(&[f64]) -> F,
    read: impl Fn(&F) -> Vec<f64>,
) -> Vec<Vec<f64>>
where
    F::Error: std::fmt::Debug,
{
    let spread = |of: fn(&Group) -> f64| {
        let each = |group| std::iter::repeat_n(of(group), group.parameters);
        vector(&recorded.groups.iter().flat_map(each).collect::<Vec<_>>())
    };
    let groups = Groups {
        multiplier: spread(|group| group.lr_multiplier),
        decay: spread(|group| group.weight_decay),
    };
    let mut weights = vector(&recorded.start);
    let optimizer = Optimizer::new(case.optimizer, &weights).unwrap();
    let mut optimizer = optimizer.with_groups(Some(groups));
    let step = |gradient: &Vec<f64>| {
        optimizer
            .step(&mut weights, &mut vector(gradient), case.lr)
            .unwrap();
        read(&weights)
    };
    recorded.gradients.iter().map(step).collect()
}

#[test]
fn groups_are_pytorchs_param_groups() {
    let text = include_str!("../../fixtures/pytorch-trace/groups.json");
    let recorded: Recorded = serde_json::from_str(text).expect("the recorded steps are valid");
    assert_eq!(recorded.cases.len(), 6);
    for case in &recorded.cases {
        // Twenty steps, each rounding a few times at magnitude 1.
        let (found, tolerance) = match case.dtype.as_str() {
            "float64" => {
                let vector = |x: &[f64]| Array1::from(x.to_vec());
                (steps(&recorded, case, vector, |x| x.to_vec()), 1e-13)
            }
            "float32" => {
                let vector = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Array1<_>>();
                let read = |x: &Array1<f32>| x.iter().map(|&x| x.into()).collect();
                (steps(&recorded, case, vector, read), 5e-6)
            }
            other => panic!("{other}"),
        };
        assert_eq!(found.len(), case.x.len());
        for (found, expected) in found.iter().flatten().zip(case.x.iter().flatten()) {
            assert_relative_eq!(
                found,
                expected,
                max_relative = tolerance,
                epsilon = tolerance
            );
        }
    }
}
