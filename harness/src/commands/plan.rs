//! What `autolr reproduce` is going to run: specifications, each once, and where each stands in the report; and
//! `autolr plan`, which shows it.

mod command;
mod emit;
mod forecast;

pub(crate) use command::{Outlook, time_folders};
pub use command::{PlanArgs, plan};

use std::path::Path;

use anyhow::Result;

use super::pool::Job;
use super::run::resolve_device;
use crate::data::{DataError, DataSetName, Location, cifar};
use crate::disk::write_whole;
use crate::experiment::{DeviceName, Protocol, RunSpec, Scale, experiment_file};
use crate::report::{ExperimentName, Manifest, RunEntry, SectionEntry, SeriesEntry};

/// A run of the plan.
#[derive(Debug, Clone)]
pub(crate) struct PlannedRun {
    /// Name of its folder.
    pub(crate) run: String,
    /// The first place where it stands: `table1/published/ours`.
    pub(crate) place: String,
    pub(crate) spec: RunSpec,
    pub(crate) finished: bool,
    pub(crate) epochs_done: u64,
}

/// All runs, and the manifest of the report.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) manifest: Manifest,
    pub(crate) runs: Vec<PlannedRun>,
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
    /// The runs as they are to be carried out: one thread each, so that results do not depend on the cores.
    pub(crate) fn jobs(&self, dir: &Path) -> Vec<Job> {
        let job = |run: &PlannedRun| Job {
            dir: dir.join("runs").join(&run.run),
            name: run.place.clone(),
            spec: run.spec.clone(),
            threads: 1,
            finished: run.finished,
            epochs_done: run.epochs_done,
        };
        self.runs.iter().map(job).collect()
    }

    /// Writes `manifest.json` into `dir`, for the report.
    pub(crate) fn write_manifest(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.manifest)? + "\n";
        write_whole(&dir.join("manifest.json"), text.as_bytes())
    }

    /// Lays out the runs and checks their data, before any training.
    ///
    /// A data set that is not there at all is replaced by the synthetic one; one that is damaged is an error.
    pub(crate) fn new(request: &PlanRequest<'_>, dir: &Path, location: &Location) -> Result<Self> {
        let (overlay, mut notes) = request.scale.overlay()?;
        let mut runs: Vec<PlannedRun> = Vec::new();
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
                    if !there {
                        spec.data.set = DataSetName::Synthetic;
                    }
                    let place = format!("{}/{}/{}", name(experiment), protocol.name(), series.name);
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
                        if runs.iter().any(|planned| planned.run == run) {
                            continue;
                        }
                        let (finished, epochs_done) =
                            Job::progress(&spec, &dir.join("runs").join(&run));
                        runs.push(PlannedRun {
                            place: if request.seeds.len() > 1 {
                                format!("{place}/seed-{seed}")
                            } else {
                                place.clone()
                            },
                            finished,
                            epochs_done,
                            run,
                            spec: spec.clone(),
                        });
                    }
                    entries.push(entry);
                }
                sections.push(SectionEntry {
                    experiment,
                    protocol: protocol.name().into(),
                    description: file.description.replace('\n', " "),
                    series: entries,
                });
            }
        }
        for (set, there) in &available {
            if !there {
                let note = format!(
                    "{} was not found: these runs are on a synthetic set of ten classes that the harness draws itself, \
                     and say nothing about {}. `autolr data fetch {}` gets the real one.",
                    set.title(),
                    set.title(),
                    set.key()
                );
                eprintln!("{note} It was looked for in {}.", location.folder.display());
                notes.push(note);
            }
        }
        match request.seeds {
            [0] => {}
            [seed] => notes.push(format!("Seed {seed} instead of the paper's 0.")),
            seeds => notes.push(format!(
                "{} seeds each; the paper's numbers are presumably of one, 0.",
                seeds.len()
            )),
        }
        // One seed of everything first: what is there after an interruption can be compared.
        runs.sort_by_key(|run| run.spec.training.seed);
        Ok(Self {
            manifest: Manifest {
                scale: request.scale.name().into(),
                notes,
                sections,
            },
            runs,
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

/// Name as on the command line.
pub(crate) fn name(experiment: ExperimentName) -> &'static str {
    match experiment {
        ExperimentName::Table1 => "table1",
        ExperimentName::Fig2 => "fig2",
        ExperimentName::Fig3 => "fig3",
        ExperimentName::Divergence => "divergence",
    }
}
