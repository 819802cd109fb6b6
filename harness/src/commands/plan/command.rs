//! `autolr plan`: what would run, and what it would cost. Trains nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::emit::{Engine, Tasks, quoted};
use super::forecast::{Forecast, KnownTimes, Range};
use super::{Plan, PlanRequest};
use crate::commands::pool::{self, Job};
use crate::commands::reproduce::{self, Choice, ProtocolChoice};
use crate::commands::run_state::{RunState, State};
use crate::commands::sweep::{self, Sweep, SweepManifest, VariationArgs};
use crate::commands::text_table::{TextTable, runs};
use crate::commands::{cores, data_location, print_json};
use crate::disk::write_whole;
use crate::exit::{BadInput, ExitStatus};
use crate::experiment::{DeviceName, Scale};
use crate::number;

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
    #[arg(long, value_name = "N", value_parser = crate::commands::at_least_one)]
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

/// A run that is planned, with its cost and its state.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    name: String,
    dir: PathBuf,
    state: State,
    epochs_done: u64,
    #[serde(flatten)]
    forecast: Forecast,
    /// As runs alike took them.
    seconds_per_epoch: Option<f64>,
    /// For what is left of it.
    seconds_left: Option<f64>,
}

/// The whole plan.
#[derive(Debug, Serialize)]
pub(crate) struct Outlook {
    runs: Vec<Planned>,
    finished: usize,
    to_do: usize,
    /// Of all runs, as far as they are not finished.
    steps_left: u64,
    forwards: Range,
    backwards: Range,
    disk: u64,
    /// Of all runs one after another; none if it is not known of each.
    seconds_left: Option<f64>,
    at_once: usize,
}

impl Outlook {
    /// Of these jobs, `at_once` at a time; times are taken from the runs in `folders`.
    pub(crate) fn of(jobs: &[Job], at_once: usize, folders: &[PathBuf]) -> Result<Self> {
        let known = KnownTimes::gather(folders);
        let mut outlook = Self {
            runs: Vec::new(),
            finished: 0,
            to_do: 0,
            steps_left: 0,
            forwards: Range::default(),
            backwards: Range::default(),
            disk: 0,
            seconds_left: Some(0.0),
            at_once,
        };
        for job in jobs {
            let forecast = Forecast::of(&job.spec)
                .map_err(|error| BadInput(format!("{}: {error}", job.name)))?;
            let state = RunState::read(&job.dir, Some(&job.name));
            let (there, epochs_done) = match state.state {
                // There is no folder yet.
                State::Unreadable if !job.dir.exists() => (State::NotBegun, 0),
                there => (there, state.epochs_done),
            };
            let seconds_per_epoch = state
                .seconds_per_epoch
                .or_else(|| known.seconds_per_epoch(&job.spec));
            let left = if there.is_done() {
                0
            } else {
                forecast.epochs.saturating_sub(epochs_done)
            };
            let seconds_left = match left {
                0 => Some(0.0),
                left => seconds_per_epoch.map(|seconds| left as f64 * seconds),
            };
            if there.is_done() {
                outlook.finished += 1;
            } else {
                outlook.to_do += 1;
            }
            outlook.steps_left += forecast.steps / forecast.epochs.max(1) * left;
            outlook.forwards += forecast.forwards;
            outlook.backwards += forecast.backwards;
            outlook.disk += forecast.disk;
            outlook.seconds_left = outlook.seconds_left.zip(seconds_left).map(|(a, b)| a + b);
            outlook.runs.push(Planned {
                name: job.name.clone(),
                dir: job.dir.clone(),
                state: there,
                epochs_done,
                forecast,
                seconds_per_epoch,
                seconds_left,
            });
        }
        Ok(outlook)
    }

    pub(crate) fn print(&self, out: &mut dyn Write) -> Result<()> {
        let mut table = TextTable::new(&[
            ("run", false),
            ("epochs", true),
            ("steps", true),
            ("images forward", true),
            ("backward", true),
            ("by probes", true),
            ("disk", true),
            ("time left", true),
            ("state", false),
        ]);
        for run in &self.runs {
            let forecast = &run.forecast;
            let all = forecast.forwards.most + forecast.backwards.most;
            let probes = forecast.probe_forwards.most + forecast.probe_backwards.most;
            table.row([
                run.name.clone(),
                match run.epochs_done {
                    0 => forecast.epochs.to_string(),
                    done => format!("{done}/{}", forecast.epochs),
                },
                number::count(forecast.steps),
                range(forecast.forwards),
                range(forecast.backwards),
                format!("{} %", number::percent(probes as f64 / all.max(1) as f64)),
                bytes(forecast.disk),
                time(run.seconds_left),
                run.state.name().into(),
            ]);
        }
        write!(out, "{table}")?;
        let one = match self.seconds_left {
            Some(seconds) if self.at_once > 1 => format!(
                "about {} one after another, {} with {} at a time",
                number::duration(seconds),
                number::duration(seconds / self.at_once as f64),
                self.at_once
            ),
            Some(seconds) => format!("about {}", number::duration(seconds)),
            None => "unknown, until an epoch of each network and size has been timed".into(),
        };
        writeln!(
            out,
            "{}: {} finished, {} to do, {} steps left. Disk: about {}. Time left: {one}.",
            runs(self.runs.len()),
            self.finished,
            self.to_do,
            number::count(self.steps_left),
            bytes(self.disk),
        )?;
        Ok(())
    }
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "unknown".into(),
        Some(0.0) => "–".into(),
        Some(seconds) => number::duration(seconds),
    }
}

/// The most, with a sign where it may be less.
fn range(range: Range) -> String {
    let most = number::count(range.most);
    if number::count(range.least) == most {
        most
    } else {
        format!("≤ {most}")
    }
}

/// Bytes as a person reads them.
fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        _ if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.0} kB", (bytes / 1e3).ceil()),
    }
}

/// What is to be planned: the paper's experiments, or specifications.
enum What {
    Paper(Plan, PathBuf),
    Sweeps(Vec<Sweep>, PathBuf),
}

fn paper(args: &PlanArgs, choices: &[Choice], folder: &Path) -> Result<Plan> {
    let unused = args.variation.without_paper();
    if let Some(option) = unused {
        return Err(BadInput(format!(
            "{option} is for specification files; the paper's experiments are what they are"
        ))
        .into());
    }
    let location = data_location(args.data.as_ref())?;
    let request = PlanRequest {
        experiments: &reproduce::experiments(choices),
        protocols: args.protocol.protocols(),
        scale: args.variation.scale.unwrap_or(Scale::Quick),
        device: args.variation.device.unwrap_or(DeviceName::Auto),
        seeds: args.variation.seeds().unwrap_or(&[0]),
    };
    Plan::new(&request, folder, &location)
}

fn what(args: &PlanArgs) -> Result<What> {
    let choices: Vec<Option<Choice>> = args.what.iter().map(|word| Choice::of(word)).collect();
    let all: Option<Vec<Choice>> = choices.iter().copied().collect();
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
        let experiments = Choice::value_variants().iter();
        let names = experiments
            .filter_map(|choice| Some(choice.to_possible_value()?.get_name().to_owned()));
        return Err(BadInput(format!(
            "{neither}: there is no such file, nor is it an experiment of the paper ({})",
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
    if let Some(engine) = args.emit {
        let text = job_file(args, engine, &jobs, &folder.join("runs"))?;
        // Found before anything is written.
        match &what {
            What::Paper(plan, _) => plan.check_manifest(folder, false)?,
            What::Sweeps(..) => drop(SweepManifest::read(folder)?),
        }
        pool::lay_out(&jobs)?;
        match &what {
            What::Paper(plan, _) => plan.write_manifest(folder, false)?,
            What::Sweeps(sweeps, _) => sweep::write_manifest(sweeps, folder)?,
        }
        return emit(args, engine, &jobs, &text, out);
    }
    let at_once = args.jobs.unwrap_or_else(cores);
    let outlook = Outlook::of(&jobs, at_once, &time_folders(folder))?;
    if args.json {
        print_json(out, &outlook)?;
    } else {
        outlook.print(out)?;
    }
    Ok(ExitStatus::Success)
}

/// Where runs are whose times say something about others: in the folder itself, and where the commands put them.
pub(crate) fn time_folders(folder: &Path) -> Vec<PathBuf> {
    let usual = ["runs", "sweep", "report"].map(PathBuf::from);
    [folder.to_owned()].into_iter().chain(usual).collect()
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
    jobs: &[Job],
    text: &str,
    out: &mut dyn Write,
) -> Result<ExitStatus> {
    let Some(path) = &args.out else {
        out.write_all(text.as_bytes())?;
        return Ok(ExitStatus::Success);
    };
    write_whole(path, text.as_bytes())?;
    let carry_out = match engine {
        Engine::Parallel => format!(
            "parallel --jobs {} --arg-file {}",
            args.jobs.unwrap_or_else(cores),
            quoted(path)
        ),
        Engine::Slurm => format!("sbatch {}", quoted(path)),
    };
    writeln!(
        out,
        "{}: {}. To carry out, and to go on after a stop: {carry_out}",
        path.display(),
        runs(jobs.len())
    )?;
    Ok(ExitStatus::Success)
}
