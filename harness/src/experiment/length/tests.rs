//! A length that is not given and the same length written out are one specification, at every scale.

use autolr_core::{KeyDefault, Kind, ValueKind};
use toml::{Table, Value};

use crate::experiment::{ExperimentFile, RunSpec, schedulers};

const RUN: &str = "[data]\nset = \"synthetic\"\ntrain_images = 800\ntest_images = 200\naugment = false\n\
    [network]\nkind = \"reference\"\nhidden = 4\n[training]\nepochs = 10\n";

/// The steps of an epoch: of 800 images 640 are trained on, in batches of 32.
const STEPS: i64 = 20;

/// A run with a budget or without, and its length in epochs and in steps.
const BUDGETS: [(&str, i64, i64); 3] = [
    ("", 10, 10 * STEPS),
    ("50 steps", 10, 50),
    // 49.8 steps, which are 49.
    ("2.49 epochs", 10, 49),
];

fn scales() -> Vec<Table> {
    let epochs =
        [1, 2, 3, 9, 10, 11, 40, 1000].map(|epochs| format!("[training]\nepochs = {epochs}"));
    // Half as many steps an epoch.
    let other = "[training]\nepochs = 40\nbatch_size = 64".to_owned();
    let scales = epochs.into_iter().chain([other]);
    scales.map(|text| text.parse().unwrap()).collect()
}

/// A schedule of a kind with the keys that it needs, and the lengths that it has by default.
fn schedule(kind: &Kind) -> (Table, Vec<(&'static str, KeyDefault)>) {
    let mut table = Table::new();
    table.insert("kind".into(), kind.name.into());
    let mut lengths = Vec::new();
    for key in kind.keys {
        match (key.default, key.holds) {
            (KeyDefault::Core(_) | KeyDefault::RunLength, ValueKind::Length) => {
                lengths.push((key.name, key.default));
            }
            (KeyDefault::Core(_), _) => {}
            (_, ValueKind::Number) => drop(table.insert(key.name.into(), 0.1.into())),
            (_, ValueKind::Milestones) => {
                drop(table.insert(key.name.into(), Value::Array(vec![9.into()])))
            }
            (_, ValueKind::Length) => drop(table.insert(key.name.into(), 3.into())),
            (_, other) => panic!("{}: what holds {other:?}?", key.name),
        }
    }
    (table, lengths)
}

/// The schedule itself, and each schedule and method around it.
fn places(inner: &Table) -> Vec<Table> {
    let fixed: Table = "kind = \"fixed\"\nlr = 0.1".parse().unwrap();
    let around = |text: &str, key: &str, value: Value| {
        let mut table: Table = text.parse().unwrap();
        table.insert(key.into(), value);
        table
    };
    let both = |first: &Table, second: &Table| {
        Value::Array(vec![first.clone().into(), second.clone().into()])
    };
    let product = |inner: &Table| around("kind = \"product\"", "schedules", both(inner, &fixed));
    let warm_up = |inner: Table| around("kind = \"warm-up\"\nsteps = 3", "schedule", inner.into());
    let sequential = |list| around("kind = \"sequential\"\nmilestones = [4]", "schedules", list);
    let base = |inner: Table| {
        around(
            "kind = \"autolr\"\nfactors = [2, 1, 0.5]",
            "base",
            inner.into(),
        )
    };
    vec![
        inner.clone(),
        product(inner),
        warm_up(inner.clone()),
        sequential(both(inner, &fixed)),
        sequential(both(&fixed, inner)),
        base(inner.clone()),
        base(warm_up(product(inner))),
    ]
}

fn file(scheduler: &Table, unit: &str, budget: &str) -> Result<ExperimentFile, String> {
    let mut table: Table = RUN.parse().unwrap();
    let mut scheduler = scheduler.clone();
    scheduler.insert("unit".into(), unit.into());
    table.insert("scheduler".into(), scheduler.into());
    if !budget.is_empty() {
        table["training"]
            .as_table_mut()
            .unwrap()
            .insert("budget".into(), budget.into());
    }
    ExperimentFile::parse(&toml::to_string(&table).unwrap()).map_err(|error| error.to_string())
}

fn at(file: &ExperimentFile, scale: &Table) -> RunSpec {
    file.spec(&file.series[0], scale).unwrap()
}

#[test]
fn a_default_length_and_the_same_written_out_are_one_run_at_every_scale() {
    let (mut compared, scales) = (0, scales());
    for kind in schedulers::schedules().filter(|kind| !kind.is_composed()) {
        let (bare, lengths) = schedule(kind);
        for (budget, epochs, steps) in BUDGETS {
            for unit in ["epoch", "step"] {
                let mut written = bare.clone();
                let mut of_the_run = false;
                for (name, default) in &lengths {
                    let length = match default {
                        KeyDefault::Core(default) => default.parse().unwrap(),
                        _ if unit == "step" => steps,
                        _ => epochs,
                    };
                    of_the_run |= matches!(default, KeyDefault::RunLength);
                    written.insert((*name).into(), Value::Integer(length));
                }
                for (bare, written) in places(&bare).iter().zip(places(&written)) {
                    let Ok(bare) = file(bare, unit, budget) else {
                        // Within another schedule nothing is as long as the run.
                        assert!(of_the_run, "{}", kind.name);
                        continue;
                    };
                    let written = file(&written, unit, budget).unwrap();
                    for scale in [Table::new()].iter().chain(&scales) {
                        let (bare, written) = (at(&bare, scale), at(&written, scale));
                        let place = format!("{} {unit} {budget:?} {scale}", kind.name);
                        assert_eq!(
                            bare.to_toml().unwrap(),
                            written.to_toml().unwrap(),
                            "{place}"
                        );
                        assert_eq!(bare.digest().unwrap(), written.digest().unwrap(), "{place}");
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}

/// What a run's folder holds, scaled, is what its file is scaled; scaled once more, it stays.
#[test]
fn a_runs_own_specification_scales_to_the_same_run() {
    for kind in schedulers::schedules().filter(|kind| !kind.is_composed()) {
        for place in places(&schedule(kind).0) {
            let Ok(file) = file(&place, "epoch", "") else {
                continue;
            };
            for scale in scales() {
                let scaled = at(&file, &scale).to_toml().unwrap();
                let unscaled = at(&file, &Table::new()).to_toml().unwrap();
                for own in [&unscaled, &scaled] {
                    let own = ExperimentFile::parse(own).unwrap();
                    let again = at(&own, &scale).to_toml().unwrap();
                    assert_eq!(again, scaled, "{place} {scale}");
                }
            }
        }
    }
}

#[test]
fn lengths_of_the_issue() {
    let forty: Table = "[training]\nepochs = 40".parse().unwrap();
    for text in [
        "kind = \"linear\"\nlr = 0.1",
        "kind = \"linear\"\nlr = 0.1\ntotal_iters = 5",
    ] {
        let file = file(&text.parse().unwrap(), "epoch", "").unwrap();
        let scaled = at(&file, &forty).to_toml().unwrap();
        assert!(scaled.contains("total_iters = 20\n"), "{scaled}");
    }
}

/// Steps of the default optimiser, whatever else is set.
#[test]
fn an_optimizer_without_a_kind_is_sgd() {
    let with = |optimizer: &str| {
        let text = format!("{RUN}[scheduler]\nkind = \"fixed\"\nlr = 0.1\n{optimizer}");
        let file = ExperimentFile::parse(&text).unwrap();
        let of = |settings: &str| {
            let settings: Table = settings.parse().unwrap();
            let scale = "[optimizer]\nweight_decay = 0.5".parse().unwrap();
            file.spec_with(&file.series[0], &scale, &settings)
                .map(|spec| toml::to_string(&spec.optimizer).unwrap())
                .map_err(|error| error.to_string())
        };
        [
            "",
            "optimizer.momentum = 0.75",
            "optimizer.kind = \"sgd\"",
            "optimizer = { kind = \"adamw\" }",
        ]
        .map(of)
    };
    let explicit = with("[optimizer]\nkind = \"sgd\"\n");
    assert!(explicit[1].as_ref().unwrap().contains("momentum = 0.75"));
    assert_eq!(with(""), explicit);
    assert_eq!(with("[optimizer]\n"), explicit);
    let nesterov = "momentum = 0.5\nnesterov = true\n";
    assert_eq!(
        with(&format!("[optimizer]\n{nesterov}")),
        with(&format!("[optimizer]\nkind = \"sgd\"\n{nesterov}"))
    );
    // As a file of the library's, without the checks of an experiment file.
    let text = format!("{RUN}[scheduler]\nkind = \"fixed\"\nlr = 0.1\n[optimizer]\nmomentum = 0.5");
    let spec = RunSpec::from_table(text.parse().unwrap()).unwrap();
    assert_eq!(spec.optimizer.kind(), "sgd");
    // Its keys are those that count.
    let wrong = RunSpec::from_table(text.replace("momentum", "beta1").parse().unwrap());
    let error = wrong.unwrap_err().to_string();
    assert!(
        error.starts_with("optimizer.beta1 = 0.5: kind = \"sgd\" has no such key"),
        "{error}"
    );
}
