//! docs/REPRODUCING.md's table of the released code's slips is what the records say, and the records are those of
//! `experiments/slips.toml`.

use std::collections::BTreeMap;
#[cfg(feature = "tch")]
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use harness::record::{Outcome, RunLog};
use harness::statistics::Estimate;

/// Row of the table for each series.
const ROWS: [(&str, &str); 12] = [
    ("none", "none: the paper's algorithm"),
    ("only_r1", "R1 alone: "),
    ("only_r2", "R2 alone: "),
    ("only_r3", "R3 alone: "),
    ("only_r4", "R4 alone: "),
    ("only_r5", "R5 alone: "),
    ("all", "all five"),
    ("all_but_r1", "all but R1"),
    ("all_but_r2", "all but R2"),
    ("all_but_r3", "all but R3"),
    ("all_but_r4", "all but R4"),
    ("all_but_r5", "all but R5"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn records() -> PathBuf {
    root().join("fixtures/records/slips-quick")
}

/// The runs of each series that there are, of all that the sweep lists.
fn series() -> BTreeMap<String, Vec<RunLog>> {
    let text = fs::read_to_string(records().join("sweep.json")).unwrap();
    let sweep: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut series: BTreeMap<String, Vec<RunLog>> = BTreeMap::new();
    for run in sweep["runs"].as_array().unwrap() {
        let dir = records().join("runs").join(run["run"].as_str().unwrap());
        if let Some(log) = RunLog::read(&dir.join("events.jsonl")).unwrap() {
            let name = run["series"].as_str().unwrap().to_owned();
            series.entry(name).or_default().push(log);
        }
    }
    series
}

/// With two digits that count, as `0.0039`.
fn two_digits(lr: f64) -> String {
    let decimals = (1.0 - lr.log10().floor()).max(0.0) as usize;
    format!("{lr:.decimals$}")
}

#[test]
fn the_table_is_that_of_the_records() {
    let guide = fs::read_to_string(root().join("docs/REPRODUCING.md")).unwrap();
    let series = series();
    assert_eq!(series.len(), ROWS.len());
    for (name, label) in ROWS {
        let logs = &series[name];
        let (mut values, mut diverged, mut lrs) = (Vec::new(), 0, Vec::new());
        for log in logs {
            let summary = log.summary.as_ref().expect("finished");
            match summary.outcome {
                Outcome::Completed => {
                    let tested = summary.reported().expect("tested");
                    values.push(100.0 * tested.accuracy.expect("classified"));
                }
                Outcome::Diverged { .. } => diverged += 1,
            }
            lrs.push(log.epochs.last().expect("epochs").lr);
        }
        let n = logs.len();
        let estimate = Estimate::of(&values).expect("some completed");
        let mean = estimate.mean;
        let mut accuracy = match estimate.half_width {
            Some(half) => format!("{mean:.1} ± {half:.1}"),
            None => format!("{mean:.1}"),
        };
        if diverged > 0 {
            accuracy += &format!(", **{diverged} of {n} diverged**");
        }
        lrs.sort_by(f64::total_cmp);
        let (low, high) = (lrs[0], lrs[n - 1]);
        let rates = match low == high {
            true => format!("{low}, the first one"),
            false => format!("{} to {}", two_digits(low), two_digits(high)),
        };
        let row = guide
            .lines()
            .find(|line| line.starts_with(&format!("| {label}")));
        let row = row.unwrap_or_else(|| panic!("docs/REPRODUCING.md has no row {label}"));
        let cells = format!("| {accuracy} | {n} | {rates}");
        assert!(row.contains(&cells), "{row} lacks {cells}");
    }
}

/// The program plans networks of libtorch only where it was built with it.
#[cfg(feature = "tch")]
#[test]
fn the_records_are_those_of_the_experiment_file() {
    let list = |path: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    };
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_autolr"))
        .args(["sweep", "experiments/slips.toml", "--scale", "quick"])
        .args(["--seeds", "0..4", "--dry-run", "--json"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let planned: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let planned = planned["runs"].as_array().unwrap();
    assert_eq!(planned.len(), 48);
    let planned: BTreeSet<String> = planned
        .iter()
        .map(|run| {
            let dir = Path::new(run["dir"].as_str().unwrap());
            dir.file_name().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    let recorded = list(&records().join("runs"));
    assert_eq!(recorded.len(), 42);
    assert!(recorded.is_subset(&planned), "{recorded:?}");
}
