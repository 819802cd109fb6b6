//! `autolr report`: renders a report again from the logs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::exit::{BadInput, ExitStatus, say};
use crate::json_output::{path_text, path_text_or_null, print_json};
use crate::regular_file;
use crate::report::{Manifest, ReportInput};

/// Render a report again from its logs
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder that `autolr reproduce` made
    #[arg(value_name = "DIR", default_value = "report")]
    dir: PathBuf,
    /// Print the report as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Write event files for TensorBoard as well, under DIR/tensorboard
    #[arg(long)]
    tensorboard: bool,
    /// Print what was written as one JSON object
    #[arg(long)]
    json: bool,
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
    let manifest = args.dir.join(Manifest::FILE);
    regular_file::check(&manifest)
        .map_err(|error| BadInput(format!("{}: {error}", manifest.display())))?;
    if !manifest.is_file() {
        return Err(BadInput(format!(
            "{}: no report of `autolr reproduce`, since there is no manifest.json; of other runs, `autolr status` has a \
             table, and `autolr compare` compares them",
            args.dir.display()
        ))
        .into());
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
    if args.json {
        let printed = Printed {
            report: path,
            tensorboard: events,
        };
        print_json(out, &printed)?;
    } else if args.markdown {
        let path = args.dir.join("report.md");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        out.write_all(&text)?;
    } else {
        writeln!(out, "{}", path.display())?;
        if let Some(events) = events {
            writeln!(out, "{}", events.display())?;
        }
    }
    Ok(ExitStatus::Success)
}
