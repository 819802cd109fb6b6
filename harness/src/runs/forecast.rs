//! What a run will cost, from its specification alone: steps, images through the network, disk, and time from others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use autolr_core::Plan;
use serde::Serialize;

use super::folder::{find_runs_quietly, read_spec};
use crate::data::DataSetName;
use crate::device::DeviceName;
use crate::exit::BadInput;
use crate::experiment::Cost;
use crate::experiment::RunSpec;
use crate::experiment::sizes::{self, sizes};
use crate::record::{Timing, computed_epochs, typical_seconds};

/// A number that depends on how the run goes: whether it diverges is not counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Range {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl std::ops::AddAssign for Range {
    fn add_assign(&mut self, other: Self) {
        self.least = self.least.saturating_add(other.least);
        self.most = self.most.saturating_add(other.most);
    }
}

/// What a run costs that completes all its epochs. One that diverges costs less.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Forecast {
    pub(crate) epochs: u64,
    /// Optimiser steps.
    pub(crate) steps: u64,
    /// Decisions of the closed loop.
    pub(crate) decisions: u64,
    /// Images forward: training, validation, probes, tests. The most, if the best epoch is not the last, whose weights
    /// are then tested too, and if every decision probes as often as it may.
    pub(crate) forwards: Range,
    /// Images backward.
    pub(crate) backwards: Range,
    /// Of the forwards, those of probes and of a search.
    pub(crate) probe_forwards: Range,
    /// Of the backwards, those of probes and of a search.
    pub(crate) probe_backwards: Range,
    /// Training and probes, in forward passes of one image: a forward pass costs 1, a backward pass 2; validation and
    /// tests are free.
    pub(crate) compute: Range,
    pub(crate) parameters: u64,
    /// Bytes on disk, while the run lasts, roughly.
    pub(crate) disk: u64,
}

impl Forecast {
    /// # Errors
    /// [`BadInput`] that names the key if the data is too small for it.
    pub(crate) fn of(spec: &RunSpec) -> Result<Self, BadInput> {
        let sizes = sizes(spec)?;
        let batch = spec.training.batch_size;
        let whole = |images: usize| {
            let images = if spec.data.drop_last {
                images / batch * batch
            } else {
                images
            };
            images as u64
        };
        let test = whole(sizes.test);
        let steps_per_epoch = sizes::steps_per_epoch(spec)?;
        let steps = sizes::run_steps(spec)?;
        let plan = Plan {
            steps,
            steps_per_epoch,
        };
        // Of the last one, which a budget may end early, there is a validation too.
        let epochs = steps.div_ceil(steps_per_epoch.max(1));
        let trained = whole(sizes.train)
            .saturating_mul(epochs)
            .min(steps.saturating_mul(batch as u64));
        let planned = spec.scheduler.method().forecast(plan);
        let (decisions, candidates) = (planned.decisions, planned.candidates);
        let further = planned.further_probes;
        let most = Cost::of_probe(&spec.probe, candidates, batch);
        let fewest = spec.probe.evaluate.fewest(candidates);
        let least = Cost::of_probe(&spec.probe, fewest, batch);
        let probes = |least: u64, most: u64| Range {
            least: decisions.saturating_mul(least),
            most: decisions.saturating_mul(most).saturating_mul(1 + further),
        };
        let mut probe_forwards = probes(least.forwards, most.forwards);
        let mut probe_backwards = probes(least.backwards, most.backwards);
        let search = [planned.least_search, planned.most_search].map(|search| {
            let trained = search.steps.saturating_mul(batch as u64);
            let scored = search.scores.saturating_mul(spec.probe.batch_size as u64);
            (trained.saturating_add(scored), trained)
        });
        probe_forwards += Range {
            least: search[0].0,
            most: search[1].0,
        };
        probe_backwards += Range {
            least: search[0].1,
            most: search[1].1,
        };
        let each = trained + epochs.saturating_mul(whole(sizes.validation)) + test;
        let mut forwards = Range {
            least: each,
            // Of one epoch, the best is the last.
            most: each + if epochs > 1 { test } else { 0 },
        };
        forwards += probe_forwards;
        let mut backwards = Range {
            least: trained,
            most: trained,
        };
        backwards += probe_backwards;
        let parameters = spec.network.parameters(spec.data.set);
        // Within a budget, what a search takes is trained less.
        let limit = spec.training.budget.map_or(u64::MAX, |budget| {
            budget.compute(whole(sizes.train), batch as u64)
        });
        Ok(Self {
            epochs,
            steps,
            decisions,
            forwards,
            backwards,
            probe_forwards,
            probe_backwards,
            compute: Range {
                least: limit.min(compute(
                    trained,
                    probe_forwards.least,
                    probe_backwards.least,
                )),
                most: limit.min(compute(trained, probe_forwards.most, probe_backwards.most)),
            },
            parameters,
            disk: disk(spec, parameters, decisions, candidates as u64),
        })
    }
}

fn compute(trained: u64, probe_forwards: u64, probe_backwards: u64) -> u64 {
    let forwards = trained.saturating_add(probe_forwards);
    let backwards = trained.saturating_add(probe_backwards);
    Cost {
        forwards,
        backwards,
    }
    .compute()
}

/// Two generations of checkpoints and one being written, each with the optimiser's state and the best weights, and the
/// log with its timings.
fn disk(spec: &RunSpec, parameters: u64, decisions: u64, candidates: u64) -> u64 {
    let copies = 2 + spec.optimizer.slots().len() as u64;
    let bytes = if spec.network.uses_libtorch() { 4 } else { 8 };
    let log = spec.training.epochs.saturating_mul(300)
        + decisions.saturating_mul(400 + 130 * candidates)
        + 3000;
    3 * copies * bytes * parameters + log
}

/// What two runs have in common whose epochs take about as long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Alike {
    /// As a specification has it.
    network: String,
    set: DataSetName,
    /// Training, validation.
    images: (usize, usize),
    batch_size: usize,
    device: &'static str,
    augment: bool,
    downsample: bool,
}

impl Alike {
    fn of(spec: &RunSpec) -> Option<Self> {
        let sizes = sizes(spec).ok()?;
        Some(Self {
            network: toml::to_string(&spec.network).ok()?,
            set: spec.data.set,
            images: (sizes.train, sizes.validation),
            batch_size: spec.training.batch_size,
            device: match spec.training.device {
                DeviceName::Cuda => "cuda",
                _ => "cpu",
            },
            augment: spec.data.augment,
            downsample: spec.data.downsample,
        })
    }
}

/// Images through the network in the probes of an epoch: of a few percent, or more than the training itself.
fn probe_share(spec: &RunSpec) -> u64 {
    let (Ok(steps), Ok(steps_per_epoch)) = (sizes::run_steps(spec), sizes::steps_per_epoch(spec))
    else {
        return 0;
    };
    let planned = spec.scheduler.method().forecast(Plan {
        steps,
        steps_per_epoch,
    });
    let batch = spec.training.batch_size;
    let cost = Cost::of_probe(&spec.probe, planned.candidates, batch);
    let all = (cost.forwards + cost.backwards).saturating_mul(planned.decisions);
    all / spec.training.epochs.max(1)
}

/// Seconds of an epoch, as other runs took them.
#[derive(Debug, Default)]
pub(crate) struct KnownTimes {
    epochs: HashMap<(Alike, u64), Vec<Timing>>,
}

impl KnownTimes {
    /// From the runs in these folders; one that holds none says nothing.
    pub(crate) fn gather(folders: &[PathBuf]) -> Self {
        let mut known = Self::default();
        let mut seen: Vec<PathBuf> = Vec::new();
        for folder in folders {
            for run in find_runs_quietly(folder, &mut Vec::new()).unwrap_or_default() {
                let dir = std::path::absolute(&run.dir).unwrap_or(run.dir);
                if !seen.contains(&dir) {
                    known.add(&dir);
                    seen.push(dir);
                }
            }
        }
        known
    }

    fn add(&mut self, run: &Path) {
        let timings = computed_epochs(run);
        if timings.is_empty() {
            return;
        }
        let Ok(spec) = read_spec(run) else { return };
        if let Some(alike) = Alike::of(&spec) {
            let key = (alike, probe_share(&spec));
            self.epochs.entry(key).or_default().extend(timings);
        }
    }

    /// Median seconds of an epoch of runs with the same network, data, batch size and device: with the same probes
    /// where there are any, else with whichever.
    pub(crate) fn seconds_per_epoch(&self, spec: &RunSpec) -> Option<f64> {
        let key = (Alike::of(spec)?, probe_share(spec));
        if let Some(timings) = self.epochs.get(&key) {
            return typical_seconds(timings);
        }
        let alike = self
            .epochs
            .iter()
            .filter(|((alike, _), _)| *alike == key.0)
            .flat_map(|(_, timings)| timings.iter().copied());
        typical_seconds(&alike.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{ExperimentName, Protocol, Scale, experiment_file};

    #[test]
    fn the_papers_table_in_figures() {
        let file = experiment_file(ExperimentName::Table1, Protocol::Published).unwrap();
        let (overlay, _) = Scale::Paper.overlay().unwrap();
        let spec = file.spec(&file.series[4], &overlay).unwrap();
        let forecast = Forecast::of(&spec).unwrap();
        // 40,000 training images in batches of 32 are 1,250 steps; 10,000 validation images lose 16 to drop_last.
        assert_eq!(forecast.steps, 125_000);
        assert_eq!(forecast.decisions, 100);
        // Five candidates of 32 images and the gradient's 32.
        assert_eq!(forecast.probe_forwards.least, 100 * 6 * 32);
        assert_eq!(forecast.backwards.least, 100 * (40_000 + 32));
        let each = 100 * (40_000 + 9_984 + 6 * 32);
        assert_eq!(
            (forecast.forwards.least, forecast.forwards.most),
            (each + 9_984, each + 2 * 9_984)
        );
    }
}
