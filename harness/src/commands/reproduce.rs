//! `autolr reproduce`: the paper's experiments, and a report beside the paper's numbers.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::TrainingArgs;
use super::plan::{Plan, PlanRequest};
use super::pool;
use super::run_state::RunState;
use super::{check_folder, cores, data_location, print_json};
use crate::exit::ExitStatus;
#[cfg(doc)]
use crate::exit::{Interrupted, TimeSpent};
use crate::experiment::{DeviceName, ExperimentName, Protocol, Scale};

/// Run the paper's experiments and write a report
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Which experiments
    #[arg(value_enum, value_name = "EXPERIMENT", default_value = "all")]
    experiments: Vec<Choice>,
    /// How large
    #[arg(long, value_enum, default_value = "quick")]
    scale: Scale,
    /// By the paper's text, by its released code, or both
    #[arg(long, value_enum, default_value = "both")]
    protocol: ProtocolChoice,
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceName,
    /// Seed of all runs; the paper's is 0
    // No larger than TOML can hold.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: u64,
    /// Several seeds: 0..6 (which is 0 to 5), 0..=5, or 0,1,7
    #[arg(long, value_name = "SEEDS", value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<Seeds>,
    /// Folder of the report and its runs
    #[arg(long, value_name = "DIR", default_value = "report")]
    out: PathBuf,
    /// Let the report be of this alone, without what was asked for in its folder before
    #[arg(long)]
    only: bool,
    #[command(flatten)]
    training: TrainingArgs,
}

/// Seeds on the command line.
#[derive(Debug, Clone)]
struct Seeds(Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    crate::experiment::seeds(text).map(Seeds)
}

/// An experiment, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
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

const ALL: [(Choice, ExperimentName); 4] = [
    (Choice::Table1, ExperimentName::Table1),
    (Choice::Fig2, ExperimentName::Fig2),
    (Choice::Fig3, ExperimentName::Fig3),
    (Choice::Divergence, ExperimentName::Divergence),
];

impl Choice {
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
pub(crate) fn experiments(choices: &[Choice]) -> Vec<ExperimentName> {
    let chosen = |choice| choices.iter().any(|&c| c == choice || c == Choice::All);
    ALL.iter()
        .filter(|(choice, _)| chosen(*choice))
        .map(|(_, name)| *name)
        .collect()
}

/// `autolr reproduce`
///
/// # Errors
/// Bad input before any training; [`Interrupted`] after Ctrl-C, [`TimeSpent`] at the end of the
/// budget; otherwise a run that failed does not take the others along: the report says so, and the status is a failure.
pub fn reproduce(args: &ReproduceArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let experiments = experiments(&args.experiments);
    let protocols = args.protocol.protocols();
    check_folder("--out", &args.out)?;
    let location = data_location(args.training.data.as_ref())?;
    let request = PlanRequest {
        experiments: &experiments,
        protocols,
        scale: args.scale,
        device: args.device,
        seeds: &args.seeds.clone().map_or(vec![args.seed], |seeds| seeds.0),
    };
    let plan = Plan::new(&request, &args.out, &location)?;
    // Found before anything is written.
    plan.check_manifest(&args.out, args.only)?;
    let budget = args.training.budget.start();
    let jobs = &plan.jobs;
    pool::lay_out(jobs)?;
    plan.write_manifest(&args.out, args.only)?;

    let cuda = jobs
        .iter()
        .any(|job| job.spec.training.device == DeviceName::Cuda);
    let at_once = args
        .training
        .jobs
        .unwrap_or(if cuda || args.scale == Scale::Smoke {
            1
        } else {
            cores()
        });
    let unfinished = pool::carry_out(jobs, &location, at_once, budget);
    // Whatever happened, what there is is shown.
    let path = crate::report::write(&args.out)?;
    let status = pool::status(&unfinished);
    let finished = jobs.iter().filter(|job| job.finished).count();
    let (total, failed) = (
        jobs.len(),
        unfinished.iter().filter(|run| run.is_failure()).count(),
    );
    if args.training.json {
        let runs = jobs
            .iter()
            .map(|job| RunState::read(&job.dir, Some(&job.name)));
        let result = Printed {
            runs: runs.collect(),
            finished_before: finished,
            failed,
            report: &path,
        };
        print_json(out, &result)?;
        return status;
    }
    let status = status?;
    writeln!(
        out,
        "{total} runs ({finished} of them finished before), {failed} failed"
    )?;
    writeln!(out, "report: {}", path.display())?;
    Ok(status)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    runs: Vec<RunState>,
    finished_before: usize,
    failed: usize,
    report: &'a Path,
}
