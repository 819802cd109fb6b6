//! The two sides of a comparison: a specification each, with its runs by seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::Table;

use super::CompareArgs;
use crate::device::DeviceName;
use crate::exit::BadInput;
use crate::experiment::{ExperimentFile, RunSpec, SPEC_BYTES};
use crate::number::plural;
use crate::record::{Outcome, RunLog, read_seconds};
use crate::regular_file::{self, Links};
use crate::report::seeds::{OverSeeds, Weights, observe};
use crate::runs::folder::named_folder;
use crate::task::Metric;
use crate::visible::visible;

/// One of the two that are compared.
pub(super) struct Side {
    pub(super) name: String,
    pub(super) spec: RunSpec,
    /// By seed.
    pub(super) runs: BTreeMap<u64, Run>,
}

/// A run, read.
pub(super) struct Run {
    pub(super) dir: PathBuf,
    pub(super) log: Option<RunLog>,
    pub(super) seconds: Option<f64>,
}

impl Run {
    fn read(dir: PathBuf, spec: &RunSpec) -> Result<Self> {
        Ok(Self {
            log: RunLog::read_of(&spec.digest()?, &dir.join("events.jsonl"))?,
            seconds: read_seconds(&dir),
            dir,
        })
    }

    pub(super) fn value(&self, weights: Weights, metric: Metric) -> Option<f64> {
        self.log.as_ref().and_then(|log| weights.value(log, metric))
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
        let Some(spec) = read_spec(dir)? else {
            return Err(BadInput(format!(
                "{given}: no spec.toml there: not the folder of a run; name a run's folder or a specification file"
            ))
            .into());
        };
        let run = Run::read(dir.to_owned(), &spec)?;
        Ok(Self {
            name: given.to_owned(),
            runs: BTreeMap::from([(spec.training.seed, run)]),
            spec,
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
        for dir in folders(&args.runs)? {
            let found = match read_spec(&dir) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) => {
                    eprintln!("note: left out: {}", visible(&format!("{error:#}")));
                    continue;
                }
            };
            if without_seed(&found, &spec) != wanted {
                continue;
            }
            if let Some(other) = runs.get(&found.training.seed) {
                return Err(BadInput(format!(
                    "{given}: seed {} stands there twice, in {} and {}: set training.device to choose",
                    found.training.seed,
                    other.dir.display(),
                    dir.display()
                ))
                .into());
            }
            let seed = found.training.seed;
            let run = Run::read(dir, &found)
                .with_context(|| format!("{given}: the run of seed {seed} cannot be read"))?;
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

/// The specification in a run's folder; none if there is none.
pub(super) fn read_spec(dir: &Path) -> Result<Option<RunSpec>> {
    let path = dir.join("spec.toml");
    regular_file::check_folder(dir).with_context(|| dir.display().to_string())?;
    let text = match regular_file::read_text(&path, Links::Refuse, SPEC_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{}: cannot be read", path.display()));
        }
    };
    let wrong = |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
    let table: Table = text.parse().map_err(|error| wrong(&error))?;
    let spec = RunSpec::from_table(table).map_err(|error| wrong(&error))?;
    Ok(Some(spec))
}

/// The folders in a folder, in the order of their names.
pub(super) fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: std::io::Error| BadInput(format!("--runs {}: {error}", dir.display()));
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
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
