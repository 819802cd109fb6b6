//! The two sides of a comparison: a specification each, with its runs by seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use toml::Table;

use super::CompareArgs;
use crate::device::DeviceName;
use crate::exit::BadInput;
use crate::experiment::{ExperimentFile, RunSpec};
use crate::number::plural;
use crate::record::{Outcome, RunLog, check_begun, read_seconds};
use crate::report::seeds::{OverSeeds, Weights, observe};
use crate::runs::folder::{find_runs, is_not_begun, named_folder, read_spec};
use crate::task::Metric;

/// One of the two that are compared.
pub(super) struct Side {
    pub(super) name: String,
    pub(super) spec: RunSpec,
    /// By seed.
    pub(super) runs: BTreeMap<u64, Run>,
    /// What may be a run of it, for all that can be seen.
    pub(super) unreadable: Vec<Unreadable>,
}

/// A run's folder whose specification cannot be read, or is not the one that the folder is named after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Unreadable {
    pub(super) folder: String,
    pub(super) problem: String,
}

/// A run, read.
pub(super) struct Run {
    pub(super) dir: PathBuf,
    device: DeviceName,
    pub(super) log: Option<RunLog>,
    pub(super) seconds: Option<f64>,
}

impl Run {
    fn read(dir: PathBuf, spec: &RunSpec) -> Result<Self> {
        let log = RunLog::read_of(&spec.digest()?, &dir.join("events.jsonl"));
        Ok(Self {
            log: log.map_err(|error| BadInput(format!("{error:#}")))?,
            seconds: read_seconds(&dir),
            device: spec.training.device,
            dir,
        })
    }

    pub(super) fn value(&self, weights: Weights, metric: Metric) -> Option<f64> {
        self.log.as_ref().and_then(|log| weights.value(log, metric))
    }

    /// Whether its log has a hash that would show an edit; none before its end.
    pub(super) fn sealed(&self) -> Option<bool> {
        let log = self.log.as_ref().filter(|log| log.summary.is_some());
        log.map(RunLog::is_sealed)
    }

    pub(super) fn state(&self) -> String {
        let summary = self.log.as_ref().and_then(|log| log.summary.as_ref());
        match summary.map(|summary| &summary.outcome) {
            None => "not finished".to_owned(),
            Some(Outcome::Completed) => "completed".to_owned(),
            Some(Outcome::Diverged { epoch, .. }) => format!("diverged (epoch {epoch})"),
        }
    }
}

impl Side {
    pub(super) fn find(given: &str, args: &CompareArgs) -> Result<Self> {
        let path = Path::new(given);
        if path.is_dir() {
            Self::of_folder(given, &named_folder(path))
        } else {
            Self::of_file(given, args)
        }
    }

    fn of_folder(given: &str, dir: &Path) -> Result<Self> {
        let path = dir.join("spec.toml");
        if matches!(path.try_exists(), Ok(false)) {
            return Err(BadInput(format!(
                "{given}: no spec.toml there: not the folder of a run; name a run's folder or a specification file"
            ))
            .into());
        }
        let spec = read_spec(dir)?;
        let run = Run::read(dir.to_owned(), &spec)?;
        Ok(Self {
            name: given.to_owned(),
            runs: BTreeMap::from([(spec.training.seed, run)]),
            spec,
            unreadable: Vec::new(),
        })
    }

    fn of_file(given: &str, args: &CompareArgs) -> Result<Self> {
        let whole = Path::new(given).is_file();
        let (file, series) = match given.rsplit_once('#') {
            Some((file, series)) if !whole => (file, Some(series)),
            _ => (given, None),
        };
        let experiment = ExperimentFile::load(Path::new(file))?;
        let overlay = match args.scale {
            Some(scale) => scale.overlay()?.0,
            None => Table::new(),
        };
        let spec = experiment
            .find(series)
            .and_then(|series| experiment.spec(series, &overlay))
            .map_err(|error| {
                let hint = "; write it as FILE.toml#SERIES";
                let hint = if series.is_none() && experiment.series.len() > 1 {
                    hint
                } else {
                    ""
                };
                BadInput(format!("{error}{hint}"))
            })?;
        let wanted = without_seed(&spec, &spec);
        let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
        let mut unreadable = Vec::new();
        for dir in run_folders(&args.runs)? {
            let found = read_spec(&dir).and_then(|found| {
                check_begun(&found.digest()?, &dir.join("events.jsonl"))?;
                Ok(found)
            });
            let found = match found {
                Ok(found) => found,
                // It may be one of these runs.
                Err(error) => {
                    unreadable.push(Unreadable {
                        folder: dir.display().to_string(),
                        problem: format!("{error:#}"),
                    });
                    continue;
                }
            };
            if without_seed(&found, &spec) != wanted {
                continue;
            }
            let seed = found.training.seed;
            let run = Run::read(dir, &found).map_err(|error| {
                BadInput(format!(
                    "{given}: the run of seed {seed} cannot be read: {error:#}"
                ))
            })?;
            match runs.get(&seed) {
                // A copy of the same run.
                Some(other) if other.device == run.device && other.log == run.log => continue,
                Some(other) => {
                    let how = if other.device == run.device {
                        "with other logs: move one of them elsewhere"
                    } else {
                        "on other devices: set training.device to choose"
                    };
                    return Err(BadInput(format!(
                        "{given}: seed {seed} has two runs, in {} and {}, {how}",
                        other.dir.display(),
                        run.dir.display()
                    ))
                    .into());
                }
                None => {}
            }
            runs.insert(seed, run);
        }
        if runs.is_empty() {
            return Err(BadInput(format!(
                "{given}: no run of this specification under {}, whatever its seed; --runs names another folder",
                args.runs.display()
            ))
            .into());
        }
        Ok(Self {
            name: given.to_owned(),
            spec,
            runs,
            unreadable,
        })
    }

    /// What its runs are judged by.
    pub(super) fn metric(&self) -> Metric {
        self.spec.network.metric()
    }

    pub(super) fn observe(&self, weights: Weights) -> OverSeeds {
        let runs = self.runs.values();
        let metric = self.metric();
        OverSeeds::of(runs.map(|run| observe(run.log.as_ref(), weights, metric)))
    }

    pub(super) fn seeds(&self) -> String {
        let seeds: Vec<String> = self.runs.keys().map(u64::to_string).collect();
        format!(
            "{} ({} {})",
            plural(seeds.len(), "run"),
            if seeds.len() == 1 { "seed" } else { "seeds" },
            seeds.join(", ")
        )
    }
}

/// The folders of runs in a folder, at the depth that `status` looks to.
fn run_folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: std::io::Error| BadInput(format!("--runs {}: {error}", dir.display()));
    drop(std::fs::read_dir(dir).map_err(cannot)?);
    // None there is said of the specification.
    let found = find_runs(dir).unwrap_or_default();
    let dirs = found.into_iter().map(|run| run.dir);
    Ok(dirs.filter(|dir| !is_not_begun(dir)).collect())
}

/// A specification without what does not count beside `wanted`.
pub(super) fn without_seed(spec: &RunSpec, wanted: &RunSpec) -> RunSpec {
    let mut spec = spec.clone();
    spec.training.seed = 0;
    if wanted.training.device == DeviceName::Auto {
        spec.training.device = DeviceName::Auto;
    }
    spec
}
