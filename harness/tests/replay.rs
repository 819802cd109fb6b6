//! Every record under fixtures/records gives every rate and decision again, bit for bit, through the core alone.
//!
//! A record is a folder with the `spec.toml` and `events.jsonl` of a run; a new one needs no line of code.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use harness::record::{Entry, Record};
use ndarray::Array1;
use support::{autolr, output, printed};
use tempfile::TempDir;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/records")
}

fn records() -> Vec<(PathBuf, Record)> {
    let logs = Record::find(&folder()).expect("there are records");
    let read = |log: PathBuf| {
        let record = Record::read(&log).expect("a record");
        (log, record)
    };
    logs.into_iter().map(read).collect()
}

/// The value with its last bit turned; a NaN stays what it is.
fn next(value: f64) -> f64 {
    f64::from_bits(value.to_bits() ^ 1)
}

#[test]
fn every_record_gives_every_rate_again() {
    let records = records();
    assert!(!records.is_empty());
    let mut decisions = 0;
    for (log, record) in &records {
        assert!(
            record.log.summary.is_some(),
            "{}: not finished",
            log.display()
        );
        match record.replay() {
            Ok(replayed) => {
                assert_eq!(replayed.rates, record.log.epochs.len(), "{}", log.display());
                let recorded = record
                    .log
                    .entries
                    .iter()
                    .filter(|entry| matches!(entry, Entry::Decision(_) | Entry::Change(_)));
                assert_eq!(replayed.decisions, recorded.count(), "{}", log.display());
                decisions += replayed.decisions;
            }
            Err(difference) => panic!("{}: {difference}", log.display()),
        }
    }
    assert!(decisions > 0, "no record of the closed loop");
}

/// Makes what happened in order that of the epochs and decisions.
fn in_order(record: &mut Record) {
    let log = &mut record.log;
    let (mut epochs, mut decisions) = (log.epochs.iter(), log.decisions.iter());
    for entry in &mut log.entries {
        match entry {
            Entry::Epoch(epoch) => epoch.clone_from(epochs.next().unwrap()),
            Entry::Decision(decision) => decision.clone_from(decisions.next().unwrap()),
            // Neither a rate nor a decision.
            _ => {}
        }
    }
}

/// The distance to the next number above.
fn ulp(value: f64) -> f64 {
    value.abs().next_up() - value.abs()
}

/// Whether a loss is so far from the mean that its last bit is below their difference's, the z-score's numerator. There
/// the turned bit may be rounded away, and every number of the decision is that of the record.
fn may_be_rounded_away(loss: f64, mean: f64) -> bool {
    ulp(loss) < ulp(loss - mean)
}

/// Whether one loss is so far from the others that all z-scores are near those of n − 1 equal losses and another: (n − 1)/√n
/// is the largest that there is, and however far the one lies, they hardly change. There too a turned bit may be rounded
/// away.
fn is_dominated(losses: &Array1<f64>) -> bool {
    let count = losses.len() as f64;
    let furthest = losses.mapv(|loss| (loss - losses.mean().unwrap_or(f64::NAN)).abs());
    let furthest = furthest.fold(0.0_f64, |a, &b| a.max(b));
    furthest / losses.std(1.0) > 0.99 * (count - 1.0) / count.sqrt()
}

/// The replay of each record with one number changed in its last bit fails: any rate, any cost, and any loss of libtorch's
/// whose last bit may not be rounded away.
#[test]
fn a_number_changed_in_its_last_bit_is_noticed() {
    let (mut changed, mut rounded_away, mut unnoticed) = (0, Vec::new(), Vec::new());
    for (log, record) in records() {
        let mut try_with = |what: String, may_pass: bool, change: &dyn Fn(&mut Record)| {
            let mut altered = record.clone();
            change(&mut altered);
            in_order(&mut altered);
            if altered == record {
                // NaN or infinite.
                return;
            }
            changed += 1;
            match (altered.replay().is_ok(), may_pass) {
                (false, _) => {}
                (true, true) => rounded_away.push(format!("{}: {what}", log.display())),
                (true, false) => unnoticed.push(format!("{}: {what}", log.display())),
            }
        };
        for (i, epoch) in record.log.epochs.iter().enumerate() {
            try_with(format!("lr of epoch {}", epoch.epoch), false, &|record| {
                let lr = &mut record.log.epochs[i].lr;
                *lr = next(*lr);
            });
        }
        // The losses of pure Rust have 53 bits to libtorch's 24: no decision hangs on the last.
        let has_spare_bits = record.log.provenance.libtorch.is_some();
        for (i, decision) in record.log.decisions.iter().enumerate() {
            let decision = &decision.decision;
            let mean = decision.losses.mean().expect("losses");
            for (j, loss) in decision
                .losses
                .iter()
                .enumerate()
                .filter(|(_, loss)| has_spare_bits && loss.is_finite())
            {
                let what = format!("decision {i}, loss {j} = {loss}");
                let may_pass = may_be_rounded_away(*loss, mean) || is_dominated(&decision.losses);
                try_with(what, may_pass, &|record| {
                    let loss = &mut record.log.decisions[i].decision.losses[j];
                    *loss = next(*loss);
                });
            }
            try_with(format!("decision {i}, new_lr"), false, &|record| {
                let lr = &mut record.log.decisions[i].decision.new_lr;
                *lr = next(*lr);
            });
            try_with(format!("decision {i}, cost"), false, &|record| {
                let cost = record.log.decisions[i].decision.cost.as_mut().unwrap();
                cost.backwards += 1;
            });
        }
        try_with("images forward by probes".into(), false, &|record| {
            record.log.summary.as_mut().unwrap().probe_forwards += 1;
        });
    }
    let without = rounded_away.len();
    println!("{changed} numbers changed, one at a time, {without} of them without effect");
    // Beside losses of trainings that break.
    assert!(500 * without < changed, "{without}: {rounded_away:#?}");
    assert!(changed > 100, "{changed}");
    assert!(
        unnoticed.is_empty(),
        "{} of {changed}: {unnoticed:#?}",
        unnoticed.len()
    );
}

#[test]
fn the_command_goes_through_folders_and_logs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let said = printed(&root, &["replay", "records"]);
    let all = records();
    let count = all.len();
    let sealed = |(_, record): &&(_, Record)| {
        let summary = record.log.summary.as_ref();
        summary.is_some_and(|summary| summary.log.is_some())
    };
    let without = count - all.iter().filter(sealed).count();
    assert!(without > 0 && without < count, "{without} of {count}");
    assert!(
        said.ends_with(&format!(
            "{count} records, 0 different; {without} without a seal\n"
        )),
        "{said}"
    );
    assert_eq!(said.lines().count(), count + 1);

    let json: serde_json::Value =
        serde_json::from_str(&printed(&root, &["replay", "records", "--json"])).unwrap();
    assert_eq!(json["different"], 0);
    assert_eq!(json["records"].as_array().unwrap().len(), count);
    assert!(json["records"][0]["rates"].as_u64().unwrap() > 0);
    assert!(json["records"][0]["difference"].is_null());
}

#[test]
fn a_changed_record_is_told_with_epoch_key_and_both_values() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let (log, _) = records()
        .into_iter()
        .find(|(_, record)| record.log.decisions.len() > 2)
        .expect("a record of the closed loop");
    fs::copy(log.with_file_name("spec.toml"), dir.join("spec.toml")).unwrap();
    let text = fs::read_to_string(&log).unwrap();
    // The first loss of the second decision, one unit in its last digit further.
    let line = text
        .lines()
        .filter(|line| line.contains("\"decision\""))
        .nth(1)
        .unwrap();
    let (head, rest) = line.split_once("\"losses\":[").unwrap();
    let (loss, tail) = rest.split_once(',').unwrap();
    let altered = format!("{head}\"losses\":[{:?},{tail}", next(loss.parse().unwrap()));
    let changed = text.replace(line, &altered);
    assert_ne!(changed, text);
    fs::write(dir.join("events.jsonl"), &changed).unwrap();
    let output = output(dir, &["replay", "events.jsonl"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("events.jsonl: DIFFERENT in epoch 1: "),
        "{said}"
    );
    assert!(
        said.contains(", recorded is ")
            && said.ends_with("1 record, 1 different; 1 without a seal\n"),
        "{said}"
    );
    let json = autolr(dir, &["replay", ".", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["different"], 1);
    assert!(json["records"][0]["difference"].is_string());

    // A torn last line is left out, as anywhere; the rest is gone through.
    fs::write(dir.join("events.jsonl"), &text[..text.len() - 20]).unwrap();
    let said = printed(dir, &["replay", "."]);
    assert!(
        said.ends_with("1 record, 0 different; 1 without a seal\n"),
        "{said}"
    );
}

/// A log made before candidates that a bound cuts were one trial, and one made since.
#[test]
fn what_a_bound_cut_is_gone_through_by_the_rule_of_its_log() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/checkpoints/autolr");
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let spec = fs::read_to_string(fixture.join("spec.toml")).unwrap();
    fs::create_dir(dir.join("before")).unwrap();
    fs::write(dir.join("before/spec.toml"), &spec).unwrap();
    fs::copy(fixture.join("whole.jsonl"), dir.join("before/events.jsonl")).unwrap();
    fs::write(
        dir.join("spec.toml"),
        spec.replace("edge_probes = 1", "edge_probes = 0"),
    )
    .unwrap();
    printed(dir, &["run", "spec.toml", "--out", "since"]);
    for (place, since) in [("before", false), ("since", true)] {
        let mut logs = Record::find(&dir.join(place)).unwrap();
        let mut record = Record::read(&logs.swap_remove(0)).unwrap();
        let at_bound = |record: &harness::record::DecisionRecord| {
            record.decision.candidates.iter().any(|&lr| lr == 1.0)
        };
        assert!(
            record.log.decisions.iter().any(at_bound),
            "{place}: no bound cuts"
        );
        let mut shared = record
            .log
            .decisions
            .iter()
            .filter(|record| !record.decision.factors.is_empty());
        assert_eq!(shared.next().is_some(), since);
        let replayed = record.replay().unwrap();
        assert_eq!(replayed.decisions, record.log.decisions.len());
        // What a candidate voted with is a recorded value like any other.
        for record in &mut record.log.decisions {
            record.decision.factors.mapv_inplace(next);
        }
        in_order(&mut record);
        assert_eq!(record.replay().is_err(), since, "{place}");
    }
}

#[test]
fn what_is_no_record_is_bad_input() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let (log, _) = records().swap_remove(0);
    let text = fs::read_to_string(&log).unwrap();
    fs::create_dir_all(dir.join("empty")).unwrap();
    let begun = text.lines().next().unwrap().to_owned() + "\n";
    for (name, spec, events) in [
        ("begun", Some(support::REFERENCE), begun.as_str()),
        ("lonely", None, text.as_str()),
        ("other", Some(support::REFERENCE), text.as_str()),
        ("wrong", Some("[data]"), text.as_str()),
        ("nothing", Some(support::REFERENCE), ""),
        ("garbage", Some(support::REFERENCE), "{}\n"),
    ] {
        fs::create_dir(dir.join(name)).unwrap();
        fs::write(dir.join(name).join("events.jsonl"), events).unwrap();
        if let Some(spec) = spec {
            fs::write(dir.join(name).join("spec.toml"), spec).unwrap();
        }
    }
    for (path, part) in [
        ("empty", "no events.jsonl"),
        ("nowhere", "nowhere"),
        ("lonely", "lonely/spec.toml"),
        ("other", "other/spec.toml: its digest is"),
        ("wrong", "wrong/spec.toml"),
        ("begun", "begun/events.jsonl: holds no epoch"),
        ("nothing", "nothing/events.jsonl: holds no event"),
        ("garbage", "garbage/events.jsonl, line 1"),
    ] {
        let output = output(dir, &["replay", path]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{path}: {said}");
        assert!(said.contains(part), "{path}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(output.stdout.is_empty());
    }
}
