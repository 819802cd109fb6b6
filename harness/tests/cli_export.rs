//! `autolr export`: recorded runs as tables.

mod support;

use std::fs;
use std::path::Path;

use support::{output, printed};
use tempfile::TempDir;

fn records() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/records");
    let records = root.join("published-table1-cosine");
    records.canonicalize().unwrap().display().to_string()
}

#[test]
fn epochs_are_rows_with_every_digit_of_the_log() {
    let (dir, records) = (TempDir::new().unwrap(), records());
    let log = fs::read_to_string(Path::new(&records).join("events.jsonl")).unwrap();
    let logged: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "epoch")
        .collect();
    let table = printed(dir.path(), &["export", &records]);
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|of| of == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), logged.len());
    let lines = printed(dir.path(), &["export", &records, "--format", "jsonl"]);
    assert_eq!(lines.lines().count(), logged.len());
    for ((row, line), epoch) in rows.iter().zip(lines.lines()).zip(&logged) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in [
            "epoch",
            "lr",
            "train_loss",
            "validation_loss",
            "validation_accuracy",
        ] {
            let wanted = epoch[key].as_f64().unwrap();
            let found: f64 = row[column(key)].parse().unwrap();
            assert_eq!(found, wanted, "{key}");
            assert_eq!(line[key].as_f64().unwrap(), wanted, "{key}");
        }
        assert_eq!(&row[column("scheduler")], "cosine");
    }
}

#[test]
fn results_are_a_row_a_run_and_what_cannot_be_read_is_named() {
    let (dir, records) = (TempDir::new().unwrap(), records());
    let lines = printed(
        dir.path(),
        &["export", &records, "--what", "runs", "--format", "jsonl"],
    );
    let row: serde_json::Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(row["outcome"], "completed");
    assert!(row["test_accuracy"].as_f64().unwrap() > 0.1, "{row}");

    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["spec.toml", "events.jsonl"] {
        fs::copy(Path::new(&records).join(name), copy.join(name)).unwrap();
    }
    fs::write(copy.join("spec.toml"), "not = \"a specification\"").unwrap();
    let failed = output(dir.path(), &["export", "copy"]);
    let said = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("copy: left out: "), "{said}");

    fs::create_dir(dir.path().join("empty")).unwrap();
    let none = output(dir.path(), &["export", "empty"]);
    assert_eq!(none.status.code(), Some(2));
}
