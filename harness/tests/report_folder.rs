//! `autolr report` of runs that `autolr reproduce` did not make.

mod support;

use std::fs;
use std::path::Path;

use support::{output, printed};
use tempfile::TempDir;

fn spec(scheduler: &str, more: &str) -> String {
    format!(
        "[data]\nset = \"digits-1d\"\ntrain_images = 1000\ntest_images = 200\naugment = false\n\n\
         [network]\nkind = \"mlp\"\n\n{scheduler}\n[training]\nepochs = 6\ndevice = \"cpu\"\n{more}"
    )
}

fn run(dir: &Path, scheduler: &str, more: &str) {
    fs::write(dir.join("spec.toml"), spec(scheduler, more)).unwrap();
    printed(dir, &["run", "spec.toml", "--threads", "1"]);
}

const LOW: &str = "[scheduler]\nkind = \"fixed\"\nlr = 0.05\n";
const HIGH: &str = "[scheduler]\nkind = \"fixed\"\nlr = 0.3\n";

/// Two rates, each with two seeds, and one run that diverges.
fn runs() -> TempDir {
    let dir = TempDir::new().unwrap();
    for seed in ["seed = 0", "seed = 1"] {
        run(dir.path(), LOW, seed);
        run(dir.path(), HIGH, seed);
    }
    run(dir.path(), &HIGH.replace("0.3", "1e30"), "");
    dir
}

fn markdown(dir: &Path) -> String {
    printed(dir, &["report", "runs", "--markdown"])
}

#[test]
fn any_folder_of_runs_has_a_report_with_the_best_first() {
    let dir = runs();
    let text = markdown(dir.path());
    assert!(text.contains("## digits-1d, mlp"), "{text}");
    assert!(
        text.contains("Best test accuracy (%): fixed, lr = 0.3, "),
        "{text}"
    );
    assert!(text.contains("1 of 5 runs diverged."), "{text}");
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| fixed, lr"))
        .collect();
    let labels = rows.iter().map(|row| row.split('|').nth(1).unwrap().trim());
    let labels: Vec<&str> = labels.collect();
    assert_eq!(
        labels,
        ["fixed, lr = 0.3", "fixed, lr = 0.05", "fixed, lr = 1e30"]
    );
    assert!(rows[0].contains("(n = 2)"), "{text}");
    assert!(rows[2].contains("n = 0; 1 diverged"), "{text}");

    // The rates of the sweep over optimisers: what only one kind has is not named.
    let adamw = format!("[optimizer]\nkind = \"adamw\"\n\n{LOW}");
    run(dir.path(), &adamw, "");
    let text = markdown(dir.path());
    assert!(text.contains("| fixed, adamw "), "{text}");
    assert!(text.contains("| fixed, sgd, lr = 0.3 "), "{text}");
    assert!(!text.contains("beta1"), "{text}");

    let html = fs::read_to_string(dir.path().join("runs/index.html")).unwrap();
    assert!(html.contains("figure-0-validation-loss"));
    assert!(!html.contains("SYNTHETIC"));

    let events = printed(dir.path(), &["report", "runs", "--tensorboard"]);
    let folder = dir.path().join(events.lines().nth(1).unwrap());
    let of_problem = folder.read_dir().unwrap().next().unwrap().unwrap().path();
    assert_eq!(of_problem.read_dir().unwrap().count(), 4);

    // All runs have ended: there is nothing to wait for.
    let watched = printed(dir.path(), &["report", "runs", "--watch"]);
    assert_eq!(watched, "runs/index.html\n");
}

#[test]
fn what_cannot_be_read_is_said_and_a_folder_without_runs_is_refused() {
    let dir = runs();
    let mut folders: Vec<_> = fs::read_dir(dir.path().join("runs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    // One log is cut, another run has lost its specification.
    let log = folders[0].join("events.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, &text[..text.len() / 2]).unwrap();
    fs::remove_file(folders[1].join("spec.toml")).unwrap();
    let output_of = output(dir.path(), &["report", "runs", "--markdown"]);
    assert!(output_of.status.success());
    let stderr = String::from_utf8(output_of.stderr).unwrap();
    assert!(stderr.contains("a run is left out"), "{stderr}");
    let text = String::from_utf8(output_of.stdout).unwrap();
    assert!(
        text.contains("A run cannot be read, and is left out."),
        "{text}"
    );
    assert!(
        text.contains("not finished") || text.contains("unreadable"),
        "{text}"
    );

    fs::create_dir(dir.path().join("empty")).unwrap();
    let refused = output(dir.path(), &["report", "empty"]);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("empty: no run is there"), "{stderr}");
    assert!(!dir.path().join("empty/index.html").exists());
    let refused = output(dir.path(), &["report", "runs", "--watch", "0s"]);
    assert_eq!(refused.status.code(), Some(2));
}
