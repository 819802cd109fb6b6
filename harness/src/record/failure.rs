//! `failed.json` in a run's folder: why the last attempt ended with an error. Not for diverged runs: those are results.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::disk::write_whole;
use crate::regular_file::{self, Links};

const NAME: &str = "failed.json";

/// What it may have.
const BYTES: u64 = 1 << 20;

/// Why the last attempt at a run ended with an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error, with its causes.
    pub error: String,
}

impl Failure {
    /// An error with its causes.
    pub fn of(error: &anyhow::Error) -> Self {
        Self {
            error: format!("{error:#}"),
        }
    }

    /// Writes the file into the run's folder `dir`, instead of an older one.
    ///
    /// # Errors
    /// If the disk does.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        write_whole(&dir.join(NAME), text.as_bytes())
    }

    /// Reads the file, if there is one. One that is not readable as such still says that the run failed.
    pub fn read(dir: &Path) -> Option<Self> {
        let unreadable = |why: &dyn std::fmt::Display| Self {
            error: format!("{NAME} cannot be read: {why}"),
        };
        match regular_file::read(&dir.join(NAME), Links::Refuse, BYTES) {
            Ok(text) => Some(serde_json::from_slice(&text).unwrap_or_else(|why| unreadable(&why))),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
            Err(why) => Some(unreadable(&why)),
        }
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn clear(dir: &Path) -> Result<()> {
        let path = dir.join(NAME);
        // A read-only disk refuses to remove even what is not there.
        if !path.is_symlink() && !path.exists() {
            return Ok(());
        }
        std::fs::remove_file(&path)
            .with_context(|| format!("{}: cannot be removed", path.display()))
    }
}
