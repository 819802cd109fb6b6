//! Runs that are killed (SIGKILL) at random moments, again and again: nothing is lost beyond the last checkpoint, and the
//! log at the end is that of a run that nobody touched.
//!
//! A few kills each time; `cargo xtask soak` asks for hundreds by `AUTOLR_KILLS` and `AUTOLR_KILLS_LIBTORCH`.

#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use harness::experiment::RunSpec;
use harness::record::computed_epochs;
use harness::train::Generations;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{REFERENCE, autolr, run_dir, spec, with};
use tempfile::TempDir;

fn kills(variable: &str, usual: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number of kills"),
        Err(_) => usual,
    }
}

fn start(dir: &Path) -> Child {
    let mut command = autolr(dir, &["run", "spec.toml", "--threads", "1"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

/// The epochs that the newest checkpoint vouches for.
fn saved(spec: &RunSpec, dir: &Path) -> u64 {
    let found = Generations::of(dir).read(&spec.digest().unwrap(), u64::MAX, |checkpoint, _| {
        checkpoint.progress.log.verify(&dir.join("events.jsonl"))
    });
    let found = found.expect("never a damaged checkpoint without a good one");
    found.map_or(0, |(checkpoint, refused)| {
        assert!(
            refused.is_empty(),
            "a process that is killed damages nothing: {refused:?}"
        );
        checkpoint.progress.next_epoch
    })
}

/// Kills runs of `text` until there were so many kills, a tenth of them with a checkpoint since the kill before; each run
/// is begun again until it finishes.
fn kill(text: &str, wanted: usize) {
    let spec = spec(text);
    let folder = || {
        let temp = TempDir::new().unwrap();
        fs::write(temp.path().join("spec.toml"), text).unwrap();
        temp
    };
    let untouched = folder();
    let begun = Instant::now();
    assert!(start(untouched.path()).wait().unwrap().success());
    let usual = begun.elapsed();
    let dir = |temp: &TempDir| run_dir(&temp.path().join("runs"), text);
    let log = fs::read(dir(&untouched).join("events.jsonl")).unwrap();

    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut killed, mut runs, mut in_vain) = (0, 0, 0);
    // How much longer than the first run a run takes by now, others being at work on the machine: longer where kills find
    // nothing new time after time, less where runs end before a kill.
    let (mut slower, mut in_a_row) = (1.0, 0);
    let enough = |killed: usize, in_vain: usize| {
        assert!(
            killed < 20 * wanted + 200,
            "{in_vain} of {killed} kills came before the next checkpoint"
        );
        killed >= wanted && 10 * (killed - in_vain) >= killed
    };
    while !enough(killed, in_vain) {
        runs += 1;
        let temp = folder();
        let mut before = 0;
        loop {
            let mut child = start(temp.path());
            // Whatever it is doing: starting, training, writing, ending.
            let wait = if enough(killed, in_vain) {
                Duration::from_secs(3600)
            } else {
                usual.mul_f64(slower * random.random_range(0.0..0.6))
            };
            let begun = Instant::now();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if begun.elapsed() >= wait {
                    break None;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            match ended {
                Some(status) => {
                    assert!(status.success(), "{status}");
                    slower = f64::max(slower / 1.2, 1.0);
                    break;
                }
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    killed += 1;
                }
            }
            if temp.path().join("runs").exists() {
                let dir = dir(&temp);
                let now = saved(&spec, &dir);
                assert!(now >= before, "epoch {before} was saved, and now {now}");
                in_vain += usize::from(now == before);
                in_a_row = if now == before { in_a_row + 1 } else { 0 };
                before = now;
            } else {
                in_vain += 1;
                in_a_row += 1;
            }
            if in_a_row > 5 {
                (slower, in_a_row) = (1.5 * slower, 0);
            }
        }
        let end = fs::read(dir(&temp).join("events.jsonl")).unwrap();
        assert!(
            end == log,
            "the log of run {runs} differs from that of the run left alone"
        );
        let timed: BTreeSet<u64> = computed_epochs(&dir(&temp))
            .iter()
            .map(|timing| timing.epoch)
            .collect();
        assert!(
            timed.into_iter().eq(0..spec.training.epochs),
            "run {runs}: a line of the timings is lost"
        );
    }
    println!(
        "{killed} kills over {runs} runs of {usual:.2?}, {in_vain} before the next checkpoint; all logs identical"
    );
}

#[test]
fn killed_at_any_moment_a_run_loses_nothing() {
    let text = with(REFERENCE, "epochs = 6", "epochs = 60");
    kill(&text, kills("AUTOLR_KILLS", 20));
}

#[cfg(feature = "tch")]
#[test]
fn killed_at_any_moment_a_run_on_libtorch_loses_nothing() {
    kill(support::TINY_RESNET, kills("AUTOLR_KILLS_LIBTORCH", 3));
}
