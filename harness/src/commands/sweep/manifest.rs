//! `sweep.json` in a sweep's folder.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Sweep;
use crate::disk::merge_whole;
use crate::exit::BadInput;

/// `sweep.json` in a sweep's folder: which run is which combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepManifest {
    /// Version of this format: 1.
    pub version: u32,
    /// The keys that are varied, in their order; `training.seed` among them if seeds are. A series is not.
    pub keys: Vec<String>,
    /// The runs, in their order; the same run may stand for several combinations.
    pub runs: Vec<SweepRun>,
}

/// A combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepRun {
    /// Name of the run's folder under `runs/`.
    pub run: String,
    /// What a person calls it.
    pub name: String,
    /// The specification's file.
    pub spec: String,
    /// Its series; empty if the file has none.
    pub series: String,
    /// The value of each key that is varied, in JSON.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Its seed.
    pub seed: u64,
}

pub(super) const MANIFEST: &str = "sweep.json";
const VERSION: u32 = 1;

impl SweepManifest {
    /// Reads the manifest of a sweep's folder, if there is one.
    ///
    /// # Errors
    /// [`BadInput`] that names the file if it cannot be read as such, or is of another version.
    pub fn read(dir: &Path) -> Result<Option<Self>, BadInput> {
        let path = dir.join(MANIFEST);
        let wrong =
            |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
        let text = match std::fs::read(&path) {
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
}

/// Adds the combinations of `sweeps` to those that `sweep.json` in `dir` holds, and writes it if that changes it.
///
/// # Errors
/// [`BadInput`] if what it holds cannot be read; if the disk fails.
pub(crate) fn write_manifest(sweeps: &[Sweep], dir: &Path) -> Result<()> {
    let mut runs = Vec::new();
    for sweep in sweeps {
        for combination in &sweep.combinations {
            runs.push(combination.in_manifest(&sweep.file)?);
        }
    }
    let keys: Vec<&String> = sweeps.iter().flat_map(|sweep| &sweep.keys).collect();
    let merged = || -> Result<Option<String>> {
        let before = SweepManifest::read(dir)?;
        let mut manifest = before.clone().unwrap_or(SweepManifest {
            version: VERSION,
            keys: Vec::new(),
            runs: Vec::new(),
        });
        for key in &keys {
            if !manifest.keys.contains(key) {
                manifest.keys.push((*key).clone());
            }
        }
        manifest.add(runs.clone());
        if before.as_ref() == Some(&manifest) {
            return Ok(None);
        }
        Ok(Some(serde_json::to_string_pretty(&manifest)? + "\n"))
    };
    merge_whole(&dir.join(MANIFEST), merged)
}
