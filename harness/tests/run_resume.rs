//! A run that is stopped, at any moment and in any way, and started again leaves the log of one that was not.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::data::Location;
use harness::exit::Interrupted;
use harness::experiment::RunSpec;
use harness::record::{EpochRecord, Outcome, RunLog};
use harness::train::{CHECKPOINT_EVERY, Observer, RunOptions, RunSize, RunStatus, run};
use harness::workload;
use support::{REFERENCE, autolr, contents, printed, run_dir, spec, with};
use tempfile::TempDir;

const LOG: &str = "events.jsonl";
const CHECKPOINT: &str = "checkpoint.safetensors";
const PREVIOUS: &str = "checkpoint.previous.safetensors";
const TIMINGS: &str = "timings.jsonl";

/// When a run is told to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stop {
    Never,
    /// At the first step.
    AtOnce,
    /// After so many steps.
    Step(u64),
    /// Right after the validation of this epoch: its decision is taken, the next epoch does not begin.
    Epoch(u64),
}

/// Stops a run, and remembers where it began.
struct Stopper<'a> {
    stop: Stop,
    flag: &'a AtomicBool,
    began_with: u64,
    steps: u64,
}

impl Stopper<'_> {
    fn stop_if(&self, now: Stop) {
        if self.stop == now {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

impl Observer for Stopper<'_> {
    fn begin(&mut self, size: RunSize) {
        self.began_with = size.epochs_done;
        self.stop_if(Stop::AtOnce);
    }

    fn step(&mut self) {
        self.steps += 1;
        self.stop_if(Stop::Step(self.steps));
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.stop_if(Stop::Epoch(record.epoch));
    }
}

/// What a training in this process did.
struct Trained {
    /// The epoch that it went on with.
    began_with: u64,
    /// Its optimiser steps.
    steps: u64,
    status: anyhow::Result<RunStatus>,
}

/// Trains in `dir` until `stop`, with a checkpoint after so much time within an epoch.
fn train_with(spec: &RunSpec, dir: &Path, stop: Stop, checkpoint_every: Duration) -> Trained {
    let flag = AtomicBool::new(false);
    let mut stopper = Stopper {
        stop,
        flag: &flag,
        began_with: 0,
        steps: 0,
    };
    let location = Location::choose(Some(dir), None, dir);
    let mut options = RunOptions::new(&flag, 1, &mut stopper);
    options.checkpoint_every = checkpoint_every;
    let build = || workload::build(spec, &location, 1);
    let status = run(spec, dir, &build, &mut options);
    Trained {
        began_with: stopper.began_with,
        steps: stopper.steps,
        status,
    }
}

/// Trains in `dir` until `stop`.
fn train(spec: &RunSpec, dir: &Path, stop: Stop) -> Trained {
    train_with(spec, dir, stop, CHECKPOINT_EVERY)
}

/// Trains until told to stop, which has to happen; the steps that it took.
fn train_until(spec: &RunSpec, dir: &Path, stop: Stop) -> u64 {
    let trained = train(spec, dir, stop);
    let error = trained.status.expect_err("the run was stopped");
    assert!(error.is::<Interrupted>(), "{stop:?}: {error:#}");
    trained.steps
}

/// Trains to the end, from the epoch expected; the steps that it took.
fn train_on(spec: &RunSpec, dir: &Path, from: u64) -> u64 {
    let trained = train(spec, dir, Stop::Never);
    let status = trained.status.expect("the run goes on");
    assert!(!status.was_finished);
    assert_eq!(
        trained.began_with, from,
        "the epoch that the run goes on with"
    );
    trained.steps
}

/// Log and last state of a run, as bytes: everything that a resumption could spoil.
fn left_behind(dir: &Path) -> (String, Vec<u8>) {
    let log = fs::read_to_string(dir.join(LOG)).expect("a log");
    (log, fs::read(dir.join(CHECKPOINT)).expect("a last state"))
}

/// 640 training images in batches of 32, for six epochs.
const ALL_STEPS: u64 = 120;

/// The run without a stop, in a folder of its own.
fn uninterrupted(spec: &RunSpec) -> (String, Vec<u8>) {
    let temp = TempDir::new().expect("a folder");
    train_on(spec, temp.path(), 0);
    left_behind(temp.path())
}

/// Open and closed loop, every optimiser, every option of the released protocol.
fn specifications() -> Vec<(&'static str, RunSpec)> {
    let scheduler = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
    let sgd = "kind = \"sgd\"";
    let adamw = with(REFERENCE, sgd, "kind = \"adamw\"");
    let adamw = with(&adamw, "lr = 0.05", "lr = 0.005");
    let probe = "[probe]\nbatch_size = 32";
    let released = with(
        &adamw,
        probe,
        "[probe]\nbatch_size = 32\nloss = \"before-step\"\nbatches = \"per-candidate\"",
    );
    let released = with(
        &released,
        "augment = false",
        "augment = false\nsplit = \"independent\"",
    );
    let released = with(
        &released,
        "device = \"cpu\"",
        "device = \"cpu\"\nbatch_norm_after_validation = \"frozen\"",
    );
    let released = with(
        &released,
        "factors = \"factor_3\"",
        "factors = \"factor_5\"\nnon_finite = \"propagate\"",
    );
    let momentum = with(
        REFERENCE,
        sgd,
        "kind = \"sgd\"\nmomentum = 0.9\nnesterov = true\nweight_decay = 0.001",
    );
    let momentum = with(
        &momentum,
        probe,
        "[probe]\nbatch_size = 40\ngradient = \"own\"",
    );
    let momentum = with(
        &momentum,
        "augment = false",
        "augment = false\ndrop_last = false",
    );
    [
        ("closed loop", REFERENCE.to_owned()),
        (
            "open loop",
            with(REFERENCE, scheduler, "kind = \"cosine\"\nlr = 0.05"),
        ),
        (
            "open loop, AdamW",
            with(
                &adamw,
                "kind = \"autolr\"\nlr = 0.005\nfactors = \"factor_3\"",
                "kind = \"step\"\nlr = 0.005\nstep_size = 2",
            ),
        ),
        (
            // The rate grows until the network is spoilt: the best weights are early ones, kept in the saved state.
            "best epoch early",
            with(
                REFERENCE,
                scheduler,
                "kind = \"linear\"\nlr = 30\nstart_factor = 0.01\ntotal_iters = 6",
            ),
        ),
        ("AdamW", adamw),
        ("released", released),
        ("momentum, own gradient, incomplete batches", momentum),
    ]
    .map(|(name, text)| (name, spec(&text)))
    .into()
}

#[test]
fn a_run_goes_on_where_it_was_stopped() {
    let stops = [
        (Stop::AtOnce, 0),
        (Stop::Step(1), 0),
        (Stop::Step(20), 0),
        (Stop::Epoch(0), 1),
        (Stop::Step(47), 2),
        (Stop::Epoch(3), 4),
        (Stop::Step(119), 5),
    ];
    for (name, spec) in specifications() {
        let whole = uninterrupted(&spec);
        for (stop, done) in stops {
            let temp = TempDir::new().unwrap();
            let before = train_until(&spec, temp.path(), stop);
            let after = train_on(&spec, temp.path(), done);
            assert!(whole == left_behind(temp.path()), "{name}, {stop:?}");
            // Neither lost nor taken twice.
            assert_eq!(before + after, ALL_STEPS, "{name}, {stop:?}");
        }
    }
}

#[test]
fn a_run_may_be_stopped_at_every_step() {
    for (name, spec) in specifications() {
        let temp = TempDir::new().unwrap();
        for step in 0..ALL_STEPS {
            assert_eq!(train_until(&spec, temp.path(), Stop::Step(1)), 1, "{step}");
        }
        // The last epoch's validation, decision and test.
        assert_eq!(train_on(&spec, temp.path(), spec.training.epochs - 1), 0);
        assert!(uninterrupted(&spec) == left_behind(temp.path()), "{name}");
    }
}

#[test]
fn checkpoints_within_an_epoch_change_nothing() {
    for (name, spec) in specifications() {
        let temp = TempDir::new().unwrap();
        let trained = train_with(&spec, temp.path(), Stop::Never, Duration::ZERO);
        assert_eq!(trained.steps, ALL_STEPS);
        trained.status.expect("the run ends");
        assert!(uninterrupted(&spec) == left_behind(temp.path()), "{name}");
    }
}

#[test]
fn a_run_that_diverges_does_so_at_the_same_step_however_often_it_is_stopped() {
    let scheduler = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
    let spec = spec(&with(REFERENCE, scheduler, "kind = \"fixed\"\nlr = 1e100"));
    let whole = TempDir::new().unwrap();
    let all = train_on(&spec, whole.path(), 0);
    assert!((2..20).contains(&all), "{all}");
    let temp = TempDir::new().unwrap();
    for _ in 0..all {
        train_until(&spec, temp.path(), Stop::Step(1));
    }
    assert_eq!(train_on(&spec, temp.path(), 0), 0);
    let log = |temp: &TempDir| fs::read_to_string(temp.path().join(LOG)).unwrap();
    assert_eq!(log(&temp), log(&whole));
}

#[test]
fn a_damaged_checkpoint_within_an_epoch_costs_the_steps_since_the_one_before() {
    let spec = spec(REFERENCE);
    let temp = TempDir::new().unwrap();
    assert_eq!(train_until(&spec, temp.path(), Stop::Step(47)), 47);
    assert_eq!(train_until(&spec, temp.path(), Stop::Step(3)), 3);
    let path = temp.path().join(CHECKPOINT);
    let mut content = fs::read(&path).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&path, content).unwrap();
    assert_eq!(train_on(&spec, temp.path(), 2), ALL_STEPS - 47);
    assert!(uninterrupted(&spec) == left_behind(temp.path()));
}

#[test]
fn a_run_may_be_stopped_in_every_epoch() {
    for (name, spec) in specifications() {
        let temp = TempDir::new().unwrap();
        for epoch in 0..spec.training.epochs - 1 {
            train_until(&spec, temp.path(), Stop::Epoch(epoch));
        }
        train_on(&spec, temp.path(), spec.training.epochs - 1);
        assert!(uninterrupted(&spec) == left_behind(temp.path()), "{name}");
    }
}

#[test]
fn the_two_tests_above_compare_what_differs() {
    let mut logs: Vec<String> = Vec::new();
    let mut early = 0;
    for (name, spec) in specifications() {
        let temp = TempDir::new().unwrap();
        train_on(&spec, temp.path(), 0);
        let log = RunLog::read(&temp.path().join(LOG)).unwrap().unwrap();
        let summary = log.summary.unwrap();
        // Stopped in epoch 5, such a run needs the best weights of its saved state.
        early += usize::from(summary.best_epoch < Some(4));
        let (log, _) = left_behind(temp.path());
        // The first line has the digest of the specification.
        let (_, log) = log.split_once('\n').unwrap();
        assert!(!logs.iter().any(|other| other == log), "{name}");
        logs.push(log.to_owned());
    }
    assert!(early > 0, "no run whose best weights are not its last");
}

#[test]
fn what_the_log_holds_beyond_the_saved_state_is_written_again() {
    let spec = spec(REFERENCE);
    let whole = uninterrupted(&spec);
    for tail in [
        "{\"event\":\"epo",
        "{\"event\":\"epoch\",\"epoch\":3,\"lr\":0.0",
        "\n",
        "{\"event\":\"epoch\"}\n",
        "\u{e9}",
    ] {
        let temp = TempDir::new().unwrap();
        train_until(&spec, temp.path(), Stop::Epoch(2));
        let path = temp.path().join(LOG);
        let torn = fs::read_to_string(&path).unwrap() + tail;
        fs::write(&path, torn).unwrap();
        train_on(&spec, temp.path(), 3);
        assert!(whole == left_behind(temp.path()), "{tail:?}");
    }

    // Stopped after the log's lines and before the state: whole lines that the state knows nothing of.
    let temp = TempDir::new().unwrap();
    train_until(&spec, temp.path(), Stop::Epoch(1));
    let older = fs::read(temp.path().join(CHECKPOINT)).unwrap();
    train_until(&spec, temp.path(), Stop::Epoch(3));
    fs::write(temp.path().join(CHECKPOINT), older).unwrap();
    train_on(&spec, temp.path(), 2);
    assert!(whole == left_behind(temp.path()));

    // The log is there, the state is not: from the one before it. Without that no epoch is thrown away in silence.
    let temp = TempDir::new().unwrap();
    train_until(&spec, temp.path(), Stop::Epoch(1));
    fs::remove_file(temp.path().join(CHECKPOINT)).unwrap();
    train_until(&spec, temp.path(), Stop::Epoch(1));
    fs::remove_file(temp.path().join(CHECKPOINT)).unwrap();
    fs::remove_file(temp.path().join(PREVIOUS)).unwrap();
    let log = fs::read_to_string(temp.path().join(LOG)).unwrap();
    let refused = train(&spec, temp.path(), Stop::Never);
    let error = refused.status.unwrap_err().to_string();
    assert!(
        error.ends_with("holds 2 epochs, but there is no checkpoint; put it back, or remove the run's folder to start again"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(temp.path().join(LOG)).unwrap(), log);
    // The first epoch may be there without one: the checkpoint follows the log's line, and the timing the checkpoint.
    let lines = log.split_inclusive('\n');
    let epoch = |line: &&str| line.contains("\"event\":\"epoch\",\"epoch\":1");
    let first: String = lines.take_while(|line| !epoch(line)).collect();
    assert!(first.contains("\"event\":\"epoch\",\"epoch\":0"), "{first}");
    fs::write(temp.path().join(LOG), first).unwrap();
    let refused = train(&spec, temp.path(), Stop::Never);
    let error = refused.status.unwrap_err().to_string();
    assert!(error.contains("holds 1 epoch, but"), "{error}");
    fs::remove_file(temp.path().join(TIMINGS)).unwrap();
    train_on(&spec, temp.path(), 0);
    assert!(whole == left_behind(temp.path()));
}

#[test]
fn the_log_of_another_specification_is_no_result_of_this() {
    let scheduler = "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"";
    let other = spec(&with(REFERENCE, scheduler, "kind = \"fixed\"\nlr = 0.05"));
    let others = TempDir::new().unwrap();
    train_on(&other, others.path(), 0);
    let begun = TempDir::new().unwrap();
    train_until(&other, begun.path(), Stop::Epoch(1));
    let spec = spec(REFERENCE);
    for log in [others.path().join(LOG), begun.path().join(LOG)] {
        // Without a checkpoint and with one.
        for stop in [Stop::AtOnce, Stop::Epoch(1)] {
            let temp = TempDir::new().unwrap();
            train_until(&spec, temp.path(), stop);
            fs::copy(&log, temp.path().join(LOG)).unwrap();
            let error = train(&spec, temp.path(), Stop::Never).status.unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains("remove the run's folder"), "{error}");
            let there = fs::read(temp.path().join(LOG)).unwrap();
            assert!(there == fs::read(&log).unwrap(), "the log was touched");
        }
    }
}

#[test]
fn a_log_shorter_than_the_saved_state_knows_is_an_error() {
    let spec = spec(REFERENCE);
    let temp = TempDir::new().unwrap();
    train_until(&spec, temp.path(), Stop::Epoch(2));
    let path = temp.path().join(LOG);
    let log = fs::read_to_string(&path).unwrap();
    let first = log.lines().next().unwrap();
    fs::write(&path, format!("{first}\n")).unwrap();
    let error = train(&spec, temp.path(), Stop::Never).status.unwrap_err();
    assert!(format!("{error:#}").contains(LOG), "{error:#}");
    // Nothing is added to a log that has a gap.
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{first}\n"));
}

#[test]
fn a_finished_run_is_not_computed_again() {
    let diverging = with(
        REFERENCE,
        "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        "kind = \"fixed\"\nlr = 1e6",
    );
    for (text, diverges) in [(REFERENCE, false), (diverging.as_str(), true)] {
        let temp = TempDir::new().unwrap();
        let dir = temp.path();
        fs::write(dir.join("spec.toml"), text).unwrap();
        let first = printed(dir, &["run", "spec.toml"]);
        let log = RunLog::read(&run_dir(&dir.join("runs"), text).join(LOG))
            .unwrap()
            .unwrap();
        let outcome = log.summary.unwrap().outcome;
        assert_eq!(outcome != Outcome::Completed, diverges, "{outcome:?}");
        let before = contents(dir);
        let second = printed(dir, &["run", "spec.toml"]);
        assert!(before == contents(dir), "files were written again");
        let note = " (finished before; not computed again)";
        assert_eq!(second.replacen(note, "", 1), first);
        assert!(second.contains(note) && !first.contains(note));
    }
}

/// A run that takes a second or more, so that it can be caught in the middle.
fn long() -> String {
    let text = with(REFERENCE, "train_images = 800", "train_images = 16000");
    with(&text, "epochs = 6", "epochs = 60")
}

/// The program at work on `spec.toml`; its standard output gives a line an epoch.
fn start(dir: &Path) -> (Child, impl BufRead) {
    let mut child = autolr(
        dir,
        &["run", "spec.toml", "--threads", "1", "--epoch-lines"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("its output"));
    (child, lines)
}

/// Waits for an epoch to end.
fn one_epoch(lines: &mut impl BufRead) -> EpochRecord {
    let mut line = String::new();
    lines.read_line(&mut line).expect("its output");
    serde_json::from_str(&line).expect("a line an epoch")
}

#[test]
fn killed_and_started_again() {
    let text = long();
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::write(dir.join("spec.toml"), &text).unwrap();
    let run = run_dir(&dir.join("runs"), &text);
    let mut next = 0;
    for _ in 0..3 {
        let (mut child, mut lines) = start(dir);
        let first = one_epoch(&mut lines).epoch;
        one_epoch(&mut lines);
        // SIGKILL: nothing of the program's own runs after it.
        child.kill().unwrap();
        child.wait().unwrap();
        let log = RunLog::read(&run.join(LOG)).unwrap().unwrap();
        assert!(log.summary.is_none(), "killed before it was done");
        assert!(first >= next, "epoch {first} again, {next} were safe");
        // The first of the two epochs had its state written before the second began.
        next = first + 1;
    }
    printed(dir, &["run", "spec.toml", "--threads", "1"]);
    assert!(uninterrupted(&spec(&text)) == left_behind(&run));
}

#[cfg(unix)]
#[test]
fn told_to_stop_and_started_again() {
    let text = long();
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    fs::write(dir.join("spec.toml"), &text).unwrap();
    let (child, mut lines) = start(dir);
    one_epoch(&mut lines);
    // As Ctrl-C does; but SIGINT is ignored where the tests themselves run behind a shell's `&`.
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: interrupted: run the same command again to resume\n"
    );
    printed(dir, &["run", "spec.toml", "--threads", "1"]);
    let run = run_dir(&dir.join("runs"), &text);
    assert!(uninterrupted(&spec(&text)) == left_behind(&run));
}

/// ResNet-18 through libtorch, with BatchNorm, momentum, augmentation.
#[cfg(feature = "tch")]
#[test]
fn a_resnet_goes_on_where_it_was_stopped() {
    let frozen = with(
        support::TINY_RESNET,
        "device = \"cpu\"",
        "device = \"cpu\"\nbatch_norm_after_validation = \"frozen\"",
    );
    let frozen = with(
        &frozen,
        "kind = \"sgd\"\nmomentum = 0.9",
        "kind = \"adamw\"",
    );
    for text in [support::TINY_RESNET, frozen.as_str()] {
        let spec = spec(text);
        let whole = uninterrupted(&spec);
        // 64 training images in batches of 16: 4 steps an epoch.
        for (stop, done) in [(Stop::Epoch(0), 1), (Stop::Step(10), 2)] {
            let temp = TempDir::new().unwrap();
            train_until(&spec, temp.path(), stop);
            train_on(&spec, temp.path(), done);
            assert!(whole == left_behind(temp.path()), "{stop:?}: {text}");
        }
        let temp = TempDir::new().unwrap();
        for _ in 0..4 * spec.training.epochs {
            assert_eq!(train_until(&spec, temp.path(), Stop::Step(1)), 1);
        }
        assert_eq!(train_on(&spec, temp.path(), spec.training.epochs - 1), 0);
        assert!(whole == left_behind(temp.path()), "at every step: {text}");
    }
}
