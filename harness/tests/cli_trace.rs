//! `autolr trace` against the steps that PyTorch itself took (fixtures/pytorch-trace), and its bad input.

mod support;

use std::path::{Path, PathBuf};

use approx::assert_relative_eq;
use serde::Deserialize;
use serde_json::Value;
use support::{output, printed};
use tempfile::TempDir;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/pytorch-trace")
}

#[derive(Deserialize)]
struct Step {
    step: u64,
    lr: f64,
    loss: f64,
    x: Vec<f64>,
}

#[derive(Deserialize)]
struct Trace {
    optimizer: serde_json::Map<String, Value>,
    scheduler: serde_json::Map<String, Value>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Recorded {
    traces: Vec<Trace>,
}

/// The words of a command: a trace of PROBLEM.json with these settings.
fn words<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    let set = settings.iter().flat_map(|&setting| ["--set", setting]);
    ["trace", "problem.json"].into_iter().chain(set).collect()
}

/// The steps of a trace of PROBLEM.json, which is in `dir`.
fn trace(dir: &Path, settings: &[&str], steps: usize) -> Vec<Step> {
    let count = steps.to_string();
    let mut words = words(settings);
    words.extend(["--json", "--steps", &count]);
    let line = |line| serde_json::from_str(line).expect("a step");
    printed(dir, &words).lines().map(line).collect()
}

#[test]
fn sgd_and_adamw_take_pytorchs_steps() {
    let text = std::fs::read_to_string(folder().join("traces.json")).unwrap();
    let recorded: Recorded = serde_json::from_str(&text).unwrap();
    assert_eq!(recorded.traces.len(), 9);
    for expected in recorded.traces {
        let tables = [
            ("optimizer", expected.optimizer),
            ("scheduler", expected.scheduler),
        ];
        let settings = tables.iter().flat_map(|(table, keys)| {
            let set = move |(key, value): (&String, &Value)| match value {
                Value::String(text) => format!("{table}.{key}={text}"),
                other => format!("{table}.{key}={other}"),
            };
            keys.iter().map(set)
        });
        let settings: Vec<String> = settings.collect();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let found = trace(&folder(), &settings, expected.steps.len());
        assert_eq!(found.len(), expected.steps.len());
        for (found, expected) in found.iter().zip(&expected.steps) {
            assert_eq!(found.step, expected.step);
            assert_eq!(found.x.len(), expected.x.len());
            let pairs = found.x.iter().zip(&expected.x);
            for (a, b) in pairs.chain([(&found.lr, &expected.lr), (&found.loss, &expected.loss)]) {
                // Fifty steps, each with some rounding of 1e-16; the largest difference seen is 3e-15.
                assert_relative_eq!(a, b, max_relative = 1e-12, epsilon = 1e-12);
            }
        }
    }
}

/// A folder with a PROBLEM.json in it.
fn written(content: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("problem.json"), content).unwrap();
    dir
}

#[test]
fn the_closed_loop_decides_after_each_step() {
    let dir = written(r#"{"a": [[1]], "b": [0], "x0": [1]}"#);
    let settings = [
        "scheduler.kind=autolr",
        "scheduler.lr=0.5",
        "scheduler.factors=[2]",
    ];
    let steps = trace(dir.path(), &settings, 3);
    let rates: Vec<f64> = steps.iter().map(|step| step.lr).collect();
    // The closed loop takes the only factor there is, after each step.
    assert_eq!(rates, [0.5, 1.0, 2.0]);
    assert_eq!(steps[1].x, [0.5]);
    assert_eq!(steps[2].x, [0.0]);
}

#[test]
fn bad_input_is_named_before_any_step() {
    let good = r#"{"a": [[1]], "b": [0], "x0": [1]}"#;
    let lr = "scheduler.lr=0.1";
    for (content, settings, said) in [
        (
            r#"{"a": [[1]], "b": [1, 2], "x0": [1]}"#,
            vec![lr],
            "b has 2 entries, x0 1",
        ),
        (
            r#"{"a": [[1, 2]], "b": [1], "x0": [1]}"#,
            vec![lr],
            "a[0] has 2 entries, x0 1",
        ),
        (
            r#"{"a": [], "b": [1], "x0": [1]}"#,
            vec![lr],
            "a has 0 rows, x0 1 entries",
        ),
        (
            r#"{"a": [[1]], "b": [1], "x0": [1], "noise": [[1], []]}"#,
            vec![lr],
            "noise[1] has 0 entries, x0 1",
        ),
        (r#"{"a": [], "b": [], "x0": []}"#, vec![lr], "x0 is empty"),
        (
            r#"{"a": [[NaN]], "b": [1], "x0": [1]}"#,
            vec![lr],
            "expected value",
        ),
        (
            r#"{"a": [[1e999]], "b": [1], "x0": [1]}"#,
            vec![lr],
            "number out of range",
        ),
        (
            r#"{"a": [[1]], "b": [1], "x0": [1], "c": 1}"#,
            vec![lr],
            "unknown field `c`",
        ),
        (r#"{"a": [[1]], "b": [1]}"#, vec![lr], "missing field `x0`"),
        (good, vec![], "scheduler.lr: missing"),
        (
            good,
            vec!["scheduler.lr=0"],
            "scheduler.lr = 0: must be positive",
        ),
        (
            good,
            vec![lr, "optimizer.kind=adamv"],
            "did you mean `adamw`?",
        ),
        (
            good,
            vec![lr, "optimizer.beta1=0.5"],
            "optimizer.beta1 = 0.5: kind = \"sgd\" has no such key",
        ),
        (
            good,
            vec![lr, "training.epochs=3"],
            "keys of [optimizer] and [scheduler]",
        ),
        (good, vec!["scheduler.lr=0.1,0.2"], "one value is needed"),
        (good, vec!["scheduler.lr"], "write KEY=VALUE"),
    ] {
        let dir = written(content);
        let output = output(dir.path(), &words(&settings));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{content} {settings:?}: {error}"
        );
        assert!(error.contains(said), "{content} {settings:?}: {error}");
        assert!(output.stdout.is_empty());
    }
    let dir = written(good);
    for steps in ["0", "1000000000000", "0.5"] {
        let args = ["trace", "problem.json", "--set", lr, "--steps", steps];
        let refused = output(dir.path(), &args);
        assert_eq!(refused.status.code(), Some(2), "{steps}");
        assert!(refused.stdout.is_empty(), "{steps}");
    }
}
