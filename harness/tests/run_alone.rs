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

/// A stopped run as if its log had begun with another first line: the log, and the checkpoint that vouches for it.
fn begun_otherwise(dir: &Path, edit: impl FnOnce(&str) -> String) {
    let path = dir.join("events.jsonl");
    let generations = Generations::of(dir);
    let (mut checkpoint, _) = generations
        .read(&spec(REFERENCE).digest().unwrap(), u64::MAX, |_, _| Ok(()))
        .unwrap()
        .unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let begins = edit(first);
    let text = format!("{begins}\n{rest}");
    fs::write(&path, &text).unwrap();
    let mark = &mut checkpoint.progress.log;
    mark.bytes = mark.bytes + begins.len() as u64 - first.len() as u64;
    mark.sha256 = hex::encode(Sha256::digest(&text[..mark.bytes as usize]));
    generations.write(&Disk::default(), &checkpoint).unwrap();
}

/// Keeps what is said.
struct Notes(Vec<String>);

impl Observer for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

#[test]
fn a_run_that_goes_on_with_other_kernels_of_libtorch_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert!(train(dir.path(), 1, true).is_err());
    let path = dir.path().join("events.jsonl");
    let here = RunLog::read(&path).unwrap().unwrap().provenance.build;
    // The reference network computes without libtorch: it has none here.
    begun_otherwise(dir.path(), |first| {
        let build = "\"build\":{";
        assert!(first.contains(build), "{first}");
        let kernels = r#""build":{"kernels":{"DNNL_MAX_CPU_ISA":"SSE41"},"#;
        first.replacen(build, kernels, 1)
    });
    let (spec, flag) = (spec(REFERENCE), AtomicBool::new(false));
    let location = Location::choose(Some(dir.path()), None, dir.path());
    let build = || workload::build(&spec, &location, 1);
    let mut notes = Notes(Vec::new());
    let mut options = RunOptions::new(&flag, 1, &mut notes);
    run(&spec, dir.path(), &build, &mut options).unwrap();
    let said = notes.0.join("\n");
    assert!(
        said.contains("resumed with other kernels of libtorch"),
        "{said}"
    );
    let log = RunLog::read(&path).unwrap().unwrap();
    let before = &log.provenance.build.kernels;
    assert_eq!(before["DNNL_MAX_CPU_ISA"], "SSE41");
    assert_eq!(log.continued, [here]);
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
    let lock = here.lock.as_ref().unwrap();
    begun_otherwise(dir.path(), |first| {
        first.replace(lock.as_str(), &"0".repeat(64))
    });

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

/// A file system whose `flock` fails, as a library that comes before the system's.
#[cfg(target_os = "linux")]
fn without_flock(dir: &Path) -> Option<std::path::PathBuf> {
    let (source, library) = (dir.join("flock.c"), dir.join("flock.so"));
    let text = "#include <errno.h>\nint flock(int f, int how) { errno = ENOSYS; return -1; }\n";
    fs::write(&source, text).unwrap();
    let mut compile = std::process::Command::new("cc");
    compile
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    let done = compile.status().is_ok_and(|status| status.success());
    done.then_some(library)
}

#[cfg(target_os = "linux")]
#[test]
fn where_flock_fails_one_process_works_and_the_others_say_so() {
    use std::process::Stdio;
    use support::{autolr, run_dir, with};
    let temp = tempfile::tempdir().unwrap();
    let Some(library) = without_flock(temp.path()) else {
        eprintln!("LEFT OUT: there is no C compiler");
        return;
    };
    // Long enough that all three are at work at once.
    let text = with(REFERENCE, "epochs = 6", "epochs = 400");
    fs::write(temp.path().join("spec.toml"), &text).unwrap();
    let start = || {
        let mut command = autolr(temp.path(), &["run", "spec.toml", "--threads", "1"]);
        command.env("LD_PRELOAD", &library);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let (mut done, mut busy) = (0, 0);
    let children = [start(), start(), start()];
    for child in children {
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => done += 1,
            Some(1) if error.contains("is at work on this run") => busy += 1,
            code => panic!("{code:?}: {error}"),
        }
    }
    // One that came after the first was done found it finished.
    assert!(done >= 1 && done + busy == 3, "{done} {busy}");
    let run = run_dir(&temp.path().join("runs"), &text);
    let log = RunLog::read(&run.join("events.jsonl")).unwrap().unwrap();
    assert_eq!(log.epochs.len(), 400);
    assert!(log.summary.is_some());
    assert!(!run.join("lock.held").exists());

    // Killed, a process leaves its lock behind, and the next takes it over.
    fs::remove_dir_all(temp.path().join("runs")).unwrap();
    let mut child = start();
    while !run.join("checkpoint.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it is at work");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(run.join("lock.held").exists());
    let mut command = autolr(temp.path(), &["resume", "runs", "--jobs", "1"]);
    let output = command.env("LD_PRELOAD", &library).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert!(RunLog::read(&run.join("events.jsonl")).unwrap().unwrap() == log);
    assert!(!run.join("lock.held").exists());
}

/// Whether a process of another machine is gone cannot be told: who waits for it says so, and what to do if it is.
#[test]
fn who_waits_for_a_process_says_so() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    use support::{autolr, run_dir};
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("spec.toml"), REFERENCE).unwrap();
    let run = run_dir(&temp.path().join("runs"), REFERENCE);
    let sweep = ["sweep", "spec.toml", "--seeds", "0..2", "--out", "."];
    for args in [
        &["run", "spec.toml", "--wait"][..],
        &[&sweep[..], &["--jobs", "2"]].concat(),
    ] {
        let _ = fs::remove_dir_all(&run);
        fs::create_dir_all(&run).unwrap();
        for name in ["lock", "lock.held"] {
            fs::write(run.join(name), "pid 17 on elsewhere\n").unwrap();
        }
        let mut child = autolr(temp.path(), args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        lines.read_line(&mut said).unwrap();
        assert!(
            said.contains(
                "another process (pid 17 on elsewhere) is at work on this run, and is waited for"
            ),
            "{args:?}: {said}"
        );
        assert!(
            said.contains("if no process is at work there, remove"),
            "{said}"
        );
        // This file system has locks.
        assert!(!said.contains("has no locks"), "{said}");
        fs::remove_file(run.join("lock.held")).unwrap();
        assert!(child.wait().unwrap().success(), "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_that_is_ignored_at_the_start_stays_ignored() {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use support::{autolr, with};
    let temp = tempfile::tempdir().unwrap();
    let text = with(REFERENCE, "train_images = 800", "train_images = 16000");
    fs::write(
        temp.path().join("spec.toml"),
        with(&text, "epochs = 6", "epochs = 30"),
    )
    .unwrap();
    let program = autolr(temp.path(), &[]).get_program().to_owned();
    // As `nohup` and a shell's `&` start it; after the first epoch, with the handlers in place.
    let start = |out: &str, how: &str| -> Child {
        let script = format!("{how} \"$0\" run spec.toml --threads 1 --epoch-lines --out {out}");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(&program)
            .current_dir(temp.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        lines.read_line(&mut String::new()).unwrap();
        child
    };
    let send = |child: &Child, signal: &str| {
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    };
    let mut ignoring = start("ignoring", "trap '' HUP INT; exec");
    // Read on, so that it does not wait for somebody to.
    let mut rest = ignoring.stdout.take().unwrap();
    let reading = std::thread::spawn(move || std::io::copy(&mut rest, &mut std::io::sink()));
    if cfg!(target_os = "linux") {
        send(&ignoring, "-HUP");
        send(&ignoring, "-INT");
    }
    assert_eq!(ignoring.wait().unwrap().code(), Some(0));
    reading.join().unwrap().unwrap();
    // The others, and those that are not ignored, stop it.
    let mut other = start("other", "trap '' HUP INT; exec");
    send(&other, "-TERM");
    assert_eq!(other.wait().unwrap().code(), Some(130));
    // Whatever these tests themselves were started to ignore; where `env` can say so.
    let heard = "exec env --default-signal=HUP,INT";
    let can = Command::new("env")
        .args(["--default-signal=HUP", "true"])
        .status();
    if can.is_ok_and(|status| status.success()) {
        for signal in ["-HUP", "-INT"] {
            let mut hearing = start(&format!("hearing{signal}"), heard);
            send(&hearing, signal);
            assert_eq!(hearing.wait().unwrap().code(), Some(130), "{signal}");
        }
    }
}

#[test]
fn threads_that_openmp_would_not_give_are_refused() {
    use support::{autolr, contents, run_dir};
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("spec.toml"), REFERENCE).unwrap();
    let call = |args: &[&str], limit: &str| {
        let mut command = autolr(temp.path(), args);
        let output = command.env("OMP_THREAD_LIMIT", limit).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), error)
    };
    let before = contents(temp.path());
    for args in [["run", "spec.toml"], ["probe", "spec.toml"]] {
        let args = [&args[..], &["--threads", "2"]].concat();
        let (code, error) = call(&args, "1");
        assert_eq!(code, Some(2), "{error}");
        assert!(
            error.contains("--threads 2: OMP_THREAD_LIMIT = 1"),
            "{error}"
        );
    }
    assert!(before == contents(temp.path()), "something was written");
    // As many as there are; and what is no limit to OpenMP is none here.
    for (limit, out) in [("1", "limited"), ("none", "not-limited")] {
        let (code, error) = call(&["run", "spec.toml", "--out", out], limit);
        assert_eq!(code, Some(0), "{error}");
        let run = run_dir(&temp.path().join(out), REFERENCE);
        let log = RunLog::read(&run.join("events.jsonl")).unwrap().unwrap();
        if limit == "1" {
            assert_eq!(log.provenance.threads, 1);
        }
    }
}

/// OpenMP reads how its threads wait before `main`: what a training runs under shows in /proc.
#[cfg(all(feature = "tch", target_os = "linux"))]
#[test]
fn several_threads_wait_briefly_unless_the_user_says_how() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};
    let temp = tempfile::tempdir().unwrap();
    let long = support::TINY_RESNET.replace("epochs = 3", "epochs = 100000");
    fs::write(temp.path().join("spec.toml"), long).unwrap();
    // The environment of a run that has written its first epoch.
    let under = |threads: &str, set: Option<(&str, &str)>| {
        let out = format!("{threads}-{}", set.map_or("", |(name, _)| name));
        let args = [
            "run",
            "spec.toml",
            "--threads",
            threads,
            "--out",
            &out,
            "--epoch-lines",
        ];
        let mut command = support::autolr(temp.path(), &args);
        command
            .env_remove("OMP_WAIT_POLICY")
            .env_remove("GOMP_SPINCOUNT")
            .envs(set)
            .stdout(Stdio::null());
        let mut run = command.spawn().unwrap();
        let started = Instant::now();
        let trains = || {
            let logs = fs::read_dir(temp.path().join(&out)).into_iter().flatten();
            let mut logs = logs.flatten().map(|run| run.path().join("events.jsonl"));
            logs.any(|log| {
                fs::read_to_string(log).is_ok_and(|log| log.contains("\"event\":\"epoch\""))
            })
        };
        while !trains() {
            assert!(run.try_wait().unwrap().is_none(), "{out}: ended");
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "{out}: no epoch"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let environment = fs::read(format!("/proc/{}/environ", run.id())).unwrap();
        run.kill().unwrap();
        run.wait().unwrap();
        String::from_utf8_lossy(&environment).into_owned()
    };
    assert!(under("2", None).contains("GOMP_SPINCOUNT=2000"));
    assert!(!under("1", None).contains("GOMP_SPINCOUNT"));
    let passive = ("OMP_WAIT_POLICY", "PASSIVE");
    assert!(!under("2", Some(passive)).contains("GOMP_SPINCOUNT"));
    let own = ("GOMP_SPINCOUNT", "77");
    assert!(under("2", Some(own)).contains("GOMP_SPINCOUNT=77"));
}
