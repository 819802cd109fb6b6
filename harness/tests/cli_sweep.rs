//! `autolr sweep`: every combination, checked before any training; each run a process that takes no other along.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{REFERENCE, output, printed, with};
use tempfile::TempDir;

/// An open loop: its last digits do not depend on the processor.
fn open_loop() -> String {
    with(
        REFERENCE,
        "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "kind = \"fixed\"\nlr = 0.5",
    )
}

fn folder(text: &str) -> TempDir {
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("spec.toml"), text).unwrap();
    temp
}

const LRS: &str = "scheduler.lr=0.3,0.6";

/// What a sweep over two rates and two seeds is called with.
fn sweep(more: &[&'static str]) -> Vec<&'static str> {
    [
        &["sweep", "spec.toml", "--set", LRS, "--seeds", "0..2"],
        more,
    ]
    .concat()
}

fn manifest(dir: &Path) -> Value {
    let text = fs::read(dir.join("sweep/sweep.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The folders of the manifest's runs, in its order.
fn runs(dir: &Path) -> Vec<PathBuf> {
    let manifest = manifest(dir);
    let runs = manifest["runs"].as_array().unwrap();
    let folder = |run: &Value| dir.join("sweep/runs").join(run["run"].as_str().unwrap());
    runs.iter().map(folder).collect()
}

/// A text with its accuracies, which a processor may change, replaced.
fn without_accuracies(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            let number = word.trim_end_matches('\n');
            if number.contains('.') && number.parse::<f64>().is_ok_and(|n| n >= 2.0) {
                *word = word.replace(number, "##.#");
            }
        }
        out += &words.join(" ");
    }
    out
}

#[test]
fn every_combination_once_and_a_table_of_them() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    let first = printed(dir, &sweep(&["--jobs", "2"]));
    insta::assert_snapshot!(without_accuracies(&first));
    let manifest = manifest(dir);
    assert_eq!(
        manifest["keys"],
        serde_json::json!(["scheduler.lr", "training.seed"])
    );
    let settings: Vec<&Value> = manifest["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| &run["settings"])
        .collect();
    let expected: Vec<Value> = [(0.3, 0), (0.3, 1), (0.6, 0), (0.6, 1)]
        .iter()
        .map(|(lr, seed)| serde_json::json!({"scheduler.lr": lr, "training.seed": seed}))
        .collect();
    assert_eq!(settings, expected.iter().collect::<Vec<_>>());

    // The same as each run alone, and nothing is computed again.
    let timings = |run: &PathBuf| fs::read_to_string(run.join("timings.jsonl")).unwrap();
    let before: Vec<String> = runs(dir).iter().map(timings).collect();
    fs::copy(runs(dir)[3].join("spec.toml"), dir.join("lone.toml")).unwrap();
    let alone = printed(dir, &["run", "lone.toml", "--out", "alone"]);
    assert!(alone.contains("completed 6 epochs"), "{alone}");
    let name = runs(dir)[3].file_name().unwrap().to_owned();
    let log = |run: &Path| fs::read(run.join("events.jsonl")).unwrap();
    // The first line has the number of threads, and the last a hash of the others.
    let between = |log: Vec<u8>| {
        let lines: Vec<Vec<u8>> = log
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        assert!(lines.len() > 8);
        lines[1..lines.len() - 2].to_vec()
    };
    let (one, other) = (log(&runs(dir)[3]), log(&dir.join("alone").join(name)));
    assert!(between(one) == between(other));
    // More at a time than there are is as many as there are.
    assert_eq!(
        printed(dir, &sweep(&["--jobs", "9223372036854775807"])),
        first
    );
    let after: Vec<String> = runs(dir).iter().map(timings).collect();
    assert_eq!(before, after);
}

#[test]
fn another_sweep_into_the_same_folder_is_added_to_it() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    printed(dir, &sweep(&["--jobs", "1"]));
    let held = || manifest(dir)["runs"].as_array().unwrap().clone();
    let before = held();
    let other = with(&open_loop(), "epochs = 6", "epochs = 2");
    fs::write(dir.join("other.toml"), &other).unwrap();
    let args = ["sweep", "other.toml", "--set", "scheduler.lr=0.3,0.9"];
    printed(dir, &args);
    let after = held();
    assert_eq!((before.len(), after.len()), (4, 6));
    assert_eq!(after[..4], before);
    let names: Vec<Value> = states(dir).iter().map(|run| run["name"].clone()).collect();
    assert_eq!(names.len(), 6);
    assert_eq!(names[0], "spec.toml: scheduler.lr = 0.3, seed 0");
    assert_eq!(names[4], "other.toml: scheduler.lr = 0.3");
    // Nothing twice, and nothing told by less than before.
    printed(dir, &args);
    printed(
        dir,
        &["sweep", "./spec.toml", "--set", "scheduler.lr=0.3,0.6"],
    );
    assert_eq!(held(), after);
    // Wider: what is there already is told by all that is varied now.
    printed(dir, &[&args[..], &["--seeds", "0..2"]].concat());
    let wider = held();
    assert_eq!(wider.len(), 8);
    for run in &wider[4..] {
        assert_eq!(run["settings"].as_object().unwrap().len(), 2, "{run}");
    }
    // The same settings of another specification are other runs: the old ones are none of this sweep's any more.
    let changed = with(&other, "epochs = 2", "epochs = 1");
    fs::write(dir.join("other.toml"), changed).unwrap();
    printed(dir, &[&args[..], &["--seeds", "0..2"]].concat());
    assert_eq!(held().len(), 8);
    assert!(held()[4..].iter().all(|run| !wider.contains(run)));
    assert_eq!(states(dir).len(), 12);
}

/// What a later sweep does not vary, an earlier one may have.
#[test]
fn runs_are_told_apart_by_all_that_any_sweep_has_varied() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    let sweep = |set: &str| {
        let args = ["sweep", "spec.toml", "--set", set, "--jobs", "1"];
        printed(dir, &args);
    };
    let names = || -> Vec<String> {
        let name = |run: &Value| run["name"].as_str().unwrap().to_owned();
        states(dir).iter().map(name).collect()
    };
    sweep("scheduler.lr=0.3,0.6");
    assert_eq!(names(), ["scheduler.lr = 0.3", "scheduler.lr = 0.6"]);
    sweep("training.seed=1,2");
    assert_eq!(
        names(),
        [
            "scheduler.lr = 0.3, seed 0",
            "scheduler.lr = 0.6, seed 0",
            "scheduler.lr = 0.5, seed 1",
            "scheduler.lr = 0.5, seed 2"
        ]
    );
    // A changed specification: the folder is what is left to tell them apart.
    let changed = with(&open_loop(), "epochs = 6", "epochs = 2");
    fs::write(dir.join("spec.toml"), changed).unwrap();
    let args = [
        "sweep",
        "spec.toml",
        "--set",
        "scheduler.lr=0.5",
        "--seeds",
        "1",
    ];
    printed(dir, &args);
    let clash: Vec<String> = names()
        .into_iter()
        .filter(|name| name.starts_with("scheduler.lr = 0.5, seed 1 ("))
        .collect();
    assert_eq!(clash.len(), 2, "{clash:?}");
    assert_ne!(clash[0], clash[1]);
}

#[test]
fn a_manifest_that_cannot_be_read_is_not_written_over() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    printed(dir, &sweep(&["--jobs", "1"]));
    let path = dir.join("sweep/sweep.json");
    let text = fs::read_to_string(&path).unwrap();
    let later = text.replace("\"version\": 1", "\"version\": 2, \"more\": true");
    let later = (&later[..], "version = 2, this program knows 1");
    for (bad, told) in [(&text[..100], "EOF while parsing"), later] {
        fs::write(&path, bad).unwrap();
        let output = output(dir, &sweep(&[]));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains("sweep.json: ") && stderr.contains(told),
            "{stderr}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
}

#[test]
fn sweeps_at_the_same_time_into_one_folder_lose_nothing() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    for name in ["a", "b", "c", "d"] {
        let text = with(&open_loop(), "epochs = 6", "epochs = 1");
        fs::write(dir.join(name).with_extension("toml"), text).unwrap();
    }
    std::thread::scope(|scope| {
        for (name, lr) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
            scope.spawn(move || {
                let (spec, set) = (format!("{name}.toml"), format!("scheduler.lr=0.{lr}"));
                printed(dir, &["sweep", &spec, "--set", &set, "--jobs", "1"])
            });
        }
    });
    assert_eq!(manifest(dir)["runs"].as_array().unwrap().len(), 4);
}

#[test]
fn seeds_alone_are_one_row() {
    let temp = folder(&open_loop());
    let args = ["sweep", "spec.toml", "--seeds", "0..3"];
    insta::assert_snapshot!(without_accuracies(&printed(temp.path(), &args)));
}

/// A folder's name may begin like an option.
#[test]
fn folders_of_any_name() {
    let temp = folder(&open_loop());
    let args = ["--out=-odd", "--data=-none", "--jobs", "2"];
    printed(temp.path(), &sweep(&args));
    assert!(temp.path().join("-odd/sweep.json").is_file());
}

#[test]
fn a_sweep_from_a_file_is_the_same_as_from_the_command_line() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    fs::write(
        dir.join("values.toml"),
        "seeds = [0, 1]\n[set]\n\"scheduler.lr\" = [0.3, 0.6]\n",
    )
    .unwrap();
    let named = printed(dir, &sweep(&["--dry-run", "--json"]));
    let from_file = printed(
        dir,
        &[
            "sweep",
            "spec.toml",
            "--sweep",
            "values.toml",
            "--dry-run",
            "--json",
        ],
    );
    assert_eq!(named, from_file);
    let plan: Value = serde_json::from_str(&named).unwrap();
    assert_eq!(plan["runs"].as_array().unwrap().len(), 4);
    assert!(!dir.join("sweep").exists(), "a dry run writes nothing");
}

#[test]
fn what_is_wrong_is_named_before_any_training() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    let mut said = String::new();
    for (set, names) in [
        ("scheduler.lr=0.1,-1", &["scheduler.lr = -1"][..]),
        ("scheduler.lr=fast", &["scheduler.lr = \"fast\""]),
        ("scheduler.lr=0.1,.5", &["`.5`: no number: write 0.5"]),
        ("training.epoch=3", &["training", "`epoch`", "`epochs`"]),
        ("trainig.epochs=3", &["`trainig`", "`training`"]),
        ("lr=0.1", &["lr = 0.1", "[scheduler]"]),
        (
            "scheduler.kind=fixed,cosin",
            &["scheduler.kind", "cosin", "cosine"],
        ),
        ("scheduler.gamma=0.5", &["scheduler.gamma = 0.5"]),
        ("training.batch_size=64,641", &["training.batch_size = 641"]),
        ("data.train_images=32", &["batch_size"]),
        ("network.hidden=0", &["network.hidden = 0"]),
        ("training.seed=-1", &["training.seed = -1"]),
        ("scheduler.lr=1e-3,0.5,0.001", &["scheduler.lr", "twice"]),
        ("scheduler.lr=1,1.0", &["scheduler.lr", "the same run"]),
        ("training.epochs=2,2", &["training.epochs = 2", "twice"]),
        ("title=1", &["title"]),
        ("training.device=cpu,cuda", &["training.device = cuda"]),
    ] {
        let output = output(dir, &["sweep", "spec.toml", "--set", set]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{set}: {stderr}");
        assert!(output.stdout.is_empty(), "{set}");
        for name in names {
            assert!(
                stderr.contains(name),
                "{set}: {name} is not named: {stderr}"
            );
        }
        said += &format!("--set {set}\n  {stderr}");
    }
    insta::assert_snapshot!(said);
    for args in [
        &["--set", "scheduler.lr"][..],
        &["--set", "scheduler.lr="],
        &["--set", LRS, "--set", "scheduler.lr=1"],
        &["--seeds", "3..3"],
        &[
            "--seeds",
            &(0..=10_000)
                .map(|n| n.to_string())
                .collect::<Vec<_>>()
                .join(","),
        ],
        &["--set", "training.seed=1", "--seeds", "0..2"],
        &["--sweep", "no.toml"],
        &["--series", "none"],
        &["--time-budget", "30"],
        &["--jobs", "0"],
    ] {
        let output = output(dir, &[&["sweep", "spec.toml"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    assert_eq!(
        fs::read_dir(dir).unwrap().count(),
        1,
        "something was written"
    );
}

#[test]
fn a_run_that_fails_takes_no_other_along_and_can_be_tried_again() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    printed(
        dir,
        &[
            "plan",
            "spec.toml",
            "--set",
            LRS,
            "--seeds",
            "0..2",
            "--emit",
            "parallel",
            "--out",
            "jobs",
        ],
    );
    // Where the second run would write its times.
    let obstacle = runs(dir)[1].join("timings.jsonl");
    for jobs in ["2", "1"] {
        fs::create_dir(&obstacle).unwrap();
        let output = output(dir, &sweep(&["--jobs", jobs]));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.starts_with("scheduler.lr = 0.3, seed 1: ") && stderr.contains("timings.jsonl"),
            "{stderr}"
        );
        if jobs == "2" {
            insta::assert_snapshot!(without_accuracies(
                &String::from_utf8(output.stdout).unwrap()
            ));
        }
        let states: Vec<Value> = states(dir);
        let names: Vec<&str> = states
            .iter()
            .map(|run| run["state"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["finished", "failed", "finished", "finished"]);
        assert!(
            states[1]["error"]
                .as_str()
                .unwrap()
                .contains("timings.jsonl")
        );
        fs::remove_dir(&obstacle).unwrap();
        if jobs == "2" {
            let said = printed(dir, &["retry", "--failed", "sweep"]);
            assert_eq!(
                said,
                "4 runs: 3 finished before, 1 resumed, 1 of them finished now, 0 failed\n"
            );
            assert!(!runs(dir)[1].join("failed.json").exists());
            // For the second turn: as if it had never been.
            let run = &runs(dir)[1];
            for file in ["events.jsonl", "timings.jsonl", "checkpoint.safetensors"] {
                fs::remove_file(run.join(file)).unwrap();
            }
        }
    }
    // Nothing has failed that is not finished by now.
    printed(dir, &["retry", "--failed", "sweep", "--jobs", "1"]);
    assert!(states(dir).iter().all(|run| run["state"] == "finished"));
    assert_eq!(
        printed(dir, &["retry", "--failed", "sweep"]),
        "4 runs: 4 finished before, 0 resumed, 0 of them finished now, 0 failed\n"
    );
}

fn states(dir: &Path) -> Vec<Value> {
    let status: Value =
        serde_json::from_str(&printed(dir, &["status", "sweep", "--json"])).unwrap();
    status["runs"].as_array().unwrap().clone()
}

#[test]
fn diverged_runs_are_results_and_are_not_tried_again() {
    let temp = folder(&open_loop());
    let dir = temp.path();
    let args = [
        "sweep",
        "spec.toml",
        "--set",
        "scheduler.lr=0.5,1e6",
        "--jobs",
        "1",
    ];
    insta::assert_snapshot!(without_accuracies(&printed(dir, &args)));
    let json = printed(dir, &[&args[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    let (finished, diverged) = (&json["settings"][0], &json["settings"][1]);
    let summary = &finished["runs"][0]["summary"];
    let expected = 100.0 * summary["best"]["accuracy"].as_f64().unwrap();
    assert_eq!(finished["test_accuracy"]["mean"], expected);
    assert_eq!(finished["test_accuracy"]["n"], 1);
    assert!(finished["validation_accuracy"]["mean"].is_number());
    // Its weights were tested; that is no accuracy of the setting.
    assert!(!diverged["runs"][0]["summary"].is_null());
    for mean in ["test_accuracy", "validation_accuracy"] {
        assert!(diverged[mean].is_null(), "{mean}: {diverged}");
    }
    let names: Vec<Value> = states(dir).iter().map(|run| run["state"].clone()).collect();
    assert_eq!(names, ["finished", "diverged"]);
    for args in [&["retry", "--failed", "sweep"][..], &["resume", "sweep"]] {
        let said = printed(dir, args);
        assert!(said.contains("2 finished before, 0 resumed"), "{said}");
    }
}

#[test]
fn settings_are_taken_as_they_are_and_a_scale_comes_before_them() {
    let cosine = with(
        &open_loop(),
        "kind = \"fixed\"\nlr = 0.5",
        "kind = \"cosine\"\nlr = 0.05\nt_max = 6",
    );
    let temp = folder(&cosine);
    let dir = temp.path();
    let planned = |args: &[&str]| -> (u64, Value) {
        let text = printed(
            dir,
            &[
                &[
                    "plan",
                    "spec.toml",
                    "--runs",
                    "p/runs",
                    "--emit",
                    "parallel",
                ],
                args,
            ]
            .concat(),
        );
        let spec = text.split(' ').nth(2).unwrap().to_owned();
        let spec: toml::Table = fs::read_to_string(spec).unwrap().parse().unwrap();
        let epochs = spec["training"]["epochs"].as_integer().unwrap();
        let scheduler = serde_json::to_value(&spec["scheduler"]).unwrap();
        (u64::try_from(epochs).unwrap(), scheduler)
    };
    // A number of epochs that is set changes no length; a scale does.
    let (epochs, scheduler) = planned(&["--set", "training.epochs=12"]);
    assert_eq!((epochs, &scheduler["t_max"]), (12, &Value::from(6)));
    let (epochs, scheduler) = planned(&["--scale", "smoke"]);
    assert_eq!((epochs, &scheduler["t_max"]), (40, &Value::from(40)));
    let (epochs, scheduler) = planned(&["--scale", "smoke", "--set", "training.epochs=3"]);
    assert_eq!((epochs, &scheduler["t_max"]), (3, &Value::from(40)));
    // Another kind replaces the table whole, and an absent length is the number of epochs that was set.
    let (epochs, scheduler) = planned(&[
        "--set",
        "scheduler={kind=\"linear-decay\",lr=0.1}",
        "--set",
        "training.epochs=9",
    ]);
    assert_eq!((epochs, &scheduler["total_iters"]), (9, &Value::from(9)));
}

/// What has no accuracy is judged by its loss: in the table of a sweep, and by `compare`, for which a lower one is better.
#[test]
fn a_task_without_accuracy_is_judged_by_its_loss() {
    let text = |lr: &str| {
        format!(
            "[data]\nset = \"noise\"\ntrain_images = 100\ntest_images = 20\naugment = false\n\
             [network]\nkind = \"quadratic\"\ndimension = 5\n[scheduler]\nkind = \"fixed\"\nlr = {lr}\n\
             [training]\nepochs = 2\nbatch_size = 4\ndevice = \"cpu\"\n"
        )
    };
    let temp = folder(&text("0.2"));
    let dir = temp.path();
    fs::write(dir.join("slow.toml"), text("0.001")).unwrap();
    let lrs = "scheduler.lr=0.2,0.001";
    let table = printed(
        dir,
        &["sweep", "spec.toml", "--set", lrs, "--seeds", "0..6"],
    );
    let heading = table.lines().next().unwrap_or_default();
    assert!(
        heading.contains("validation loss") && heading.contains("test loss"),
        "{table}"
    );
    let json = [
        "sweep",
        "spec.toml",
        "--set",
        lrs,
        "--seeds",
        "0..6",
        "--json",
    ];
    let sweep: Value = serde_json::from_str(&printed(dir, &json)).unwrap();
    let loss = |index: usize| {
        sweep["settings"][index]["test_loss"]["mean"]
            .as_f64()
            .unwrap()
    };
    assert!(loss(0) < 0.5 * loss(1), "{sweep}");
    let compare = |a, b| printed(dir, &["compare", a, b, "--runs", "sweep/runs"]);
    let said = compare("spec.toml", "slow.toml");
    assert!(said.contains("Test loss of the reported weights"), "{said}");
    assert!(said.contains("Verdict: A is better than B"), "{said}");
    assert!(said.contains("  A − B  −"), "{said}");
    let said = compare("slow.toml", "spec.toml");
    assert!(said.contains("Verdict: A is worse than B"), "{said}");
    assert!(said.contains("  A − B  +"), "{said}");
    // Runs of another kind have another measure.
    fs::write(dir.join("points.toml"), REFERENCE).unwrap();
    printed(dir, &["run", "points.toml", "--out", "sweep/runs"]);
    let args = [
        "compare",
        "points.toml",
        "spec.toml",
        "--runs",
        "sweep/runs",
    ];
    let output = support::output(dir, &args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("points.toml is judged by its accuracy"),
        "{said}"
    );
}
