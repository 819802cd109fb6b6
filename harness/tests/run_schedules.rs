//! A specification with schedules within schedules trains at their rates.

mod support;

use std::sync::atomic::AtomicBool;

use autolr_core::schedule::{Schedule, ScheduleConfig};
use harness::data::Location;
use harness::experiment::RunSpec;
use harness::record::EpochRecord;
use harness::train::{Observer, RunOptions, run};
use harness::workload;
use support::{REFERENCE, spec, with};

const NESTED: &str = r#"kind = "warm-up"
steps = 2
start_factor = 0

[scheduler.schedule]
kind = "sequential"
milestones = [2]

[[scheduler.schedule.schedules]]
kind = "fixed"
lr = 0.05

[[scheduler.schedule.schedules]]
kind = "product"
schedules = [
    { kind = "cosine", lr = 0.05, t_max = 4 },
    { kind = "multi-step", lr = 1, milestones = [1], gamma = 0.5 },
]"#;

struct Rates(Vec<f64>);

impl Observer for Rates {
    fn epoch(&mut self, record: &EpochRecord) {
        self.0.push(record.lr);
    }
}

#[test]
fn a_nested_schedule_gives_the_rates_of_a_run() {
    let text = with(
        REFERENCE,
        "kind = \"autolr\"\nlr = 0.05\nfactors = \"factor_3\"",
        NESTED,
    );
    let spec = spec(&text);
    let dir = tempfile::tempdir().unwrap();
    let location = Location::choose(Some(dir.path()), None, dir.path());
    let mut rates = Rates(Vec::new());
    run(
        &spec,
        dir.path(),
        &|| workload::build(&spec, &location, 1),
        &mut RunOptions::new(&AtomicBool::new(false), 1, &mut rates),
    )
    .unwrap();

    let table: toml::Table = text.parse().unwrap();
    let schedule: ScheduleConfig = table["scheduler"].clone().try_into().unwrap();
    let expected: Vec<f64> = (0..6).map(|epoch| schedule.lr(epoch)).collect();
    assert_eq!(rates.0, expected);
    assert_eq!(expected[..4], [0.0, 0.025, 0.05, 0.05]);

    // What the run's folder says is the same specification.
    let written = std::fs::read_to_string(dir.path().join("spec.toml")).unwrap();
    let again = RunSpec::from_table(written.parse().unwrap()).unwrap();
    assert_eq!(again, spec);
}
