//! The commands of `autolr`, one file each.

pub mod compare;
pub mod completions;
pub mod data;
pub mod doctor;
pub mod plan;
mod pool;
pub mod probe;
mod progress;
pub mod replay;
pub mod report;
pub mod reproduce;
pub mod resume;
pub mod run;
mod run_state;
pub mod schedule;
pub mod status;
mod stop;
pub mod sweep;
mod text_table;
pub mod update;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::stop::BudgetArgs;
use crate::data::{DataError, Location};

/// How the trainings of `sweep`, `resume`, `retry` and `reproduce` are carried out.
#[derive(Debug, Args)]
struct TrainingArgs {
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Trainings at a time, each a process of its own [default: the cores; 1 on CUDA and for `reproduce --scale smoke`]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<usize>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Where the data is looked for: the folder given, `AUTOLR_DATA`, the project's own.
pub(crate) fn data_location(folder: Option<&PathBuf>) -> Result<Location, DataError> {
    Location::from_process(folder.map(PathBuf::as_path))
}

/// Cores of this machine that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A count on the command line that cannot be zero.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

/// What `--json` prints: one object, on one line.
fn print_json(out: &mut dyn Write, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    writeln!(out, "{text}")?;
    Ok(())
}
