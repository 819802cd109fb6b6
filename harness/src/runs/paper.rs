//! The paper's experiments as runs: specifications, each once, and where each stands in the report.

mod manifest;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::Result;

use super::job::Job;
use super::resolve::resolve_device;
use crate::data::{DataError, DataSetName, Location, cifar};
use crate::device::DeviceName;
use crate::exit::say;
use crate::experiment::{ExperimentName, Protocol, RunSpec, Scale, experiment_file};
use crate::report::{Manifest, RunEntry, SectionEntry, SeriesEntry};

/// All runs, and the manifest of the report.
#[derive(Debug)]
pub(crate) struct Plan {
    manifest: Manifest,
    /// The specification of each series, by its place; of whichever seed.
    series: HashMap<String, RunSpec>,
    /// The data set for which the synthetic one stands in, of the series of which it does, by their places.
    missing: HashMap<String, DataSetName>,
    /// Each run once, under the first place where it stands: `table1/published/ours`. One thread each, so that results
    /// do not depend on the cores.
    pub(crate) jobs: Vec<Job>,
}

/// What to plan.
#[derive(Debug)]
pub(crate) struct PlanRequest<'a> {
    pub(crate) experiments: &'a [ExperimentName],
    pub(crate) protocols: &'a [Protocol],
    pub(crate) scale: Scale,
    pub(crate) device: DeviceName,
    pub(crate) seeds: &'a [u64],
}

impl Plan {
    /// Lays out the runs and checks their data, before any training.
    ///
    /// A data set that is not there at all is replaced by the synthetic one; one that is damaged is an error.
    pub(crate) fn new(request: &PlanRequest<'_>, dir: &Path, location: &Location) -> Result<Self> {
        let (overlay, notes) = request.scale.overlay()?;
        let (mut series_specs, mut missing) = (HashMap::new(), HashMap::new());
        let mut jobs: Vec<Job> = Vec::new();
        let mut known = HashSet::new();
        let mut sections = Vec::new();
        let mut available: Vec<(DataSetName, bool)> = Vec::new();
        for &experiment in request.experiments {
            for &protocol in request.protocols {
                let file = experiment_file(experiment, protocol)?;
                let mut entries = Vec::new();
                for series in &file.series {
                    let mut spec = file.spec(series, &overlay)?;
                    spec.training.device = request.device;
                    resolve_device(&mut spec)?;
                    let wanted = spec.data.set;
                    let there = match available.iter().find(|(set, _)| *set == wanted) {
                        Some((_, there)) => *there,
                        None => {
                            let there = check(wanted, location)?;
                            available.push((wanted, there));
                            there
                        }
                    };
                    let place = place(experiment, protocol.name(), &series.name);
                    if !there {
                        spec.data.set = DataSetName::Synthetic;
                        missing.insert(place.clone(), wanted);
                    }
                    let mut entry = SeriesEntry {
                        name: series.name.clone(),
                        label: series.label.clone(),
                        runs: Vec::new(),
                    };
                    for &seed in request.seeds {
                        spec.training.seed = seed;
                        let run = spec.run_name()?;
                        entry.runs.push(RunEntry {
                            seed,
                            run: run.clone(),
                        });
                        if !known.insert(run.clone()) {
                            continue;
                        }
                        let name = if request.seeds.len() > 1 {
                            format!("{place}/seed-{seed}")
                        } else {
                            place.clone()
                        };
                        jobs.push(Job::new(name, spec.clone(), dir.join("runs").join(run)));
                    }
                    entries.push(entry);
                    series_specs.insert(place, spec);
                }
                sections.push(SectionEntry {
                    experiment,
                    protocol: protocol.name().into(),
                    description: file.description.replace('\n', " "),
                    series: entries,
                });
            }
        }
        for (set, _) in available.iter().filter(|(_, there)| !there) {
            say(&format!(
                "{} was not found: these runs are on a synthetic set of ten classes that the harness draws itself, and \
                 say nothing about {}. `autolr data fetch {}` gets the real one. It was looked for in {}.",
                set.title(),
                set.title(),
                set.key(),
                location.folder.display()
            ));
        }
        // One seed of everything first: what is there after an interruption can be compared.
        jobs.sort_by_key(|job| job.spec.training.seed);
        Ok(Self {
            manifest: Manifest {
                scale: request.scale.name().into(),
                notes,
                sections,
            },
            series: series_specs,
            missing,
            jobs,
        })
    }
}

/// Whether the data set is there, whole.
fn check(set: DataSetName, location: &Location) -> Result<bool, DataError> {
    let Some(set) = set.cifar() else {
        return Ok(true);
    };
    match location.find(set) {
        Ok(root) => cifar::load(set, root).map(|_| true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a series stands: `table1/published/ours`.
fn place(experiment: ExperimentName, protocol: &str, series: &str) -> String {
    format!("{}/{protocol}/{series}", experiment.name())
}
