//! `sweep.json` in a sweep's folder.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::exit::BadInput;
use crate::experiment::SPEC_BYTES;
use crate::experiment::sweep::{self, Point, SEED};
use crate::regular_file::{self, Links};
use crate::runs::merge::merge_whole;

const VERSION: u32 = 1;

/// What the file may have: each of the 100,000 runs that a sweep has at most takes some hundred bytes.
const BYTES: u64 = 256 << 20;

/// `sweep.json` in a sweep's folder: which run is which combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepManifest {
    /// Version of this format: 1.
    pub(crate) version: u32,
    /// The keys that are varied, in their order; `training.seed` among them if seeds are. A series is not.
    pub(crate) keys: Vec<String>,
    /// The runs, in their order; the same run may stand for several combinations.
    pub(crate) runs: Vec<SweepRun>,
}

/// A combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepRun {
    /// Name of the run's folder under `runs/`.
    pub(crate) run: String,
    /// What a person calls it.
    pub(crate) name: String,
    /// The specification's file.
    pub(crate) spec: String,
    /// Its series; empty if the file has none.
    pub(crate) series: String,
    /// The value of each key that is varied, in JSON.
    pub(crate) settings: BTreeMap<String, serde_json::Value>,
    /// Its seed.
    pub(crate) seed: u64,
}

impl SweepRun {
    /// The name by the values of these keys; none if its specification cannot be read.
    fn name_by(&self, keys: &[String], runs: &Path) -> Option<String> {
        let path = runs.join(&self.run).join("spec.toml");
        let text = regular_file::read_text(&path, Links::Refuse, SPEC_BYTES).ok()?;
        let spec: toml::Value = toml::from_str(&text).ok()?;
        let value = |key: &String| {
            let mut parts = key.split('.');
            let found = parts.try_fold(&spec, |table, part| table.get(part));
            Some((key.clone(), found?.clone()))
        };
        let (seed, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| *key == SEED);
        let point: Point = others.into_iter().filter_map(value).collect();
        let seed = seed.first().map(|_| format!("seed {}", self.seed));
        let words = [self.series.clone(), sweep::describe(&point)];
        let words = words.into_iter().chain(seed);
        let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        Some(words.join(", "))
    }
}

impl SweepManifest {
    /// Its name in a sweep's folder.
    pub(crate) const FILE: &str = "sweep.json";

    /// Reads the manifest of a sweep's folder, if there is one.
    ///
    /// # Errors
    /// [`BadInput`] that names the file if it cannot be read as such, or is of another version.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, BadInput> {
        let path = dir.join(Self::FILE);
        let wrong =
            |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
        let text = match regular_file::read(&path, Links::Refuse, BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&error)),
        };
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        // First of all: another version may have other fields.
        match value.get("version") {
            Some(version) if *version != VERSION => Err(wrong(&format!(
                "version = {version}, this program knows {VERSION}"
            ))),
            _ => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| wrong(&error)),
        }
    }

    /// Each run with a name that tells it from the others: the file where there are several, the values of all keys that
    /// any sweep of that specification has varied, as they are in the run's folder under `runs`, and its folder where
    /// that is not enough, since the specification was changed.
    pub(crate) fn named(self, runs: &Path) -> Vec<(String, String)> {
        let first = self.runs.first().map(|run| run.spec.clone());
        let several = self
            .runs
            .iter()
            .any(|run| Some(&run.spec) != first.as_ref());
        let mut varied: HashMap<String, Vec<String>> = HashMap::new();
        for run in &self.runs {
            let varied = varied.entry(run.spec.clone()).or_default();
            for key in self
                .keys
                .iter()
                .filter(|key| run.settings.contains_key(*key))
            {
                if !varied.contains(key) {
                    varied.push(key.clone());
                }
            }
        }
        let name = |run: SweepRun| {
            let varied = varied.get(&run.spec).map_or(&[][..], Vec::as_slice);
            let alike = varied.len() == run.settings.len();
            let name = if alike {
                None
            } else {
                run.name_by(varied, runs)
            };
            let name = name.unwrap_or(run.name);
            if several {
                (run.run, format!("{}: {name}", run.spec))
            } else {
                (run.run, name)
            }
        };
        let mut named: Vec<(String, String)> = self.runs.into_iter().map(name).collect();
        let mut runs_of: HashMap<String, Vec<String>> = HashMap::new();
        for (run, name) in &named {
            let runs = runs_of.entry(name.clone()).or_default();
            if !runs.contains(run) {
                runs.push(run.clone());
            }
        }
        for (run, name) in &mut named {
            if runs_of.get(name).is_some_and(|runs| runs.len() > 1) {
                *name = format!("{name} ({run})");
            }
        }
        named
    }

    /// Adds runs. A run that is there already is told by the entry that names more keys; an entry whose settings stand
    /// for another run by now, since the specification was changed, goes.
    fn add(&mut self, runs: Vec<SweepRun>) {
        let of_series = |run: &SweepRun, what: String| (run.spec.clone(), run.series.clone(), what);
        let settings = |run: &SweepRun| {
            let settings = serde_json::json!([run.settings, run.seed]);
            of_series(run, settings.to_string())
        };
        let now: HashMap<_, _> = runs.iter().map(|run| (settings(run), &run.run)).collect();
        let stands = |run: &SweepRun| now.get(&settings(run)).is_none_or(|now| **now == run.run);
        self.runs.retain(stands);
        let digest = |run: &SweepRun| of_series(run, run.run.clone());
        let there = self.runs.iter().enumerate();
        let mut there: HashMap<_, _> = there.map(|(i, run)| (digest(run), i)).collect();
        for run in runs {
            match there.get(&digest(&run)) {
                Some(&i) if self.runs[i].settings.len() > run.settings.len() => {}
                Some(&i) => self.runs[i] = run,
                None => {
                    there.insert(digest(&run), self.runs.len());
                    self.runs.push(run);
                }
            }
        }
    }

    /// Adds runs and the keys that are varied in them to those that `sweep.json` in `dir` holds, and writes it if that
    /// changes it.
    ///
    /// # Errors
    /// [`BadInput`] if what it holds cannot be read; if the disk fails.
    pub(super) fn write(dir: &Path, keys: &[&String], runs: &[SweepRun]) -> Result<()> {
        let merged = || -> Result<Option<String>> {
            let before = Self::read(dir)?;
            let mut manifest = before.clone().unwrap_or(Self {
                version: VERSION,
                keys: Vec::new(),
                runs: Vec::new(),
            });
            for key in keys {
                if !manifest.keys.contains(key) {
                    manifest.keys.push((*key).clone());
                }
            }
            manifest.add(runs.to_vec());
            if before.as_ref() == Some(&manifest) {
                return Ok(None);
            }
            Ok(Some(serde_json::to_string_pretty(&manifest)? + "\n"))
        };
        merge_whole(&dir.join(Self::FILE), merged)
    }
}
