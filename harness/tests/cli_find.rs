//! `autolr find`: the search of `robust` alone.

mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::data::Location;
use harness::record::EpochRecord;
use harness::train::{Observer, RunOptions, run};
use harness::workload;
use support::{output, printed};
use tempfile::TempDir;

const SPEC: &str = r#"
[data]
set = "digits-1d"
train_images = 2000
test_images = 500
augment = false

[network]
kind = "mlp"

[scheduler]
kind = "fixed"
lr = 0.1

[training]
epochs = 20
device = "cpu"
"#;

fn folder(spec: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("spec.toml"), spec).unwrap();
    dir
}

#[test]
fn it_finds_what_a_run_of_robust_finds_and_leaves_nothing() {
    let dir = folder(SPEC);
    let found = printed(dir.path(), &["find", "spec.toml", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let lr = found["lr"].as_f64().unwrap();
    assert!((0.01..=2.0).contains(&lr), "{lr}");
    assert_eq!(found["steps"], 1000);
    let trials = found["trials"].as_array().unwrap();
    let steps: u64 = trials
        .iter()
        .map(|trial| trial["steps"].as_u64().unwrap())
        .sum();
    assert_eq!(found["search_steps"], steps);
    let edge = found["edge"].as_f64();
    assert!(edge.is_none_or(|edge| edge > lr), "{found}");

    fs::write(
        dir.path().join("robust.toml"),
        SPEC.replace("kind = \"fixed\"\nlr = 0.1", "kind = \"robust\""),
    )
    .unwrap();
    printed(
        dir.path(),
        &["run", "robust.toml", "--json", "--threads", "1"],
    );
    let run = fs::read_dir(dir.path().join("runs")).unwrap().next();
    let log = fs::read_to_string(run.unwrap().unwrap().path().join("events.jsonl")).unwrap();
    let change = log
        .lines()
        .find(|line| line.contains("\"change\""))
        .unwrap();
    let change: serde_json::Value = serde_json::from_str(change).unwrap();
    assert_eq!(change["new_lr"], found["lr"]);
}

#[test]
fn a_person_gets_the_trials_the_rate_and_what_to_paste() {
    let adamw = "[optimizer]\nkind = \"adamw\"\n\n[scheduler]";
    let dir = folder(&SPEC.replace("[scheduler]", adamw));
    let found = printed(dir.path(), &["find", "spec.toml"]);
    for text in [
        "loss afterwards",
        "learning rate: ",
        "search: ",
        "torch.optim.AdamW(model.parameters(), lr=",
        "torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 21, 1 - step / 1000))",
    ] {
        assert!(found.contains(text), "{text}: {found}");
    }
}

/// Stops a run after half of the 20 epochs.
struct HalfWay<'a>(&'a AtomicBool);

impl Observer for HalfWay<'_> {
    fn epoch(&mut self, record: &EpochRecord) {
        self.0.store(record.epoch == 9, Ordering::Relaxed);
    }
}

#[test]
fn at_a_checkpoint_it_searches_from_its_weights_for_the_epochs_that_are_left() {
    let dir = folder(SPEC);
    let spec = support::spec(SPEC);
    let flag = AtomicBool::new(false);
    let mut observer = HalfWay(&flag);
    let mut options = RunOptions::new(&flag, 1, &mut observer);
    let location = Location::choose(Some(dir.path()), None, dir.path());
    let build = || workload::build(&spec, &location, 1);
    run(&spec, &dir.path().join("run"), &build, &mut options).unwrap_err();
    let checkpoint = "run/checkpoint.safetensors";
    let find = |more: &[&str]| -> serde_json::Value {
        let args = [&["find", "spec.toml", "--json"], more].concat();
        serde_json::from_str(&printed(dir.path(), &args)).unwrap()
    };
    let start = find(&[]);
    let later = find(&["--checkpoint", checkpoint, "--figure", "find.svg"]);
    assert_eq!([&start["steps"], &later["steps"]], [1000, 500]);
    // A tiny rate changes nothing: the loss is that of the weights it began with.
    let first = |found: &serde_json::Value| found["trials"][0]["loss"].as_f64().unwrap();
    assert!(first(&later) < 0.8 * first(&start), "{later}");
    let figure = fs::read_to_string(dir.path().join("find.svg")).unwrap();
    for text in ["<svg ", "learning rate", " steps</text>", "spec"] {
        assert!(figure.contains(text), "{text}: {figure}");
    }

    fs::write(
        dir.path().join("other.toml"),
        SPEC.replace("epochs = 20", "epochs = 21"),
    )
    .unwrap();
    fs::write(
        dir.path().join("budget.toml"),
        SPEC.replace("epochs = 20", "epochs = 20\nbudget = \"900 steps\""),
    )
    .unwrap();
    for (spec, file, text) in [
        ("spec.toml", "run/none", "run/none: no such file"),
        ("spec.toml", "spec.toml", "spec.toml: not a checkpoint"),
        ("other.toml", checkpoint, "of another specification"),
        ("budget.toml", checkpoint, "training.budget"),
    ] {
        let output = output(dir.path(), &["find", spec, "--checkpoint", file]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{spec} {file}: {stderr}");
        assert!(stderr.contains(text), "{spec} {file}: {stderr}");
    }
}

#[test]
fn a_run_too_short_for_a_search_says_so() {
    let dir = folder(&SPEC.replace("epochs = 20", "epochs = 1\nbudget = \"20 steps\""));
    let found = printed(dir.path(), &["find", "spec.toml"]);
    assert!(found.starts_with("learning rate: 1.00e-2\n"), "{found}");
    assert!(
        found.contains("too short for a search: this rate is a guess"),
        "{found}"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let dir = folder(&SPEC.replace("epochs = 20", "epochs = 0"));
    for (args, text) in [
        (&["find", "spec.toml"][..], "training.epochs = 0"),
        (&["find", "nothing.toml"], "nothing.toml"),
        (
            &["sensitivity", "--problems", "quadratik"],
            "did you mean `quadratic`?",
        ),
        (
            &["sensitivity", "--methods", "robost"],
            "did you mean `robust`?",
        ),
        (
            &["sensitivity", "--methods", "robust,robust"],
            "robust is given twice",
        ),
        (&["sensitivity", "--lrs", "1..0.5:3"], "two to 1000 rates"),
        (
            &["sensitivity", "--seeds", "99..101"],
            "seeds below 100 are needed",
        ),
    ] {
        let output = output(dir.path(), args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(text), "{args:?}: {stderr}");
    }
    assert!(!dir.path().join("sensitivity").exists());
    for (tuned, text) in [
        ("{", "tuned.json"),
        (
            r#"{"quadratik": {"schedule": "linear", "lr": 1, "validation": 1}}"#,
            "quadratik",
        ),
        (
            r#"{"quadratic": {"schedule": "robust", "lr": 1, "validation": 1}}"#,
            "quadratic.schedule",
        ),
        (
            r#"{"quadratic": {"schedule": "linear", "lr": -1, "validation": 1}}"#,
            "quadratic.lr = -1",
        ),
    ] {
        fs::write(dir.path().join("tuned.json"), tuned).unwrap();
        let output = output(dir.path(), &["sensitivity", "--out", "."]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{tuned}: {stderr}");
        assert!(stderr.contains(text), "{tuned}: {stderr}");
    }
}
