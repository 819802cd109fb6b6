//! `autolr data`: fetches CIFAR-10 and CIFAR-100, and says what is there.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::data::download::Source;
use crate::data::fetch::{self, Fetched, FileStatus, Supply};
use crate::data::{Cifar, DataError, Location};
use crate::exit::ExitStatus;
use crate::json_output::{path_text, print_json};

/// Fetch CIFAR-10 and CIFAR-100, and check the files
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Fetch a data set into the data folder, and check it
    Fetch(FetchArgs),
    /// Check the files; exit code 2 if one is missing or wrong
    Status(StatusArgs),
}

#[derive(Debug, Clone, Args)]
struct FetchArgs {
    /// The data set
    set: Cifar,
    /// Take it from this archive (.tar.gz) or folder instead of the network
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    from: Option<PathBuf>,
    /// Take the archive from this address; its size and checksum must be the published ones
    #[arg(long, value_parser = address)]
    url: Option<String>,
    /// The data folder [default: $AUTOLR_DATA, else data/ in the project]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("an address begins with http:// or https://".to_owned()),
    }
}

#[derive(Debug, Clone, Args)]
struct StatusArgs {
    /// The data set [default: both]
    set: Option<Cifar>,
    /// The data folder [default: $AUTOLR_DATA, else data/ in the project]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `fetch --json` prints.
#[derive(Debug, Serialize)]
struct PrintedFetch {
    set: &'static str,
    #[serde(serialize_with = "path_text")]
    folder: PathBuf,
    /// How many files were put there; 0 if all were there.
    installed: usize,
}

/// What `status --json` prints.
#[derive(Debug, Serialize)]
struct Printed {
    #[serde(serialize_with = "path_text")]
    folder: PathBuf,
    origin: &'static str,
    sets: Vec<PrintedSet>,
}

#[derive(Debug, Serialize)]
struct PrintedSet {
    set: &'static str,
    whole: bool,
    files: Vec<PrintedFile>,
}

#[derive(Debug, Serialize)]
struct PrintedFile {
    #[serde(serialize_with = "path_text")]
    path: PathBuf,
    verdict: &'static str,
    detail: Option<String>,
}

/// Fetches a data set or reports on the data folder.
///
/// # Errors
/// [`DataError`] for data or arguments that are wrong; otherwise what the output refuses.
pub fn data(args: &DataArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    match &args.action {
        Action::Fetch(args) => fetch_set(args, out),
        Action::Status(args) => show_status(args, out),
    }
}

fn fetch_set(args: &FetchArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let location = Location::from_process(args.data.as_deref())?;
    let official = Source::official(args.set);
    let bar = progress_bar(official.bytes);
    let supply = match (&args.from, &args.url) {
        (Some(path), _) => Supply::Local(path.clone()),
        (None, Some(url)) => Supply::Network(official.at(url)),
        (None, None) => Supply::Network(official),
    };
    let fetched = fetch::fetch(args.set, &supply, &location.folder, &mut |bytes| {
        bar.set_position(bytes)
    });
    bar.finish_and_clear();
    let folder = location.folder.join(args.set.folder());
    let fetched = fetched?;
    if args.json {
        let printed = PrintedFetch {
            set: args.set.key(),
            folder,
            installed: match fetched {
                Fetched::AlreadyThere => 0,
                Fetched::Installed(files) => files,
            },
        };
        print_json(out, &printed)?;
        return Ok(ExitStatus::Success);
    }
    match fetched {
        Fetched::AlreadyThere => writeln!(out, "{}: already in {}", args.set, folder.display())?,
        Fetched::Installed(1) => {
            writeln!(out, "{}: 1 file put into {}", args.set, folder.display())?
        }
        Fetched::Installed(files) => writeln!(
            out,
            "{}: {files} files put into {}",
            args.set,
            folder.display()
        )?,
    }
    Ok(ExitStatus::Success)
}

/// On a terminal, bytes, rate and time left on standard error; nothing in a pipe.
fn progress_bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show_status(args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let location = Location::from_process(args.data.as_deref())?;
    if args.json {
        return print_status(args, &location, out);
    }
    writeln!(
        out,
        "{} ({})",
        location.folder.display(),
        location.origin.describe()
    )?;
    let mut status = ExitStatus::Success;
    for set in sets(args) {
        writeln!(out, "{set}")?;
        let files = fetch::status(set, &location.folder);
        for file in &files {
            writeln!(out, "  {:<13} {}", verdict(file), file.path.display())?;
            if let Some(detail) = file.fault.as_ref().and_then(detail) {
                writeln!(out, "                {detail}")?;
            }
        }
        if files.iter().any(|file| file.fault.is_some()) {
            writeln!(out, "  `autolr data fetch {}` puts this right", set.key())?;
            status = ExitStatus::BadInput;
        }
    }
    Ok(status)
}

fn sets(args: &StatusArgs) -> Vec<Cifar> {
    args.set
        .map_or(vec![Cifar::Cifar10, Cifar::Cifar100], |set| vec![set])
}

fn print_status(
    args: &StatusArgs,
    location: &Location,
    out: &mut dyn Write,
) -> anyhow::Result<ExitStatus> {
    let file = |file: FileStatus| PrintedFile {
        verdict: verdict(&file),
        detail: file.fault.as_ref().and_then(detail),
        path: file.path,
    };
    let set = |set: Cifar| {
        let files = fetch::status(set, &location.folder);
        PrintedSet {
            set: set.key(),
            whole: files.iter().all(|file| file.fault.is_none()),
            files: files.into_iter().map(file).collect(),
        }
    };
    let status = Printed {
        folder: location.folder.clone(),
        origin: location.origin.describe(),
        sets: sets(args).into_iter().map(set).collect(),
    };
    let whole = status.sets.iter().all(|set| set.whole);
    print_json(out, &status)?;
    Ok(if whole {
        ExitStatus::Success
    } else {
        ExitStatus::BadInput
    })
}

fn verdict(file: &FileStatus) -> &'static str {
    match &file.fault {
        None => "present",
        Some(DataError::MissingFile { .. }) => "missing",
        Some(DataError::Size { .. }) => "wrong size",
        Some(DataError::Label { .. }) => "wrong label",
        Some(DataError::Digest { .. }) => "wrong digest",
        Some(_) => "unreadable",
    }
}

/// The values behind a verdict.
fn detail(fault: &DataError) -> Option<String> {
    match fault {
        DataError::MissingFile { .. } => None,
        DataError::Size {
            expected, found, ..
        } => Some(format!("{found} bytes, expected {expected}")),
        DataError::Label {
            record,
            offset,
            value,
            ..
        } => Some(format!("record {record} (byte {offset}): label {value}")),
        DataError::Digest {
            expected, found, ..
        } => Some(format!("SHA-256 {found}, expected {expected}")),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: DataArgs,
    }

    fn run(arguments: &[&str]) -> anyhow::Result<(ExitStatus, String)> {
        let cli = Cli::try_parse_from([&["data"], arguments].concat())?;
        let mut out = Vec::new();
        let status = data(&cli.args, &mut out)?;
        Ok((status, String::from_utf8(out)?))
    }

    #[test]
    fn an_empty_folder_is_reported_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let (status, text) = run(&["status", "--data", path]).unwrap();
        assert_eq!(status, ExitStatus::BadInput);
        assert!(
            text.starts_with(&format!(
                "{path} (named on the command line)\nCIFAR-10\n  missing       {path}"
            )),
            "{text}"
        );
        assert_eq!(text.matches("  missing  ").count(), 8);
        assert!(
            text.contains("`autolr data fetch cifar10`")
                && text.contains("`autolr data fetch cifar100`"),
            "{text}"
        );
        let (_, one) = run(&["status", "cifar100", "--data", path]).unwrap();
        assert_eq!(one.matches("  missing  ").count(), 2);
    }

    #[test]
    fn a_file_of_the_wrong_size_is_shown_with_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("cifar-100-binary");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("train.bin"), b"abc").unwrap();
        let (status, text) = run(&[
            "status",
            "cifar100",
            "--data",
            folder.path().to_str().unwrap(),
        ])
        .unwrap();
        assert_eq!(status, ExitStatus::BadInput);
        assert!(
            text.contains("  wrong size ") && text.contains("3 bytes, expected 153700000"),
            "{text}"
        );
    }

    #[test]
    fn what_cannot_be_fetched_from_is_a_data_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let error = run(&[
            "fetch",
            "cifar10",
            "--data",
            path,
            "--from",
            "/no/such/archive.tar.gz",
        ])
        .unwrap_err();
        assert!(
            error
                .downcast_ref::<DataError>()
                .is_some_and(|e| e.to_string().starts_with("/no/such/archive.tar.gz: "))
        );
        let both = run(&["fetch", "cifar10", "--from", "a", "--url", "https://b"]).unwrap_err();
        assert!(both.to_string().contains("cannot be used with"), "{both}");
        let no_address = run(&["fetch", "cifar10", "--url", "b"]).unwrap_err();
        assert!(
            no_address.to_string().contains("begins with http://"),
            "{no_address}"
        );
        let other = run(&["fetch", "mnist"]).unwrap_err();
        assert!(
            other
                .to_string()
                .contains("[possible values: cifar10, cifar100]"),
            "{other}"
        );
    }
}
