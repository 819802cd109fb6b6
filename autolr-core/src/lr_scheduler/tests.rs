//! Schedulers behind the trait, their configurations and states.

use super::*;
use crate::schedule::StepLr;
use crate::testkit::Quadratic;
use std::convert::Infallible;

const CONFIGS: [&str; 4] = [
    r#"{"kind": "autolr", "lr": 0.01, "factors": "factor_5", "every": 2}"#,
    r#"{"kind": "open-loop", "schedule": {"kind": "cosine", "lr": 0.5, "t_max": 7}}"#,
    r#"{"kind": "open-loop", "unit": "step", "schedule": {"kind": "step", "lr": 0.5, "step_size": 3}}"#,
    r#"{"kind": "reduce-on-plateau", "lr": 0.5, "patience": 1, "threshold": 9, "threshold_mode": "abs"}"#,
];

fn configs() -> [SchedulerConfig; 4] {
    CONFIGS.map(|text| serde_json::from_str(text).unwrap())
}

/// One epoch of three steps.
fn epoch(scheduler: &mut dyn LrScheduler<Infallible>, model: &mut Quadratic) {
    for _ in 0..3 {
        model.step(scheduler.lr());
        scheduler.advance(Tick::step(), model).unwrap();
    }
    let loss = model.loss();
    scheduler.advance(Tick::epoch(loss), model).unwrap();
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
        }
        assert_ne!(whole.lr(), config.build::<Infallible>().lr(), "{config:?}");
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<SchedulerConfig>(&text).unwrap(),
            config
        );
    }
}

#[test]
fn a_state_of_another_kind_or_configuration_is_refused() {
    let configs = configs();
    for (i, config) in configs.iter().enumerate() {
        for (k, other) in configs.iter().enumerate() {
            let state = other.build::<Infallible>().state();
            let resumed = config.resume::<Infallible>(&state);
            assert_eq!(resumed.is_ok(), i == k, "{config:?} from {state:?}");
        }
    }
    let state = configs[0].build::<Infallible>().state();
    let error = configs[3].resume::<Infallible>(&state).err().unwrap();
    assert_eq!(
        error.to_string(),
        "scheduler state of kind `autolr`: the configuration is of kind `reduce-on-plateau`"
    );
    let state = configs[1].build::<Infallible>().state();
    let error = configs[2]
        .resume::<Infallible>(&state)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("schedule.kind was cosine and is step; ")
            && error.contains("unit was epoch and is step"),
        "{error}"
    );
}

#[test]
fn a_state_of_another_version_says_so() {
    for config in configs() {
        let mut json = serde_json::to_value(config.build::<Infallible>().state()).unwrap();
        json["version"] = 99.into();
        let error = serde_json::from_value::<SchedulerState>(json)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("scheduler state version 99: this build reads version "),
            "{error}"
        );
    }
}

/// The keys of `serde_json`'s maps are sorted: `version` comes last.
#[test]
fn a_state_of_another_version_says_so_whatever_else_is_in_it() {
    for config in configs() {
        let mut json = serde_json::to_value(config.build::<Infallible>().state()).unwrap();
        for (key, unknown) in json.as_object_mut().unwrap() {
            if key == "config" || key == "schedule" {
                unknown["of_a_later_version"] = true.into();
            }
        }
        json["later"] = true.into();
        let read = |json: &serde_json::Value| {
            serde_json::from_str::<SchedulerState>(&json.to_string())
                .unwrap_err()
                .to_string()
        };
        let error = read(&json);
        assert!(error.contains("unknown field"), "{error}");
        json["version"] = 99.into();
        let error = read(&json);
        let expected = "scheduler state version 99: this build reads version ";
        assert!(error.starts_with(expected), "{error}");
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
            "base: lr = -1: must be positive",
        ),
        (
            r#"{"kind": "autolr", "lr": 0, "factors": [1]}"#,
            "lr = 0: a learning rate must be",
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
            "unknown variant `autolrr`, expected one of `autolr`, `open-loop`",
        ),
        (r#"{"lr": 1}"#, "missing field `kind`"),
        ("3", "invalid type: integer `3`, expected a scheduler"),
    ] {
        let error = serde_json::from_str::<SchedulerConfig>(text)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    // Nothing and null are the same for an optional key, and numbers may be whole.
    let text = r#"{"kind": "autolr", "lr": 1, "min_lr": null, "max_lr": 2, "factors": "factor_3"}"#;
    let config: SchedulerConfig = serde_json::from_str(text).unwrap();
    let SchedulerConfig::AutoLr(config) = config else {
        panic!("{config:?}")
    };
    assert_eq!(
        (config.lr(), config.bounds()),
        (1.0, (f64::MIN_POSITIVE, 2.0))
    );
    let mut state = serde_json::to_value(AutoLr::new(config).state()).unwrap();
    state["config"]["lr"] = "x".into();
    let error = serde_json::from_value::<SchedulerState>(state)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("config.lr: invalid type"), "{error}");
}

#[test]
fn a_plateau_needs_its_metric() {
    let config: SchedulerConfig = serde_json::from_str(CONFIGS[3]).unwrap();
    let mut scheduler = config.build::<Infallible>();
    let tick = Tick {
        unit: Unit::Epoch,
        metric: None,
    };
    let error = scheduler.advance(tick, &mut Quadratic::new(1)).unwrap_err();
    assert!(matches!(error, ProbeError::NoMetric));
}

#[test]
fn an_open_loop_has_the_rates_of_its_schedule() {
    let schedule = StepLr::new(0.5, 2, 0.1).unwrap();
    let mut scheduler = OpenLoop::new(schedule, Unit::Epoch);
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
        let mut scheduler = OpenLoop::new(schedule, unit);
        let rates = [(); 2].map(|()| {
            epoch(&mut scheduler, &mut model);
            scheduler.lr()
        });
        assert_eq!(rates, expected, "{unit:?}");
    }
}
