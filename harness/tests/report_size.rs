//! Two hundred runs of a hundred epochs fit into a page that a phone can open, drawn in a moment.

#[path = "support/synthetic_report.rs"]
mod synthetic_report;

use std::time::Instant;

use harness::experiment::ExperimentName;
use harness::report::{ReportInput, render};
use synthetic_report::{Kind, Made};

const LARGEST: usize = 5_000_000;

fn size(sections: &[Made]) -> usize {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(synthetic_report::write(dir.path(), sections), 200);
    let input = ReportInput::read(dir.path()).unwrap();
    assert!(input.problems().is_empty(), "{:?}", input.problems());
    let begun = Instant::now();
    let html = render(&input).html;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} bytes in {seconds:.2} s", html.len());
    html.len()
}

fn made(
    experiment: ExperimentName,
    protocol: &'static str,
    series: &[(&'static str, Kind)],
    seeds: u64,
) -> Made {
    Made {
        experiment,
        protocol,
        series: series.to_vec(),
        seeds,
        epochs: 100,
    }
}

/// The paper's experiments under both protocols.
#[test]
fn the_papers_experiments_with_many_seeds() {
    let schedulers = [
        ("constant", Kind::Open),
        ("linear", Kind::Open),
        ("cosine", Kind::Open),
        ("step", Kind::Open),
        ("ours", Kind::Closed(5)),
    ];
    let factors = [
        ("factor_3", Kind::Closed(3)),
        ("factor_5", Kind::Closed(5)),
        ("factor_7", Kind::Closed(7)),
    ];
    let sections = [
        made(ExperimentName::Table1, "published", &schedulers, 10),
        made(ExperimentName::Table1, "released", &schedulers, 10),
        made(ExperimentName::Fig2, "published", &factors, 10),
        made(ExperimentName::Fig2, "released", &factors, 10),
        made(
            ExperimentName::Divergence,
            "published",
            &[("ours", Kind::Diverging(7))],
            40,
        ),
    ];
    let size = size(&sections);
    assert!(size < LARGEST, "{size} bytes");
}

/// Nothing but closed loops with seven candidates, whose windows are moved on now and then.
#[test]
fn the_largest_of_all() {
    let series = [
        ("a", Kind::Closed(7)),
        ("b", Kind::Closed(7)),
        ("c", Kind::Closed(7)),
        ("d", Kind::Closed(7)),
        ("e", Kind::Closed(7)),
    ];
    let sections = [
        made(ExperimentName::Table1, "published", &series, 20),
        made(ExperimentName::Fig2, "published", &series, 20),
    ];
    let size = size(&sections);
    assert!(size < LARGEST, "{size} bytes");
}
