//! What a report is rendered from: a manifest that says which run stands where, and the runs' logs.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::place::Place;
use super::sanitize;
use crate::exit::BadInput;
use crate::experiment::{ExperimentName, RunSpec, SPEC_BYTES, check_named, is_digest};
use crate::record::RunLog;
use crate::regular_file::{self, Links};
use crate::visible::visible;

/// What a manifest may have.
const MANIFEST_BYTES: u64 = 64 << 20;

/// `manifest.json` of a report's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `smoke`, `quick` or `paper`.
    pub scale: String,
    /// Sentences that say what the scale changes against the paper's sizes.
    pub notes: Vec<String>,
    /// The experiments, each once a protocol.
    pub sections: Vec<SectionEntry>,
}

/// One experiment under one protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionEntry {
    /// Which experiment.
    pub experiment: ExperimentName,
    /// `published` or `released`.
    pub protocol: String,
    /// What was run and how it differs from the paper, in plain words.
    pub description: String,
    /// What is compared, in the order in which it is to be shown.
    pub series: Vec<SeriesEntry>,
}

/// One specification in its place, run under one seed or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesEntry {
    /// Name as in the experiment file, and as in the digitised curves where the paper has one: `ours`, `factor_5`.
    pub name: String,
    /// What a reader sees: `ours (factor_5)`.
    pub label: String,
    /// Its runs, one a seed, in ascending order of the seeds.
    pub runs: Vec<RunEntry>,
}

/// One run of a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEntry {
    /// `training.seed` of its specification.
    pub seed: u64,
    /// Name of its folder under `runs/`.
    pub run: String,
}

/// The manifest with its logs, read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportInput {
    /// The manifest.
    pub manifest: Manifest,
    /// One entry a section of the manifest, in its order.
    pub sections: Vec<Section>,
    /// Runs in the folder that are of a series of the manifest, and that it does not name: `table1/published/ours, seed 3,
    /// in runs/0123456789abcdef`.
    pub left_out: Vec<String>,
}

/// One section, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Its manifest entry, without the series.
    pub entry: SectionEntry,
    /// One entry a series of the manifest, in its order.
    pub series: Vec<Series>,
}

/// One series, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its manifest entry.
    pub entry: SeriesEntry,
    /// One entry a run of the manifest, in its order.
    pub runs: Vec<Run>,
}

/// One run, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its manifest entry.
    pub entry: RunEntry,
    /// The specification, as TOML.
    pub spec: String,
    /// The log; none if the run has not begun, or its log cannot be read.
    pub log: Option<RunLog>,
    /// Why the log cannot be read, or is not that of this run.
    pub problem: Option<String>,
    /// Wall-clock seconds of the run so far, if recorded.
    pub seconds: Option<f64>,
}

impl Manifest {
    /// Its name in a report's folder.
    pub const FILE: &str = "manifest.json";

    /// Reads the manifest of a report's folder as it stands there, if there is one.
    ///
    /// # Errors
    /// As [`Manifest::read_file`].
    pub fn read(dir: &Path) -> Result<Option<Self>, BadInput> {
        Self::read_file(&dir.join(Self::FILE))
    }

    /// Reads a manifest, if there is one.
    ///
    /// # Errors
    /// [`BadInput`] that names the file if it cannot be read as such.
    pub fn read_file(path: &Path) -> Result<Option<Self>, BadInput> {
        let path_is = path.display();
        match regular_file::read(path, Links::Refuse, MANIFEST_BYTES) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                BadInput(format!(
                    "{path_is}: not a manifest of this version: {error}; without it, `autolr reproduce` makes a new \
                     one, and computes no run again"
                ))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BadInput(format!("{path_is}: {error}"))),
        }
    }
}

impl ReportInput {
    /// Reads `manifest.json` and the logs of a report's folder.
    ///
    /// # Errors
    /// [`BadInput`] that names the manifest if it is missing or is not one. A log that is not one is the
    /// [`Run::problem`] of its run alone.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(Manifest::FILE);
        let text =
            regular_file::read_text(&path, Links::Refuse, MANIFEST_BYTES).with_context(|| {
                format!(
                    "{}: cannot be read; `autolr reproduce --out {}` makes it",
                    path.display(),
                    dir.display()
                )
            })?;
        let in_manifest = || path.display().to_string();
        let wrong = |error: serde_json::Error| BadInput(format!("{}: {error}", path.display()));
        let mut value = serde_json::from_str(&text).map_err(wrong)?;
        sanitize::sanitize(&mut value);
        let manifest: Manifest = serde_json::from_value(value).map_err(wrong)?;
        let runs = dir.join("runs");
        let read_series = |section: &SectionEntry, entry: &SeriesEntry| -> Result<Series> {
            let place = Place {
                scale: &manifest.scale,
                section,
                series: entry,
            };
            let read = entry.runs.iter().map(|run| {
                sanitize::check_run(&run.run).with_context(in_manifest)?;
                Ok(Run::read(run, &place, &runs))
            });
            Ok(Series {
                entry: entry.clone(),
                runs: read.collect::<Result<_>>()?,
            })
        };
        let sections = manifest.sections.iter().map(|section| {
            let series = section.series.iter();
            Ok(Section {
                entry: section.clone(),
                series: series
                    .map(|entry| read_series(section, entry))
                    .collect::<Result<_>>()?,
            })
        });
        Ok(Self {
            sections: sections.collect::<Result<_>>()?,
            left_out: left_out(&manifest, &runs),
            manifest,
        })
    }

    /// What is wrong with runs, each once.
    pub fn problems(&self) -> BTreeSet<&str> {
        let runs = self.sections.iter().flat_map(Section::runs);
        runs.filter_map(|(_, run)| run.problem.as_deref()).collect()
    }
}

/// The runs in `runs` that are of a series of the manifest, and that it does not name.
fn left_out(manifest: &Manifest, runs: &Path) -> Vec<String> {
    let series = |section: &SectionEntry| section.series.clone();
    let named = manifest.sections.iter().flat_map(series);
    let named: BTreeSet<String> = named
        .flat_map(|series| series.runs.into_iter().map(|entry| entry.run))
        .collect();
    // A folder that cannot be read is said where a run in it is.
    let folders = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for folder in folders {
        let name = folder.file_name().to_string_lossy().into_owned();
        if !is_digest(&name) || named.contains(&name) {
            continue;
        }
        let path = folder.path().join("spec.toml");
        let text = regular_file::read_text(&path, Links::Refuse, SPEC_BYTES).unwrap_or_default();
        let Some(spec) = text
            .parse()
            .ok()
            .and_then(|table| RunSpec::from_table(table).ok())
        else {
            continue;
        };
        for section in &manifest.sections {
            for series in &section.series {
                let scale = &manifest.scale;
                let place = Place {
                    scale,
                    section,
                    series,
                };
                if place.has(&spec).unwrap_or(false) {
                    let experiment = section.experiment.name();
                    found.push(format!(
                        "{experiment}/{}/{}, seed {}, in runs/{name}",
                        section.protocol, series.name, spec.training.seed
                    ));
                }
            }
        }
    }
    found.sort();
    found
}

impl Section {
    /// Every run, with its series.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Series, &Run)> {
        let series = self.series.iter();
        series.flat_map(|series| series.runs.iter().map(move |run| (series, run)))
    }
}

impl Series {
    /// The label, with the seed of the run where there are several.
    pub(super) fn label(&self, run: &Run) -> String {
        if self.runs.len() == 1 {
            self.entry.label.clone()
        } else {
            format!("{}, seed {}", self.entry.label, run.entry.seed)
        }
    }
}

/// The log of a run, if it is that of its specification, and that is the one that the manifest means.
fn read_log(entry: &RunEntry, place: &Place<'_>, spec: &str, dir: &Path) -> Result<Option<RunLog>> {
    let path = dir.join("events.jsonl");
    let table = spec.parse::<toml::Table>();
    let spec = table.map_err(anyhow::Error::from).and_then(|table| {
        let spec = RunSpec::from_table(table)?;
        check_named(dir, &spec)?;
        Ok(spec)
    });
    let in_spec = || dir.join("spec.toml").display().to_string();
    let spec = match spec {
        Ok(spec) => spec,
        // A run that has not begun has none yet.
        Err(_) if !path.exists() && !dir.join("spec.toml").exists() => return Ok(None),
        // Of a folder that is named otherwise nothing was promised.
        Err(_) if !is_digest(&entry.run) => return RunLog::read(&path),
        Err(error) => return Err(error).with_context(in_spec),
    };
    anyhow::ensure!(
        spec.training.seed == entry.seed,
        "{}: its seed is {}, in the manifest {}",
        in_spec(),
        spec.training.seed,
        entry.seed
    );
    place.check(&spec).with_context(in_spec)?;
    RunLog::read_of(&spec.digest()?, &path)
}

impl Run {
    /// Reads a run from its folder under `runs`.
    fn read(entry: &RunEntry, place: &Place<'_>, runs: &Path) -> Self {
        let dir = runs.join(&entry.run);
        let not_elsewhere = regular_file::check_folder(runs)
            .with_context(|| runs.display().to_string())
            .and_then(|()| {
                regular_file::check_folder(&dir).with_context(|| dir.display().to_string())
            });
        if let Err(error) = not_elsewhere {
            return Self {
                entry: entry.clone(),
                spec: String::new(),
                log: None,
                problem: Some(visible(&format!("{error:#}")).to_string()),
                seconds: None,
            };
        }
        let spec = regular_file::read_text(&dir.join("spec.toml"), Links::Refuse, SPEC_BYTES)
            .unwrap_or_default();
        let (log, problem) = match read_log(entry, place, &spec, &dir) {
            Ok(log) => (log, None),
            Err(error) => (None, Some(visible(&format!("{error:#}")).to_string())),
        };
        Self {
            entry: entry.clone(),
            spec,
            log,
            problem,
            seconds: crate::record::read_seconds(&dir),
        }
    }
}
