//! README.md's table over eight seeds is what the records under `fixtures/records/table1-quick` say.

use std::fs;
use std::path::Path;

use harness::record::Outcome;
use harness::report::{ReportInput, Series, published};
use harness::statistics::{Comparison, Estimate, Observation, Verdict, judge};

fn observe(series: &Series) -> Vec<Observation> {
    let of = |run: &harness::report::Run| {
        let log = run.log.as_ref().expect("a log");
        let summary = log.summary.as_ref().expect("finished");
        match summary.outcome {
            Outcome::Completed => {
                Observation::value(100.0 * summary.reported().expect("tested").accuracy)
            }
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    // Emphasis is the README's own.
    let readme = readme.replace("**", "");
    let input = ReportInput::read(&root.join("fixtures/records/table1-quick")).unwrap();
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
    }

    // And what is said of them.
    let verdicts = |series: &[Series]| -> Vec<Verdict> {
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
        let judged = judge(family.collect());
        judged.iter().map(|judged| judged.verdict).collect()
    };
    assert_eq!(verdicts(&of_paper.series), [Verdict::Better; 4]);
    assert!(
        verdicts(&of_code.series)
            .iter()
            .all(|verdict| matches!(verdict, Verdict::NotComparable { .. })),
        "{:?}",
        verdicts(&of_code.series)
    );
}
