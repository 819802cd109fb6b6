//! docs/ROBUST.md's tables are what `autolr sensitivity` makes of the recorded runs, which it does not train again.

mod support;

use std::fs;
use std::path::Path;

use support::printed;
use tempfile::TempDir;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

#[test]
fn the_tables_are_those_of_the_records() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = TempDir::new().unwrap();
    copy(&root.join("fixtures/records/sensitivity"), dir.path());
    let run = |json: &[&str]| {
        let args = ["sensitivity", "--problems", "fast", "--out", "."];
        printed(dir.path(), &[&args[..], json].concat())
    };
    let table_printed = run(&[]);
    let page = fs::read_to_string(root.join("docs/ROBUST.md")).unwrap();
    let (_, rest) = page.split_once("<!-- sensitivity -->\n\n```\n").unwrap();
    let (table, _) = rest.split_once("```\n").unwrap();
    assert_eq!(table, table_printed, "autolr sensitivity --problems fast");
    let rows = run(&["--json"]);
    let rows: Vec<serde_json::Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    assert_eq!(rows.len(), 9 * 9 * 6);
    // No run of robust ends non-finite, and its search costs what it may.
    let robust: Vec<_> = rows
        .iter()
        .filter(|row| row["method"] == "robust")
        .collect();
    assert_eq!(robust.len(), 54);
    for row in robust {
        assert_eq!(row["outcome"], "completed", "{row}");
        // The rule's share of 2,000 and 5,000 steps, and a trial or two more that the search took.
        let most = if row["problem"] == "mlp" || row["problem"] == "autoencoder" {
            0.143
        } else {
            0.1
        };
        assert!(row["search"].as_f64().unwrap() <= most, "{row}");
    }
    let figure = [
        "sensitivity",
        "--problems",
        "logistic,mlp,mlp-norm,digits",
        "--methods",
        "robust,tuned,table,autolr",
        "--out",
        ".",
        "--figure",
        "robust.svg",
    ];
    printed(dir.path(), &figure);
    let [drawn, kept] = [dir.path(), &root.join("docs")]
        .map(|dir| fs::read_to_string(dir.join("robust.svg")).unwrap());
    assert!(
        drawn == kept,
        "docs/robust.svg: autolr {}",
        figure.join(" ")
    );
    // Nothing was trained.
    assert!(!dir.path().join("runs").read_dir().unwrap().any(|run| {
        let run = run.unwrap().path();
        run.join("checkpoint.safetensors").exists()
    }));
}
