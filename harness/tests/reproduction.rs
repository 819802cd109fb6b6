//! The paper's experiments on the reference workload, as a person reads them: a snapshot an experiment and protocol.
//!
//! The reference workload gives the same bits on every platform, and so do the core's decisions: what the snapshots hold
//! is rounded for the reader, not to hide differences.

mod support;

use std::sync::atomic::AtomicBool;

use harness::data::Location;
use harness::experiment::RunSpec;
use harness::record::RunLog;
use harness::train::{self, RunOptions};
use harness::workload;
use tempfile::TempDir;

/// Small enough for all 26 runs in seconds; the scoring batch of 512 still fits.
const OVERLAY: &str = r#"
    [data]
    set = "synthetic"
    train_images = 2000
    test_images = 500
    augment = false
    [network]
    kind = "reference"
    hidden = 16
    [training]
    epochs = 16
    batch_size = 8
    device = "cpu"
"#;

/// Runs a specification in this process.
fn run(spec: &RunSpec) -> RunLog {
    let dir = TempDir::new().expect("a folder");
    let location = Location::from_process(Some(dir.path())).expect("a folder");
    let (never, mut nobody) = (AtomicBool::new(false), ());
    let mut options = RunOptions::new(&never, 1, &mut nobody);
    let build = || workload::build(spec, &location, 1);
    train::run(spec, dir.path(), &build, &mut options).expect("the run ends");
    let log = RunLog::read(&dir.path().join("events.jsonl"));
    log.expect("a log").expect("with events")
}

support::reading::reproductions!(OVERLAY, run);
