//! What there is to know of a run from its folder: how far it is, how it ended, who is at work on it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::folder::{folder_name, is_not_begun, read_spec};
use super::headline::headline;
use crate::experiment::sizes;
use crate::json_output::path_text;
use crate::record::{
    EpochRecord, Failure, Holder, Outcome, RunLog, Summary, check_timings, computed_epochs,
    read_seconds, typical_seconds,
};
use crate::regular_file;
use crate::task::Metric;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Only its specification is there, or not even that.
    NotBegun,
    /// A process is at work on it.
    Running,
    /// It was stopped, and goes on where it stopped.
    Stopped,
    /// The process that was at work on it is gone without a word; it goes on from its checkpoint.
    Stale,
    /// The last attempt ended with an error.
    Failed,
    /// All epochs.
    Finished,
    /// Ended by divergence: a result.
    Diverged,
    /// Its log or specification cannot be read.
    Unreadable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotBegun => "not begun",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Diverged => "diverged",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether there is nothing left to compute.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Self::Finished | Self::Diverged)
    }
}

/// A run, seen from outside.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunState {
    /// Its folder.
    #[serde(serialize_with = "path_text")]
    pub(crate) dir: PathBuf,
    /// Where it belongs, or what it is.
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) epochs_done: u64,
    /// None if the specification cannot be read.
    pub(crate) epochs: Option<u64>,
    /// The last epoch.
    pub(crate) last: Option<EpochRecord>,
    /// Wall-clock seconds of all epochs so far.
    pub(crate) seconds: f64,
    /// The median of the last ten.
    pub(crate) seconds_per_epoch: Option<f64>,
    /// Who is at work on it.
    pub(crate) process: Holder,
    /// Of the last attempt, if it ended with one, or of reading the folder.
    pub(crate) error: Option<String>,
    pub(crate) summary: Option<Summary>,
    /// Whether its log has a hash that would show an edit; none before its end.
    pub(crate) sealed: Option<bool>,
    /// What it is judged by.
    pub(crate) metric: Metric,
    /// Of the weights that its protocol reports, in \[0, 1\]; none before its end.
    pub(crate) validation_accuracy: Option<f64>,
    /// The same weights' loss.
    pub(crate) validation_loss: Option<f64>,
}

impl RunState {
    /// Reads a run's folder. What cannot be read is said in the state, not an error.
    pub(crate) fn read(dir: &Path, name: Option<&str>) -> Self {
        if let Err(error) = regular_file::check_folder(dir) {
            return Self::unreadable(dir, name, &error);
        }
        let spec = read_spec(dir);
        let path = dir.join("events.jsonl");
        let log = match spec.as_ref().ok().and_then(|spec| spec.digest().ok()) {
            Some(digest) => RunLog::read_of(&digest, &path),
            None => RunLog::read(&path),
        };
        // After the log: a run that ends in between is then seen as running, not as given up.
        let process = Holder::of(dir);
        let mut error = Failure::read(dir).map(|failure| failure.error);
        let failed = error.is_some();
        let mut unreadable = |what: &anyhow::Error| error = Some(format!("{what:#}"));
        let log = match log {
            Ok(log) => Ok(log),
            Err(error) => {
                unreadable(&error);
                Err(())
            }
        };
        let not_begun = spec.is_err() && is_not_begun(dir);
        if let Err(error) = &spec
            && !not_begun
        {
            unreadable(error);
        }
        let state = match (&spec, &log) {
            // It has just begun.
            (Err(_), Ok(None)) if process.is_at_work() => State::Running,
            (Err(_), Ok(None)) if not_begun && failed => State::Failed,
            (Err(_), Ok(None)) if not_begun => State::NotBegun,
            (Err(_), _) | (_, Err(())) => State::Unreadable,
            (_, Ok(log)) => match log.as_ref().and_then(|log| log.summary.as_ref()) {
                Some(summary) if summary.outcome == Outcome::Completed => State::Finished,
                Some(_) => State::Diverged,
                None if process.is_at_work() => State::Running,
                None if failed => State::Failed,
                None if matches!(process, Holder::Gone { .. }) => State::Stale,
                None if log.is_some() => State::Stopped,
                None => State::NotBegun,
            },
        };
        if matches!(state, State::Running | State::Finished | State::Diverged) {
            error = None;
        }
        let error = error.or_else(|| Some(check_timings(dir).err()?.to_string()));
        let timings = computed_epochs(dir);
        let metric = spec.as_ref().map(|spec| spec.network.metric());
        let metric = metric.unwrap_or_default();
        let log = log.ok().flatten();
        let reported = log.as_ref().and_then(|log| {
            let summary = log.summary.as_ref()?;
            match summary.reported.as_str() {
                "last" => log.epochs.last(),
                _ => log
                    .epochs
                    .iter()
                    .find(|epoch| Some(epoch.epoch) == summary.best_epoch),
            }
        });
        Self {
            dir: dir.to_owned(),
            name: match (name, &spec) {
                (Some(name), _) => name.to_owned(),
                (None, Ok(spec)) => headline(spec),
                (None, Err(_)) => folder_name(dir),
            },
            state,
            epochs_done: log.as_ref().map_or(0, |log| log.epochs.len() as u64),
            epochs: spec.ok().map(|spec| sizes::planned_epochs(&spec)),
            last: log.as_ref().and_then(|log| log.epochs.last().cloned()),
            seconds: read_seconds(dir).unwrap_or(0.0),
            seconds_per_epoch: typical_seconds(&timings[timings.len().saturating_sub(10)..]),
            process,
            error,
            metric,
            validation_accuracy: reported.and_then(|epoch| epoch.validation_accuracy),
            validation_loss: reported.map(|epoch| epoch.validation_loss),
            sealed: log
                .as_ref()
                .filter(|log| log.summary.is_some())
                .map(RunLog::is_sealed),
            summary: log.and_then(|log| log.summary),
        }
    }

    /// A folder that is not looked into.
    fn unreadable(dir: &Path, name: Option<&str>, error: &std::io::Error) -> Self {
        Self {
            dir: dir.to_owned(),
            name: name.map_or_else(|| folder_name(dir), str::to_owned),
            state: State::Unreadable,
            epochs_done: 0,
            epochs: None,
            last: None,
            seconds: 0.0,
            seconds_per_epoch: None,
            process: Holder::Nobody,
            error: Some(format!("{}: {error}", dir.display())),
            summary: None,
            sealed: None,
            metric: Metric::default(),
            validation_accuracy: None,
            validation_loss: None,
        }
    }

    /// Seconds that it still takes, if it goes on at its rate.
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        let left = self.epochs?.saturating_sub(self.epochs_done);
        (!self.state.is_done()).then_some(left as f64 * self.seconds_per_epoch?)
    }

    /// What it is judged by, of the weights that its protocol reports, over the validation data.
    pub(crate) fn validated(&self) -> Option<f64> {
        self.metric
            .value(self.validation_loss?, self.validation_accuracy)
    }

    /// The same over the test data.
    pub(crate) fn tested(&self) -> Option<f64> {
        let tested = self.summary.as_ref()?.reported()?;
        self.metric.value(tested.loss, tested.accuracy)
    }
}
