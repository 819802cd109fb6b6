//! What a report is rendered from: a manifest that says which run stands where, and the runs' logs.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::harmless;
use crate::record::RunLog;

/// An experiment of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExperimentName {
    /// Table 1: test accuracy on CIFAR-10 by scheduler.
    Table1,
    /// Figure 2: number of factors, CIFAR-100.
    Fig2,
    /// Figure 3: size of the scoring batch.
    Fig3,
    /// Section 3.2.4: initial rate 1.
    Divergence,
}

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
    /// The runs, in the order in which they are to be shown.
    pub series: Vec<SeriesEntry>,
}

/// One run in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesEntry {
    /// Name as in the experiment file, and as in the digitised curves where the paper has one: `ours`, `factor_5`.
    pub name: String,
    /// What a reader sees: `ours (factor_5)`.
    pub label: String,
    /// Name of the run's folder under `runs/`.
    pub run: String,
}

/// The manifest with its logs, read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportInput {
    /// The manifest.
    pub manifest: Manifest,
    /// One entry a section of the manifest, in its order.
    pub sections: Vec<Section>,
}

/// One section, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Its manifest entry, without the series.
    pub entry: SectionEntry,
    /// One entry a series of the manifest, in its order.
    pub series: Vec<Series>,
}

/// One run, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its manifest entry.
    pub entry: SeriesEntry,
    /// The specification, as TOML.
    pub spec: String,
    /// The log; none if the run has not begun.
    pub log: Option<RunLog>,
    /// Wall-clock seconds of the run so far, if recorded.
    pub seconds: Option<f64>,
}

impl ReportInput {
    /// Reads `manifest.json` and the logs of a report's folder.
    ///
    /// # Errors
    /// If the manifest is missing or unreadable, or a log is not one.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("manifest.json");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "{}: cannot be read; `autolr reproduce --out {}` makes it",
                path.display(),
                dir.display()
            )
        })?;
        let in_manifest = || path.display().to_string();
        let mut value = serde_json::from_str(&text).with_context(in_manifest)?;
        harmless::make(&mut value);
        let manifest: Manifest = serde_json::from_value(value).with_context(in_manifest)?;
        let read_series = |entry: &SeriesEntry| -> Result<Series> {
            harmless::check_run(&entry.run).with_context(in_manifest)?;
            let run = dir.join("runs").join(&entry.run);
            Ok(Series {
                entry: entry.clone(),
                spec: std::fs::read_to_string(run.join("spec.toml")).unwrap_or_default(),
                log: RunLog::read(&run.join("events.jsonl"))?,
                seconds: crate::record::read_seconds(&run),
            })
        };
        let sections = manifest.sections.iter().map(|entry| {
            Ok(Section {
                entry: entry.clone(),
                series: entry
                    .series
                    .iter()
                    .map(read_series)
                    .collect::<Result<_>>()?,
            })
        });
        Ok(Self {
            sections: sections.collect::<Result<_>>()?,
            manifest,
        })
    }
}
