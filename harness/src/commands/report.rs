//! `autolr report`: renders a report from the logs of runs, of `autolr reproduce` or any others.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::exit::{BadInput, ExitStatus, say};
use crate::json_output::{path_text, path_text_or_null, print_json};
use crate::regular_file;
use crate::report::{FolderReport, Manifest, ReportInput};
use crate::runs::folder::{find_runs, named_folder};
use crate::runs::stop;

/// Render a report from the logs of runs
///
/// Of a folder that `autolr reproduce` made, the report of the paper's experiments; of any other folder, its runs by problem
/// and specification, seeds together.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder of `autolr reproduce`, `run`, `sweep` or `sensitivity`
    #[arg(value_name = "DIR", default_value = "report")]
    dir: PathBuf,
    /// Print the report as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Write event files for TensorBoard as well, under DIR/tensorboard
    #[arg(long)]
    tensorboard: bool,
    /// Render again every so often while runs go on, until all have ended or Ctrl-C
    #[arg(long, value_name = "DURATION", value_parser = every, num_args = 0..=1, default_missing_value = "30s")]
    watch: Option<Duration>,
    /// Print what was written as one JSON object
    #[arg(long)]
    json: bool,
}

fn every(text: &str) -> Result<Duration, String> {
    let every = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if every < Duration::from_secs(1) {
        return Err("must be at least 1s".to_owned());
    }
    Ok(every)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed {
    #[serde(serialize_with = "path_text")]
    report: PathBuf,
    /// Null without `--tensorboard`.
    #[serde(serialize_with = "path_text_or_null")]
    tensorboard: Option<PathBuf>,
}

/// `autolr report`
///
/// # Errors
/// If the folder holds no manifest, a log is not one, or the disk refuses.
pub fn report(args: &ReportArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    if !args.dir.is_dir() {
        let text = format!("{}: there is no such folder", args.dir.display());
        return Err(BadInput(text).into());
    }
    loop {
        let (rendered, is_finished) = render(args)?;
        let Some(every) = args.watch.filter(|_| !is_finished) else {
            return print(args, &rendered, out);
        };
        say(&format!(
            "{}: written; again in {}",
            rendered.report.display(),
            humantime::format_duration(every)
        ));
        let until = Instant::now() + every;
        while Instant::now() < until {
            if stop::is_due() {
                return print(args, &rendered, out);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Writes the report once; also whether all of its runs have ended.
fn render(args: &ReportArgs) -> Result<(Printed, bool)> {
    let manifest = args.dir.join(Manifest::FILE);
    regular_file::check(&manifest)
        .map_err(|error| BadInput(format!("{}: {error}", manifest.display())))?;
    if !manifest.is_file() {
        let dir = named_folder(&args.dir);
        let runs = find_runs(&dir)?.into_iter().map(|run| run.dir);
        let report = FolderReport::read(&dir, &runs.collect::<Vec<_>>());
        for why in report.unreadable() {
            say(&format!("note: a run is left out: {why}"));
        }
        let tensorboard = args.tensorboard.then(|| report.write_tensorboard(&dir));
        let printed = Printed {
            report: report.write(&dir)?,
            tensorboard: tensorboard.transpose()?,
        };
        return Ok((printed, report.is_finished()));
    }
    let input = ReportInput::read(&args.dir)?;
    for problem in input.problems() {
        say(&format!("note: a run is without its results: {problem}"));
    }
    for run in &input.left_out {
        say(&format!(
            "note: not in the manifest, so not in the report: {run}"
        ));
    }
    let path = crate::report::write(&args.dir)?;
    let events = args
        .tensorboard
        .then(|| crate::report::write_tensorboard(&args.dir))
        .transpose()?;
    let runs = input.sections.iter().flat_map(|section| &section.series);
    let mut logs = runs
        .flat_map(|series| &series.runs)
        .map(|run| run.log.as_ref());
    let is_finished = logs.all(|log| log.is_some_and(|log| log.summary.is_some()));
    let printed = Printed {
        report: path,
        tensorboard: events,
    };
    Ok((printed, is_finished))
}

fn print(args: &ReportArgs, printed: &Printed, out: &mut dyn Write) -> Result<ExitStatus> {
    if args.json {
        print_json(out, printed)?;
    } else if args.markdown {
        let path = printed.report.with_file_name("report.md");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        out.write_all(&text)?;
    } else {
        writeln!(out, "{}", printed.report.display())?;
        if let Some(events) = &printed.tensorboard {
            writeln!(out, "{}", events.display())?;
        }
    }
    Ok(ExitStatus::Success)
}
