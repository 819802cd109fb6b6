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
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use self::stop::BudgetArgs;
use crate::data::{DataError, Location};
use crate::exit::BadInput;

/// How the trainings of `sweep`, `resume`, `retry` and `reproduce` are carried out.
#[derive(Debug, Args)]
struct TrainingArgs {
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Trainings at a time, each a process of its own, with one thread if it is begun here [default: the cores; 1 on
    /// CUDA and for `reproduce --scale smoke`]
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

/// More than any machine has: a slip of the keyboard.
const MOST_THREADS: usize = 4096;

/// A number of threads on the command line.
fn thread_count(text: &str) -> Result<usize, String> {
    match at_least_one(text)? {
        count if count > MOST_THREADS => Err(format!("must be at most {MOST_THREADS}")),
        count => Ok(count),
    }
}

/// Refuses a path for a folder where something else is.
fn check_folder(option: &str, path: &Path) -> Result<(), BadInput> {
    if path.exists() && !path.is_dir() {
        let path = path.display();
        return Err(BadInput(format!("{option} {path}: is not a folder")));
    }
    Ok(())
}

/// What `--json` prints: one object, on one line.
fn print_json(out: &mut dyn Write, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    writeln!(out, "{text}")?;
    Ok(())
}
