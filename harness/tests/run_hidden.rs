//! What is edited, hidden or taken away while a run is at work, or after it, is noticed and named.

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use support::{REFERENCE, autolr, output, run_dir, spec, with};
use tempfile::TempDir;

/// A run that takes some seconds.
fn long() -> String {
    with(REFERENCE, "epochs = 6", "epochs = 1000")
}

/// The program at work on `spec.toml`, a few epochs into its run, and the run's folder.
fn at_work(dir: &Path) -> (Child, PathBuf) {
    fs::write(dir.join("spec.toml"), long()).unwrap();
    let run = run_dir(&dir.join("w"), &long());
    let child = start(dir);
    let log = run.join("events.jsonl");
    let begun = Instant::now();
    while fs::read_to_string(&log).map_or(0, |log| log.lines().count()) < 6 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no epoch");
        std::thread::sleep(Duration::from_millis(2));
    }
    (child, run)
}

fn start(dir: &Path) -> Child {
    let mut command = autolr(dir, &["run", "spec.toml", "--out", "w"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the run says once `tamper` has been at its folder: that it failed, and what with.
fn tampered(what: &str, tamper: impl Fn(&Path)) -> String {
    let temp = TempDir::new().unwrap();
    let (child, run) = at_work(temp.path());
    tamper(&run);
    let output = child.wait_with_output().unwrap();
    let stderr = said(&output);
    assert_eq!(output.status.code(), Some(1), "{what}: {stderr}");
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains("completed"),
        "{what}"
    );
    stderr
}

#[test]
#[cfg(unix)]
fn a_run_does_not_complete_without_its_log() {
    let log = |run: &Path| run.join("events.jsonl");
    let removed = tampered("removed", |run| fs::remove_file(log(run)).unwrap());
    assert!(
        removed.contains("events.jsonl: removed by somebody else while the run was at work"),
        "{removed}"
    );
    let emptied = tampered("emptied", |run| {
        fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(log(run))
            .unwrap();
    });
    assert!(
        emptied.contains("events.jsonl: changed by somebody else"),
        "{emptied}"
    );
    let appended = tampered("appended", |run| {
        let mut file = fs::OpenOptions::new().append(true).open(log(run)).unwrap();
        file.write_all(b"{}\n").unwrap();
    });
    assert!(
        appended.contains("events.jsonl: changed by somebody else"),
        "{appended}"
    );
    let replaced = tampered("replaced", |run| {
        fs::copy(log(run), run.join("copy")).unwrap();
        fs::rename(run.join("copy"), log(run)).unwrap();
    });
    assert!(
        replaced.contains("events.jsonl: replaced by somebody else"),
        "{replaced}"
    );
    let folder = tampered("folder", |run| {
        fs::rename(run, run.with_extension("away")).unwrap();
        fs::create_dir(run).unwrap();
    });
    // Or, in the midst of a checkpoint, that it cannot be written.
    assert!(
        folder.contains("removed by somebody else") || folder.contains("cannot be written"),
        "{folder}"
    );
}

/// An edit that leaves the length as it was is found before the run says that it is complete.
#[test]
fn an_edit_of_the_same_length_is_noticed_at_the_end() {
    let edited = tampered("edited", |run| {
        use std::io::{Seek, SeekFrom};
        let path = run.join("events.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        let place = text.find("\"train_loss\":").unwrap() + 13;
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(place as u64)).unwrap();
        file.write_all(b"9").unwrap();
    });
    assert!(
        edited.contains("events.jsonl: changed by somebody else"),
        "{edited}"
    );
}

#[test]
#[cfg(unix)]
fn a_second_process_after_the_lock_was_removed_stops_the_first() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let (first, run) = at_work(dir);
    fs::remove_file(run.join("lock")).unwrap();
    let second = start(dir);
    let outputs = [first, second].map(|child| child.wait_with_output().unwrap());
    let first = said(&outputs[0]);
    assert_eq!(outputs[0].status.code(), Some(1), "{first}");
    assert!(first.contains("lock: "), "{first}");
    assert!(
        first.contains("by somebody else while the run was at work"),
        "{first}"
    );
    // Both at work for a moment: the second ends with the whole log, or says that it was changed.
    if outputs[1].status.success() {
        let log = fs::read_to_string(run.join("events.jsonl")).unwrap();
        let epochs = log
            .lines()
            .filter(|line| line.contains("\"event\":\"epoch\""));
        assert_eq!(epochs.count(), 1000);
    } else {
        let second = said(&outputs[1]);
        assert!(second.contains("events.jsonl: "), "{second}");
    }
}

/// Backups are made of hard links (`cp -al`, rsnapshot): the run goes on, and so does the backup, each with files of its
/// own.
#[test]
#[cfg(unix)]
fn a_backup_of_hard_links_stops_no_run() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let (child, run) = at_work(dir);
    let backup = dir.join("backup").join(run.file_name().unwrap());
    fs::create_dir_all(&backup).unwrap();
    for entry in fs::read_dir(&run).unwrap() {
        let path = entry.unwrap().path();
        // What is being replaced may be gone.
        let _ = fs::hard_link(&path, backup.join(path.file_name().unwrap()));
    }
    let first = child.wait_with_output().unwrap();
    assert!(first.status.success(), "{}", said(&first));
    let whole = support::contents(&run);
    let second = output(dir, &["run", "spec.toml", "--out", "backup"]);
    assert!(second.status.success(), "{}", said(&second));
    assert!(whole == support::contents(&run), "the backup wrote there");
    let log = |run: &Path| fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert!(log(&run) == log(&backup));
    // A stopped run of which there is a backup is resumed.
    fs::remove_dir_all(&run).unwrap();
    let (mut child, run) = at_work(dir);
    child.kill().unwrap();
    child.wait().unwrap();
    let copy = dir.join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["lock", "events.jsonl", "timings.jsonl"] {
        fs::hard_link(run.join(name), copy.join(name)).unwrap();
    }
    let before = fs::read(copy.join("events.jsonl")).unwrap();
    let third = output(dir, &["run", "spec.toml", "--out", "w"]);
    assert!(third.status.success(), "{}", said(&third));
    assert!(before == fs::read(copy.join("events.jsonl")).unwrap());
}

/// Nobody could read the result without it.
#[test]
fn a_specification_that_was_touched_is_written_again() {
    type Tamper = fn(&Path);
    let gone: Tamper = |path| fs::remove_file(path).unwrap();
    let edited: Tamper = |path| fs::write(path, "[").unwrap();
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    for (tamper, what) in [
        (gone, "spec.toml: was missing; written again"),
        (
            edited,
            "spec.toml: was not the specification of this run; written again",
        ),
    ] {
        let _ = fs::remove_dir_all(dir.join("w"));
        let (child, run) = at_work(dir);
        let path = run.join("spec.toml");
        let own = fs::read_to_string(&path).unwrap();
        tamper(&path);
        let first = child.wait_with_output().unwrap();
        assert!(first.status.success(), "{}", said(&first));
        assert!(said(&first).contains(what), "{}", said(&first));
        assert_eq!(fs::read_to_string(&path).unwrap(), own);
        // Also after its end.
        tamper(&path);
        let again = output(dir, &["run", "spec.toml", "--out", "w"]);
        assert!(said(&again).contains(what), "{}", said(&again));
        assert_eq!(fs::read_to_string(&path).unwrap(), own);
        let again = output(dir, &["run", "spec.toml", "--out", "w"]);
        assert_eq!(said(&again), "");
    }
}

/// A finished run in `runs`, and its folder.
fn finished(dir: &Path, text: &str) -> PathBuf {
    fs::write(dir.join("spec.toml"), text).unwrap();
    let output = output(dir, &["run", "spec.toml"]);
    assert!(output.status.success(), "{}", said(&output));
    run_dir(&dir.join("runs"), text)
}

fn state(dir: &Path) -> (String, String) {
    let output = output(dir, &["status", "runs", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &status["runs"][0];
    let text = |key: &str| run[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("error"))
}

#[test]
fn a_run_whose_specification_was_touched_stays_in_the_status() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let run = finished(dir, REFERENCE);
    let path = run.join("spec.toml");
    let own = fs::read_to_string(&path).unwrap();
    assert_eq!(state(dir).0, "finished");
    for (what, text) in [
        ("broken", format!("{own}[\n")),
        ("empty", String::new()),
        ("epochs", with(&own, "epochs = 6", "epochs = 7")),
        ("lr", with(&own, "lr = 0.05", "lr = 0.06")),
        ("seed", with(&own, "seed = 0", "seed = 1")),
    ] {
        fs::write(&path, text).unwrap();
        let (state, error) = state(dir);
        assert_eq!(state, "unreadable", "{what}: {error}");
        assert!(error.contains("spec.toml"), "{what}: {error}");
        // Nothing goes on with it either.
        let resume = output(dir, &["resume", "runs"]);
        assert!(!resume.status.success(), "{what}: {}", said(&resume));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(state(dir).0, "unreadable");
    fs::remove_dir_all(&run).unwrap();
    fs::create_dir(&run).unwrap();
    assert_eq!(state(dir).0, "unreadable", "an empty folder");
    fs::remove_dir(&run).unwrap();
    fs::write(&run, "").unwrap();
    assert_eq!(state(dir).0, "unreadable", "a file in the folder's place");
}

/// Every number of a finished log, and every text of its first line: changed, one at a time.
#[test]
fn every_value_of_a_finished_log_is_noticed_by_all_who_read_it() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let run = finished(dir, REFERENCE);
    let path = run.join("events.jsonl");
    let log = fs::read_to_string(&path).unwrap();
    let mut edits = Vec::new();
    for (start, _) in log.match_indices("\":") {
        let value = start + 2;
        let rest = &log[value..];
        let end = rest.find([',', '}', '\n']).unwrap();
        let edited = match rest.as_bytes()[0] {
            b'0'..=b'9' | b'-' => "7.5".to_owned(),
            b'"' => "\"other\"".to_owned(),
            b't' => "false".to_owned(),
            b'f' => "true".to_owned(),
            _ => continue,
        };
        if rest[..end] != edited {
            edits.push(format!("{}{edited}{}", &log[..value], &rest[end..]));
        }
    }
    assert!(edits.len() > 100, "{}", edits.len());
    for edited in &edits {
        fs::write(&path, edited).unwrap();
        let digest = spec(REFERENCE).digest().unwrap();
        let error = harness::record::RunLog::read_of(&digest, &path);
        let changed = edited.lines().zip(log.lines()).find(|(a, b)| a != b);
        assert!(error.is_err(), "{changed:?}");
    }
    // Also without the seal: the last line of this format has one.
    let seal = log.find(",\"log\":{").unwrap();
    let without = format!("{}}}\n", &log[..seal]);
    fs::write(&path, without).unwrap();
    fs::remove_file(run.join("events.sha256")).unwrap();
    let (found, error) = state(dir);
    assert_eq!(found, "unreadable");
    assert!(error.contains("its last line has no hash"), "{error}");
    for command in [
        &["replay", "runs"][..],
        &["compare", run.to_str().unwrap(), "spec.toml"],
    ] {
        let output = output(dir, command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let said = said(&output);
        assert!(
            said.contains("its last line has no hash"),
            "{command:?}: {said}"
        );
    }
}

/// A stopped run with its checkpoint, of which `lie` changes what it says of itself; the hash is right again.
fn lying(lie: impl Fn(&mut harness::train::Progress)) -> Output {
    use harness::train::Generations;
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let (mut child, run) = at_work(dir);
    child.kill().unwrap();
    child.wait().unwrap();
    let generations = Generations::of(&run);
    let digest = spec(&long()).digest().unwrap();
    let (mut checkpoint, _) = generations
        .read(&digest, u64::MAX, |_, _| Ok(()))
        .unwrap()
        .unwrap();
    lie(&mut checkpoint.progress);
    // Killed between two renames, it may have the older one alone.
    for name in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
        let _ = fs::remove_file(run.join(name));
    }
    generations
        .write(&harness::disk::Disk::default(), &checkpoint)
        .unwrap();
    output(dir, &["run", "spec.toml", "--out", "w"])
}

#[test]
fn a_checkpoint_that_does_not_agree_with_its_log_is_refused() {
    type Lie = fn(&mut harness::train::Progress);
    let lies: [(&str, Lie); 12] = [
        ("next_epoch = 1000000000000", |progress| {
            progress.next_epoch = 1_000_000_000_000;
        }),
        ("next_epoch = 18446744073709551615", |progress| {
            progress.next_epoch = u64::MAX;
        }),
        ("next_epoch = 1000:", |progress| progress.next_epoch = 1000),
        ("within.sums.steps = 1000", |progress| {
            let within = progress.within.get_or_insert_default();
            within.sums.steps = 1000;
        }),
        ("best.epoch = none", |progress| progress.best = None),
        ("attempt = 3", |progress| progress.attempt = 3),
        ("cost.backwards = ", |progress| progress.cost.backwards += 1),
        ("cost.forwards = 18446744073709551615", |progress| {
            progress.cost.forwards = u64::MAX;
        }),
        ("probe_cost comes to ", |progress| {
            progress.probe_cost.forwards += 32;
            progress.cost.forwards += 32;
        }),
        ("diverged = \"it did\"", |progress| {
            progress.diverged = Some("it did".to_owned());
        }),
        ("scheduler = null", |progress| progress.scheduler = None),
        ("scheduler: not in the state", |progress| {
            let state = progress.scheduler.take().unwrap();
            let text = serde_json::to_string(&state).unwrap();
            let lied = text.replacen("\"tick\":", "\"tick\":1", 1);
            assert_ne!(lied, text, "{text}");
            progress.scheduler = Some(serde_json::from_str(&lied).unwrap());
        }),
    ];
    for (expected, lie) in lies {
        let output = lying(lie);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{expected}: {said}");
        assert!(
            said.contains("checkpoint.safetensors: does not agree with its log and specification")
                && said.contains(expected),
            "{expected}: {said}"
        );
    }
    // Told nothing but the truth, it goes on.
    assert!(lying(|_| {}).status.success());
}
