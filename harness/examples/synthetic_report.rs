//! A report of made-up runs, to look at and for `cargo xtask browser`: `synthetic_report DIR`.

#[path = "../tests/support/synthetic_report.rs"]
mod synthetic_report;

use std::path::PathBuf;

use anyhow::Context;
use harness::experiment::ExperimentName;
use harness::report::write;
use synthetic_report::{Kind, Made};

/// What must be shown and not run, computed or followed.
const HOSTILE: &str = "<script>document.title = 'run'</script><img src=x onerror=alert(1)>=1+1";

fn main() -> anyhow::Result<()> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from);
    let dir = dir.context("no folder named: synthetic_report DIR")?;
    std::fs::create_dir_all(&dir)?;
    let table_1 = |protocol, seeds| Made {
        experiment: ExperimentName::Table1,
        protocol,
        series: vec![
            ("constant", Kind::Open),
            ("linear", Kind::Open),
            ("cosine", Kind::Open),
            ("step", Kind::Open),
            ("ours", Kind::Closed(5)),
            (HOSTILE, Kind::Closed(3)),
        ],
        seeds,
        epochs: 100,
    };
    let sections = [
        table_1("published", 6),
        table_1("released", 1),
        Made {
            experiment: ExperimentName::Fig2,
            protocol: "published",
            series: vec![
                ("factor_3", Kind::Closed(3)),
                ("factor_5", Kind::Closed(5)),
                ("factor_7", Kind::Closed(7)),
            ],
            seeds: 3,
            epochs: 50,
        },
        Made {
            experiment: ExperimentName::Fig3,
            protocol: "released",
            series: vec![
                ("batch_32", Kind::Closed(5)),
                ("batch_128", Kind::Closed(5)),
            ],
            seeds: 1,
            epochs: 10,
        },
        Made {
            experiment: ExperimentName::Divergence,
            protocol: "published",
            series: vec![("ours", Kind::Diverging(7))],
            seeds: 4,
            epochs: 60,
        },
    ];
    synthetic_report::write(&dir, &sections);
    println!("{}", write(&dir)?.display());
    Ok(())
}
