//! What there is to know of a run from its folder: how far it is, how it ended, who is at work on it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::exit::BadInput;
use crate::experiment::{ExperimentFile, NetworkSpec, RunSpec, SchedulerSpec};
use crate::number;
use crate::record::{
    EpochRecord, Failure, Holder, Outcome, RunLog, Summary, computed_epochs, read_seconds,
    typical_seconds,
};
use crate::report::Manifest;

use super::sweep::SweepManifest;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Only its specification is there.
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
    /// Of the weights that its protocol reports, in \[0, 1\]; none before its end.
    pub(crate) validation_accuracy: Option<f64>,
}

impl RunState {
    /// Reads a run's folder. What cannot be read is said in the state, not an error.
    pub(crate) fn read(dir: &Path, name: Option<&str>) -> Self {
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
        if let Err(error) = &spec {
            unreadable(error);
        }
        let state = match (&spec, &log) {
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
        let timings = computed_epochs(dir);
        let log = log.ok().flatten();
        Self {
            dir: dir.to_owned(),
            name: match (name, &spec) {
                (Some(name), _) => name.to_owned(),
                (None, Ok(spec)) => headline(spec),
                (None, Err(_)) => folder_name(dir),
            },
            state,
            epochs_done: log.as_ref().map_or(0, |log| log.epochs.len() as u64),
            epochs: spec.ok().map(|spec| spec.training.epochs),
            last: log.as_ref().and_then(|log| log.epochs.last().cloned()),
            seconds: read_seconds(dir).unwrap_or(0.0),
            seconds_per_epoch: typical_seconds(&timings[timings.len().saturating_sub(10)..]),
            process,
            error,
            validation_accuracy: log.as_ref().and_then(|log| {
                let summary = log.summary.as_ref()?;
                let epoch = match summary.reported.as_str() {
                    "last" => log.epochs.last(),
                    _ => log
                        .epochs
                        .iter()
                        .find(|epoch| Some(epoch.epoch) == summary.best_epoch),
                };
                Some(epoch?.validation_accuracy)
            }),
            summary: log.and_then(|log| log.summary),
        }
    }

    /// Seconds that it still takes, if it goes on at its rate.
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        let left = self.epochs?.saturating_sub(self.epochs_done);
        (!self.state.is_done()).then_some(left as f64 * self.seconds_per_epoch?)
    }

    /// The test accuracy that its protocol reports, in \[0, 1\].
    pub(crate) fn accuracy(&self) -> Option<f64> {
        Some(self.summary.as_ref()?.reported()?.accuracy)
    }
}

/// The specification of a run's folder.
///
/// # Errors
/// [`BadInput`] that names the file if it cannot be read or is no specification of one run.
pub(crate) fn read_spec(dir: &Path) -> Result<RunSpec> {
    let path = dir.join("spec.toml");
    let file = ExperimentFile::load(&path)?;
    let series = file.find(None)?;
    Ok(file.spec(series, &toml::Table::new())?)
}

pub(crate) fn folder_name(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or(dir.as_os_str());
    name.to_string_lossy().into_owned()
}

/// A specification in a few words: `reference 8, autolr, from lr 0.05, seed 0`.
pub(crate) fn headline(spec: &RunSpec) -> String {
    format!("{}, seed {}", series_headline(spec), spec.training.seed)
}

/// The same without the seed.
pub(crate) fn series_headline(spec: &RunSpec) -> String {
    let network = match spec.network {
        NetworkSpec::ResNet18 { width, .. } => format!("resnet18 {width}"),
        NetworkSpec::Reference { hidden } => format!("reference {hidden}"),
    };
    let scheduler = match &spec.scheduler {
        SchedulerSpec::AutoLr(_) => "autolr",
        SchedulerSpec::OpenLoop(schedule) => schedule.kind(),
    };
    format!(
        "{network}, {scheduler}, from lr {}",
        number::plain(spec.scheduler.initial_lr())
    )
}

/// Whether a folder is a run's: it has a specification, and a log or a digest for a name.
pub(crate) fn is_run(dir: &Path) -> bool {
    let name = folder_name(dir);
    let digest = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    dir.join("spec.toml").is_file() && (digest || dir.join("events.jsonl").is_file())
}

/// A run's folder, and its name where a manifest gives it one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundRun {
    pub(crate) dir: PathBuf,
    pub(crate) name: Option<String>,
}

/// How deep runs are looked for: `.` finds those in `report/runs/`.
const DEPTH: usize = 3;

/// The runs in `dir`, which may be a run's folder itself, a folder of runs, or one above. In a manifest's order where
/// there is one, else by name.
///
/// # Errors
/// [`BadInput`] if the folder cannot be read or holds no run.
pub(crate) fn find_runs(dir: &Path) -> Result<Vec<FoundRun>, BadInput> {
    let mut found = Vec::new();
    if is_run(dir) {
        let (_, mut names) = above(dir)
            .as_deref()
            .map(manifest_beside)
            .unwrap_or_default();
        let name = names.remove(&folder_name(dir));
        found.push(FoundRun {
            dir: dir.to_owned(),
            name,
        });
        return Ok(found);
    }
    let entries = std::fs::read_dir(dir)
        .map_err(|error| BadInput(format!("{}: cannot be read: {error}", dir.display())))?;
    drop(entries);
    descend(dir, DEPTH, &mut found);
    if found.is_empty() {
        return Err(BadInput(format!("{}: no run is there", dir.display())));
    }
    Ok(found)
}

fn descend(dir: &Path, depth: usize, found: &mut Vec<FoundRun>) {
    // What cannot be read holds nothing that could be shown.
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && !folder_name(path).starts_with('.'))
        .collect();
    folders.sort();
    let (order, mut names) = manifest_beside(dir);
    let place = |path: &PathBuf| {
        let name = folder_name(path);
        order.iter().position(|other| *other == name)
    };
    // Runs of no manifest come last.
    folders.sort_by_key(|path| place(path).unwrap_or(usize::MAX));
    for folder in folders {
        if is_run(&folder) {
            let name = names.remove(&folder_name(&folder));
            found.push(FoundRun { dir: folder, name });
        } else if depth > 1 {
            descend(&folder, depth - 1, found);
        }
    }
}

/// The folder that `path` lies in; of `.` too.
fn above(path: &Path) -> Option<PathBuf> {
    Some(std::path::absolute(path).ok()?.parent()?.to_owned())
}

/// The runs that a manifest beside the folder `runs` tells of, in its order, and what it calls them.
fn manifest_beside(runs: &Path) -> (Vec<String>, HashMap<String, String>) {
    let Some(dir) = above(runs) else {
        return Default::default();
    };
    let dir = dir.as_path();
    let mut order = Vec::new();
    let mut names = HashMap::new();
    let mut add = |run: String, name: String| {
        names.entry(run).or_insert_with_key(|run| {
            order.push(run.clone());
            name
        });
    };
    if let Some(sweep) = SweepManifest::read(dir).ok().flatten() {
        for (run, name) in sweep.named(runs) {
            add(run, name);
        }
    }
    let manifest = Manifest::read(dir).ok().flatten();
    for section in manifest.into_iter().flat_map(|manifest| manifest.sections) {
        let experiment = section.experiment.name();
        for series in section.series {
            let name = format!("{experiment}/{}/{}", section.protocol, series.name);
            let several = series.runs.len() > 1;
            for entry in series.runs {
                add(
                    entry.run,
                    if several {
                        format!("{name}/seed-{}", entry.seed)
                    } else {
                        name.clone()
                    },
                );
            }
        }
    }
    (order, names)
}
