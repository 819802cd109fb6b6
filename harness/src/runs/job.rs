//! A run that is to be carried out, and its folder.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::disk::write_whole;
use crate::exit::BadInput;
use crate::experiment::{RunSpec, SPEC_BYTES};
use crate::record::RunLog;
use crate::regular_file::{self, Links};

/// A run that is to be carried out.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its folder, named by the specification's digest.
    pub(crate) dir: PathBuf,
    /// What a person calls it.
    pub(crate) name: String,
    pub(crate) spec: RunSpec,
    /// Threads within an operation of libtorch, if the run is not begun yet: results depend on it.
    pub(crate) threads: usize,
    pub(crate) finished: bool,
    pub(crate) epochs_done: u64,
}

impl Job {
    /// The run of a specification in `dir`, with one thread, so that results do not depend on the cores. A log that
    /// cannot be read is for the run itself to complain of: it takes no other along.
    pub(crate) fn new(name: String, spec: RunSpec, dir: PathBuf) -> Self {
        let digest = spec.digest().unwrap_or_default();
        let log = RunLog::read_of(&digest, &dir.join("events.jsonl"));
        let log = log.ok().flatten();
        Self {
            threads: 1,
            finished: log.as_ref().is_some_and(|log| log.summary.is_some()),
            epochs_done: log.map_or(0, |log| log.epochs.len() as u64),
            dir,
            name,
            spec,
        }
    }
}

/// Writes the specification of each run into its folder: from then on the folders alone say what is to be run.
///
/// # Errors
/// [`BadInput`] for a folder that leads elsewhere; if the disk fails.
pub(crate) fn lay_out(jobs: &[Job]) -> Result<()> {
    for job in jobs {
        for folder in job.dir.parent().into_iter().chain([job.dir.as_path()]) {
            regular_file::check_folder(folder).map_err(|error| {
                BadInput(format!(
                    "{}: {error}; to have the runs elsewhere, give --out a folder there, or a link to one",
                    folder.display()
                ))
            })?;
        }
        std::fs::create_dir_all(&job.dir)
            .with_context(|| format!("{}: cannot be made", job.dir.display()))?;
        let path = job.dir.join("spec.toml");
        let text = job.spec.to_toml()?;
        let there = regular_file::read_text(&path, Links::Refuse, SPEC_BYTES);
        if there.is_ok_and(|there| there == text) {
            continue;
        }
        write_whole(&path, text.as_bytes())?;
    }
    Ok(())
}
