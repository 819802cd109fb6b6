//! One run, one process, one set of conditions: what would mix two runs in one log is refused.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::data::Location;
use harness::disk::Disk;
use harness::exit::BadInput;
use harness::record::RunLog;
use harness::train::{Generations, Observer, RunOptions, RunStatus, run};
use harness::workload;
use sha2::{Digest, Sha256};
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
        &mut RunOptions::new(&flag, threads, &mut StopAfterFirst(stops.then_some(&flag))),
    )
}

#[test]
fn a_run_that_another_process_works_on_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut lock = File::create(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    writeln!(lock, "pid 4711 on elsewhere").unwrap();
    let error = train(dir.path(), 1, false).unwrap_err().to_string();
    assert!(
        error.contains("another process (pid 4711 on elsewhere) is at work on this run"),
        "{error}"
    );
    assert!(!dir.path().join("events.jsonl").exists());
    drop(lock);
    assert!(!train(dir.path(), 1, false).unwrap().was_finished);
    // Who ends in order takes the name away: one that stays there was killed.
    let said = fs::read_to_string(dir.path().join("lock")).unwrap();
    assert_eq!(said, "");
}

#[test]
fn a_run_that_another_program_goes_on_with_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert!(train(dir.path(), 1, true).is_err());
    // As if another revision had begun it: the log's first line, and the checkpoint that vouches for it.
    let path = dir.path().join("events.jsonl");
    let begun = RunLog::read(&path).unwrap().unwrap();
    let here = begun.provenance.build.clone();
    assert!(
        here.lock.as_ref().is_some_and(|hash| hash.len() == 64),
        "{here:?}"
    );
    assert!(
        here.rustc
            .as_ref()
            .is_some_and(|rustc| rustc.starts_with("rustc 1.")),
        "{here:?}"
    );
    let generations = Generations::of(dir.path());
    let (mut checkpoint, _) = generations
        .read(&begun.provenance.spec, u64::MAX, |_, _| Ok(()))
        .unwrap()
        .unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let lock = here.lock.as_ref().unwrap();
    let first = first.replace(lock.as_str(), &"0".repeat(64));
    let text = format!("{first}\n{rest}");
    let vouched = checkpoint.progress.log.bytes as usize;
    fs::write(&path, &text).unwrap();
    checkpoint.progress.log.sha256 = hex::encode(Sha256::digest(&text[..vouched]));
    generations.write(&Disk::default(), &checkpoint).unwrap();

    train(dir.path(), 1, false).unwrap();
    let log = RunLog::read(&path).unwrap().unwrap();
    assert_eq!(log.continued, [here]);
    assert_eq!(log.epochs.len() as u64, spec(REFERENCE).training.epochs);
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
