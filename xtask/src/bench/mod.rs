//! `cargo xtask bench`: how fast things are, the core by itself, trainings and probes against PyTorch.
//!
//! Each way of training is a process of its own (`worker`) with the same threads. All are started and prepared before
//! anything is measured, and measured in turns while the others wait, so that whatever slows the machine for a while
//! slows all of them.

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

use crate::project::Project;

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

pub(crate) fn run(project: &Project, bench: Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Core { args } => project.bench_core(args),
        Bench::Training(args) => training::run(project, &args),
        Bench::Probe(args) => probe::run(project, &args),
    }
}
