//! `autolr run`: one training run, as a specification says.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::arguments::{check_folder, data_location, thread_count, threads};
use crate::device::DeviceName;
use crate::exit::{Busy, ExitStatus, said, say};
use crate::experiment::{RunSpec, Scale};
use crate::json_output::{path_text, print_json};
use crate::number;
use crate::openmp;
use crate::record::{EpochRecord, Evaluation, Outcome, RunLog, Summary};
use crate::runs::execute::{execute, is_bad_input, or_wait};
use crate::runs::progress::RunBar;
use crate::runs::resolve::{locate_in, resolve};
use crate::runs::stop::{BudgetArgs, interrupt_flag};
#[cfg(doc)]
use crate::train;
use crate::train::Observer;

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
    /// Threads within an operation of libtorch [default: the cores]; results depend on it in the last bits, so a resumed
    /// run keeps its own number
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
    /// If another process is at work on this run, wait for it, then resume from what it left
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
        say(&format!("note: {text}"));
    }
}

/// A summary in a few lines.
pub(crate) fn describe(summary: &Summary) -> String {
    let tested = |tested: Option<Evaluation>| match tested {
        Some(Evaluation {
            loss,
            accuracy: Some(accuracy),
            images,
        }) => format!(
            "{} % of {images} test images, loss {}",
            number::percent(accuracy),
            number::significant(loss)
        ),
        Some(Evaluation { loss, images, .. }) => {
            let loss = number::significant(loss);
            format!("loss {loss} over {images} test examples")
        }
        None => "not finite".into(),
    };
    let outcome = match &summary.outcome {
        Outcome::Completed if summary.budget_spent => {
            format!(
                "spent its budget in {}",
                number::plural(summary.epochs as usize, "epoch")
            )
        }
        Outcome::Completed => format!("completed {} epochs", summary.epochs),
        Outcome::Diverged { epoch, reason } => format!("DIVERGED in epoch {epoch}: {reason}"),
    };
    let best = match summary.best_epoch {
        Some(epoch) => format!("best validation (epoch {epoch}): {}", tested(summary.best)),
        None => "best validation: none was finite".into(),
    };
    let (trained, search) = summary.compute();
    format!(
        "{outcome}\n{best}\nlast weights: {}\ncompute: {trained} of training, {search} of probes (forward passes of an example; \
         a backward pass counts 2, validation and tests are free)",
        tested(summary.last),
    )
}

/// To what a closed loop without an upper bound had raised its rate, if its training diverged, and the key of the bound.
fn bounds_hint(spec: &RunSpec, dir: &Path) -> Option<String> {
    let config = spec.scheduler.autolr()?;
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

/// Says what waits, where another process is at work on the run.
fn with_hint(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Busy>() {
        Ok(Busy { text, remedy }) => {
            let text = format!("{text}; `autolr run --wait` waits for it");
            Busy { text, remedy }.into()
        }
        Err(error) => error,
    }
}

/// `autolr run`
///
/// # Errors
/// As [`train::run`].
pub fn run(args: &RunArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let threads = threads(args.threads)?;
    let spec = resolve(&args.spec, args.series.as_deref(), args.scale, args.device)?;
    openmp::wait_briefly(&spec, threads);
    let location = data_location(args.data.as_ref())?;
    check_folder("--out", &args.out)?;
    let dir = args.out.join(spec.run_name()?);
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
            attempt().map_err(with_hint).map_err(in_file)
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
                    error: Some(said(&error)),
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
    #[serde(serialize_with = "path_text")]
    dir: &'a Path,
    was_finished: bool,
    /// None if the run was stopped or failed.
    summary: Option<&'a Summary>,
    /// Why it was.
    error: Option<String>,
}
