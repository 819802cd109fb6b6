//! `autolr export`: the epochs or results of runs as a table, for notebooks and spreadsheets.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::exit::{ExitStatus, say};
use crate::experiment::RunSpec;
use crate::record::{Outcome, RunLog};
use crate::runs::folder::{find_runs, folder_name, read_spec};

/// Write the epochs or the results of runs as CSV or JSON lines
///
/// A column without a value is empty in CSV and null in JSON; a loss that is not finite is NaN, inf or -inf in CSV and null
/// in JSON. Runs that cannot be read are named on standard error, and the exit code is then 1.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: autolr export report --format csv > epochs.csv\n         autolr export sweep --what runs --format jsonl"
)]
pub struct ExportArgs {
    /// A run's folder, a folder of runs, or one above such folders
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How to write them
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// A row an epoch, or a row a run
    #[arg(long, value_enum, default_value_t = What::Epochs)]
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Epochs,
    Runs,
}

/// Which run a row is of.
#[derive(Debug, Clone, Serialize)]
struct Run {
    run: String,
    name: Option<String>,
    task: &'static str,
    data: &'static str,
    optimizer: &'static str,
    scheduler: &'static str,
    seed: u64,
}

#[derive(Debug, Serialize)]
struct EpochRow<'a> {
    run: &'a str,
    name: Option<&'a str>,
    optimizer: &'a str,
    scheduler: &'a str,
    seed: u64,
    epoch: u64,
    steps: u64,
    lr: f64,
    train_loss: f64,
    train_accuracy: Option<f64>,
    validation_loss: f64,
    validation_accuracy: Option<f64>,
}

#[derive(Debug, Serialize)]
struct RunRow<'a> {
    run: &'a str,
    name: Option<&'a str>,
    task: &'a str,
    data: &'a str,
    optimizer: &'a str,
    scheduler: &'a str,
    seed: u64,
    /// `completed`, `diverged` or `unfinished`.
    outcome: &'static str,
    epochs: u64,
    test_loss: Option<f64>,
    test_accuracy: Option<f64>,
    last_test_loss: Option<f64>,
    last_test_accuracy: Option<f64>,
    forwards: Option<u64>,
    backwards: Option<u64>,
}

/// `autolr export`
///
/// # Errors
/// Bad input if there is no run; else what `out` says.
pub fn export(args: &ExportArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let found = find_runs(&args.dir)?;
    let mut table = Table::new(args.format, out);
    let mut status = ExitStatus::Success;
    for found in found {
        let read = || -> Result<Option<(RunSpec, RunLog)>> {
            let spec = read_spec(&found.dir)?;
            let log = RunLog::read_of(&spec.digest()?, &found.dir.join("events.jsonl"))?;
            Ok(log.map(|log| (spec, log)))
        };
        let (spec, log) = match read() {
            Ok(Some(read)) => read,
            // Nothing was trained yet.
            Ok(None) => continue,
            Err(error) => {
                say(&format!("{}: left out: {error:#}", found.dir.display()));
                status = ExitStatus::Failure;
                continue;
            }
        };
        let run = Run {
            run: folder_name(&found.dir),
            name: found.name,
            task: spec.network.kind(),
            data: spec.data.set.key(),
            optimizer: spec.optimizer.kind(),
            scheduler: spec.scheduler.kind(),
            seed: spec.training.seed,
        };
        match args.what {
            What::Epochs => epochs(&run, &log, &mut table)?,
            What::Runs => table.row(&result(&run, &log))?,
        }
    }
    table.finish()?;
    Ok(status)
}

fn epochs(run: &Run, log: &RunLog, table: &mut Table<'_>) -> Result<()> {
    for epoch in &log.epochs {
        table.row(&EpochRow {
            run: &run.run,
            name: run.name.as_deref(),
            optimizer: run.optimizer,
            scheduler: run.scheduler,
            seed: run.seed,
            epoch: epoch.epoch,
            steps: epoch.steps,
            lr: epoch.lr,
            train_loss: epoch.train_loss,
            train_accuracy: epoch.train_accuracy,
            validation_loss: epoch.validation_loss,
            validation_accuracy: epoch.validation_accuracy,
        })?;
    }
    Ok(())
}

fn result<'a>(run: &'a Run, log: &RunLog) -> RunRow<'a> {
    let summary = log.summary.as_ref();
    let reported = summary.and_then(|summary| summary.reported());
    let last = summary.and_then(|summary| summary.last);
    RunRow {
        run: &run.run,
        name: run.name.as_deref(),
        task: run.task,
        data: run.data,
        optimizer: run.optimizer,
        scheduler: run.scheduler,
        seed: run.seed,
        outcome: match summary.map(|summary| &summary.outcome) {
            None => "unfinished",
            Some(Outcome::Completed) => "completed",
            Some(Outcome::Diverged { .. }) => "diverged",
        },
        epochs: log.epochs.len() as u64,
        test_loss: reported.map(|tested| tested.loss),
        test_accuracy: reported.and_then(|tested| tested.accuracy),
        last_test_loss: last.map(|tested| tested.loss),
        last_test_accuracy: last.and_then(|tested| tested.accuracy),
        forwards: summary.map(|summary| summary.forwards),
        backwards: summary.map(|summary| summary.backwards),
    }
}

/// Rows in one format or the other.
enum Table<'a> {
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
    Jsonl(&'a mut dyn Write),
}

impl<'a> Table<'a> {
    fn new(format: Format, out: &'a mut dyn Write) -> Self {
        match format {
            Format::Csv => Self::Csv(Box::new(csv::Writer::from_writer(out))),
            Format::Jsonl => Self::Jsonl(out),
        }
    }

    fn row(&mut self, row: &impl Serialize) -> Result<()> {
        match self {
            Self::Csv(writer) => Ok(writer.serialize(row)?),
            Self::Jsonl(out) => Ok(writeln!(out, "{}", serde_json::to_string(row)?)?),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Csv(mut writer) => Ok(writer.flush()?),
            Self::Jsonl(out) => Ok(out.flush()?),
        }
    }
}
