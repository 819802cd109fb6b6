//! `autolr reproduce`: the paper's experiments, and a report beside the paper's numbers.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::arguments::{
    ExperimentChoice, ProtocolChoice, TrainingArgs, at_once, check_folder, data_location,
    experiments, jobs_at_scale,
};
use crate::device::DeviceName;
use crate::exit::ExitStatus;
#[cfg(doc)]
use crate::exit::{Interrupted, TimeSpent};
use crate::experiment::Scale;
use crate::json_output::{path_text, print_json};
use crate::runs::job::lay_out;
use crate::runs::paper::{Plan, PlanRequest};
use crate::runs::pool;
use crate::runs::state::RunState;
use crate::typed_number::whole;

/// Run the paper's experiments and write a report
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Which experiments
    #[arg(value_enum, value_name = "EXPERIMENT", default_value = "all")]
    experiments: Vec<ExperimentChoice>,
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
    #[arg(long, default_value_t = 0, value_parser = whole)]
    seed: u64,
    /// Several seeds: 0..6 (which is 0 to 5), 0..=5, or 0,1,7
    #[arg(long, value_name = "SEEDS", value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<Seeds>,
    /// Folder of the report and its runs
    #[arg(long, value_name = "DIR", default_value = "report")]
    out: PathBuf,
    /// Report only these experiments, not those already in the folder
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
    lay_out(jobs)?;
    plan.write_manifest(&args.out, args.only)?;

    let at_once = at_once(jobs_at_scale(args.training.jobs, args.scale), jobs);
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
    writeln!(out, "{}", crate::report::results(&args.out)?)?;
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
    #[serde(serialize_with = "path_text")]
    report: &'a Path,
}
