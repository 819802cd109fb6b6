//! A finished log is sealed: what is edited in it afterwards is noticed, and values that no run writes are refused.

mod support;

use std::fs;
use std::path::Path;

use harness::record::RunLog;
use support::{REFERENCE, autolr, output, printed, with};
use tempfile::TempDir;

/// A run of two epochs in `runs`, and its folder.
fn trained(dir: &Path) -> std::path::PathBuf {
    fs::write(
        dir.join("spec.toml"),
        with(REFERENCE, "epochs = 6", "epochs = 2"),
    )
    .unwrap();
    printed(dir, &["run", "spec.toml"]);
    let run = fs::read_dir(dir.join("runs")).unwrap().next().unwrap();
    run.unwrap().path()
}

fn edited(log: &str, old: &str, new: &str) -> String {
    assert!(log.contains(old), "{old}");
    log.replacen(old, new, 1)
}

#[test]
fn an_edit_of_a_finished_log_is_noticed() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let run = trained(dir);
    let path = run.join("events.jsonl");
    let log = fs::read_to_string(&path).unwrap();
    assert!(RunLog::read(&path).unwrap().unwrap().is_sealed());
    for (old, new) in [
        // Of the first line, an epoch, a decision and the summary.
        ("\"threads\":", "\"threads\":1"),
        ("\"train_loss\":", "\"train_loss\":1"),
        ("\"verdict\":\"raised\"", "\"verdict\":\"held\""),
        ("\"probe_forwards\":2", "\"probe_forwards\":1"),
    ] {
        fs::write(&path, edited(&log, old, new)).unwrap();
        let output = output(dir, &["replay", "runs"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("changed after the run ended"),
            "{old}: {said}"
        );
        assert_eq!(output.status.code(), Some(2));
    }
    // The hash beside it is that of the whole file.
    fs::write(&path, &log).unwrap();
    fs::write(run.join("events.sha256"), "0000  events.jsonl\n").unwrap();
    let error = RunLog::read(&path).unwrap_err().to_string();
    assert!(error.contains("events.sha256"), "{error}");
    let status = autolr(dir, &["status", "runs", "--json"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["runs"][0]["state"], "unreadable", "{status}");
    // Its checkpoint vouches for all but the summary, which is written again.
    let run = output(dir, &["run", "spec.toml"]);
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(
        run.status.success() && said.contains("events.sha256"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), log);
}

#[test]
fn the_seals_are_plain_hashes() {
    use sha2::{Digest, Sha256};
    let temp = TempDir::new().unwrap();
    let run = trained(temp.path());
    let log = fs::read(run.join("events.jsonl")).unwrap();
    let beside = fs::read_to_string(run.join("events.sha256")).unwrap();
    let whole = hex::encode(Sha256::digest(&log));
    assert_eq!(beside, format!("{whole}  events.jsonl\n"));
    let text = String::from_utf8(log.clone()).unwrap();
    let last = log[..log.len() - 1]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .unwrap()
        + 1;
    let summary: serde_json::Value = serde_json::from_slice(&log[last..]).unwrap();
    assert_eq!(summary["log"]["bytes"], last);
    let seal = summary["log"]["sha256"].as_str().unwrap();
    let without = text.replace(seal, "");
    assert_eq!(seal, hex::encode(Sha256::digest(without.as_bytes())));
}

/// In a log of format 1, which has no seal, values out of their range are all that shows an edit.
#[test]
fn values_out_of_range_are_refused() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/checkpoints/autolr");
    let log = fs::read_to_string(fixture.join("whole.jsonl")).unwrap();
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("events.jsonl");
    let accuracy = "\"validation_accuracy\":";
    for (old, new, expected) in [
        (
            "\"format\":1",
            "\"format\":99",
            "line 1: format = 99: this program reads formats up to 2",
        ),
        ("\"format\":1", "\"format\":0", "line 1: format = 0"),
        ("\"threads\":1", "\"threads\":0", "line 1: threads = 0"),
        (
            accuracy,
            "\"validation_accuracy\":7.5,\"was\":",
            "validation_accuracy = 7.5: must lie from 0 to 1",
        ),
        (
            "\"best\":{",
            "\"best\":{\"accuracy\":7.5,\"images\":1,\"loss\":1},\"was\":{",
            "best.accuracy = 7.5",
        ),
        ("\"best-validation\"", "\"median\"", "reported = \"median\""),
        (
            "\"probe_forwards\":",
            "\"probe_forwards\":9999999",
            "probe_forwards = 9999999",
        ),
    ] {
        fs::write(&path, edited(&log, old, new)).unwrap();
        let error = format!("{:#}", RunLog::read(&path).unwrap_err());
        assert!(error.contains(expected), "{old} {new}: {error}");
    }
    fs::write(&path, &log).unwrap();
    assert!(!RunLog::read(&path).unwrap().unwrap().is_sealed());
}
