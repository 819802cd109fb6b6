//! `autolr report`: renders a report again from the logs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::exit::{BadInput, ExitStatus};

/// Render a report again from its logs
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder that `autolr reproduce` made
    #[arg(value_name = "DIR", default_value = "report")]
    dir: PathBuf,
    /// Print the report as Markdown
    #[arg(long)]
    markdown: bool,
    /// Write event files for TensorBoard as well, under DIR/tensorboard
    #[arg(long)]
    tensorboard: bool,
}

/// `autolr report`
///
/// # Errors
/// If the folder holds no manifest, a log is not one, or the disk refuses.
pub fn report(args: &ReportArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    if !args.dir.join("manifest.json").is_file() {
        return Err(BadInput(format!(
            "{}: no manifest.json there; `autolr reproduce --out {}` makes it",
            args.dir.display(),
            args.dir.display()
        ))
        .into());
    }
    let path = crate::report::write(&args.dir)?;
    let events = args
        .tensorboard
        .then(|| crate::report::write_tensorboard(&args.dir))
        .transpose()?;
    if args.markdown {
        out.write_all(&std::fs::read(args.dir.join("report.md"))?)?;
    } else {
        writeln!(out, "{}", path.display())?;
        if let Some(events) = events {
            writeln!(out, "{}", events.display())?;
        }
    }
    Ok(ExitStatus::Success)
}
