//! Arguments that several commands have in common.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::data::{DataError, Location};
use crate::device::DeviceName;
use crate::exit::BadInput;
use crate::experiment::{ExperimentName, Protocol, Scale};
use crate::runs::job::Job;
use crate::runs::stop::BudgetArgs;
use crate::typed_number::whole;

/// How the trainings of `sweep`, `resume`, `retry` and `reproduce` are carried out.
#[derive(Debug, Args)]
pub(crate) struct TrainingArgs {
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Trainings to run at a time, each in its own process, new ones with one thread [default: the cores; 1 on CUDA
    /// and for `reproduce --scale smoke`]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) jobs: Option<usize>,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// An experiment, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExperimentChoice {
    /// Test accuracy by scheduler, CIFAR-10
    Table1,
    /// Number of factors, CIFAR-100
    Fig2,
    /// Size of the scoring batch, CIFAR-10
    Fig3,
    /// Initial rate 1
    Divergence,
    /// All of them
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolChoice {
    /// Algorithm 1 as the paper states it
    Published,
    /// What the released code does
    Released,
    /// Both
    Both,
}

const ALL: [(ExperimentChoice, ExperimentName); 4] = [
    (ExperimentChoice::Table1, ExperimentName::Table1),
    (ExperimentChoice::Fig2, ExperimentName::Fig2),
    (ExperimentChoice::Fig3, ExperimentName::Fig3),
    (ExperimentChoice::Divergence, ExperimentName::Divergence),
];

impl ExperimentChoice {
    /// The choice of a word, if it is one.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::from_str(word, false).ok()
    }
}

impl ProtocolChoice {
    pub(crate) fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Published => &[Protocol::Published],
            Self::Released => &[Protocol::Released],
            Self::Both => &Protocol::ALL,
        }
    }
}

/// The experiments of some choices, in the paper's order.
pub(crate) fn experiments(choices: &[ExperimentChoice]) -> Vec<ExperimentName> {
    let chosen = |choice| {
        choices
            .iter()
            .any(|&c| c == choice || c == ExperimentChoice::All)
    };
    ALL.iter()
        .filter(|(choice, _)| chosen(*choice))
        .map(|(_, name)| *name)
        .collect()
}

/// Where the data is looked for: the folder given, `AUTOLR_DATA`, the project's own.
pub(crate) fn data_location(folder: Option<&PathBuf>) -> Result<Location, DataError> {
    Location::from_process(folder.map(PathBuf::as_path))
}

/// Cores of this machine that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many trainings go on at a time where the user asks for no number: one on CUDA, whose memory they would share.
pub(crate) fn at_once(asked: Option<usize>, jobs: &[Job]) -> usize {
    let mut devices = jobs.iter().map(|job| job.spec.training.device);
    let cuda = devices.any(|device| device == DeviceName::Cuda);
    asked.unwrap_or_else(|| if cuda { 1 } else { cores() })
}

/// What is asked for where the paper's experiments are run: of the smallest ones, which take a second each, one at a
/// time if no other number is.
pub(crate) fn jobs_at_scale(asked: Option<usize>, scale: Scale) -> Option<usize> {
    asked.or((scale == Scale::Smoke).then_some(1))
}

/// A count on the command line that cannot be zero.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match usize::try_from(whole(text)?) {
        Ok(0) => Err("must be at least 1".into()),
        Ok(count) => Ok(count),
        Err(error) => Err(error.to_string()),
    }
}

/// More than any machine has: a slip of the keyboard.
const MOST_THREADS: usize = 4096;

/// A number of threads on the command line.
pub(crate) fn thread_count(text: &str) -> Result<usize, String> {
    match at_least_one(text)? {
        count if count > MOST_THREADS => Err(format!("must be at most {MOST_THREADS}")),
        count => Ok(count),
    }
}

/// How many threads OpenMP, which libtorch computes with, gives a process; none where it is not said.
fn thread_limit() -> Option<usize> {
    let limit = std::env::var("OMP_THREAD_LIMIT").ok()?;
    // What is no number above zero is nothing to OpenMP either.
    limit.trim().parse().ok().filter(|limit| *limit > 0)
}

/// Refuses threads that libtorch would wait for and never get.
///
/// # Errors
/// [`BadInput`] that names `OMP_THREAD_LIMIT` and what asked for so many.
pub(crate) fn check_threads(threads: usize, asked: &str) -> Result<(), BadInput> {
    match thread_limit() {
        Some(limit) if threads > limit => Err(BadInput(format!(
            "{asked}: OMP_THREAD_LIMIT = {limit} gives this process fewer, and libtorch would wait for the others for ever"
        ))),
        _ => Ok(()),
    }
}

/// The threads of `--threads`; if it is not given, the cores, as far as `OMP_THREAD_LIMIT` goes.
///
/// # Errors
/// As [`check_threads`].
pub(crate) fn threads(given: Option<usize>) -> Result<usize, BadInput> {
    let Some(threads) = given else {
        return Ok(thread_limit().map_or(cores(), |limit| limit.min(cores())));
    };
    check_threads(threads, &format!("--threads {threads}"))?;
    Ok(threads)
}

/// Refuses a path for a folder where something else is.
pub(crate) fn check_folder(option: &str, path: &Path) -> Result<(), BadInput> {
    if path.exists() && !path.is_dir() {
        let path = path.display();
        return Err(BadInput(format!("{option} {path}: is not a folder")));
    }
    Ok(())
}
