//! Disks that fail and files that are damaged: a run loses nothing that a checkpoint vouches for, and says what is wrong.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::data::Location;
use harness::disk::{Disk, Operation};
use harness::experiment::RunSpec;
use harness::record::{EpochRecord, RunLog, computed_epochs};
use harness::train::{Checkpoint, Generations, Observer, RunOptions, RunSize, RunStatus, run_on};
use harness::workload;
use support::{REFERENCE, spec, with};
use tempfile::TempDir;

const LOG: &str = "events.jsonl";
const NEWEST: &str = "checkpoint.safetensors";
const PREVIOUS: &str = "checkpoint.previous.safetensors";

/// A closed loop so small that it trains in milliseconds and its checkpoint has a few thousand bytes.
fn small() -> RunSpec {
    let text = with(REFERENCE, "hidden = 8", "hidden = 2");
    let text = with(&text, "train_images = 800", "train_images = 160");
    let text = with(&text, "test_images = 200", "test_images = 40");
    spec(&with(&text, "epochs = 6", "epochs = 3"))
}

/// Remembers where a run began and what was said, and stops it after an epoch.
#[derive(Default)]
struct Watch {
    flag: AtomicBool,
    stop_after: Option<u64>,
}

struct Watching<'a> {
    watch: &'a Watch,
    began_with: Option<u64>,
    notes: Vec<String>,
}

impl Observer for Watching<'_> {
    fn begin(&mut self, size: RunSize) {
        self.began_with = Some(size.epochs_done);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        if Some(record.epoch) == self.watch.stop_after {
            self.watch.flag.store(true, Ordering::Relaxed);
        }
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

/// What came of a training: the status, the epoch that it began with, and what was said.
struct Trained {
    status: anyhow::Result<RunStatus>,
    began_with: Option<u64>,
    notes: Vec<String>,
}

fn train(spec: &RunSpec, dir: &Path, disk: &Disk, stop_after: Option<u64>) -> Trained {
    let watch = Watch {
        stop_after,
        ..Watch::default()
    };
    let mut observer = Watching {
        watch: &watch,
        began_with: None,
        notes: Vec::new(),
    };
    let location = Location::choose(Some(dir), None, dir);
    let status = run_on(
        disk,
        spec,
        dir,
        &|| workload::build(spec, &location, 1),
        &mut RunOptions::new(&watch.flag, 1, &mut observer),
    );
    Trained {
        status,
        began_with: observer.began_with,
        notes: observer.notes,
    }
}

fn healthy() -> Disk {
    Disk::default()
}

/// The log of a run without any fault.
fn whole_log(spec: &RunSpec) -> Vec<u8> {
    let temp = TempDir::new().unwrap();
    train(spec, temp.path(), &healthy(), None).status.unwrap();
    fs::read(temp.path().join(LOG)).unwrap()
}

/// The epoch that the newest usable checkpoint of a folder goes on with.
fn next_epoch(spec: &RunSpec, dir: &Path) -> Option<u64> {
    let found = Generations::of(dir).read(&spec.digest().unwrap(), u64::MAX, |checkpoint, _| {
        checkpoint.progress.log.verify(&dir.join(LOG))
    });
    let found = found.expect("either no checkpoint yet, or one that can be used");
    found.map(|(checkpoint, _)| checkpoint.progress.next_epoch)
}

/// A disk whose operation number `k` fails (from 0, those of `kind` alone counted), and how many there were.
fn failing(kind: Option<Operation>, k: usize, and_after: bool) -> (Disk, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let disk = Disk::with_faults(move |operation, _| {
        if kind.is_some_and(|kind| kind != operation) {
            return Ok(());
        }
        let number = counted.fetch_add(1, Ordering::Relaxed);
        if number == k || (and_after && number > k) {
            return Err(io::Error::other("the disk gave up"));
        }
        Ok(())
    });
    (disk, count)
}

#[test]
fn whichever_operation_fails_a_checkpoint_is_left_and_the_run_goes_on() {
    let spec = small();
    let whole = whole_log(&spec);
    let (never, count) = failing(None, usize::MAX, false);
    let temp = TempDir::new().unwrap();
    train(&spec, temp.path(), &never, None).status.unwrap();
    let operations = count.load(Ordering::Relaxed);
    // An epoch alone: two lines, a sync of the log, and a file written, synced and renamed.
    assert!(operations > 25, "{operations}");
    let (mut failures, mut with_checkpoint) = (0, 0);
    // Each once alone, and each with every one after it.
    for (k, and_after) in (0..operations).flat_map(|k| [(k, false), (k, true)]) {
        let temp = TempDir::new().unwrap();
        let mut done = None;
        let (disk, _) = failing(None, k, and_after);
        match train(&spec, temp.path(), &disk, None).status {
            Ok(_) => {}
            Err(error) => {
                failures += 1;
                let error = format!("{error:#}");
                assert!(error.contains("the disk gave up"), "{k}: {error}");
                let folder = temp.path().to_str().unwrap();
                assert!(error.contains(folder), "{k}: {error}");
                done = next_epoch(&spec, temp.path());
                // All that the log tells of whole epochs, but the one whose checkpoint failed.
                let logged = RunLog::read(&temp.path().join(LOG)).unwrap();
                let decisions = logged.map_or(0, |log| log.decisions.len() as u64);
                assert!(
                    decisions <= done.unwrap_or(0) + 1,
                    "{k}: {decisions} {done:?}"
                );
                with_checkpoint += usize::from(done.is_some());
            }
        }
        let again = train(&spec, temp.path(), &healthy(), None);
        if again.began_with.is_some() {
            assert_eq!(again.began_with, Some(done.unwrap_or(0)), "{k}");
        }
        again.status.unwrap();
        assert!(fs::read(temp.path().join(LOG)).unwrap() == whole, "{k}");
        // Also where the checkpoint was written, and what came right after it failed.
        let timed: BTreeSet<u64> = computed_epochs(temp.path())
            .iter()
            .map(|timing| timing.epoch)
            .collect();
        assert!(
            timed.into_iter().eq(0..3),
            "{k}: a line of the timings is lost"
        );
        let left: Vec<String> = fs::read_dir(temp.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{k}: {left:?}");
    }
    println!(
        "{operations} operations, {failures} failures, {with_checkpoint} of them with a checkpoint before"
    );
    assert!(failures >= operations && with_checkpoint * 2 > failures);
}

/// A run's folder after two epochs, so that it has both generations.
fn two_generations(spec: &RunSpec) -> TempDir {
    let temp = TempDir::new().unwrap();
    let trained = train(spec, temp.path(), &healthy(), Some(1));
    assert!(trained.status.is_err());
    assert_eq!(next_epoch(spec, temp.path()), Some(2));
    temp
}

#[test]
fn every_truncation_and_every_bit_flipped_is_noticed() {
    let spec = small();
    let digest = spec.digest().unwrap();
    let temp = two_generations(&spec);
    let dir = temp.path();
    let newest = dir.join(NEWEST);
    let whole = fs::read(&newest).unwrap();
    let good = Checkpoint::read(&newest, &digest, u64::MAX)
        .unwrap()
        .unwrap();
    let mut cases = 0;
    let mut is_noticed = |content: &[u8], what: &dyn Fn() -> String| {
        let parsed = Checkpoint::parse(content, &newest, &digest);
        let error = parsed
            .map(|_| what())
            .expect_err("damage is noticed")
            .to_string();
        assert!(error.contains(NEWEST), "{error}");
        cases += 1;
        // The same through the disk, now and then.
        if cases % 500 == 0 {
            fs::write(&newest, content).unwrap();
            let found = Generations::of(dir).read(&digest, u64::MAX, |_, _| Ok(()));
            let (checkpoint, said) = found.unwrap().unwrap();
            assert_eq!(checkpoint.progress.next_epoch, good.progress.next_epoch - 1);
            assert_eq!(said, [error]);
        }
    };
    for len in 0..whole.len() {
        is_noticed(&whole[..len], &|| format!("{len} bytes of {}", whole.len()));
    }
    let mut flipped = whole.clone();
    for at in 0..whole.len() {
        for bit in 0..8 {
            flipped[at] ^= 1 << bit;
            is_noticed(&flipped, &|| format!("byte {at}, bit {bit}"));
            flipped[at] = whole[at];
        }
    }
    println!(
        "{cases} damaged files of {} bytes, all noticed",
        whole.len()
    );
    assert_eq!(cases, whole.len() * 9);
    fs::write(&newest, &whole).unwrap();
    let again = Checkpoint::read(&newest, &digest, u64::MAX)
        .unwrap()
        .unwrap();
    assert_eq!(again.progress, good.progress);
}

#[test]
fn a_run_goes_on_from_the_older_checkpoint_and_says_so() {
    let spec = small();
    let whole = whole_log(&spec);
    for damage in [&b""[..], b"not a checkpoint", &[0xff; 64]] {
        let temp = two_generations(&spec);
        fs::write(temp.path().join(NEWEST), damage).unwrap();
        let again = train(&spec, temp.path(), &healthy(), None);
        again.status.unwrap();
        assert_eq!(again.began_with, Some(1));
        let [note] = &again.notes[..] else {
            panic!("{:?}", again.notes)
        };
        assert!(
            note.contains(NEWEST) && note.contains("with epoch 1"),
            "{note}"
        );
        assert!(fs::read(temp.path().join(LOG)).unwrap() == whole);
        assert!(
            !temp.path().join(PREVIOUS).exists(),
            "a finished run has no use for it"
        );
    }
    // Both damaged: nothing is thrown away in silence.
    let temp = two_generations(&spec);
    for name in [NEWEST, PREVIOUS] {
        fs::write(temp.path().join(name), "damaged").unwrap();
    }
    let log = fs::read(temp.path().join(LOG)).unwrap();
    let error = train(&spec, temp.path(), &healthy(), None)
        .status
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(NEWEST) && error.contains(PREVIOUS),
        "{error}"
    );
    assert!(
        error.contains("remove the run's folder to start again"),
        "{error}"
    );
    assert!(fs::read(temp.path().join(LOG)).unwrap() == log);
}

#[test]
fn a_log_that_was_altered_is_not_gone_on_with() {
    let spec = small();
    let temp = two_generations(&spec);
    let path = temp.path().join(LOG);
    let text = fs::read_to_string(&path).unwrap();
    // In the second epoch: the older checkpoint vouches for what is before it.
    let at = text.find("\"epoch\":1").unwrap();
    let loss = at + text[at..].find("train_loss\":").unwrap() + "train_loss\":".len();
    let digit = if text.as_bytes()[loss] == b'9' {
        "8"
    } else {
        "9"
    };
    fs::write(
        &path,
        format!("{}{digit}{}", &text[..loss], &text[loss + 1..]),
    )
    .unwrap();
    let again = train(&spec, temp.path(), &healthy(), None);
    again.status.unwrap();
    assert_eq!(again.began_with, Some(1));
    assert!(again.notes[0].contains(LOG), "{:?}", again.notes);
    assert!(fs::read(&path).unwrap() == whole_log(&spec));
}

#[test]
fn a_log_torn_at_any_byte_of_its_last_lines_is_read_and_gone_on_with() {
    let spec = small();
    let whole = whole_log(&spec);
    let finished = TempDir::new().unwrap();
    train(&spec, finished.path(), &healthy(), None)
        .status
        .unwrap();
    let full = RunLog::read(&finished.path().join(LOG)).unwrap().unwrap();
    let mark = {
        let digest = spec.digest().unwrap();
        let last = Checkpoint::read(&finished.path().join(NEWEST), &digest, u64::MAX)
            .unwrap()
            .unwrap();
        last.progress.log.bytes as usize
    };
    let path = finished.path().join(LOG);
    // Reading, at every byte of the whole log.
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let lines = whole[..len].iter().filter(|byte| **byte == b'\n').count();
        match RunLog::read(&path).unwrap() {
            None => assert_eq!(lines, 0),
            Some(log) => {
                let read = 1 + log.epochs.len() + log.decisions.len();
                assert_eq!(read, lines);
                assert_eq!(log.summary, None);
                assert_eq!(log.epochs, full.epochs[..log.epochs.len()]);
            }
        }
    }
    // Going on, at every byte after the last checkpoint: the summary is written again.
    let mut cuts = 0;
    for len in mark..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        train(&spec, finished.path(), &healthy(), None)
            .status
            .unwrap();
        assert!(fs::read(&path).unwrap() == whole, "{len}");
        cuts += 1;
    }
    println!("read at {} bytes, resumed at {cuts}", whole.len());
    assert!(cuts > 100);
}

/// Whatever writes to a run's folder, and standard output.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_whichever_file_it_is() {
    use support::autolr;
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("spec.toml"), REFERENCE).unwrap();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut plan = autolr(temp.path(), &["plan", "spec.toml"]);
    let output = plan.stdout(full).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("standard output: cannot be written: No space left"),
        "{error}"
    );
    // Files may not grow: `ulimit -f` counts blocks of 512 bytes, and a log that has not begun has none.
    let run = support::run_dir(&temp.path().join("runs"), REFERENCE);
    for name in ["timings.jsonl", "events.jsonl"] {
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("timings.jsonl"), "\n".repeat(1 << 20)).unwrap();
        let blocks = if name == "timings.jsonl" { 2048 } else { 0 };
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run spec.toml");
        let program = autolr(temp.path(), &[]).get_program().to_owned();
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", &script]).arg(program);
        let output = limited.current_dir(temp.path()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("File too large"), "{error}");
        assert!(
            error.contains(run.file_name().unwrap().to_str().unwrap()),
            "{error}"
        );
        if blocks > 0 {
            assert!(error.contains(name), "{error}");
        }
        fs::remove_dir_all(&run).unwrap();
    }
}

/// Makes a file system of a few hundred kB, where the system lets us: a name space of our own, with a tmpfs in it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_the_last_checkpoint_stands() {
    use std::process::Command;
    use support::{autolr, contents};
    let temp = TempDir::new().unwrap();
    let text = with(REFERENCE, "epochs = 6", "epochs = 2000");
    fs::write(temp.path().join("spec.toml"), text).unwrap();
    let mount = temp.path().join("small");
    fs::create_dir(&mount).unwrap();
    let script = "mount -t tmpfs -o size=100k,mode=0777 tmpfs small || exit 99
        \"$0\" run spec.toml --threads 1 --out small/runs; echo \"exit $?\"
        cp -r small/runs kept";
    let program = autolr(temp.path(), &[]).get_program().to_owned();
    let run = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(program)
        .current_dir(temp.path())
        .output();
    let output = match run {
        Ok(output) if output.status.success() => output,
        other => {
            eprintln!("LEFT OUT: this system gives no file system of our own: {other:?}");
            return;
        }
    };
    let (said, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(said.contains("exit 1"), "{said} {error}");
    assert!(error.contains("No space left on device"), "{error}");
    assert!(error.contains("small/runs/"), "{error}");
    // With room again, it goes on from where it stood.
    let kept = temp.path().join("kept");
    let dir = fs::read_dir(&kept).unwrap().next().unwrap().unwrap().path();
    let spec = spec(&fs::read_to_string(dir.join("spec.toml")).unwrap());
    let stood = next_epoch(&spec, &dir).expect("a checkpoint");
    println!("full after {stood} epochs: {}", error.trim());
    assert!(stood > 10 && stood < 2000, "{stood}");
    let before = contents(&dir);
    let again = train(&spec, &dir, &healthy(), Some(stood));
    assert_eq!(again.began_with, Some(stood));
    assert!(again.status.is_err(), "stopped after one epoch");
    assert_eq!(next_epoch(&spec, &dir), Some(stood + 1));
    assert!(before.len() <= contents(&dir).len());
}
