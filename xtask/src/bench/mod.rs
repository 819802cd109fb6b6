//! `cargo xtask bench`: the speed of the core by itself, and of training and probes against PyTorch.
//!
//! Each way of training is a process of its own (`worker`) with the same threads. All are prepared first, then measured in
//! turns while the others wait, so that a slow moment of the machine affects all of them.

mod contest;
mod machine;
mod options;
mod probe;
mod progress;
mod python;
mod statistics;
mod table;
mod training;
mod way;
mod worker;

use std::ffi::OsString;

use clap::Subcommand;
use serde_json::Value;

use crate::project::Project;
use machine::Machine;
use way::Programs;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// autolr-core: the update, alone
    Core {
        /// Passed on to `cargo bench`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// autolr-tch: training steps, forward passes and probes against PyTorch on the same cores
    Training(options::TrainingArgs),
    /// autolr-tch: probes of 3 to 31 candidates against deep copies in PyTorch, in time and memory
    Probe(options::ProbeArgs),
}

/// Measures, and prints the rows; also those before a failure.
fn compare<R>(
    project: &Project,
    common: &options::Common,
    measure: impl FnOnce(&Programs, &mut Vec<R>) -> anyhow::Result<()>,
    document: impl FnOnce(&Machine, &[R]) -> Value,
    page: impl FnOnce(&Machine, &[R]) -> String,
) -> anyhow::Result<()> {
    let programs = Programs::prepare(project)?;
    let machine = Machine::of(project, &programs)?;
    machine.warn_of(&common.threads);
    let mut rows = Vec::new();
    let outcome = measure(&programs, &mut rows);
    if outcome.is_ok() || !rows.is_empty() {
        if common.json {
            println!("{:#}", document(&machine, &rows));
        } else {
            print!("{}", page(&machine, &rows));
        }
    }
    outcome
}

pub(crate) fn run(project: &Project, bench: Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Core { args } => project.bench_core(args),
        Bench::Training(args) => training::run(project, &args),
        Bench::Probe(args) => probe::run(project, &args),
    }
}
