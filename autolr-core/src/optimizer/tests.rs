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
            let mut weights = array![1.0, -2.0, 3.0, 0.5];
            let mut optimizer = Optimizer::new(config, &weights)
                .unwrap()
                .with_groups(groups);
            for step in 0..5 {
                let before: Vec<_> = optimizer.state().map(|(_, v)| v.clone()).collect();
                let mut direction = gradient(step);
                optimizer.direction(&weights, &mut direction).unwrap();
                let after: Vec<_> = optimizer.state().map(|(_, v)| v.clone()).collect();
                assert_eq!(before, after);
                let mut trial = weights.clone();
                trial.set_sum(&weights, -0.1, &direction).unwrap();
                let lr = optimizer
                    .step(&mut weights, &mut gradient(step), 0.1)
                    .unwrap();
                assert_eq!(lr.to_bits(), 0.1_f64.to_bits());
                assert_eq!(trial, weights, "{config:?}");
            }
            assert_eq!(optimizer.steps(), 5);
        }
    }
}

/// A vector in groups goes where the vectors of each group alone go, with the settings of that group.
#[test]
fn groups_are_optimisers_of_their_own() {
    for config in kinds() {
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
            let default: serde_json::Value = default.parse().unwrap();
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
