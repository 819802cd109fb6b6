//! `autolr plan`: what would run, and what it would cost. Trains nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::arguments::{
    ExperimentChoice, ProtocolChoice, at_least_one, at_once, data_location, experiments,
    jobs_at_scale,
};
use crate::device::DeviceName;
use crate::disk::write_whole;
use crate::exit::{BadInput, ExitStatus};
use crate::experiment::Scale;
use crate::json_output::print_json;
use crate::number::plural;
use crate::runs::job::{Job, lay_out};
use crate::runs::job_file::{Engine, Tasks};
use crate::runs::outlook::{Outlook, time_folders};
use crate::runs::paper::{Plan, PlanRequest};
use crate::runs::sweep::{self, Sweep, SweepManifest, VariationArgs};
use crate::shell::quoted;
use crate::visible::typed;

/// Show what would run and what it would cost; train nothing
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Specification files, or experiments of the paper: table1, fig2, fig3, divergence, all
    #[arg(value_name = "SPEC|EXPERIMENT", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    variation: VariationArgs,
    /// For the paper's experiments: by its text, by its released code, or both
    #[arg(long, value_enum, default_value = "both")]
    protocol: ProtocolChoice,
    /// Folder of the runs [default: that of `autolr run`, of `autolr sweep` if anything is varied or emitted, or of
    /// `autolr reproduce`: runs, sweep/runs, report/runs]. Its last part is `runs`
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Trainings at a time, for the estimated time [default: the cores]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<usize>,
    /// Write a job file whose tasks carry the plan out, and the specifications into the folder of the runs
    #[arg(long, value_enum, value_name = "ENGINE")]
    emit: Option<Engine>,
    /// The job file [default: standard output]
    #[arg(long, value_name = "FILE", requires = "emit")]
    out: Option<PathBuf>,
    /// Print the plan as one JSON object
    #[arg(long, conflicts_with = "emit")]
    json: bool,
}

/// What is to be planned: the paper's experiments, or specifications.
enum What {
    Paper(Plan, PathBuf),
    Sweeps(Vec<Sweep>, PathBuf),
}

fn paper(args: &PlanArgs, choices: &[ExperimentChoice], folder: &Path) -> Result<Plan> {
    let unused = args.variation.without_paper();
    if let Some(option) = unused {
        return Err(BadInput(format!(
            "{option} is for specification files; the paper's experiments are what they are"
        ))
        .into());
    }
    let location = data_location(args.data.as_ref())?;
    let request = PlanRequest {
        experiments: &experiments(choices),
        protocols: args.protocol.protocols(),
        scale: scale(args),
        device: args.variation.device.unwrap_or(DeviceName::Auto),
        seeds: args.variation.seeds().unwrap_or(&[0]),
    };
    Plan::new(&request, folder, &location)
}

/// Of the paper's experiments.
fn scale(args: &PlanArgs) -> Scale {
    args.variation.scale.unwrap_or(Scale::Quick)
}

fn what(args: &PlanArgs) -> Result<What> {
    let choices: Vec<Option<ExperimentChoice>> = args
        .what
        .iter()
        .map(|word| ExperimentChoice::of(word))
        .collect();
    let all: Option<Vec<ExperimentChoice>> = choices.iter().copied().collect();
    // The folder above `runs`, where the manifest lies.
    let above = |default: &str| match &args.runs {
        Some(runs) if runs.file_name().is_some_and(|name| name == "runs") => {
            Ok(runs.parent().map_or_else(PathBuf::new, Path::to_owned))
        }
        Some(runs) => Err(BadInput(format!(
            "--runs {}: the folder of the runs is called `runs`, with their manifest beside it",
            runs.display()
        ))),
        None => Ok(PathBuf::from(default)),
    };
    if let Some(choices) = all {
        let folder = above("report")?;
        return Ok(What::Paper(paper(args, &choices, &folder)?, folder));
    }
    if let Some(at) = choices.iter().position(Option::is_some) {
        return Err(BadInput(format!(
            "{}: experiments of the paper and specification files are planned apart",
            args.what[at]
        ))
        .into());
    }
    if let Some(neither) = args.what.iter().find(|word| !Path::new(word).exists()) {
        let experiments = ExperimentChoice::value_variants().iter();
        let names = experiments
            .filter_map(|choice| Some(choice.to_possible_value()?.get_name().to_owned()));
        return Err(BadInput(format!(
            "{}: there is no such file, nor is it an experiment of the paper ({})",
            typed(neither),
            names.collect::<Vec<_>>().join(", ")
        ))
        .into());
    }
    let sweeps = args
        .what
        .iter()
        .map(|file| Sweep::read(Path::new(file), &args.variation))
        .collect::<Result<_>>()?;
    let variation = &args.variation;
    let as_it_is =
        variation.without_paper().is_none() && variation.seeds().is_none() && args.emit.is_none();
    let folder = above(if as_it_is { "" } else { "sweep" })?;
    Ok(What::Sweeps(sweeps, folder))
}

/// `autolr plan`
///
/// # Errors
/// Bad input; with `--emit`, if the disk refuses.
pub fn plan(args: &PlanArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let what = what(args)?;
    let (jobs, folder) = match &what {
        What::Paper(plan, folder) => (plan.jobs.clone(), folder),
        What::Sweeps(sweeps, folder) => {
            let mut jobs: Vec<Job> = Vec::new();
            for sweep in sweeps {
                for mut job in sweep.jobs(&folder.join("runs"))? {
                    if sweeps.len() > 1 {
                        job.name = format!("{}: {}", sweep.file().display(), job.name);
                    }
                    if !jobs.iter().any(|other| other.dir == job.dir) {
                        jobs.push(job);
                    }
                }
            }
            (jobs, folder)
        }
    };
    let asked = match &what {
        What::Paper(..) => jobs_at_scale(args.jobs, scale(args)),
        What::Sweeps(..) => args.jobs,
    };
    let at_once = at_once(asked, &jobs);
    if let Some(engine) = args.emit {
        let text = job_file(args, engine, &jobs, &folder.join("runs"))?;
        // Found before anything is written.
        match &what {
            What::Paper(plan, _) => plan.check_manifest(folder, false)?,
            What::Sweeps(..) => drop(SweepManifest::read(folder)?),
        }
        lay_out(&jobs)?;
        match &what {
            What::Paper(plan, _) => plan.write_manifest(folder, false)?,
            What::Sweeps(sweeps, _) => sweep::write_manifest(sweeps, folder)?,
        }
        return emit(args, engine, (jobs.len(), at_once), &text, out);
    }
    let outlook = Outlook::of(&jobs, at_once, &time_folders(folder))?;
    if args.json {
        print_json(out, &outlook)?;
    } else {
        outlook.print(out)?;
    }
    Ok(ExitStatus::Success)
}

/// The text of a job file; all that could be wrong with it is found here, before anything is written.
fn job_file(args: &PlanArgs, engine: Engine, jobs: &[Job], folder: &Path) -> Result<String> {
    let absolute = |path: &Path| {
        std::path::absolute(path).with_context(|| format!("{}: no place", path.display()))
    };
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    let location = data_location(args.data.as_ref())?;
    let (runs_folder, data) = (absolute(folder)?, absolute(&location.folder)?);
    for path in [&program, &runs_folder, &data] {
        if path
            .to_str()
            .is_none_or(|path| path.contains(char::is_control))
        {
            return Err(BadInput(format!(
                "{path:?}: a job file cannot hold a path with a line feed or the like, or one that is not UTF-8"
            ))
            .into());
        }
    }
    if let Some(path) = &args.out {
        let above = absolute(path)?;
        if !above.parent().is_some_and(Path::is_dir) {
            let path = path.display();
            return Err(BadInput(format!("--out {path}: its folder is not there")).into());
        }
    }
    let tasks = Tasks {
        jobs,
        program: &program,
        runs: &runs_folder,
        data: &data,
        threads: 1,
    };
    Ok(tasks.text(engine))
}

fn emit(
    args: &PlanArgs,
    engine: Engine,
    (jobs, at_once): (usize, usize),
    text: &str,
    out: &mut dyn Write,
) -> Result<ExitStatus> {
    let Some(path) = &args.out else {
        out.write_all(text.as_bytes())?;
        return Ok(ExitStatus::Success);
    };
    write_whole(path, text.as_bytes())?;
    let carry_out = match engine {
        Engine::Parallel => format!("parallel --jobs {at_once} --arg-file {}", quoted(path)),
        Engine::Slurm => format!("sbatch {}", quoted(path)),
    };
    writeln!(
        out,
        "{}: {}. To carry out, and to go on after a stop: {carry_out}",
        path.display(),
        plural(jobs, "run")
    )?;
    Ok(ExitStatus::Success)
}
