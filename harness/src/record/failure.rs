//! `failed.json` in a run's folder: why the last attempt ended with an error. Not for diverged runs: those are results.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::disk::write_whole;

const NAME: &str = "failed.json";

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
        let text = std::fs::read(dir.join(NAME)).ok()?;
        Some(serde_json::from_slice(&text).unwrap_or_else(|_| Self {
            error: format!("{NAME} cannot be read"),
        }))
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn clear(dir: &Path) -> Result<()> {
        let path = dir.join(NAME);
        // A read-only disk refuses to remove even what is not there.
        if !path.exists() {
            return Ok(());
        }
        std::fs::remove_file(&path)
            .with_context(|| format!("{}: cannot be removed", path.display()))
    }
}
