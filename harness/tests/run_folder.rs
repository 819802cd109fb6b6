//! A run's folder from somebody else, or from another machine: links, FIFOs and files without end in the place of its own,
//! names that are not UTF-8. Nothing hangs, nothing outside of the folder is touched, no memory is filled.

#![cfg(unix)]

mod support;
#[path = "support/synthetic_report.rs"]
mod synthetic_report;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use harness::data::Location;
use harness::train::{Observer, RunOptions, run};
use harness::workload;
use support::{REFERENCE, autolr, contents, run_dir, spec, with};
use tempfile::TempDir;

/// What a run's folder holds.
const FILES: [&str; 8] = [
    "lock",
    "spec.toml",
    "events.jsonl",
    "events.sha256",
    "timings.jsonl",
    "failed.json",
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
];

/// Stops after the second epoch.
struct Stop<'a>(&'a AtomicBool);

impl Observer for Stop<'_> {
    fn epoch(&mut self, record: &harness::record::EpochRecord) {
        self.0.store(record.epoch == 1, Ordering::Relaxed);
    }
}

/// Another specification.
fn other() -> String {
    with(REFERENCE, "lr = 0.05", "lr = 0.07")
}

/// A folder with a specification, and a run of it that was stopped.
fn stopped() -> (TempDir, PathBuf) {
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("spec.toml"), REFERENCE).unwrap();
    fs::write(temp.path().join("other.toml"), other()).unwrap();
    let dir = run_dir(&temp.path().join("runs"), REFERENCE);
    let (spec, flag) = (spec(REFERENCE), AtomicBool::new(false));
    let location = Location::choose(Some(temp.path()), None, temp.path());
    let build = || workload::build(&spec, &location, 1);
    let mut stop = Stop(&flag);
    run(
        &spec,
        &dir,
        &build,
        &mut RunOptions::new(&flag, 1, &mut stop),
    )
    .unwrap_err();
    (temp, dir)
}

/// The program within 60 seconds and 2 GB of memory; whatever does not end by itself panics.
fn within_limits<S: AsRef<OsStr>>(dir: &Path, args: &[S], input: Stdio) -> Output {
    let program = autolr(dir, &[]).get_program().to_owned();
    let mut command = Command::new("timeout");
    command
        .args(["-s", "KILL", "60", "sh", "-c"])
        .arg(r#"ulimit -v 2000000; exec "$0" "$@""#)
        .arg(program)
        .args(args)
        .current_dir(dir)
        .env_remove("AUTOLR_DATA")
        .stdin(input);
    let output = command.output().expect("`timeout` and `sh`");
    let said = String::from_utf8_lossy(&output.stderr);
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    assert!(
        output
            .status
            .code()
            .is_some_and(|code| code < 124 || code == 130),
        "{args:?}: {}: {said}",
        output.status
    );
    output
}

fn said(dir: &Path, line: &str) -> (Option<i32>, String) {
    let args: Vec<&str> = line.split_whitespace().collect();
    let output = within_limits(dir, &args, Stdio::null());
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Removes the file, if it is there, and returns its place.
fn vacant(run: &Path, name: &str) -> PathBuf {
    let place = run.join(name);
    let _ = fs::remove_file(&place);
    place
}

/// The commands that look into a run's folder.
fn commands(run: &Path) -> Vec<String> {
    let run = run.strip_prefix(run.ancestors().nth(2).unwrap()).unwrap();
    let run = run.display();
    [
        "run spec.toml",
        &format!("run {run}/spec.toml"),
        &format!("probe {run}/spec.toml --checkpoint {run}/checkpoint.safetensors"),
        &format!("replay {run}"),
        "status runs --json",
        &format!("status {run}"),
        "resume runs",
        "retry --failed runs",
        "compare spec.toml other.toml",
        &format!("compare {run} {run}"),
        "plan spec.toml",
        "sweep spec.toml --out . --seeds 0..1",
        "report .",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn a_link_in_a_files_place_leads_nowhere() {
    for name in FILES {
        let (temp, run) = stopped();
        let victim = temp.path().join("victim");
        fs::write(&victim, "pid 1 on elsewhere\n").unwrap();
        symlink(&victim, vacant(&run, name)).unwrap();
        let before = contents(temp.path());
        let (code, text) = said(temp.path(), "run spec.toml");
        assert_eq!(code, Some(2), "{name}: {text}");
        assert!(text.contains(name), "{name}: {text}");
        assert!(text.contains("is a link"), "{name}: {text}");
        assert!(
            before == contents(temp.path()),
            "{name}: something was written"
        );
        for line in ["resume runs", "status runs", "retry --failed runs"] {
            said(temp.path(), line);
            assert_eq!(
                fs::read_to_string(&victim).unwrap(),
                "pid 1 on elsewhere\n",
                "{line}"
            );
        }
    }
}

#[test]
fn a_fifo_in_a_files_place_hangs_no_command() {
    for name in FILES {
        let (temp, run) = stopped();
        let place = vacant(&run, name);
        assert!(
            Command::new("mkfifo")
                .arg(&place)
                .status()
                .unwrap()
                .success()
        );
        for line in commands(&run) {
            let (code, text) = said(temp.path(), &line);
            if line.starts_with("run spec") {
                assert_eq!(code, Some(2), "{name}: {text}");
                assert!(
                    text.contains(name) && text.contains("is a FIFO"),
                    "{name}: {text}"
                );
            }
        }
    }
    // Beside the runs, and where a user names a file.
    let (temp, run) = stopped();
    for name in ["manifest.json", "sweep.json", "sweep.lock", "fifo"] {
        let made = Command::new("mkfifo").arg(temp.path().join(name)).status();
        assert!(made.unwrap().success());
    }
    let named = [
        "run fifo",
        "sweep fifo",
        "sweep spec.toml --sweep fifo --out .",
        "trace fifo --set scheduler.lr=0.1",
    ];
    let named = named.map(str::to_owned).into_iter();
    for line in commands(&run).into_iter().chain(named) {
        let (code, text) = said(temp.path(), &line);
        if line.contains("fifo") {
            assert_eq!(code, Some(2), "{line}: {text}");
            assert!(text.contains("fifo: is a FIFO"), "{line}: {text}");
        }
        if line == "report ." {
            assert_eq!(code, Some(2), "{line}: {text}");
            assert!(text.contains("manifest.json: is a FIFO"), "{text}");
        }
    }
}

#[test]
fn a_link_in_the_place_of_a_runs_folder_is_named_and_not_followed() {
    let (temp, run) = stopped();
    let elsewhere = temp.path().join("elsewhere");
    fs::rename(&run, &elsewhere).unwrap();
    symlink(&elsewhere, &run).unwrap();
    let content = |dir: &Path| -> Vec<Vec<u8>> { contents(dir).into_values().collect() };
    let before = content(&elsewhere);
    let (code, text) = said(temp.path(), "status runs --json");
    assert_eq!(code, Some(0), "{text}");
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["counts"]["unreadable"], 1, "{text}");
    assert!(text.contains("is a link"), "{text}");
    for line in ["resume runs", "run spec.toml", "sweep spec.toml --out ."] {
        let (code, text) = said(temp.path(), line);
        assert_eq!(code, Some(2), "{line}: {text}");
        assert!(text.contains("is a link"), "{line}: {text}");
    }
    // A link that the user names is theirs.
    symlink("runs", temp.path().join("mine")).unwrap();
    fs::remove_file(&run).unwrap();
    fs::rename(&elsewhere, &run).unwrap();
    let (code, text) = said(temp.path(), "status mine");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 stopped"), "{text}");
    symlink(run.join("events.jsonl"), temp.path().join("mine.jsonl")).unwrap();
    let (code, text) = said(temp.path(), "replay mine.jsonl");
    assert_eq!(code, Some(0), "{text}");
    // One that is found is said.
    let other = TempDir::new().unwrap();
    symlink(temp.path().join("runs"), other.path().join("runs")).unwrap();
    let (code, text) = said(other.path(), "status");
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("note: ./runs: a link, which is not followed"),
        "{text}"
    );
    let (code, text) = said(temp.path(), "sweep spec.toml --out linked");
    assert_eq!(code, Some(0), "{text}");
    let linked = temp.path().join("linked");
    fs::rename(linked.join("runs"), linked.join("elsewhere")).unwrap();
    symlink("elsewhere", linked.join("runs")).unwrap();
    let (code, text) = said(temp.path(), "sweep spec.toml --out linked");
    fs::remove_dir_all(&linked).unwrap();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("give --out a folder there"), "{text}");
    assert!(before == content(&run), "something was written there");
}

/// A folder that its owner does not let others into: root sees everything.
#[test]
fn a_folder_that_cannot_be_read_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let (temp, run) = stopped();
    let closed = temp.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(temp.path(), 0o755);
    mode(&closed, 0);
    let program = autolr(temp.path(), &[]).get_program().to_owned();
    let mut command = match fs::read_dir(&closed) {
        Err(_) => Command::new(&program),
        Ok(_) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg(&program);
            command
        }
    };
    let output = command
        .args(["status", "."])
        .current_dir(temp.path())
        .output();
    mode(&closed, 0o755);
    let Some(output) = output.ok().filter(|output| output.status.code() == Some(0)) else {
        eprintln!("LEFT OUT: no other user can run the program here");
        return;
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("note: ./closed: cannot be read, so that its runs are left out"),
        "{text}"
    );
    assert!(run.exists());
}

#[test]
fn a_report_takes_and_leaves_nothing_outside_of_its_folder() {
    use harness::experiment::ExperimentName;
    use synthetic_report::{Kind, Made, write};
    let temp = TempDir::new().unwrap();
    let (dir, elsewhere) = (temp.path().join("report"), temp.path().join("elsewhere"));
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir_all(&elsewhere).unwrap();
    let made = Made {
        experiment: ExperimentName::Table1,
        protocol: "published",
        series: vec![("ours", Kind::Open)],
        seeds: 2,
        epochs: 3,
    };
    write(&dir, &[made]);
    symlink(&elsewhere, dir.join("tensorboard")).unwrap();
    let (code, text) = said(temp.path(), "report report --tensorboard");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("tensorboard: is a link"), "{text}");
    assert!(contents(&elsewhere).is_empty());
    // A run's folder that leads elsewhere is no run of the report.
    let run = dir.join("runs").join("made-0001");
    fs::rename(&run, elsewhere.join("run")).unwrap();
    symlink(elsewhere.join("run"), &run).unwrap();
    let (code, text) = said(temp.path(), "report report --markdown");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("is a link"), "{text}");
}

/// A file of so many bytes that takes no room on the disk.
fn sparse(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_file_without_end_is_refused_with_its_limit() {
    for name in FILES {
        let (temp, run) = stopped();
        sparse(&vacant(&run, name), 6_000_000_000);
        let (_, text) = said(temp.path(), "status runs");
        assert!(text.contains("1 run: "), "{name}: {text}");
        let read = ["spec.toml", "events.jsonl", "timings.jsonl", "failed.json"];
        assert!(
            !read.contains(&name) || text.contains("larger than "),
            "{name}: {text}"
        );
        let (code, text) = said(temp.path(), "run spec.toml");
        let (names, limits) = (text.contains(name), text.contains("larger than "));
        match name {
            // What stands in the place of these is written anew.
            "lock" | "spec.toml" | "events.sha256" | "failed.json" => {
                assert_eq!(code, Some(0), "{name}: {text}");
            }
            // There is a better one.
            "checkpoint.previous.safetensors" => assert_eq!(code, Some(0), "{name}: {text}"),
            "checkpoint.safetensors" => {
                assert_eq!(code, Some(0), "{name}: {text}");
                assert!(names && limits, "{name}: {text}");
            }
            // What the checkpoint vouches for is not there.
            "events.jsonl" => assert!(code == Some(2) && names, "{name}: {text}"),
            _ => {
                assert_eq!(code, Some(2), "{name}: {text}");
                assert!(names && limits, "{name}: {text}");
            }
        }
    }
    let (temp, _) = stopped();
    sparse(&temp.path().join("large"), 6_000_000_000);
    for line in [
        "run large",
        "sweep spec.toml --sweep large",
        "trace large --set scheduler.lr=0.1",
        "probe spec.toml --checkpoint large",
    ] {
        let (code, text) = said(temp.path(), line);
        assert_eq!(code, Some(2), "{line}: {text}");
        assert!(
            text.contains("large: ") && text.contains("larger than "),
            "{line}: {text}"
        );
    }
    let (code, text) = said(temp.path(), "probe spec.toml --checkpoint /dev/zero");
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("/dev/zero") && text.contains("is a device"),
        "{text}"
    );
}

/// One line of a log without an end.
#[test]
fn a_line_without_end_is_refused_with_its_limit() {
    let (temp, run) = stopped();
    let log = run.join("events.jsonl");
    let long = fs::File::options().append(true).open(&log).unwrap();
    long.set_len(1_900_000_000).unwrap();
    let (_, text) = said(temp.path(), "status runs");
    assert!(text.contains("longer than 67108864 bytes"), "{text}");
}

#[test]
fn a_line_of_update_has_a_limit() {
    let temp = TempDir::new().unwrap();
    let mut child = autolr(temp.path(), &["update"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut written = 0_u64;
    // Ends when nobody reads any more.
    while input.write_all(&piece).is_ok() {
        written += piece.len() as u64;
        assert!(written < 1 << 30, "a line of a GB is taken");
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: line 1: longer than 67108864 bytes, the limit of a line\n"
    );
}

#[test]
fn json_is_printed_under_a_folder_that_is_not_utf_8() {
    let temp = TempDir::new().unwrap();
    let name = OsStr::from_bytes(b"w\xff");
    let dir = temp.path().join(name);
    if fs::create_dir(&dir).is_err() {
        eprintln!("LEFT OUT: this file system takes names in UTF-8 alone");
        return;
    }
    // The arguments of `compare` and `plan` are texts; their folders need not be.
    for dir in [temp.path(), &dir] {
        fs::write(dir.join("spec.toml"), REFERENCE).unwrap();
        fs::write(dir.join("other.toml"), other()).unwrap();
    }
    let inside = |place: &str| -> OsString { Path::new(name).join(place).into_os_string() };
    let word = |word: &str| OsString::from(word);
    let calls: [Vec<OsString>; 10] = [
        vec![
            word("run"),
            inside("other.toml"),
            word("--out"),
            inside("runs"),
            word("--json"),
        ],
        vec![
            word("run"),
            inside("spec.toml"),
            word("--out"),
            inside("runs"),
            word("--json"),
        ],
        vec![word("status"), inside("runs"), word("--json")],
        vec![word("resume"), inside("runs"), word("--json")],
        vec![
            word("compare"),
            word("spec.toml"),
            word("other.toml"),
            word("--runs"),
            inside("runs"),
            word("--json"),
        ],
        vec![
            word("plan"),
            word("spec.toml"),
            word("--runs"),
            inside("runs"),
            word("--json"),
        ],
        vec![
            word("sweep"),
            inside("spec.toml"),
            word("--out"),
            inside("sweep"),
            word("--json"),
        ],
        vec![word("replay"), inside("runs"), word("--json")],
        vec![
            word("doctor"),
            word("--out"),
            inside("runs"),
            word("--json"),
        ],
        vec![
            word("data"),
            word("status"),
            word("--data"),
            inside(""),
            word("--json"),
        ],
    ];
    for args in calls {
        let output = within_limits(temp.path(), &args, Stdio::null());
        let error = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        // No data is there, and `doctor` may miss something; they say so.
        let fine = ["data", "doctor"].map(OsString::from).contains(&args[0]);
        assert!(output.status.success() || fine, "{args:?}: {error}");
        let object: serde_json::Value = serde_json::from_str(&text)
            .unwrap_or_else(|why| panic!("{args:?}: {why}: {text} {error}"));
        assert!(object.is_object() || object.is_array(), "{args:?}: {text}");
    }
}

#[test]
fn what_a_killed_command_left_half_written_goes_with_the_next() {
    let (temp, run) = stopped();
    fs::write(run.join(".writing-aB3dE6"), "half").unwrap();
    fs::write(temp.path().join(".writing-aB3dE6"), "half").unwrap();
    let (code, text) = said(temp.path(), "sweep spec.toml --out .");
    assert_eq!(code, Some(0), "{text}");
    let left: Vec<PathBuf> = contents(temp.path())
        .into_keys()
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
