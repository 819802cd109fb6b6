//! `autolr plan`: what it says is what a run then costs; its job files run the same as anything else.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{REFERENCE, autolr, contents, output, printed, with};
use tempfile::TempDir;

fn folder(text: &str) -> TempDir {
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("spec.toml"), text).unwrap();
    temp
}

fn plan(dir: &Path) -> Value {
    let text = printed(dir, &["plan", "spec.toml", "--json"]);
    serde_json::from_str(&text).unwrap()
}

/// Open and closed loop, every way to probe, whole and incomplete batches.
fn specifications() -> Vec<String> {
    let scheduler = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
    let probe = "[probe]\nbatch_size = 32";
    let own = with(
        REFERENCE,
        probe,
        "[probe]\nbatch_size = 40\ngradient = \"own\"",
    );
    vec![
        REFERENCE.to_owned(),
        with(
            REFERENCE,
            scheduler,
            "kind = \"step\"\nlr = 0.05\nstep_size = 2",
        ),
        with(
            &own,
            "augment = false",
            "augment = false\ndrop_last = false",
        ),
        with(
            REFERENCE,
            probe,
            "[probe]\nbatch_size = 32\nloss = \"before-step\"\nbatches = \"per-candidate\"",
        ),
        with(
            REFERENCE,
            probe,
            "[probe]\nbatch_size = 32\nbatches = \"per-candidate\"",
        ),
        with(
            REFERENCE,
            "factors = \"factor_3\"",
            "factors = \"factor_5\"\nevery = 4",
        ),
        with(
            &with(
                REFERENCE,
                "factors = \"factor_3\"",
                "factors = \"factor_7\"",
            ),
            probe,
            "[probe]\nbatch_size = 32\nevaluate = \"parabola\"",
        ),
        with(
            REFERENCE,
            "factors = \"factor_3\"",
            "factors = \"factor_3\"\nedge_probes = 2",
        ),
        with(
            REFERENCE,
            "augment = false",
            "augment = false\nvalidation_fraction = 0.37",
        ),
        with(REFERENCE, "epochs = 6", "epochs = 1"),
    ]
}

#[test]
fn what_is_planned_is_what_it_costs() {
    let mut exact = 0;
    for text in specifications() {
        let temp = folder(&text);
        let dir = temp.path();
        let planned = plan(dir)["runs"][0].clone();
        assert!(!dir.join("runs").exists(), "plan wrote something");
        let done: Value =
            serde_json::from_str(&printed(dir, &["run", "spec.toml", "--json"])).unwrap();
        let summary = &done["summary"];
        assert_eq!(summary["epochs"], planned["epochs"], "{text}");
        for key in ["forwards", "backwards", "probe_forwards", "probe_backwards"] {
            let spent = summary[key].as_u64().unwrap();
            let least = planned[key]["least"].as_u64().unwrap();
            let most = planned[key]["most"].as_u64().unwrap();
            assert!(
                (least..=most).contains(&spent),
                "{key}: {spent}, {least} to {most}\n{text}"
            );
            exact += usize::from(least == most);
        }
        let run = dir.join(done["dir"].as_str().unwrap());
        let log = harness::record::RunLog::read(&run.join("events.jsonl"))
            .unwrap()
            .unwrap();
        let steps: u64 = log.epochs.iter().map(|epoch| epoch.steps).sum();
        assert_eq!(planned["steps"], steps, "{text}");
        assert_eq!(planned["decisions"], log.decisions.len() as u64, "{text}");
        assert_eq!(
            planned["parameters"], log.provenance.parameters as u64,
            "{text}"
        );
        // Room for two checkpoints and one that is being written; at the end one is left.
        let disk = planned["disk"].as_u64().unwrap();
        let files = fs::read_dir(&run).unwrap();
        let used: u64 = files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(
            used <= disk && disk <= 6 * used,
            "{used} bytes, {disk} planned\n{text}"
        );
    }
    assert!(exact >= 20, "{exact} of the figures are ranges of one");
}

#[test]
fn a_plan_as_it_is_read() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    let args = [
        "plan",
        "spec.toml",
        "--set",
        "scheduler.lr=0.05,0.1",
        "--seeds",
        "0..2",
        "--jobs",
        "2",
    ];
    insta::assert_snapshot!("unknown_times", printed(dir, &args));
    printed(
        dir,
        &[
            "sweep",
            "spec.toml",
            "--set",
            "scheduler.lr=0.05",
            "--seeds",
            "0..2",
            "--jobs",
            "1",
        ],
    );
    let after: Value =
        serde_json::from_str(&printed(dir, &[&args[..], &["--json"]].concat())).unwrap();
    assert_eq!(
        (&after["finished"], &after["to_do"]),
        (&2.into(), &2.into())
    );
    // Six epochs of each of the other two, as long as those that have been timed.
    let each = after["runs"][2]["seconds_per_epoch"].as_f64().unwrap();
    let left = after["seconds_left"].as_f64().unwrap();
    assert!(
        each > 0.0 && (left - 12.0 * each).abs() <= 1e-9 * left,
        "{left}, {each}"
    );
    let states: Vec<&Value> = after["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| &run["state"])
        .collect();
    assert_eq!(states, ["finished", "finished", "not-begun", "not-begun"]);
    // A network of another size says nothing about the time.
    let other = printed(
        dir,
        &["plan", "spec.toml", "--set", "network.hidden=9", "--json"],
    );
    let other: Value = serde_json::from_str(&other).unwrap();
    assert_eq!(other["seconds_left"], Value::Null);

    insta::assert_snapshot!(
        "paper",
        printed(
            dir,
            &[
                "plan",
                "table1",
                "divergence",
                "--scale",
                "smoke",
                "--jobs",
                "2"
            ]
        )
    );
    let before = contents(dir);
    for (args, names) in [
        (&["table1", "spec.toml"][..], "apart"),
        (&["table1", "--set", "training.epochs=2"], "--set"),
        (&["tabel1"], "tabel1"),
        (&["spec.toml", "--runs", "elsewhere"], "elsewhere"),
        (&["spec.toml", "--out", "x"], "--emit"),
        (
            &["spec.toml", "--emit", "parallel", "--out", "no/jobs"],
            "--out no/jobs",
        ),
        (
            &["spec.toml", "--emit", "parallel", "--runs", "a\nb/runs"],
            "a\\nb",
        ),
    ] {
        let output = output(dir, &[&["plan"], args].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr.contains(names), "{args:?}: {stderr}");
    }
    assert!(before == contents(dir), "something was written");
}

/// Runs side by side end with the last of them: no more places shorten the longest one.
#[test]
fn the_time_at_once_is_that_of_the_longest_run() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    printed(dir, &["sweep", "spec.toml"]);
    let planned = |args: &[&str]| -> Value {
        let text = printed(dir, &[&["plan", "spec.toml", "--json"], args].concat());
        serde_json::from_str(&text).unwrap()
    };
    let seeds = ["--seeds", "1..4"];
    for (jobs, at_once, rounds) in [("1", 1, 3.0), ("2", 2, 2.0), ("3", 3, 1.0), ("100", 3, 1.0)] {
        let plan = planned(&[&seeds[..], &["--jobs", jobs]].concat());
        let each = plan["runs"][0]["seconds_left"].as_f64().unwrap();
        let together = plan["seconds_at_once"].as_f64().unwrap();
        assert_eq!(plan["at_once"], at_once, "{jobs}");
        assert!(
            each > 0.0 && (together - rounds * each).abs() < 1e-6,
            "{jobs}: {together}, {each}"
        );
    }
    // One that is longer than all others together.
    let plan = planned(&["--set", "training.epochs=1,2,200", "--jobs", "8"]);
    let longest = plan["runs"][2]["seconds_left"].as_f64().unwrap();
    let together = plan["seconds_at_once"].as_f64().unwrap();
    assert!((together - longest).abs() < 1e-6, "{together}, {longest}");
    // A single run takes as long as it takes.
    let text = printed(
        dir,
        &[
            "sweep",
            "spec.toml",
            "--seeds",
            "1",
            "--jobs",
            "8",
            "--dry-run",
        ],
    );
    assert!(!text.contains("at a time"), "{text}");
}

/// A text without the places of this machine.
fn stable(text: &str, dir: &Path) -> String {
    let dir = fs::canonicalize(dir).unwrap();
    text.replace(env!("CARGO_BIN_EXE_autolr"), "/bin/autolr")
        .replace(dir.to_str().unwrap(), "/work")
}

#[test]
fn job_files_as_they_are_written() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    let emit = |engine: &str, more: &[&str]| {
        let args = [
            "plan",
            "spec.toml",
            "--seeds",
            "0..3",
            "--data",
            "data",
            "--emit",
            engine,
        ];
        stable(&printed(dir, &[&args[..], more].concat()), dir)
    };
    insta::assert_snapshot!("parallel", emit("parallel", &[]));
    insta::assert_snapshot!("slurm", emit("slurm", &[]));
    insta::assert_snapshot!(
        "said",
        emit("slurm", &["--out", "jobs.sh"]) + &emit("parallel", &["--out", "jobs", "--jobs", "2"])
    );
    assert_eq!(
        stable(&fs::read_to_string(dir.join("jobs.sh")).unwrap(), dir),
        emit("slurm", &[])
    );
}

#[cfg(unix)]
#[test]
fn a_job_file_cannot_hold_a_path_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let temp = folder(REFERENCE);
    let args = ["plan", "spec.toml", "--emit", "parallel", "--runs"];
    let output = autolr(temp.path(), &args)
        .arg(std::ffi::OsStr::from_bytes(b"a\xff/runs"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("a\\xFF/runs") && said.contains("UTF-8"),
        "{said}"
    );
    assert!(output.stdout.is_empty());
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn the_tasks_of_a_job_file_do_what_a_sweep_does() {
    let temp = TempDir::with_prefix("it's a \"folder\" $HOME ").unwrap();
    let dir = temp.path();
    fs::write(
        dir.join("spec.toml"),
        with(REFERENCE, "epochs = 6", "epochs = 2"),
    )
    .unwrap();
    let variation = ["spec.toml", "--seeds", "0..3"];
    let emit = |engine: &str, file: &str| {
        let how = ["--emit", engine, "--out", file];
        printed(dir, &[&["plan"], &variation[..], &how].concat());
    };
    emit("parallel", "jobs");
    printed(
        dir,
        &[&["sweep"], &variation[..], &["--out", "other"]].concat(),
    );
    let names = || {
        let folders = fs::read_dir(dir.join("sweep/runs")).unwrap();
        let mut names: Vec<_> = folders.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let check = |from: &str| {
        assert_eq!(names().len(), 3);
        for name in names() {
            let log = |folder: &str| {
                fs::read(
                    dir.join(folder)
                        .join("runs")
                        .join(&name)
                        .join("events.jsonl"),
                )
                .unwrap()
            };
            assert!(log("sweep") == log("other"), "{from}");
        }
    };
    let sh = |script: &str, task: &str| {
        let mut shell = Command::new("bash");
        shell.current_dir("/").env("SLURM_ARRAY_TASK_ID", task);
        let output = shell.arg(dir.join(script)).output().unwrap();
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    sh("jobs", "");
    check("parallel");
    fs::remove_dir_all(dir.join("sweep/runs")).unwrap();
    emit("slurm", "jobs.sh");
    for task in ["2", "0", "1", "0"] {
        sh("jobs.sh", task);
    }
    check("slurm");
}
