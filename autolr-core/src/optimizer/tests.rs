use ndarray::{Array1, array};

use super::*;

fn kinds() -> Vec<OptimizerConfig> {
    let sgd = |momentum, nesterov, weight_decay| {
        OptimizerConfig::Sgd(Sgd {
            momentum,
            nesterov,
            weight_decay,
        })
    };
    let mut all = vec![
        sgd(0.0, false, 0.1),
        sgd(0.9, false, 0.1),
        sgd(0.9, true, 0.1),
    ];
    // Each kind with its defaults.
    for name in OptimizerConfig::NAMES {
        all.push(serde_json::from_value(serde_json::json!({"kind": name})).unwrap());
    }
    all
}

fn gradient(step: u32) -> Array1<f64> {
    Array1::from_shape_fn(4, |i| (f64::from(step) + i as f64 * 0.7).sin())
}

/// The bits of all numbers that an optimiser keeps.
fn bits(optimizer: &Optimizer<Array1<f64>>) -> Vec<u64> {
    let vectors = optimizer.state().flat_map(|(_, v)| v.to_vec());
    let numbers = optimizer
        .numbers()
        .into_iter()
        .flat_map(|(_, n)| n.to_vec());
    vectors.chain(numbers).map(f64::to_bits).collect()
}

#[test]
fn a_direction_is_that_of_the_step_and_leaves_no_trace() {
    for config in kinds() {
        for groups in [
            None,
            Some(Groups {
                multiplier: array![1.0, 0.5, 2.0, 0.0],
                decay: array![0.1, 0.0, 0.3, 0.1],
            }),
        ] {
            if groups.is_some() && !config.is_proportional() {
                continue;
            }
            let mut weights = array![1.0, -2.0, 3.0, 0.5];
            let mut optimizer = Optimizer::new(config, &weights)
                .unwrap()
                .with_tensors(vec![0..1, 1..4])
                .with_groups(groups);
            for step in 0..5 {
                let before = bits(&optimizer);
                let mut direction = gradient(step);
                let factor = optimizer.direction(&weights, &mut direction, 0.1).unwrap();
                assert_eq!(before, bits(&optimizer));
                let mut trial = weights.clone();
                trial.set_sum(&weights, -factor, &direction).unwrap();
                let lr = optimizer
                    .step(&mut weights, &mut gradient(step), 0.1)
                    .unwrap();
                if config.is_proportional() {
                    assert_eq!(lr.to_bits(), 0.1_f64.to_bits());
                    assert_eq!(factor.to_bits(), 0.1_f64.to_bits());
                }
                let bits = |x: &Array1<f64>| x.map(|x| x.to_bits());
                assert!(config.needs_loss() || trial.iter().all(|x| x.is_finite()));
                assert_eq!(bits(&trial), bits(&weights), "{config:?}");
            }
            assert_eq!(optimizer.steps(), 5);
        }
    }
}

/// Taken back to a state, an optimiser goes on as it went on from there.
#[test]
fn a_state_is_all_that_there_is() {
    for config in kinds() {
        let mut weights = array![1.0, -2.0, 3.0, 0.5];
        let new = || {
            let optimizer = Optimizer::new(config, &array![0.0, 0.0, 0.0, 0.0]).unwrap();
            optimizer.with_tensors(vec![0..1, 1..4])
        };
        let mut optimizer = new();
        let go_on = |optimizer: &mut Optimizer<Array1<f64>>, weights: &mut Array1<f64>| {
            for step in 0..4 {
                let mut gradient = gradient(step);
                let loss = weights.dot(weights);
                optimizer
                    .step_at_loss(weights, &mut gradient, 0.1, loss)
                    .unwrap();
            }
        };
        go_on(&mut optimizer, &mut weights);
        let (mut other, mut others) = (new(), weights.clone());
        other.numbers_mut().copy_from_slice(
            &optimizer
                .numbers()
                .iter()
                .flat_map(|(_, n)| n.to_vec())
                .collect::<Vec<_>>(),
        );
        let (steps, vectors) = other.state_mut();
        *steps = optimizer.steps();
        for ((_, to), (_, from)) in vectors.zip(optimizer.state()) {
            to.assign(from);
        }
        go_on(&mut optimizer, &mut weights);
        go_on(&mut other, &mut others);
        assert_eq!(weights, others, "{config:?}");
        assert!(weights.iter().all(|x| x.is_finite()));
        let evaluated = |optimizer: &Optimizer<_>| optimizer.evaluated(&weights).unwrap();
        assert_eq!(evaluated(&optimizer), evaluated(&other));
    }
}

/// A divergence is not hidden: it is in the weights.
#[test]
fn nan_goes_into_the_weights() {
    for config in kinds() {
        for at in [0, 2] {
            let mut weights = array![1.0, -2.0, 3.0, 0.5];
            let mut optimizer = Optimizer::new(config, &weights).unwrap();
            for step in 0..4 {
                let mut gradient = gradient(step);
                if step == at {
                    gradient[1] = f64::NAN;
                }
                optimizer
                    .step_at_loss(&mut weights, &mut gradient, 0.1, 1.0)
                    .unwrap();
            }
            assert!(weights[1].is_nan(), "{config:?}");
        }
        if config.needs_loss() {
            let mut weights = array![1.0, -2.0, 3.0, 0.5];
            let mut optimizer = Optimizer::new(config, &weights).unwrap();
            optimizer
                .step_at_loss(&mut weights, &mut gradient(0), 0.1, f64::NAN)
                .unwrap();
            assert!(weights.iter().any(|x| x.is_nan()), "{config:?}");
        }
    }
}

/// Without a gradient nothing moves, from the first step on.
#[test]
fn a_gradient_of_zero_moves_nothing() {
    for config in kinds() {
        if config.weight_decay() > 0.0 {
            continue;
        }
        let start = array![1.0, -2.0, 3.0, 0.5];
        let mut weights = start.clone();
        let mut optimizer = Optimizer::new(config, &weights).unwrap();
        for _ in 0..3 {
            let mut gradient = Array1::zeros(4);
            let step = optimizer.step_at_loss(&mut weights, &mut gradient, 1.0, 1.0);
            assert!(step.unwrap().is_finite());
        }
        assert_eq!(weights, start, "{config:?}");
    }
}

/// A vector in groups goes where the vectors of each group alone go, with the settings of that group.
#[test]
fn groups_are_optimisers_of_their_own() {
    for config in kinds() {
        if !config.is_proportional() {
            continue;
        }
        let start = array![1.0, -2.0, 3.0, 0.5];
        let (multiplier, decay) = (array![1.0, 1.0, 0.25, 0.25], array![0.1, 0.1, 0.0, 0.0]);
        let groups = Groups { multiplier, decay };
        let mut all = start.clone();
        let mut optimizer = Optimizer::new(config, &all)
            .unwrap()
            .with_groups(Some(groups));
        let mut alone = [0.1, 0.0].map(|weight_decay| {
            let mut settings = serde_json::to_value(config).unwrap();
            settings["weight_decay"] = weight_decay.into();
            let config: OptimizerConfig = serde_json::from_value(settings).unwrap();
            (Optimizer::new(config, &start).unwrap(), start.clone())
        });
        for step in 0..20 {
            optimizer.step(&mut all, &mut gradient(step), 0.01).unwrap();
            for ((optimizer, weights), lr) in alone.iter_mut().zip([0.01, 0.0025]) {
                optimizer.step(weights, &mut gradient(step), lr).unwrap();
            }
        }
        for i in 0..4 {
            // The multiplier rounds once more in each step.
            approx::assert_relative_eq!(all[i], alone[i / 2].1[i], max_relative = 1e-13);
        }
    }
}

#[test]
fn settings_outside_their_range_are_named() {
    for (text, message) in [
        (
            r#"{"kind":"sgd","momentum":1}"#,
            "momentum = 1: must be from 0 to below 1",
        ),
        (
            r#"{"kind":"sgd","nesterov":true}"#,
            "nesterov = true: wants a momentum above 0",
        ),
        (
            r#"{"kind":"sgd","weight_decay":-0.5}"#,
            "weight_decay = -0.5: must be finite and not negative",
        ),
        (
            r#"{"kind":"adamw","beta2":1.5}"#,
            "beta2 = 1.5: must be from 0 to below 1",
        ),
        (
            r#"{"kind":"adamw","eps":-1}"#,
            "eps = -1: must be finite and not negative",
        ),
    ] {
        let config: OptimizerConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.check().unwrap_err().to_string(), message);
    }
    for config in kinds() {
        assert_eq!(config.check(), Ok(()));
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<OptimizerConfig>(&text).unwrap(),
            config
        );
    }
    assert!(serde_json::from_str::<OptimizerConfig>(r#"{"kind":"sgd","beta1":0.5}"#).is_err());
    assert!(serde_json::from_str::<OptimizerConfig>(r#"{"kind":"lion"}"#).is_err());
}

/// The keys of a kind are those that serde reads, and the defaults that it says are those that serde takes.
#[test]
fn kinds_are_those_of_the_types() {
    for kind in OptimizerConfig::KINDS {
        let config: OptimizerConfig =
            serde_json::from_value(serde_json::json!({"kind": kind.name})).unwrap();
        let serde_json::Value::Object(table) = serde_json::to_value(config).unwrap() else {
            unreachable!("a table");
        };
        let mut keys: Vec<&str> = kind.keys.iter().map(|key| key.name).collect();
        keys.insert(0, "kind");
        assert_eq!(
            table
                .keys()
                .map(String::as_str)
                .collect::<std::collections::BTreeSet<_>>(),
            keys.into_iter().collect()
        );
        for key in kind.keys {
            let crate::KeyDefault::Core(default) = key.default else {
                panic!("{} has no default", key.name);
            };
            // A name is not quoted.
            let default: serde_json::Value = default.parse().unwrap_or_else(|_| default.into());
            let same = match (&table[key.name], &default) {
                (serde_json::Value::Number(a), serde_json::Value::Number(b)) => {
                    a.as_f64() == b.as_f64()
                }
                (a, b) => a == b,
            };
            assert!(same, "{}.{}", kind.name, key.name);
        }
    }
}

#[test]
fn a_sign_is_zero_at_zero_and_keeps_nan() {
    let mut x = Array1::<f64>::zeros(4);
    x.set_sign(&array![-3.0, 0.0, 1e-300, f64::NAN]).unwrap();
    assert_eq!(x.as_slice().unwrap()[..3], [-1.0, 0.0, 1.0]);
    assert!(x[3].is_nan());
}
