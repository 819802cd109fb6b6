//! The results in README.md and docs/REPRODUCING.md are what the records under `fixtures/records` say.

use std::fs;
use std::path::{Path, PathBuf};

use harness::experiment::ExperimentName;
use harness::record::{Outcome, Summary};
use harness::report::{ReportInput, Run, Section, Series, published};
use harness::statistics::{Comparison, Estimate, Judged, Observation, Verdict, judge};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A page without its emphasis.
fn page(name: &str) -> String {
    let text = fs::read_to_string(root().join(name)).unwrap();
    text.replace("**", "")
}

fn summary(run: &Run) -> &Summary {
    let log = run.log.as_ref().expect("a log");
    log.summary.as_ref().expect("finished")
}

fn observe(series: &Series) -> Vec<Observation> {
    let of = |run: &Run| {
        let summary = summary(run);
        match summary.outcome {
            Outcome::Completed => Observation::value(
                100.0
                    * summary
                        .reported()
                        .expect("tested")
                        .accuracy
                        .expect("classified"),
            ),
            Outcome::Diverged { .. } => Observation::Diverged,
        }
    };
    series.runs.iter().map(of).collect()
}

/// `36.2 ± 1.1`, with the diverged seeds if there are any.
fn cell(series: &Series) -> String {
    let observed = observe(series);
    let values = observed.iter().filter_map(|observation| match observation {
        Observation::Value(value) => Some(*value),
        _ => None,
    });
    let values: Vec<f64> = values.collect();
    let estimate = Estimate::of(&values).expect("some completed");
    let half = estimate.half_width.expect("several");
    let mean = format!("{:.1} ± {half:.1}", estimate.mean);
    match observed.len() - values.len() {
        0 => mean,
        diverged => format!("{mean} over {}; {diverged} diverged", values.len()),
    }
}

#[test]
fn the_table_is_that_of_the_records() {
    let (readme, details) = (page("README.md"), page("docs/REPRODUCING.md"));
    let input = ReportInput::read(&root().join("fixtures/records/table1-quick")).unwrap();
    let protocols: Vec<&str> = input
        .sections
        .iter()
        .map(|section| section.entry.protocol.as_str())
        .collect();
    assert_eq!(protocols, ["published", "released"]);
    let [of_paper, of_code] = &input.sections[..] else {
        panic!("two sections");
    };
    for (published, released) in of_paper.series.iter().zip(&of_code.series) {
        assert_eq!((published.runs.len(), released.runs.len()), (8, 8));
        let paper = published::test_accuracy(&published.entry.name).expect("in the paper");
        let row = format!(
            "| {} | {paper:.1} | {} | {} |",
            published.entry.label,
            cell(published),
            cell(released)
        );
        assert!(readme.contains(&row), "README.md lacks {row}");
        assert!(details.contains(&row), "REPRODUCING.md lacks {row}");
    }

    // And what is said of them.
    let judged = |series: &[Series]| -> Vec<Judged> {
        let ours = series
            .iter()
            .find(|series| series.entry.name == "ours")
            .expect("ours");
        let ours = observe(ours);
        let others = series.iter().filter(|series| series.entry.name != "ours");
        let family = others.map(|other| {
            let pairs: Vec<_> = ours.iter().copied().zip(observe(other)).collect();
            Comparison::of(&pairs)
        });
        judge(family.collect())
    };
    let paper = judged(&of_paper.series);
    assert!(
        paper.iter().all(|judged| judged.verdict == Verdict::Better),
        "{paper:?}"
    );
    let code = judged(&of_code.series);
    assert!(
        code.iter()
            .all(|judged| matches!(judged.verdict, Verdict::NotComparable { .. })),
        "{code:?}"
    );
    let differences = paper.iter().map(|judged| {
        let difference = judged.comparison.difference.expect("all completed");
        difference.mean
    });
    let (least, most) = ends(differences);
    let (_, p) = ends(paper.iter().map(|judged| judged.holm_p.expect("a test")));
    let last = |section: &Section| {
        let ours = section.series.iter().find(|s| s.entry.name == "ours");
        let runs = ours.expect("ours").runs.iter();
        ends(runs.map(|run| run.log.as_ref().unwrap().epochs.last().unwrap().lr))
    };
    let (low, high) = last(of_paper);
    let (of_code_low, of_code_high) = last(of_code);
    for words in [
        format!("by {least:.0} to {most:.0} points on average"),
        format!("Holm-corrected p = {p:.2})"),
        format!("from 0.005 up to {low:.2}\u{2013}{high:.2},"),
        format!("the eight end between {of_code_low:.5} and {of_code_high:.2}."),
    ] {
        assert!(
            details.contains(&words),
            "REPRODUCING.md lacks \u{201c}{words}\u{201d}"
        );
    }
}

/// The least and the largest.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let all = (f64::INFINITY, f64::NEG_INFINITY);
    values.fold(all, |(low, high), value| (low.min(value), high.max(value)))
}

#[test]
fn the_single_runs_are_those_of_the_records() {
    let details = page("docs/REPRODUCING.md");
    let input = ReportInput::read(&root().join("fixtures/records/figures-quick")).unwrap();
    let section = |experiment: ExperimentName, protocol: &str| -> &Section {
        let of = |section: &&Section| {
            section.entry.experiment == experiment && section.entry.protocol == protocol
        };
        input.sections.iter().find(of).expect("a section")
    };

    let cell = |series: &Series| {
        let [run] = &series.runs[..] else {
            panic!("one run");
        };
        let summary = summary(run);
        let accuracy = 100.0
            * summary
                .reported()
                .expect("tested")
                .accuracy
                .expect("classified");
        match &summary.outcome {
            Outcome::Completed => format!("completed, {accuracy:.1} %"),
            Outcome::Diverged { reason, .. } if reason.contains("at chance") => {
                "diverged: at chance when it ends".to_owned()
            }
            Outcome::Diverged { epoch, reason } => {
                format!("diverged in epoch {epoch}, counted from 0: {reason}")
            }
        }
    };
    let [of_paper, of_code] =
        ["published", "released"].map(|p| section(ExperimentName::Divergence, p));
    let names = ["as in the paper", "without BatchNorm"];
    assert_eq!((of_paper.series.len(), of_code.series.len()), (2, 2));
    for (name, (published, released)) in names
        .iter()
        .zip(of_paper.series.iter().zip(&of_code.series))
    {
        let row = format!("| {name} | {} | {} |", cell(published), cell(released));
        assert!(details.contains(&row), "REPRODUCING.md lacks {row}");
    }

    let ends = section(ExperimentName::Fig2, "published")
        .series
        .iter()
        .map(|series| {
            let run = &series.runs[0];
            assert_eq!(summary(run).outcome, Outcome::Completed);
            let lr = run.log.as_ref().unwrap().epochs.last().expect("epochs").lr;
            format!("{lr:.2} with {}", series.entry.name)
        });
    let ends: Vec<String> = ends.collect();
    let [first, second, third] = &ends[..] else {
        panic!("three series");
    };
    let sentence = format!("end at {first}, {second} and {third};");
    assert!(
        details.contains(&sentence),
        "REPRODUCING.md lacks “{sentence}”"
    );
}
