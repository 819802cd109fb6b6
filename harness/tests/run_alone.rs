//! One run, one process, one set of conditions: what would mix two runs in one log is refused.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::data::Location;
use harness::exit::BadInput;
use harness::record::RunLog;
use harness::train::{Observer, RunOptions, RunStatus, run};
use harness::workload;
use support::{REFERENCE, spec};

/// Stops after the first epoch, if asked to.
struct StopAfterFirst<'a>(Option<&'a AtomicBool>);

impl Observer for StopAfterFirst<'_> {
    fn epoch(&mut self, record: &harness::record::EpochRecord) {
        if let (Some(flag), 1) = (self.0, record.epoch) {
            flag.store(true, Ordering::Relaxed);
        }
    }
}

fn train(dir: &Path, threads: usize, stops: bool) -> anyhow::Result<RunStatus> {
    let spec = spec(REFERENCE);
    let flag = AtomicBool::new(false);
    let location = Location::choose(Some(dir), None, dir);
    run(
        &spec,
        dir,
        &|| workload::build(&spec, &location, threads),
        &mut RunOptions {
            interrupted: &flag,
            threads,
            observer: &mut StopAfterFirst(stops.then_some(&flag)),
        },
    )
}

#[test]
fn a_run_that_another_process_works_on_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let lock = File::create(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let error = train(dir.path(), 1, false).unwrap_err().to_string();
    assert!(
        error.contains("another process is at work on this run"),
        "{error}"
    );
    assert!(!dir.path().join("events.jsonl").exists());
    drop(lock);
    assert!(!train(dir.path(), 1, false).unwrap().was_finished);
}

#[test]
fn a_run_does_not_go_on_under_other_conditions() {
    let dir = tempfile::tempdir().unwrap();
    assert!(train(dir.path(), 1, true).is_err());
    let log = fs::read(dir.path().join("events.jsonl")).unwrap();
    let error = train(dir.path(), 2, false).unwrap_err();
    let error = error.downcast::<BadInput>().unwrap().to_string();
    assert!(
        error.contains("threads = 1") && error.contains("with 2"),
        "{error}"
    );
    assert_eq!(fs::read(dir.path().join("events.jsonl")).unwrap(), log);
    assert!(train(dir.path(), 1, false).is_ok());
}

#[test]
fn a_log_of_two_runs_is_no_log() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), 1, false).unwrap();
    let path = dir.path().join("events.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let last = text.lines().last().unwrap();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    writeln!(file, "{last}").unwrap();
    let error = RunLog::read(&path).unwrap_err().to_string();
    assert!(error.contains("an event after the run's end"), "{error}");
    // The first epoch taken out.
    let without: Vec<&str> = text
        .lines()
        .enumerate()
        .filter(|(i, _)| *i != 1)
        .map(|(_, line)| line)
        .collect();
    fs::write(&path, without.join("\n") + "\n").unwrap();
    let error = RunLog::read(&path).unwrap_err().to_string();
    assert!(error.contains("epoch 1 where 0 is due"), "{error}");
}
