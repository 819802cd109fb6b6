//! Runs seen and steered from outside: status, resume, time budgets, Ctrl-C.

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::train::Checkpoint;
use serde_json::Value;
use support::{REFERENCE, autolr, output, printed, run_dir, spec, with};
use tempfile::TempDir;

/// One that takes several times as long as the budgets below, on a fast machine too.
fn longer() -> String {
    with(&long(), "epochs = 40", "epochs = 120")
}

/// Some tens of milliseconds an epoch, and enough of them to be caught in the middle.
fn long() -> String {
    let text = with(REFERENCE, "train_images = 800", "train_images = 8000");
    with(&text, "epochs = 6", "epochs = 40")
}

fn folder(text: &str) -> TempDir {
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("spec.toml"), text).unwrap();
    temp
}

fn status(dir: &Path, of: &str) -> Value {
    serde_json::from_str(&printed(dir, &["status", of, "--json"])).unwrap()
}

/// The epochs whose checkpoint was written, in the order in which they were.
fn computed(run: &Path) -> Vec<u64> {
    harness::record::computed_epochs(run)
        .iter()
        .map(|timing| timing.epoch)
        .collect()
}

/// The epochs and further steps of a run's newest checkpoint.
fn reached(run: &Path, text: &str) -> Option<(u64, u64)> {
    let digest = spec(text).digest().unwrap();
    let path = run.join("checkpoint.safetensors");
    let progress = Checkpoint::read(&path, &digest, u64::MAX)
        .unwrap()?
        .progress;
    Some((
        progress.next_epoch,
        progress.within.unwrap_or_default().sums.steps,
    ))
}

fn log(run: &Path) -> String {
    fs::read_to_string(run.join("events.jsonl")).unwrap()
}

/// The runs of a sweep's folder.
fn runs(sweep: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(sweep.join("runs")).unwrap();
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    runs.sort();
    runs
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A table without what differs from run to run: times, and how wide their columns are.
fn stable(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let cells = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        let cells = cells.map(|cell| {
            let number = |text: &str| {
                text.parse::<f64>().is_ok() && text.contains('.') && !text.contains('e')
            };
            let number = cell.split(" ± ").all(number);
            let time = cell.ends_with(" s") || cell.ends_with(" min");
            if number || time { "#" } else { cell }
        });
        out += &(cells.collect::<Vec<_>>().join(" | ") + "\n");
    }
    out
}

#[test]
fn status_tells_every_state_apart() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    let rates = "scheduler.lr=0.4,0.42,0.44,0.46,0.48,1e6,0.5";
    let fixed = "scheduler.kind=fixed";
    let args = ["--set", fixed, "--set", rates, "--out", "s"];
    printed(
        dir,
        &[&["sweep", "spec.toml", "--jobs", "1"], &args[..]].concat(),
    );
    let manifest: Value =
        serde_json::from_slice(&fs::read(dir.join("s/sweep.json")).unwrap()).unwrap();
    let run = |index: usize| {
        let name = manifest["runs"][index]["run"].as_str().unwrap();
        dir.join("s/runs").join(name)
    };
    // Number 0 is finished, 5 has diverged.
    let unfinish = |index: usize| {
        let text = log(&run(index));
        let lines: Vec<&str> = text.lines().collect();
        fs::write(
            run(index).join("events.jsonl"),
            lines[..2].join("\n") + "\n{\"eve",
        )
        .unwrap();
        // Which knows of more than the log has now.
        fs::remove_file(run(index).join("checkpoint.safetensors")).unwrap();
    };
    for index in [1, 2, 3, 6] {
        unfinish(index);
    }
    let lock = File::create(run(1).join("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(run(1).join("lock"), "pid 17 on shed\n").unwrap();
    fs::write(run(2).join("lock"), "pid 18 on shed\n").unwrap();
    fs::write(
        run(3).join("failed.json"),
        "{\"error\":\"the disk\\u001b[2J is full\"}",
    )
    .unwrap();
    for file in ["events.jsonl", "timings.jsonl", "checkpoint.safetensors"] {
        fs::remove_file(run(4).join(file)).unwrap();
    }
    insta::assert_snapshot!(stable(&printed(dir, &["status", "s"])));

    let json = status(dir, ".");
    let runs = json["runs"].as_array().unwrap();
    let states: Vec<&str> = runs
        .iter()
        .map(|run| run["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        [
            "finished",
            "running",
            "stale",
            "failed",
            "not-begun",
            "diverged",
            "stopped"
        ]
    );
    assert_eq!(runs[1]["process"]["pid"], 17);
    assert_eq!(runs[1]["process"]["host"], "shed");
    assert_eq!(runs[1]["epochs_done"], 1);
    assert_eq!(json["counts"]["not-begun"], 1);
    // The lock of a run, an older one's too, that says nothing.
    fs::write(run(1).join("lock"), "").unwrap();
    let one = status(dir, &run(1).display().to_string());
    assert_eq!(one["runs"][0]["state"], "running");
    assert_eq!(one["runs"][0]["process"]["pid"], Value::Null);
    drop(lock);

    // What was left open is resumed; the log that was cut is the same again.
    // As if they had been killed before the first checkpoint.
    for index in [1, 2, 3, 6] {
        fs::remove_file(run(index).join("timings.jsonl")).unwrap();
    }
    let whole = log(&run(0));
    let said = printed(dir, &["resume", "s", "--jobs", "2"]);
    assert_eq!(
        said,
        "7 runs: 2 finished before, 5 resumed, 5 of them finished now, 0 failed\n"
    );
    assert_eq!(log(&run(0)), whole);
    assert_eq!(status(dir, "s")["counts"]["finished"], 6);

    let none = output(dir, &["status", "s/runs/../../spec.toml"]);
    assert_eq!(none.status.code(), Some(2));
    fs::create_dir(dir.join("empty")).unwrap();
    assert_eq!(output(dir, &["status", "empty"]).status.code(), Some(2));
    assert_eq!(output(dir, &["resume", "nowhere"]).status.code(), Some(2));
}

#[test]
fn a_run_is_seen_from_another_terminal_while_it_trains() {
    let text = long();
    let temp = folder(&text);
    let dir = temp.path();
    let mut child = autolr(dir, &["run", "spec.toml", "--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = run_dir(&dir.join("runs"), &text);
    wait_until("three epochs", || computed(&run).len() >= 3);
    // As often as possible: looking disturbs nothing.
    let mut seen = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let one = status(dir, "runs")["runs"][0].clone();
        if one["state"] == "running" {
            assert_eq!(one["process"]["pid"], child.id());
            assert!(one["seconds_per_epoch"].as_f64().unwrap() > 0.0);
            seen.push(one["epochs_done"].as_u64().unwrap());
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(
        seen.is_sorted() && seen.len() > 1 && seen[0] < *seen.last().unwrap(),
        "{seen:?}"
    );
    let one = &status(dir, "runs")["runs"][0];
    assert_eq!(one["state"], "finished");
    assert_eq!(one["process"]["kind"], "nobody");
}

#[test]
fn a_closed_loop_that_diverges_says_what_bounds_its_rate() {
    let raising = with(REFERENCE, "factors = \"factor_3\"", "factors = [64, 32]");
    let temp = folder(&raising);
    let said = printed(temp.path(), &["run", "spec.toml"]);
    let (_, hint) = said
        .split_once("the closed loop had raised the rate from 5.00e-2 to ")
        .expect(&said);
    assert!(hint.ends_with(": scheduler.max_lr bounds it\n"), "{said}");
    // Nothing of the kind of one that completes, or that has no loop.
    let bounded = raising.replace("[64, 32]", "[64, 32]\nmax_lr = 1e6");
    let lowered = raising
        .replace("[64, 32]", "[0.5]")
        .replace("lr = 0.05", "lr = 1e6");
    for text in [
        REFERENCE,
        &bounded,
        &lowered,
        &with(
            &raising,
            "kind = \"autolr\"\nlr = 0.05\nfactors = [64, 32]",
            "kind = \"fixed\"\nlr = 1e6",
        ),
    ] {
        let temp = folder(text);
        let said = printed(temp.path(), &["run", "spec.toml"]);
        assert!(!said.contains("bounds it"), "{said}");
    }
}

#[test]
fn runs_of_one_name_are_told_apart_by_their_folders() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    let other = with(REFERENCE, "epochs = 6", "epochs = 2");
    fs::write(dir.join("other.toml"), &other).unwrap();
    printed(dir, &["run", "spec.toml"]);
    let said = printed(dir, &["status"]);
    let name = |text: &str| run_dir(Path::new(""), text).display().to_string();
    assert!(!said.contains(&name(REFERENCE)), "{said}");
    printed(dir, &["run", "other.toml"]);
    let said = printed(dir, &["status"]);
    for text in [REFERENCE, &other] {
        assert!(said.contains(&format!("seed 0, {}", name(text))), "{said}");
    }
}

/// A folder with a run that has failed before, and the run's folder.
fn failed_before() -> (TempDir, PathBuf) {
    let text = long();
    let temp = folder(&text);
    let run = run_dir(&temp.path().join("runs"), &text);
    fs::create_dir_all(&run).unwrap();
    let failure = "{\"error\": \"the disk was full\"}";
    fs::write(run.join("failed.json"), failure).unwrap();
    (temp, run)
}

#[test]
fn a_run_that_failed_and_then_was_killed_is_stale() {
    let (temp, run) = failed_before();
    let dir = temp.path();
    let mut child = autolr(dir, &["run", "spec.toml", "--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("an epoch", || !computed(&run).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let one = status(dir, "runs")["runs"][0].clone();
    assert_eq!(
        (&one["state"], &one["error"]),
        (&"stale".into(), &Value::Null)
    );
    assert!(!run.join("failed.json").exists());
}

#[test]
fn an_attempt_that_takes_no_step_leaves_the_failure() {
    let (temp, run) = failed_before();
    let dir = temp.path();
    let args = ["run", "spec.toml", "--time-budget", "1ms"];
    let output = output(dir, &args);
    assert_eq!(output.status.code(), Some(75));
    assert!(computed(&run).is_empty());
    let one = status(dir, "runs")["runs"][0].clone();
    assert_eq!(one["state"], "failed");
    assert_eq!(one["error"], "the disk was full");
}

/// Data that the system refuses to read: no bad input, and a failure of the run, in a process of its own too.
#[cfg(all(unix, feature = "tch"))]
#[test]
fn data_that_cannot_be_read_is_a_failure_of_the_run() {
    let text = with(
        support::TINY_RESNET,
        "set = \"synthetic\"",
        "set = \"cifar10\"",
    );
    let temp = folder(&text);
    let dir = temp.path();
    let run = run_dir(&dir.join("sweep/runs"), &text);
    fs::create_dir_all(&run).unwrap();
    fs::copy(dir.join("spec.toml"), run.join("spec.toml")).unwrap();
    let files = dir.join("data/cifar-10-batches-bin");
    fs::create_dir_all(&files).unwrap();
    for name in ["data_batch_1.bin", "test_batch.bin"] {
        // A link that leads to itself.
        std::os::unix::fs::symlink(name, files.join(name)).unwrap();
    }
    let args = [
        "run",
        "spec.toml",
        "--data",
        "data",
        "--out",
        "sweep/runs",
        "--json",
    ];
    let said = output(dir, &args);
    assert_eq!(said.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert!(
        said["error"].as_str().unwrap().contains("data_batch_1.bin"),
        "{said}"
    );
    fs::remove_file(run.join("failed.json")).unwrap();
    for how in ["resume", "retry"] {
        let args: &[&str] = match how {
            "retry" => &[
                "retry", "--failed", "sweep", "--data", "data", "--jobs", "2",
            ],
            _ => &["resume", "sweep", "--data", "data", "--jobs", "2"],
        };
        assert_eq!(output(dir, args).status.code(), Some(1), "{how}");
        let one = status(dir, "sweep")["runs"][0].clone();
        assert_eq!(one["state"], "failed", "{how}: {one}");
    }
}

#[test]
fn a_run_that_fails_says_so_as_json_too() {
    let text = support::with(
        REFERENCE,
        "factors = \"factor_3\"",
        "factors = [1e305, 1e306]\nall_non_finite = \"fail\"",
    );
    let temp = folder(&text);
    let output = output(temp.path(), &["run", "spec.toml", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said["summary"], Value::Null);
    let error = said["error"].as_str().unwrap();
    assert!(error.contains("finite"), "{error}");
    assert!(
        String::from_utf8(output.stderr).unwrap().contains(error),
        "{error}"
    );
}

#[test]
fn two_commands_on_one_run_compute_it_once() {
    let text = long();
    let temp = folder(&text);
    let dir = temp.path();
    let start = |more: &[&str]| {
        autolr(
            dir,
            &[&["run", "spec.toml", "--threads", "1", "--json"], more].concat(),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
    };
    let first = start(&[]);
    let run = run_dir(&dir.join("runs"), &text);
    wait_until("an epoch", || !computed(&run).is_empty());
    let refused = start(&[]).wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains("another process"), "{stderr}");
    // That was no failure of the run.
    assert!(!run.join("failed.json").exists());
    let waits = start(&["--wait"]);
    let result = |child: std::process::Child| -> Value {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (first, second) = (result(first), result(waits));
    assert_eq!(
        (&first["was_finished"], &second["was_finished"]),
        (&false.into(), &true.into())
    );
    assert_eq!(first["summary"], second["summary"]);
    assert_eq!(computed(&run), (0..40).collect::<Vec<_>>());
}

/// Whichever command goes on with a run takes the threads that it was begun with.
#[test]
fn a_run_is_gone_on_with_by_as_many_threads() {
    let text = longer();
    let temp = folder(&text);
    let dir = temp.path();
    let stopped = |more: &[&str]| {
        let args = [
            "run",
            "spec.toml",
            "--out",
            "sweep/runs",
            "--time-budget",
            "400ms",
        ];
        let output = output(dir, &[&args[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(75), "{said}");
    };
    let run = run_dir(&dir.join("sweep/runs"), &text);
    // More than once where the machine is busy.
    wait_until("an epoch", || {
        stopped(&["--threads", "3"]);
        !computed(&run).is_empty()
    });
    stopped(&[]);
    stopped(&["--threads", "1"]);
    // What follows the last checkpoint may be broken.
    let path = run.join("events.jsonl");
    let torn = fs::read_to_string(&path).unwrap() + "garbage\n";
    fs::write(&path, torn).unwrap();
    let sweep = output(dir, &["sweep", "spec.toml", "--jobs", "2"]);
    let said = String::from_utf8_lossy(&sweep.stderr);
    assert!(sweep.status.success(), "{said}");
    assert!(
        said.contains("the part of the log that the checkpoint vouches for"),
        "{said}"
    );
    assert_eq!(computed(&run), (0..120).collect::<Vec<_>>());
    let log = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert!(log.lines().next().unwrap().contains("\"threads\":3"));
}

#[test]
fn a_time_budget_stops_in_order_and_the_same_command_goes_on() {
    let text = longer();
    let temp = folder(&text);
    let dir = temp.path();
    let run = run_dir(&dir.join("runs"), &text);
    let args = [
        "run",
        "spec.toml",
        "--threads",
        "1",
        "--json",
        "--time-budget",
        "400ms",
    ];
    let failed = run.join("failed.json");
    let (mut stops, mut idle) = (0, 0);
    loop {
        let before = reached(&run, &text);
        let start = Instant::now();
        let output = output(dir, &args);
        let took = start.elapsed();
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.code(), Some(75));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "error: time budget spent: run the same command again to resume\n"
        );
        // Generous: another process may have the machine.
        assert!(took < Duration::from_secs(30), "{took:?}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&said["was_finished"], &said["summary"]),
            (&false.into(), &Value::Null)
        );
        // What failed before, and was stopped in order since, has not failed, if it took a step: on a machine that is busy
        // the budget may be spent before.
        let progress = reached(&run, &text) > before;
        // What was left to do after an epoch's last step is progress without one.
        let end_of_epoch = before.map(|(epoch, _)| (epoch + 1, 0)) == reached(&run, &text);
        if !end_of_epoch {
            assert_eq!(failed.exists(), !progress && (stops, idle) != (0, 0));
        }
        fs::write(&failed, "{\"error\": \"the disk was full\"}").unwrap();
        if progress {
            stops += 1;
        } else {
            idle += 1;
        }
        assert!(idle < 100, "no progress in {idle} attempts");
    }
    assert!(stops > 0, "the run was done before its budget was");
    assert_eq!(computed(&run), (0..120).collect::<Vec<_>>());
    printed(
        dir,
        &["run", "spec.toml", "--threads", "1", "--out", "whole"],
    );
    assert_eq!(log(&run), log(&run_dir(&dir.join("whole"), &text)));
}

#[test]
fn a_budget_holds_for_a_whole_sweep_with_its_processes() {
    let temp = folder(&longer());
    let dir = temp.path();
    let sweep = ["sweep", "spec.toml", "--seeds", "0..3", "--jobs", "2"];
    let start = Instant::now();
    let stopped = output(dir, &[&sweep[..], &["--time-budget", "1s"]].concat());
    let took = start.elapsed();
    assert_eq!(
        stopped.status.code(),
        Some(75),
        "{:?}",
        String::from_utf8_lossy(&stopped.stderr)
    );
    assert!(took < Duration::from_secs(30), "{took:?}");
    let counts = status(dir, "sweep")["counts"].clone();
    assert_eq!(
        (&counts["failed"], &counts["running"]),
        (&0.into(), &0.into())
    );
    assert!(counts["finished"].as_u64().unwrap() < 3);
    // Goes on from the folders alone, the run that had not begun included.
    printed(dir, &["resume", "sweep", "--jobs", "2"]);
    printed(dir, &[&sweep[..], &["--out", "whole"]].concat());
    for (run, whole) in runs(&dir.join("sweep"))
        .iter()
        .zip(runs(&dir.join("whole")))
    {
        assert_eq!(computed(run), (0..120).collect::<Vec<_>>());
        assert_eq!(log(run), log(&whole));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_tells_the_trainings_to_stop_and_no_checkpoint_is_lost() {
    // Long enough that none of the two is done before the other has begun.
    let scheduler = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
    let text = with(&long(), scheduler, "kind = \"fixed\"\nlr = 0.3");
    let temp = folder(&with(&text, "epochs = 40", "epochs = 150"));
    let dir = temp.path();
    let sweep = ["sweep", "spec.toml", "--seeds", "0..3", "--jobs", "2"];
    let child = autolr(dir, &sweep)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("two trainings at a time", || {
        // Before the first folder is there, the command fails.
        let said = output(dir, &["status", "sweep", "--json"]);
        let status: Option<Value> = serde_json::from_slice(&said.stdout).ok();
        status.is_some_and(|status| status["counts"]["running"] == 2)
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // As Ctrl-C does; but SIGINT stays ignored where the tests themselves run behind a shell's `&`.
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        stderr,
        "error: interrupted: run the same command again to resume\n"
    );
    assert!(start.elapsed() < Duration::from_secs(10));
    // Stopped in order: a process that is killed leaves its name in the lock, and is stale.
    let counts = status(dir, "sweep")["counts"].clone();
    assert_eq!(counts["stopped"], 2, "{counts}");
    assert_eq!(
        (&counts["running"], &counts["stale"]),
        (&0.into(), &0.into())
    );
    printed(dir, &sweep);
    for run in runs(&dir.join("sweep")) {
        assert_eq!(
            computed(&run),
            (0..150).collect::<Vec<_>>(),
            "an epoch was lost or done twice"
        );
    }
}

#[test]
fn a_run_of_another_name_is_not_gone_on_with() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    let other = dir.join("runs/0123456789abcdef");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("spec.toml"), spec(REFERENCE).to_toml().unwrap()).unwrap();
    let output = output(dir, &["resume", "runs"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.contains("0123456789abcdef")
            && stderr.contains(&spec(REFERENCE).run_name().unwrap()),
        "{stderr}"
    );
}

#[test]
fn reproduce_says_its_result_as_json_and_keeps_to_its_budget() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let args = [
        "reproduce",
        "table1",
        "--scale",
        "smoke",
        "--protocol",
        "published",
        "--jobs",
        "2",
        "--json",
    ];
    let stopped = output(dir, &[&args[..], &["--time-budget", "1ms"]].concat());
    assert_eq!(
        stopped.status.code(),
        Some(75),
        "{}",
        String::from_utf8_lossy(&stopped.stderr)
    );
    let result: Value = serde_json::from_str(&printed(dir, &args)).unwrap();
    let runs = result["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &result["failed"]), (10, &0.into()));
    assert_eq!(runs[4]["name"], "table1/published/ours");
    // robust pays for its search with epochs of its training.
    let (robust, others) = runs.split_last().unwrap();
    assert!(others.iter().all(|run| run["summary"]["epochs"] == 40));
    assert_eq!(robust["name"], "table1/published/robust");
    assert_eq!(robust["summary"]["budget_spent"], true, "{robust}");
    assert_eq!(status(dir, ".")["runs"][4]["name"], "table1/published/ours");
}

/// Seconds and microseconds are 16 digits, as a run's name is.
#[test]
fn a_folder_of_runs_may_be_called_as_a_run_is() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    let named = "1764427200123456";
    printed(dir, &["run", "spec.toml", "--out", named]);
    printed(
        dir,
        &[
            "sweep",
            "spec.toml",
            "--out",
            "1764427200123457",
            "--jobs",
            "1",
        ],
    );
    for folder in [named, "1764427200123457"] {
        let found = status(dir, folder);
        assert_eq!(found["counts"]["finished"], 1, "{found}");
        let said = printed(dir, &["resume", folder]);
        assert!(said.starts_with("1 run: 1 finished before"), "{said}");
    }
}

#[test]
fn a_run_that_ended_before_its_specification_was_written_is_not_begun() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    fs::write(
        dir.join("other.toml"),
        support::with(REFERENCE, "lr = 0.05", "lr = 0.07"),
    )
    .unwrap();
    for file in ["spec.toml", "other.toml"] {
        printed(dir, &["run", file]);
    }
    let names = ["0123456789abcdef", "fedcba9876543210"];
    let [killed, failed] = names.map(|name| dir.join("runs").join(name));
    for run in [&killed, &failed] {
        fs::create_dir(run).unwrap();
        fs::write(run.join("lock"), "pid 17 on elsewhere\n").unwrap();
    }
    fs::write(
        failed.join("failed.json"),
        "{\"error\":\"the disk is full\"}",
    )
    .unwrap();
    let found = status(dir, "runs");
    assert_eq!(found["counts"]["not-begun"], 1, "{found}");
    assert_eq!(found["counts"]["failed"], 1, "{found}");
    assert_eq!(found["counts"]["unreadable"], 0, "{found}");
    let said = output(dir, &["resume", "runs"]);
    let stderr = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(0), "{stderr}");
    for name in names {
        let note = format!("{name}: ended before its specification was written");
        assert!(stderr.contains(&note), "{stderr}");
    }
    let said = output(dir, &["retry", "--failed", "runs"]);
    let stderr = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains(names[1]) && !stderr.contains(names[0]),
        "{stderr}"
    );
    let compared = printed(dir, &["compare", "spec.toml", "other.toml", "--json"]);
    let compared: Value = serde_json::from_str(&compared).unwrap();
    // None: the key is there where there are some.
    assert_eq!(compared["unreadable"], Value::Null, "{compared}");
    assert_eq!(compared["verdict"], "too-few-seeds", "{compared}");
    // What is left of a run whose files were taken away is more than that.
    fs::write(killed.join("timings.jsonl"), "").unwrap();
    assert_eq!(status(dir, "runs")["counts"]["unreadable"], 1);
}

#[test]
fn a_run_that_cannot_be_read_takes_no_other_along() {
    let temp = folder(REFERENCE);
    let dir = temp.path();
    let sweep = ["sweep", "spec.toml", "--seeds", "0..3", "--jobs", "1"];
    printed(dir, &sweep);
    let runs = runs(&dir.join("sweep"));
    let logs: Vec<String> = runs.iter().map(|run| log(run)).collect();
    let checkpoints = ["checkpoint.safetensors", "checkpoint.previous.safetensors"];
    // The first has a checkpoint to go on from, the second has none, the third has not begun.
    for run in &runs[..2] {
        fs::write(run.join("events.jsonl"), log(run) + "garbage\n").unwrap();
    }
    for run in &runs[1..] {
        for file in checkpoints {
            let _ = fs::remove_file(run.join(file));
        }
    }
    fs::remove_file(runs[2].join("events.jsonl")).unwrap();
    assert_eq!(status(dir, "sweep")["counts"]["unreadable"], 2);
    let said = output(dir, &["resume", "sweep", "--jobs", "1"]);
    let stderr = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1), "{stderr}");
    assert_eq!(
        String::from_utf8(said.stdout).unwrap(),
        "3 runs: 0 finished before, 3 resumed, 2 of them finished now, 1 failed\n"
    );
    assert!(
        stderr.contains("remove the run's folder to start again")
            && stderr.contains("the part of the log that the checkpoint vouches for"),
        "{stderr}"
    );
    assert_eq!(
        (log(&runs[0]), log(&runs[2])),
        (logs[0].clone(), logs[2].clone())
    );
    let again = output(dir, &sweep);
    assert_eq!(again.status.code(), Some(1));
    insta::assert_snapshot!(stable(&String::from_utf8(again.stdout).unwrap()));
    // The log of another run is not this one's result.
    fs::copy(runs[2].join("events.jsonl"), runs[0].join("events.jsonl")).unwrap();
    fs::remove_dir_all(&runs[1]).unwrap();
    let again = output(dir, &sweep);
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("remove the run's folder to start again"),
        "{stderr}"
    );
    assert_eq!(log(&runs[1]), logs[1]);
}
