//! `autolr doctor`: what is installed, what is missing, and the command that fixes it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::arguments::{cores, data_location};
use crate::data::fetch;
use crate::data::{Cifar, Location};
use crate::disk::{passing_file, remove_half_written};
use crate::exit::ExitStatus;
use crate::json_output::print_json;
use crate::shell::quoted;

/// Less free space than this is little: a run of the paper's size takes up to 540 MB while it lasts, and keeps 180 MB.
const LITTLE_SPACE: u64 = 5_000_000_000;

/// Check the installation, and print commands that fix it
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Folder that runs are to be written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print the findings as one JSON object
    #[arg(long)]
    json: bool,
}

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Ok,
    /// Not needed, or not as good as it could be.
    Note,
    /// The paper's experiments cannot be run on real images without.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it.
    fix: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: String) -> Self {
        Self {
            what,
            verdict: Verdict::Ok,
            found,
            fix: None,
        }
    }

    fn wrong(what: &'static str, verdict: Verdict, found: String, fix: &str) -> Self {
        Self {
            what,
            verdict,
            found,
            fix: Some(fix.to_owned()),
        }
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Diagnosis {
    healthy: bool,
    findings: Vec<Finding>,
}

/// `autolr doctor`
///
/// # Errors
/// What the output refuses. What is missing is the status, a failure.
pub fn doctor(args: &DoctorArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let location = data_location(args.data.as_ref())?;
    let mut findings = vec![
        Finding::ok("autolr", env!("CARGO_PKG_VERSION").into()),
        libtorch(),
        device(),
        Finding::ok("cores", cores().to_string()),
    ];
    findings.extend(
        [Cifar::Cifar10, Cifar::Cifar100].map(|set| data(set, &location, args.data.as_deref())),
    );
    findings.extend(output(&args.out));
    let healthy = findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Missing);
    if args.json {
        print_json(out, &Diagnosis { healthy, findings })?;
    } else {
        for finding in &findings {
            let sign = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Note => "note",
                Verdict::Missing => "MISSING",
            };
            writeln!(out, "{sign:<8} {:<9} {}", finding.what, finding.found)?;
            if let Some(fix) = &finding.fix {
                writeln!(out, "{:18} → {fix}", "")?;
            }
        }
        writeln!(
            out,
            "{}",
            if healthy {
                "All that is needed is there."
            } else {
                "Without what is missing, the paper's experiments run on synthetic data or not at all."
            }
        )?;
    }
    Ok(if healthy {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

#[cfg(feature = "tch")]
fn libtorch() -> Finding {
    Finding::ok("libtorch", autolr_tch::libtorch_version())
}

#[cfg(not(feature = "tch"))]
fn libtorch() -> Finding {
    Finding::wrong(
        "libtorch",
        Verdict::Missing,
        "this autolr was built without it: only the pure-Rust networks can be trained".into(),
        "cargo xtask setup, then cargo build --release",
    )
}

#[cfg(feature = "tch")]
fn device() -> Finding {
    use autolr_tch::{DeviceChoice, select};
    match select(DeviceChoice::Cuda) {
        Ok(_) => Finding::ok("device", "CPU, CUDA".into()),
        Err(error) => Finding::wrong(
            "device",
            Verdict::Note,
            format!("CPU alone: {error}"),
            "docs/GPU.md, if there is a GPU",
        ),
    }
}

#[cfg(not(feature = "tch"))]
fn device() -> Finding {
    Finding::ok("device", "CPU".into())
}

/// A data set, every file of it checked.
fn data(set: Cifar, location: &Location, named: Option<&Path>) -> Finding {
    let what = set.key();
    let files = fetch::status(set, &location.folder);
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|file| file.fault.as_ref())
        .map(ToString::to_string)
        .collect();
    let folder = location.folder.display();
    let mut fix = format!("autolr data fetch {what}");
    if let Some(folder) = named {
        fix += &format!(" --data {}", quoted(folder));
    }
    match wrong.first() {
        None => Finding::ok(
            what,
            format!("{} files in {folder}, checksums right", files.len()),
        ),
        Some(_) if wrong.len() == files.len() && location.find(set).is_err() => Finding::wrong(
            what,
            Verdict::Missing,
            format!("not in {folder} ({})", location.origin.describe()),
            &fix,
        ),
        Some(first) => Finding::wrong(
            what,
            Verdict::Missing,
            format!(
                "{} of {} files are wrong: {first}",
                wrong.len(),
                files.len()
            ),
            &fix,
        ),
    }
}

/// The folder that runs are to be written to: whether that, locks and space are to be had.
fn output(dir: &Path) -> Vec<Finding> {
    let no_folder = dir.ancestors().find(|part| part.exists() && !part.is_dir());
    if let Some(file) = no_folder {
        return vec![Finding::wrong(
            "folder",
            Verdict::Missing,
            format!("{} is not a folder", file.display()),
            "name another with --out",
        )];
    }
    let Some(there) = existing(dir) else {
        return vec![Finding::wrong(
            "folder",
            Verdict::Missing,
            format!("{}: no such folder", dir.display()),
            "name another with --out",
        )];
    };
    let mut findings = vec![match writable(&there) {
        Ok(true) => Finding::ok("folder", format!("{} can be written", dir.display())),
        Ok(false) => Finding::wrong(
            "folder",
            Verdict::Note,
            format!(
                "{} can be written, but has no locks: a process that is killed leaves a file `lock.held` in its run's \
                 folder, to be removed by hand",
                dir.display()
            ),
            "name another with --out",
        ),
        Err(error) => Finding::wrong(
            "folder",
            Verdict::Missing,
            format!("{} cannot be written: {error}", dir.display()),
            "name another with --out",
        ),
    }];
    #[cfg(unix)]
    findings.push(match rustix::fs::statvfs(&there) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{:.1} GB free in {}", free as f64 / 1e9, dir.display());
            if free < LITTLE_SPACE {
                let fix = "make room, or name another folder with --out; `autolr plan` says how much is needed";
                Finding::wrong("disk", Verdict::Note, found, fix)
            } else {
                Finding::ok("disk", found)
            }
        }
        Err(error) => Finding::wrong(
            "disk",
            Verdict::Note,
            format!("free space cannot be told: {error}"),
            "name another folder with --out",
        ),
    });
    findings
}

/// The folder, or the nearest above it that there is.
fn existing(dir: &Path) -> Option<PathBuf> {
    let dir = std::path::absolute(dir).ok()?;
    dir.ancestors()
        .find(|folder| folder.is_dir())
        .map(Path::to_owned)
}

/// Writes, locks and removes a file; false if there are no locks.
fn writable(dir: &Path) -> std::io::Result<bool> {
    remove_half_written(dir);
    let mut file = passing_file(dir)?;
    file.write_all(b"x")?;
    file.as_file().sync_all()?;
    Ok(file.as_file().try_lock().is_ok())
}
