//! `autolr compare`, over runs whose logs are written by hand.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use harness::disk::Disk;
use harness::experiment::RunSpec;
use harness::record::{
    Build, DataProvenance, EpochRecord, Evaluation, Event, LogWriter, Outcome, Provenance, Summary,
};
use serde_json::Value;
use support::{REFERENCE, output, printed, spec, with};
use tempfile::TempDir;

/// A baseline beside [`REFERENCE`].
fn constant() -> String {
    with(
        REFERENCE,
        "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "kind = \"constant\"\nlr = 0.1",
    )
}

/// How a run of the test ends.
#[derive(Clone, Copy)]
enum End {
    Completed(f64),
    Diverged,
    NotFinished,
}

/// A run's folder under `runs`, with a log.
fn write_run(runs: &Path, text: &str, seed: u64, end: End) -> PathBuf {
    let spec = RunSpec {
        training: harness::experiment::TrainingSpec {
            seed,
            ..spec(text).training
        },
        ..spec(text)
    };
    let dir = runs.join(spec.run_name().unwrap());
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("spec.toml"), spec.to_toml().unwrap()).unwrap();
    fs::write(
        dir.join("timings.jsonl"),
        "{\"epoch\": 0, \"seconds\": 1.5}\n",
    )
    .unwrap();
    let mut log = LogWriter::create(&Disk::default(), &dir.join("events.jsonl")).unwrap();
    let data = DataProvenance {
        name: "points".to_owned(),
        synthetic: true,
        digest: "d".repeat(64),
        train: 640,
        validation: 160,
        scoring: 640,
        test: 200,
    };
    log.append(&Event::RunStarted(Provenance {
        format: 1,
        spec: spec.digest().unwrap(),
        autolr: "0.1.0".to_owned(),
        libtorch: None,
        device: "cpu".to_owned(),
        threads: 1,
        parameters: 100,
        data,
        build: Build::default(),
    }))
    .unwrap();
    log.append(&Event::Epoch(EpochRecord {
        epoch: 0,
        lr: 0.05,
        rates: None,
        steps: 20,
        train_loss: 1.0,
        train_accuracy: Some(0.5),
        validation_loss: 1.0,
        validation_accuracy: Some(0.5),
    }))
    .unwrap();
    let (outcome, accuracy) = match end {
        End::Completed(accuracy) => (Outcome::Completed, accuracy),
        End::Diverged => {
            let reason = "the training loss is NaN".to_owned();
            (Outcome::Diverged { epoch: 0, reason }, 0.4)
        }
        End::NotFinished => return dir,
    };
    let tested = |accuracy| {
        Some(Evaluation {
            loss: 0.5,
            accuracy: Some(accuracy),
            images: 200,
        })
    };
    log.append(&Event::RunFinished(Summary {
        outcome,
        epochs: 1,
        best_epoch: Some(0),
        best: tested(accuracy),
        last: tested(accuracy - 0.01),
        reported: "best-validation".to_owned(),
        forwards: 1_000,
        backwards: 640,
        probe_forwards: 96,
        budget_spent: false,
        log: None,
        probe_backwards: 32,
    }))
    .unwrap();
    dir
}

/// Both specifications as files, and runs by seed.
fn set_up(dir: &Path, ours: &[End], baseline: &[End]) {
    fs::write(dir.join("ours.toml"), REFERENCE).unwrap();
    fs::write(dir.join("constant.toml"), constant()).unwrap();
    for (text, ends) in [(REFERENCE, ours), (&constant(), baseline)] {
        for (seed, end) in ends.iter().enumerate() {
            write_run(&dir.join("runs"), text, seed as u64, *end);
        }
    }
}

const OURS: [End; 6] = [
    End::Completed(0.870),
    End::Completed(0.865),
    End::Completed(0.880),
    End::Completed(0.875),
    End::Completed(0.870),
    End::Completed(0.865),
];
const BASELINE: [End; 6] = [
    End::Completed(0.850),
    End::Completed(0.850),
    End::Completed(0.850),
    End::Completed(0.855),
    End::Completed(0.845),
    End::Completed(0.850),
];

#[test]
fn six_seeds_of_two_specifications() {
    let temp = TempDir::new().unwrap();
    set_up(temp.path(), &OURS, &BASELINE);
    // Another specification's run, and a folder that is none, do not count.
    let other = with(REFERENCE, "epochs = 6", "epochs = 7");
    write_run(&temp.path().join("runs"), &other, 0, End::Diverged);
    fs::create_dir(temp.path().join("runs/empty")).unwrap();
    insta::assert_snapshot!(printed(
        temp.path(),
        &["compare", "ours.toml", "constant.toml"]
    ));
    let json = printed(
        temp.path(),
        &["compare", "constant.toml", "ours.toml", "--json"],
    );
    assert_eq!(json.lines().count(), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    // The differences are 2, 1.5, 3, 2, 2.5 and 1.5 points the other way.
    assert!((json["mean_difference"].as_f64().unwrap() + 12.5 / 6.0).abs() < 1e-9);
    assert_eq!(json["p"], 0.03125);
    assert_eq!(json["p_exact"], true);
    assert_eq!(json["verdict"], "worse");
    assert_eq!(json["b"]["completed"], 6);
    assert_eq!(json["b"]["forwards"], 6_000);
    assert_eq!(json["b"]["seconds"], 9.0);
    assert_eq!(json["pairs"][1]["seed"], 1);
}

#[test]
fn diverged_unfinished_and_lonely_runs_are_said() {
    let temp = TempDir::new().unwrap();
    let mut ours = OURS.to_vec();
    ours[2] = End::Diverged;
    // A seventh seed that the baseline does not have.
    ours.push(End::Completed(0.9));
    set_up(temp.path(), &ours, &BASELINE);
    insta::assert_snapshot!(printed(
        temp.path(),
        &["compare", "ours.toml", "constant.toml"]
    ));
    let dir = write_run(&temp.path().join("runs"), &constant(), 3, End::NotFinished);
    assert!(dir.is_dir());
    let said = printed(temp.path(), &["compare", "ours.toml", "constant.toml"]);
    assert!(
        said.ends_with("Verdict: not finished: 1 of 7 outstanding.\n"),
        "{said}"
    );
    // What it has cost is known at its end.
    assert!(
        said.contains(
            "  B  6 epochs, 9.0 s, so far; compute unknown until all runs are finished\n"
        ),
        "{said}"
    );
    let json = printed(
        temp.path(),
        &["compare", "ours.toml", "constant.toml", "--json"],
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["b"]["forwards"], Value::Null);
    assert!(json["a"]["forwards"].is_number());
}

#[test]
fn other_programs_are_said() {
    let temp = TempDir::new().unwrap();
    set_up(temp.path(), &OURS, &BASELINE);
    let made_by = |text: &str, seed: usize, commit: &str| {
        let run = write_run(&temp.path().join("runs"), text, seed as u64, OURS[seed]);
        let path = run.join("events.jsonl");
        let log = fs::read_to_string(&path).unwrap();
        let (first, rest) = log.split_once("}\n").unwrap();
        let build = format!("\"build\":{{\"commit\":\"{commit}\",\"modified\":true}}");
        fs::write(&path, format!("{first},{build}}}\n{rest}")).unwrap();
    };
    let compare = || printed(temp.path(), &["compare", "ours.toml", "constant.toml"]);
    assert!(!compare().contains("Not all runs"), "{}", compare());
    made_by(REFERENCE, 0, "0123456789abcdef");
    made_by(&constant(), 1, "fedcba9876543210");
    let expected = "\nNot all runs were made by the same program, and differences may come of that: \
                    0123456789ab with changes, fedcba987654 with changes, unknown\n";
    assert!(compare().contains(expected), "{}", compare());
}

#[test]
fn other_processors_are_said_where_they_matter() {
    let temp = TempDir::new().unwrap();
    set_up(temp.path(), &OURS, &BASELINE);
    let made_on = |seed: usize, libtorch: &str, device: &str, processor: &str| {
        let run = write_run(
            &temp.path().join("runs"),
            REFERENCE,
            seed as u64,
            OURS[seed],
        );
        let path = run.join("events.jsonl");
        let log = fs::read_to_string(&path).unwrap();
        let (first, rest) = log.split_once("}\n").unwrap();
        let first = first
            .replace("\"libtorch\":null", &format!("\"libtorch\":{libtorch}"))
            .replace("\"cpu\"", &format!("\"{device}\""));
        let build = format!("\"build\":{{\"processor\":\"{processor}\"}}");
        fs::write(&path, format!("{first},{build}}}\n{rest}")).unwrap();
    };
    let processors = || -> Value {
        let json = printed(
            temp.path(),
            &["compare", "ours.toml", "constant.toml", "--json"],
        );
        let json: Value = serde_json::from_str(&json).unwrap();
        json["a"]["processors"].clone()
    };
    // The reference workload has the same bits everywhere, and a GPU does the work of its runs.
    made_on(0, "null", "cpu", "One");
    made_on(1, "null", "cpu", "Two");
    made_on(2, "\"2.11.0\"", "cuda", "Three");
    assert_eq!(processors(), serde_json::json!([]));
    made_on(3, "\"2.11.0\"", "cpu", "Four");
    made_on(4, "\"2.11.0\"", "cpu", "Five");
    assert_eq!(processors(), serde_json::json!(["Five", "Four"]));
    let said = printed(temp.path(), &["compare", "ours.toml", "constant.toml"]);
    let expected = "\nNot all runs were made on the same processor, and differences may come of that: Five, Four\n";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_seed_is_not_left_out_because_it_diverges() {
    let temp = TempDir::new().unwrap();
    let mut ours = OURS.to_vec();
    // A seventh seed, which diverged, and with which the baseline was then not run.
    ours.push(End::Diverged);
    set_up(temp.path(), &ours, &BASELINE);
    for args in [
        ["ours.toml", "constant.toml"],
        ["constant.toml", "ours.toml"],
    ] {
        let said = printed(temp.path(), &[&["compare"][..], &args].concat());
        assert!(
            said.ends_with("Verdict: not comparable: 1 of 7 diverged.\n"),
            "{said}"
        );
        assert!(!said.contains("p = "), "{said}");
    }
    // A folder stands for its run alone, whatever other seeds the other side has.
    let one = write_run(&temp.path().join("runs"), &constant(), 1, BASELINE[1]);
    let said = printed(
        temp.path(),
        &["compare", "ours.toml", one.to_str().unwrap()],
    );
    assert!(
        said.ends_with("Verdict: too few seeds (1 of at least 6).\n"),
        "{said}"
    );
    // Nor is its time, if it is not known.
    let run = write_run(&temp.path().join("runs"), REFERENCE, 6, End::Diverged);
    fs::remove_file(run.join("timings.jsonl")).unwrap();
    let json = printed(
        temp.path(),
        &["compare", "ours.toml", "constant.toml", "--json"],
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["diverged_pairs"], &json["diverged_unpaired"]),
        (&0.into(), &1.into())
    );
    assert_eq!(
        (&json["p"], &json["verdict"], &json["a"]["seconds"]),
        (&Value::Null, &"not-comparable".into(), &Value::Null)
    );
    let said = printed(temp.path(), &["compare", "ours.toml", "constant.toml"]);
    assert!(
        said.contains("  A  7 epochs, time not known of all runs, "),
        "{said}"
    );
}

#[test]
fn a_folder_is_one_run() {
    let temp = TempDir::new().unwrap();
    set_up(temp.path(), &OURS, &BASELINE);
    let runs = temp.path().join("runs");
    let ours = write_run(&runs, REFERENCE, 1, OURS[1]);
    let baseline = write_run(&runs, &constant(), 1, BASELINE[1]);
    let (ours, baseline) = (ours.to_str().unwrap(), baseline.to_str().unwrap());
    let said = printed(temp.path(), &["compare", ours, baseline]);
    assert!(said.contains(": 1 run (seed 1)\n"), "{said}");
    assert!(
        said.ends_with("Verdict: too few seeds (1 of at least 6).\n"),
        "{said}"
    );
    // Its specification stands for all seeds.
    let file = format!("{ours}/spec.toml");
    let said = printed(temp.path(), &["compare", &file, "constant.toml"]);
    assert!(said.ends_with("Verdict: A is better than B.\n"), "{said}");
    // Different seeds make no pair.
    let other = write_run(&runs, &constant(), 2, BASELINE[2]);
    let said = printed(temp.path(), &["compare", ours, other.to_str().unwrap()]);
    assert!(
        said.contains("only one of the two has them: seeds 1, 2"),
        "{said}"
    );
    assert!(
        said.ends_with("Verdict: too few seeds (0 of at least 6).\n"),
        "{said}"
    );
}

#[test]
fn a_series_of_a_file() {
    let temp = TempDir::new().unwrap();
    set_up(temp.path(), &OURS, &BASELINE);
    let both = format!(
        "{REFERENCE}\n[[series]]\nname = \"ours\"\n[[series]]\nname = \"constant\"\nscheduler = {{ kind = \"constant\", lr = 0.1 }}\n"
    );
    fs::write(temp.path().join("both.toml"), both).unwrap();
    let said = printed(
        temp.path(),
        &["compare", "both.toml#ours", "both.toml#constant"],
    );
    assert!(said.ends_with("Verdict: A is better than B.\n"), "{said}");
}

#[test]
fn bad_input_is_named() {
    let temp = TempDir::new().unwrap();
    set_up(temp.path(), &OURS, &BASELINE);
    fs::create_dir(temp.path().join("nothing")).unwrap();
    let other = with(REFERENCE, "epochs = 6", "epochs = 7");
    fs::write(temp.path().join("other.toml"), other).unwrap();
    for (args, word) in [
        (&["ours.toml", "absent.toml"][..], "absent.toml"),
        (&["nothing", "ours.toml"], "nothing: no spec.toml there"),
        (&["ours.toml", "other.toml"], "other.toml: no run of this"),
        (&["ours.toml", "ours.toml"], "the same specification"),
        (
            &["ours.toml", "constant.toml", "--runs", "none"],
            "--runs none",
        ),
        (&["ours.toml#x", "constant.toml"], "--series x"),
    ] {
        let output = output(temp.path(), &[&["compare"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(word), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

/// A run that cannot be used may be the one that diverged: it is named, and withholds the verdict.
#[test]
fn a_hidden_run_withholds_the_verdict() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let (mut ours, mut baseline) = (OURS.to_vec(), BASELINE.to_vec());
    ours.push(End::Completed(0.870));
    baseline.push(End::Diverged);
    set_up(dir, &ours, &baseline);
    let compared = || {
        let json = printed(dir, &["compare", "ours.toml", "constant.toml", "--json"]);
        serde_json::from_str::<Value>(&json).unwrap()
    };
    assert_eq!(compared()["verdict"], "not-comparable");
    let run = write_run(&dir.join("runs"), &constant(), 6, End::Diverged);
    let path = run.join("spec.toml");
    let own = fs::read_to_string(&path).unwrap();
    for (what, text) in [
        ("broken", Some(format!("{own}[\n"))),
        ("empty", Some(String::new())),
        ("removed", None),
        ("epochs", Some(with(&own, "epochs = 6", "epochs = 7"))),
        ("lr", Some(with(&own, "lr = 0.1", "lr = 0.2"))),
        ("seed", Some(with(&own, "seed = 6", "seed = 60"))),
    ] {
        match text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let found = compared();
        assert_eq!(found["verdict"], "not-comparable", "{what}");
        let folder = found["unreadable"][0]["folder"].as_str().unwrap();
        assert!(
            folder.ends_with(run.file_name().unwrap().to_str().unwrap()),
            "{what}: {folder}"
        );
        let said = printed(dir, &["compare", "ours.toml", "constant.toml"]);
        assert!(
            said.ends_with(
                "Verdict: not comparable: 1 folder cannot be used, and may be a run of these.\n"
            ),
            "{what}: {said}"
        );
        assert!(said.contains("spec.toml"), "{what}: {said}");
    }
    fs::remove_dir_all(&run).unwrap();
    fs::write(&run, "").unwrap();
    assert_eq!(
        compared()["verdict"],
        "not-comparable",
        "a file in its place"
    );
    // Taken away altogether, it is as if it had never been.
    fs::remove_file(&run).unwrap();
    assert_eq!(compared()["verdict"], "better");
}
