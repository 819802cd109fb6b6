//! `autolr run`: one training run, as a specification says.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use toml::Table;

use super::progress::RunBar;
use super::stop::{self, Budget, BudgetArgs, WithinBudget, interrupt_flag};
use super::{check_folder, cores, data_location, print_json};
use crate::data::{DataError, Location};
use crate::exit::{BadInput, Busy, ExitStatus};
use crate::experiment::{DeviceName, ExperimentFile, RunSpec, Scale, SchedulerSpec, SeriesSpec};
use crate::number;
use crate::record::{EpochRecord, Evaluation, Failure, Outcome, RunLog, Summary, begun_as};
use crate::train::{self, Observer, RunOptions, RunSize, RunStatus};
use crate::workload;

/// Train once, as a specification says
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Specification (TOML), such as experiments/published/table1.toml
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    /// Which [[series]] of the file, if it has several
    #[arg(long, value_name = "NAME")]
    series: Option<String>,
    /// Lay a scale over the specification
    #[arg(long, value_enum)]
    scale: Option<Scale>,
    /// Folder of runs; each has its own folder there, named by its specification's digest
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Override training.device
    #[arg(long, value_enum)]
    device: Option<DeviceName>,
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Threads within an operation of libtorch [default: the cores]; results depend on it in the last bits, so that a run
    /// is gone on with by as many as it was begun with
    #[arg(long, value_name = "N", value_parser = super::thread_count)]
    threads: Option<usize>,
    /// If another process is at work on this run, wait for it; then go on with what it left
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Write each epoch's record to standard output as a JSON line, for the program that started this one
    #[arg(long, hide = true)]
    epoch_lines: bool,
}

/// The specification of a file, with a scale and a device laid over it.
pub(crate) fn resolve(
    path: &Path,
    series: Option<&str>,
    scale: Option<Scale>,
    device: Option<DeviceName>,
) -> Result<RunSpec> {
    let file = ExperimentFile::load(path)?;
    let overlay = match scale {
        Some(scale) => scale.overlay()?.0,
        None => Table::new(),
    };
    let series = file.find(series)?;
    let mut spec = file.spec(series, &overlay)?;
    let Some(device) = device else {
        resolve_device(&mut spec).map_err(|error| locate(error, &file, series, &overlay))?;
        return Ok(spec);
    };
    spec.training.device = device;
    resolve_device(&mut spec)?;
    Ok(spec)
}

/// Bad input of a file that was found after it was read, at its line in the file.
fn locate(
    error: anyhow::Error,
    file: &ExperimentFile,
    series: &SeriesSpec,
    over: &Table,
) -> anyhow::Error {
    match error.downcast::<BadInput>() {
        Ok(error) => file.locate(series, &[over], error).into(),
        Err(error) => error,
    }
}

/// Bad input that was found only when a run was built, such as a batch larger than the data, at its line in the file.
pub(crate) fn locate_in(
    path: &Path,
    series: Option<&str>,
    scale: Option<Scale>,
    error: anyhow::Error,
) -> anyhow::Error {
    let file = ExperimentFile::load(path);
    let overlay = scale.map_or(Ok(Table::new()), |scale| Ok(scale.overlay()?.0));
    let (Ok(file), Ok(overlay)) = (file, overlay as Result<Table, BadInput>) else {
        return error;
    };
    match file.find(series) {
        Ok(series) => locate(error, &file, series, &overlay),
        Err(_) => error,
    }
}

/// Replaces `auto` by what this machine has, and refuses CUDA where there is none: the device is part of a run's
/// identity, since results differ in the last bits.
pub(crate) fn resolve_device(spec: &mut RunSpec) -> Result<()> {
    use crate::experiment::NetworkSpec;
    if matches!(spec.network, NetworkSpec::Reference { .. }) {
        // Pure Rust.
        if spec.training.device == DeviceName::Cuda {
            return Err(BadInput(
                "training.device = cuda: the reference network runs on the CPU only".into(),
            )
            .into());
        }
        spec.training.device = DeviceName::Cpu;
        return Ok(());
    }
    #[cfg(feature = "tch")]
    {
        use autolr_tch::{DeviceChoice, select};
        let choice = match spec.training.device {
            DeviceName::Cpu => return Ok(()),
            DeviceName::Cuda => DeviceChoice::Cuda,
            DeviceName::Auto => DeviceChoice::Auto,
        };
        let device = select(choice).map_err(|error| BadInput(format!("training.{error}")))?;
        spec.training.device = if device.is_cuda() {
            DeviceName::Cuda
        } else {
            DeviceName::Cpu
        };
        Ok(())
    }
    #[cfg(not(feature = "tch"))]
    Err(workload::no_libtorch().into())
}

/// Tells a parent process of each epoch.
struct EpochLines<'a>(&'a mut dyn Write);

impl Observer for EpochLines<'_> {
    fn epoch(&mut self, record: &EpochRecord) {
        let line = serde_json::to_string(record).unwrap_or_default();
        let told = writeln!(self.0, "{line}").and_then(|()| self.0.flush());
        if told.is_err() {
            // The parent is gone: whoever stopped it meant this training too. The checkpoint stands.
            interrupt_flag().store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn note(&mut self, text: &str) {
        eprintln!("note: {text}");
    }
}

/// Passes all on. What failed before has not failed any more once this attempt takes a step.
struct ClearsFailure<'a> {
    dir: &'a Path,
    stepped: bool,
    observer: &'a mut dyn Observer,
}

impl Observer for ClearsFailure<'_> {
    fn begin(&mut self, size: RunSize) {
        self.observer.begin(size);
    }

    fn step(&mut self) {
        if !std::mem::replace(&mut self.stepped, true) {
            // If it cannot be removed now, the end of the run says so.
            let _ = Failure::clear(self.dir);
        }
        self.observer.step();
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.observer.epoch(record);
    }

    fn note(&mut self, text: &str) {
        self.observer.note(text);
    }
}

/// Carries out a specification in its folder, with `threads` unless it was begun with others. An error that is the run's own is left there as `failed.json`, until an
/// attempt takes a step or comes to its end.
///
/// # Errors
/// As [`train::run`]; [`crate::exit::TimeSpent`] if the budget is.
pub(crate) fn execute(
    spec: &RunSpec,
    dir: &Path,
    location: &Location,
    threads: usize,
    budget: Budget,
    observer: &mut dyn Observer,
) -> Result<RunStatus> {
    let log = dir.join("events.jsonl");
    let begun = spec.digest().ok().and_then(|spec| begun_as(&spec, &log));
    let threads = begun.map_or(threads, |begun| begun.threads);
    let mut observer = ClearsFailure {
        dir,
        stepped: false,
        observer,
    };
    let mut observer = WithinBudget::new(budget, &mut observer);
    let mut options = RunOptions::new(interrupt_flag(), threads, &mut observer);
    let outcome = train::run(
        spec,
        dir,
        &|| workload::build(spec, location, threads),
        &mut options,
    );
    match &outcome {
        Ok(_) => Failure::clear(dir)?,
        Err(error) if is_the_runs_own(error) && dir.is_dir() => {
            // The error itself is what counts, whether or not it can be written.
            let _ = Failure::of(error).write(dir);
        }
        Err(_) => {}
    }
    outcome.map_err(stop::with_reason)
}

/// Whether an error is a failure of the run: not a stop, not bad input, not that another process is at work on it.
fn is_the_runs_own(error: &anyhow::Error) -> bool {
    !(stop::is_stop(error) || is_bad_input(error) || error.is::<Busy>())
}

/// Whether the input is to blame, the data included.
pub(crate) fn is_bad_input(error: &anyhow::Error) -> bool {
    let data = error.downcast_ref::<DataError>();
    error.is::<BadInput>() || data.is_some_and(DataError::is_bad_input)
}

/// Waits as long as another process is at work on a run.
pub(crate) fn or_wait(mut attempt: impl FnMut() -> Result<RunStatus>) -> Result<RunStatus> {
    loop {
        match attempt() {
            Err(error) if error.is::<Busy>() => {
                for _ in 0..5 {
                    if stop::is_due() {
                        return Err(stop::reason());
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            outcome => return outcome,
        }
    }
}

/// A summary in a few lines.
pub(crate) fn describe(summary: &Summary) -> String {
    let tested = |tested: Option<Evaluation>| match tested {
        Some(tested) => format!(
            "{:.1} % of {} test images, loss {:.4}",
            100.0 * tested.accuracy,
            tested.images,
            tested.loss
        ),
        None => "not finite".into(),
    };
    let outcome = match &summary.outcome {
        Outcome::Completed => format!("completed {} epochs", summary.epochs),
        Outcome::Diverged { epoch, reason } => format!("DIVERGED in epoch {epoch}: {reason}"),
    };
    let best = match summary.best_epoch {
        Some(epoch) => format!("best validation (epoch {epoch}): {}", tested(summary.best)),
        None => "best validation: none was finite".into(),
    };
    format!(
        "{outcome}\n{best}\nlast weights: {}\nimages: {} forward, {} backward; of these by probes {} and {}",
        tested(summary.last),
        summary.forwards,
        summary.backwards,
        summary.probe_forwards,
        summary.probe_backwards
    )
}

/// To what a closed loop without an upper bound had raised its rate, if its training diverged, and the key of the bound.
fn bounds_hint(spec: &RunSpec, dir: &Path) -> Option<String> {
    let SchedulerSpec::AutoLr(config) = &spec.scheduler else {
        return None;
    };
    // With a base schedule, or a bound, it is not for want of one.
    if config.base().is_some() || config.bounds().1 < f64::MAX {
        return None;
    }
    let log = RunLog::read(&dir.join("events.jsonl")).ok().flatten()?;
    let Outcome::Diverged { .. } = log.summary.as_ref()?.outcome else {
        return None;
    };
    let first = log.epochs.first()?.lr;
    let highest = log
        .epochs
        .iter()
        .map(|epoch| epoch.lr)
        .fold(first, f64::max);
    (highest > first).then(|| {
        format!(
            "the closed loop had raised the rate from {} to {}: scheduler.max_lr bounds it",
            number::rate(first),
            number::rate(highest)
        )
    })
}

/// `autolr run`
///
/// # Errors
/// As [`train::run`].
pub fn run(args: &RunArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let spec = resolve(&args.spec, args.series.as_deref(), args.scale, args.device)?;
    let location = data_location(args.data.as_ref())?;
    check_folder("--out", &args.out)?;
    let dir = args.out.join(spec.run_name()?);
    let threads = args.threads.unwrap_or_else(cores);
    let in_file = |error| locate_in(&args.spec, args.series.as_deref(), args.scale, error);
    let budget = args.budget.start();
    let status = {
        let mut bar;
        let mut lines;
        let observer: &mut dyn Observer = if args.epoch_lines {
            lines = EpochLines(out);
            &mut lines
        } else {
            bar = RunBar::new();
            &mut bar
        };
        let mut attempt = || execute(&spec, &dir, &location, threads, budget, observer);
        if args.wait {
            or_wait(attempt).map_err(in_file)
        } else {
            attempt().map_err(in_file)
        }
    };
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            if args.json && !args.epoch_lines && !is_bad_input(&error) {
                let result = Printed {
                    dir: &dir,
                    was_finished: false,
                    summary: None,
                    error: Some(format!("{error:#}")),
                };
                print_json(out, &result)?;
            }
            return Err(error);
        }
    };
    if args.epoch_lines {
        return Ok(ExitStatus::Success);
    }
    if args.json {
        let result = Printed {
            dir: &dir,
            was_finished: status.was_finished,
            summary: Some(&status.summary),
            error: None,
        };
        print_json(out, &result)?;
        return Ok(ExitStatus::Success);
    }
    let before = if status.was_finished {
        " (finished before; not computed again)"
    } else {
        ""
    };
    writeln!(
        out,
        "{}{before}\n{}",
        dir.display(),
        describe(&status.summary)
    )?;
    if let Some(hint) = bounds_hint(&spec, &dir) {
        writeln!(out, "{hint}")?;
    }
    Ok(ExitStatus::Success)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    dir: &'a Path,
    was_finished: bool,
    /// None if the run was stopped or failed.
    summary: Option<&'a Summary>,
    /// Why it was.
    error: Option<String>,
}
