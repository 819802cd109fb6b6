//! Exit codes: 0 done, 1 something failed, 2 bad input, 75 time budget spent, 130 interrupted.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::visible::message;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// All is done.
    Success = 0,
    /// Something failed that the input is not to blame for.
    Failure = 1,
    /// The input is to blame; nothing was started.
    BadInput = 2,
    /// The time budget is spent (`EX_TEMPFAIL` of sysexits.h); the same command resumes.
    TimeSpent = 75,
    /// Stopped by the user; the same command resumes.
    Interrupted = 130,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// What is said of an error: names and values in it may be anything, and nothing in them is to drive the terminal or to
/// fill it.
pub fn said(error: &anyhow::Error) -> String {
    message(&format!("{error:#}"))
}

/// A line on standard error, as [`said`]. Where nobody can read it, such as on a full disk, the work goes on.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", message(text));
}

/// Input that cannot be used, said in one line that names the key, file or value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

impl BadInput {
    /// Any displayable error as bad input.
    pub fn from_error(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Work stopped by Ctrl-C; what was finished is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted: run the same command again to resume")]
pub struct Interrupted;

/// Work stopped because its time budget is spent; what was finished is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("time budget spent: run the same command again to resume")]
pub struct TimeSpent;

/// Another process is at work on a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}{remedy}")]
pub struct Busy {
    /// Which one.
    pub text: String,
    /// What to do if there is none, where its lock does not end with it; begins with a semicolon, or is empty.
    pub remedy: String,
}
