//! Methods behind the trait, their settings and states.

use super::*;
use crate::schedule::{Schedule, StepLr};
use crate::testkit::Quadratic;
use crate::{AutoLr, AutoLrConfig, Probing, Unit, drive};

const CONFIGS: [&str; 7] = [
    r#"{"kind": "autolr", "lr": 0.01, "factors": "factor_5", "every": 2}"#,
    r#"{"kind": "cosine", "lr": 0.5, "t_max": 7}"#,
    r#"{"kind": "step", "lr": 0.5, "step_size": 3, "unit": "step"}"#,
    r#"{"kind": "reduce-on-plateau", "lr": 0.5, "patience": 1, "threshold": 9, "threshold_mode": "abs"}"#,
    r#"{"kind": "polyak", "max_lr": 0.5}"#,
    r#"{"kind": "greedy", "lr": 0.02, "patience": 1}"#,
    r#"{"kind": "warmup-stable-decay", "lr": 0.5, "total_steps": 30, "decay_ratio": 0.8}"#,
];

fn configs() -> [MethodConfig; 7] {
    CONFIGS.map(|text| serde_json::from_str(text).unwrap())
}

/// One epoch of three steps.
fn epoch(method: &mut dyn Method, model: &mut Quadratic) {
    for _ in 0..3 {
        if method.needs().gradient {
            let (loss, squared_norm) = (model.loss(), 40.0 * model.loss());
            let event = Event::Gradient { loss, squared_norm };
            drive(method, &event, &mut Probing::new(&mut *model)).unwrap();
        }
        model.step(method.lr());
        let event = Event::Step { loss: None };
        drive(method, &event, &mut Probing::new(&mut *model)).unwrap();
    }
    let event = Event::Epoch {
        train_loss: model.loss(),
        validation_loss: Some(model.loss()),
    };
    drive(method, &event, &mut Probing::new(&mut *model)).unwrap();
}

#[test]
fn a_trainer_takes_any_and_each_goes_on_from_its_state() {
    for config in configs() {
        let (mut whole, mut model) = (config.build(), Quadratic::new(3));
        let (mut parts, mut again) = (config.build(), Quadratic::new(3));
        for _ in 0..12 {
            epoch(whole.as_mut(), &mut model);
            epoch(parts.as_mut(), &mut again);
            let text = serde_json::to_string(&parts.state()).unwrap();
            parts = config
                .resume(&serde_json::from_str(&text).unwrap())
                .unwrap();
            assert_eq!(whole.lr().to_bits(), parts.lr().to_bits(), "{config:?}");
            assert_eq!(MethodConfig::of_state(&parts.state()).unwrap(), config);
        }
        assert_ne!(whole.lr(), config.build().lr(), "{config:?}");
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<MethodConfig>(&text).unwrap(), config);
    }
}

#[test]
fn a_state_of_another_kind_or_configuration_is_refused() {
    let configs = configs();
    for (i, config) in configs.iter().enumerate() {
        for (k, other) in configs.iter().enumerate() {
            let state = other.build().state();
            let resumed = config.resume(&state);
            assert_eq!(resumed.is_ok(), i == k, "{config:?} from {state:?}");
        }
    }
    let state = configs[0].build().state();
    let error = configs[3].resume(&state).err().unwrap();
    assert_eq!(
        error.to_string(),
        "scheduler state of kind `autolr`: the configuration is of kind `reduce-on-plateau`"
    );
    let state = configs[1].build().state();
    let error = configs[2].resume(&state).err().unwrap().to_string();
    assert!(
        error.contains("schedule.kind was cosine and is step; ")
            && error.contains("unit was epoch and is step"),
        "{error}"
    );
}

/// The keys of `serde_json`'s maps are sorted: `version` comes last.
#[test]
fn a_state_of_another_version_says_so_whatever_else_is_in_it() {
    for config in configs() {
        let mut json = serde_json::to_value(config.build().state()).unwrap();
        json["later"] = true.into();
        let read = |json: &serde_json::Value| {
            let state: MethodState = serde_json::from_str(&json.to_string()).unwrap();
            config.resume(&state).unwrap_err().to_string()
        };
        let error = read(&json);
        assert!(error.contains("unknown field `later`"), "{error}");
        json["version"] = 99.into();
        let error = read(&json);
        let expected = "scheduler state version 99: this build reads version ";
        assert!(error.starts_with(expected), "{error}");
    }
}

/// A format may write numbers to fewer digits, or read them to within their last bit.
#[test]
fn no_number_of_a_state_depends_on_how_a_format_writes_numbers() {
    fn plain_numbers(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Number(number) => number.is_f64(),
            serde_json::Value::Array(list) => list.iter().any(plain_numbers),
            serde_json::Value::Object(map) => map.values().any(plain_numbers),
            _ => false,
        }
    }
    for config in configs() {
        let mut method = config.build();
        let mut model = Quadratic::new(3);
        (0..5).for_each(|_| epoch(method.as_mut(), &mut model));
        let json = serde_json::to_value(method.state()).unwrap();
        assert!(!plain_numbers(&json), "{json}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_key() {
    for (text, expected) in [
        (
            r#"{"kind": "autolr", "lr": "x", "factors": [1]}"#,
            "lr: invalid type: string \"x\", expected f64",
        ),
        (
            r#"{"kind": "autolr", "lr": 1, "factors": [1, -2]}"#,
            "factors[1] = -2: a factor must be",
        ),
        (
            r#"{"kind": "autolr", "lr": 1, "factors": [1, "x"]}"#,
            "factors[1]: invalid type: string \"x\"",
        ),
        (
            r#"{"kind": "autolr", "factors": [1], "base": {"kind": "fixed", "lr": -1}}"#,
            "base.lr = -1: must be positive",
        ),
        (
            r#"{"kind": "autolr", "lr": 0, "factors": [1]}"#,
            "lr = 0: must be positive",
        ),
        (
            r#"{"kind": "autolr", "lr": 1, "factors": [1], "unit": "hour"}"#,
            "unit: unknown variant `hour`",
        ),
        (
            r#"{"kind": "autolr", "lr": 1, "factors": [1], "gama": 2}"#,
            "unknown field `gama`",
        ),
        (
            r#"{"kind": "open-loop", "schedule": {"kind": "step", "lr": 1}}"#,
            "schedule: missing field `step_size`",
        ),
        (
            r#"{"kind": "reduce-on-plateau", "lr": 1, "patience": 0.5}"#,
            "patience: invalid type: floating point `0.5`, expected u64",
        ),
        (
            r#"{"kind": "autolrr"}"#,
            "unknown variant `autolrr`, expected one of `autolr`, `reduce-on-plateau`, `",
        ),
        (r#"{"lr": 1}"#, "missing field `kind`"),
        (
            r#"{"kind": "fixed", "lr": 1, "unit": "hour"}"#,
            "unit: unknown variant `hour`",
        ),
        ("3", "invalid type: integer `3`, expected a scheduler"),
    ] {
        let error = serde_json::from_str::<MethodConfig>(text)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    // Nothing and null are the same for an optional key, and numbers may be whole.
    let text = r#"{"kind": "autolr", "lr": 1, "min_lr": null, "max_lr": 2, "factors": "factor_3"}"#;
    let config: MethodConfig = serde_json::from_str(text).unwrap();
    let config: AutoLrConfig = config.downcast::<AutoLrConfig>().unwrap().clone();
    assert_eq!(
        (config.lr(), config.bounds()),
        (1.0, (f64::MIN_POSITIVE, 2.0))
    );
    let mut state = serde_json::to_value(AutoLr::new(config.clone()).state()).unwrap();
    state["config"]["lr"] = "x".into();
    let state = serde_json::from_value::<MethodState>(state).unwrap();
    let error = AutoLr::with_state(config, &state).unwrap_err().to_string();
    let expected = "scheduler state: config.lr: invalid type";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_plateau_needs_its_metric() {
    let config: MethodConfig = serde_json::from_str(CONFIGS[3]).unwrap();
    let event = Event::Epoch {
        train_loss: 1.0,
        validation_loss: None,
    };
    let error = config.build().next(&event, &Budget::default());
    assert_eq!(error.unwrap_err(), MethodError::NoMetric);
}

#[test]
fn a_plateau_records_its_falls() {
    let config: MethodConfig =
        serde_json::from_str(r#"{"kind": "reduce-on-plateau", "lr": 0.5, "patience": 0}"#).unwrap();
    let mut method = config.build();
    let mut epoch = |loss: f64| {
        let event = Event::Epoch {
            train_loss: 1.0,
            validation_loss: Some(loss),
        };
        method.next(&event, &Budget::default()).unwrap().record
    };
    assert_eq!(epoch(1.0), None);
    let Some(Record::Change(change)) = epoch(2.0) else {
        panic!("the rate falls");
    };
    assert_eq!((change.lr, change.new_lr), (0.5, 0.05));
    assert_eq!(change.details.number("metric"), Some(2.0));
    assert_eq!(change.details.number("best"), Some(1.0));
}

#[test]
fn an_open_loop_has_the_rates_of_its_schedule() {
    let schedule = StepLr::new(0.5, 2, 0.1).unwrap();
    let mut scheduler = Scheduled::new(ScheduledConfig::new(schedule, Unit::Epoch));
    for t in 0..7 {
        assert_eq!(scheduler.lr(), schedule.lr(t));
        scheduler.tick();
    }
}

#[test]
fn an_open_loop_counts_its_own_unit() {
    let mut model = Quadratic::new(3);
    // Half after every step of 3 ticks.
    let schedule = StepLr::new(1.0, 3, 0.5).unwrap();
    for (unit, expected) in [(Unit::Step, [0.5, 0.25]), (Unit::Epoch, [1.0, 1.0])] {
        let mut scheduler = Scheduled::new(ScheduledConfig::new(schedule, unit));
        let rates = [(); 2].map(|()| {
            epoch(&mut scheduler, &mut model);
            scheduler.lr()
        });
        assert_eq!(rates, expected, "{unit:?}");
    }
}

#[test]
fn kinds_have_names_of_their_own_and_keys_that_they_read() {
    let mut names: Vec<&str> = kinds().map(|kind| kind.name).collect();
    assert!(names.len() >= 17 && names.starts_with(&["autolr"]));
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    for kind in kinds() {
        let text = format!(r#"{{"kind": "{}", "no_such_key": 1}}"#, kind.name);
        let error = serde_json::from_str::<MethodConfig>(&text).unwrap_err();
        let error = error.to_string();
        for key in kind.keys {
            // serde lists the keys that it knows.
            assert!(error.contains(&format!("`{}`", key.name)), "{error}");
        }
    }
}
