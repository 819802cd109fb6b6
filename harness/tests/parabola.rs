//! `probe.evaluate = "parabola"`: how often it would have spared forward passes in the records of ResNet-18, and a run
//! with it, planned, trained and replayed.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use autolr_core::optimizer::{Evaluation, TrialLoss};
use harness::experiment::ScoringBatch;
use harness::record::{Entry, Record};
use serde_json::Value;
use support::{REFERENCE, output, printed, run_dir, with};
use tempfile::TempDir;

/// What came of the decisions of one kind.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Counted {
    decisions: usize,
    verified: usize,
    /// Of those verified: the same multiplier to within 5 %, the same best candidate.
    same_multiplier: usize,
    same_best: usize,
    /// Forward passes that score, and those of them that are spared.
    forwards: usize,
    spared: usize,
    /// The farthest multiplier.
    farthest: f64,
}

fn best(losses: &[f64]) -> Option<usize> {
    (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b]))
}

/// By number of candidates, over all decisions of the records whose losses lie along one line.
fn count() -> BTreeMap<usize, Counted> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/records");
    let mut counted: BTreeMap<usize, Counted> = BTreeMap::new();
    for log in Record::find(&folder).unwrap() {
        let Record { spec, log } = Record::read(&log).unwrap();
        // Of the ResNet alone.
        if log.provenance.libtorch.is_none() {
            continue;
        }
        let probe = &spec.probe;
        if probe.loss == TrialLoss::BeforeStep || probe.batches == ScoringBatch::PerCandidate {
            continue;
        }
        for record in &log.decisions {
            let decision = &record.decision;
            let rule = spec.scheduler.autolr().unwrap().rule();
            let (lrs, losses) = (decision.candidates.to_vec(), decision.losses.to_vec());
            assert!(decision.earlier.is_empty() && rule.factors().len() == lrs.len());
            let mut read = losses.clone();
            let which = Evaluation::Parabola.read_off(&lrs, &mut read);
            // It looks at no other loss.
            let mut blind = losses.clone();
            for &i in &which {
                blind[i] = f64::NAN;
            }
            assert_eq!(Evaluation::Parabola.read_off(&lrs, &mut blind), which);
            assert_eq!(blind, read);
            let of_kind = counted.entry(lrs.len()).or_default();
            of_kind.decisions += 1;
            of_kind.forwards += lrs.len();
            of_kind.spared += which.len();
            if which.is_empty() {
                assert_eq!(read, losses);
                continue;
            }
            of_kind.verified += 1;
            let multiplier = rule.update(&read).unwrap().factor;
            let off = (multiplier / decision.factor - 1.0).abs();
            of_kind.same_multiplier += usize::from(off <= 0.05);
            of_kind.same_best += usize::from(best(&read) == best(&losses));
            of_kind.farthest = of_kind.farthest.max(off);
        }
    }
    counted
}

/// Counted to the last decision, since docs/PERFORMANCE.md quotes it. Decisions of three candidates are left out: they are all evaluated. `--nocapture` shows the table.
#[test]
fn how_often_a_parabola_is_verified_and_agrees_over_the_records() {
    let counted = count();
    let mut table = String::from(
        "N   decisions  verified  multiplier within 5 %  farthest  same best  forwards spared\n",
    );
    for (n, c) in &counted {
        writeln!(
            table,
            "{n}  {:>10}{:>10}{:>23}{:>8.1} %{:>11}{:>10} of {}",
            c.decisions,
            c.verified,
            c.same_multiplier,
            100.0 * c.farthest,
            c.same_best,
            c.spared,
            c.forwards
        )
        .unwrap();
    }
    println!("{table}");
    insta::assert_snapshot!("over_the_records", table);
}

/// A closed loop with seven candidates, whose losses lie near a parabola in some decisions and not in others.
fn text() -> String {
    let factors = with(
        REFERENCE,
        "factors = \"factor_3\"",
        "factors = \"factor_7\"\nedge_probes = 1\nmax_lr = 4.0\nnormalization = \"rank\"",
    );
    with(
        &factors,
        "[probe]\nbatch_size = 32",
        "[probe]\nbatch_size = 32\nevaluate = \"parabola\"",
    )
}

fn value(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&printed(dir, args)).unwrap()
}

#[test]
fn a_run_counts_the_passes_that_it_took_and_its_log_says_which() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let all = with(&text(), "evaluate = \"parabola\"", "evaluate = \"all\"");
    fs::write(dir.join("spec.toml"), text()).unwrap();
    fs::write(dir.join("all.toml"), &all).unwrap();
    // What is not asked for leaves no mark: the digest is that of a file without the key.
    let plain = with(&all, "\nevaluate = \"all\"", "");
    assert_eq!(support::spec(&all), support::spec(&plain));
    assert_eq!(run_dir(dir, &all), run_dir(dir, &plain));
    let done = value(dir, &["run", "spec.toml", "--json"]);
    let planned = value(dir, &["plan", "spec.toml", "--json"])["runs"][0].clone();
    let log = run_dir(&dir.join("runs"), &text()).join("events.jsonl");
    let record = Record::read(&log).unwrap();
    record.replay().unwrap();
    let (mut forwards, mut read, mut in_full) = (0, 0, 0);
    for decision in &record.log.decisions {
        let probes = 1 + decision.decision.earlier.len();
        let cost = decision.decision.cost.unwrap();
        let spared: usize = decision.read_off.iter().map(Vec::len).sum();
        let rates: usize = decision
            .decision
            .earlier
            .iter()
            .map(|probe| probe.candidates.len())
            .chain([decision.decision.candidates.len()])
            .sum();
        // One pass more in each probe, for the gradient.
        assert_eq!(cost.forwards as usize, rates + probes - spared);
        forwards += cost.forwards;
        read += spared;
        in_full += usize::from(decision.read_off.is_empty());
    }
    assert!(read > 0 && in_full > 0, "{read} {in_full}");
    let summary = &done["summary"];
    assert_eq!(summary["probe_forwards"], 32 * forwards);
    let range = |key: &str| planned["probe_forwards"][key].as_u64().unwrap();
    assert!((range("least")..=range("most")).contains(&(32 * forwards)));
    assert!(range("least") < range("most"));
    let value = value(dir, &["run", "all.toml", "--json"]);
    assert!(value["summary"]["probe_forwards"].as_u64().unwrap() > 32 * forwards);
    let log = run_dir(&dir.join("runs"), &all).join("events.jsonl");
    assert!(!fs::read_to_string(log).unwrap().contains("read_off"));

    // A loss that was not read off as recorded, and a probe that is said to have been evaluated in full.
    let first = record
        .log
        .decisions
        .iter()
        .position(|d| !d.read_off.is_empty());
    let alter = |change: &dyn Fn(&mut harness::record::DecisionRecord)| {
        let mut altered = record.clone();
        change(&mut altered.log.decisions[first.unwrap()]);
        let mut decisions = altered.log.decisions.iter();
        for entry in &mut altered.log.entries {
            if let Entry::Decision(decision) = entry {
                decision.clone_from(decisions.next().unwrap());
            }
        }
        altered.replay().unwrap_err().to_string()
    };
    let error = alter(&|decision| decision.read_off.clear());
    assert!(error.contains("read_off is [["), "{error}");
    let error = alter(&|decision| {
        let last = decision.read_off.iter().position(|read| !read.is_empty());
        let (probe, i) = (last.unwrap(), decision.read_off[last.unwrap()][0]);
        let earlier = decision.decision.earlier.len();
        let losses = if probe < earlier {
            &mut decision.decision.earlier[probe].losses
        } else {
            &mut decision.decision.losses
        };
        losses[i] = losses[i].next_up();
    });
    assert!(error.contains("is read off as"), "{error}");
}

/// A budget allows a probe that it can pay for in full, and the replay stops where the run did.
#[test]
fn a_budget_is_not_exceeded() {
    for steps in [20, 45, 63, 70] {
        let temp = TempDir::new().unwrap();
        let dir = temp.path();
        let text = with(
            &text(),
            "epochs = 6",
            &format!("epochs = 6\nbudget = \"{steps} steps\""),
        );
        fs::write(dir.join("spec.toml"), &text).unwrap();
        let summary = value(dir, &["run", "spec.toml", "--json"])["summary"].clone();
        let number = |key: &str| summary[key].as_u64().unwrap();
        let trained = 3 * (number("backwards") - number("probe_backwards"));
        let search = number("probe_forwards") + 2 * number("probe_backwards");
        assert!(trained + search <= 3 * 32 * steps, "{steps}");
        assert_eq!(summary["budget_spent"], true);
        let log = run_dir(&dir.join("runs"), &text).join("events.jsonl");
        Record::read(&log).unwrap().replay().unwrap();
    }
}

#[test]
fn losses_that_lie_on_no_line_are_refused_before_any_work() {
    for (more, key) in [
        ("loss = \"before-step\"", "probe.loss = \"after-step\""),
        ("batches = \"per-candidate\"", "probe.batches = \"shared\""),
    ] {
        let temp = TempDir::new().unwrap();
        let evaluate = "evaluate = \"parabola\"";
        let text = with(&text(), evaluate, &format!("{evaluate}\n{more}"));
        fs::write(temp.path().join("spec.toml"), text).unwrap();
        let output = output(temp.path(), &["run", "spec.toml"]);
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("probe.evaluate = \"parabola\""), "{error}");
        assert!(error.contains(key), "{error}");
        assert!(!temp.path().join("runs").exists());
    }
}

/// `autolr probe` shows losses that were measured.
#[test]
fn a_learning_rate_finder_evaluates_all() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path();
    let all = with(&text(), "\nevaluate = \"parabola\"", "");
    fs::write(dir.join("spec.toml"), text()).unwrap();
    fs::write(dir.join("all.toml"), all).unwrap();
    let args = |spec| ["probe", spec, "--lrs", "0.001..0.1:9", "--json"];
    let (four, all) = (
        value(dir, &args("spec.toml")),
        value(dir, &args("all.toml")),
    );
    assert_eq!(four["losses"], all["losses"]);
    assert_eq!(four["forwards"], 32 * 10);
}
