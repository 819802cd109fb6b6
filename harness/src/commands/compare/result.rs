//! What a comparison found, as `--json` prints it.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;
use toml::Value;

use super::side::{Run, Side, Unreadable};
use crate::experiment::RunSpec;
use crate::number::{self, hundredths};
use crate::record::RunLog;
use crate::report::seeds::{OverSeeds, Weights};
use crate::statistics::Verdict;
use crate::task::Metric;

/// A key in which the specifications differ.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct DifferingKey {
    pub(super) key: String,
    pub(super) a: Option<Value>,
    pub(super) b: Option<Value>,
}

pub(super) fn differing_keys(a: &RunSpec, b: &RunSpec) -> Result<Vec<DifferingKey>> {
    let (mut a, mut b) = (a.keys()?, b.keys()?);
    for keys in [&mut a, &mut b] {
        keys.remove("training.seed");
    }
    let keys: BTreeSet<String> = a.keys().chain(b.keys()).cloned().collect();
    let differing = keys.into_iter().map(|key| DifferingKey {
        a: a.remove(&key),
        b: b.remove(&key),
        key,
    });
    Ok(differing.filter(|key| key.a != key.b).collect())
}

/// What `--json` prints. Accuracies are in percent, differences in points; of losses, the lower is the better.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) metric: Metric,
    pub(super) a: SideResult,
    pub(super) b: SideResult,
    pub(super) differing_keys: Vec<DifferingKey>,
    /// Seeds that both have.
    pub(super) pairs: Vec<Pair>,
    /// Seeds that only one has.
    pub(super) unpaired_seeds: Vec<u64>,
    /// Pairs of which a run diverged.
    pub(super) diverged_pairs: usize,
    /// Runs that diverged with a seed that only one has: they withhold the verdict too.
    pub(super) diverged_unpaired: usize,
    /// Folders that may hold a run of either: they withhold the verdict, since what cannot be read may have diverged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) mean_difference: Option<f64>,
    pub(super) interval_95: Option<(f64, f64)>,
    /// Of the sign-flip test.
    pub(super) p: Option<f64>,
    /// Whether `p` is over all sign vectors.
    pub(super) p_exact: Option<bool>,
    pub(super) verdict: &'static str,
    pub(super) verdict_words: String,
}

#[derive(Debug, Serialize)]
pub(super) struct SideResult {
    pub(super) name: String,
    pub(super) seeds: Vec<u64>,
    pub(super) completed: usize,
    pub(super) diverged: usize,
    pub(super) not_finished: usize,
    /// Ended runs whose logs have no hash that would show an edit: of log format 1.
    pub(super) unsealed: usize,
    pub(super) mean_accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mean_loss: Option<f64>,
    pub(super) deviation: Option<f64>,
    pub(super) interval_95: Option<(f64, f64)>,
    pub(super) mean_accuracy_last_epoch: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mean_loss_last_epoch: Option<f64>,
    pub(super) epochs: u64,
    /// Images, as the three that follow, and compute: none while a run is not finished, which alone tells them.
    pub(super) forwards: Option<u64>,
    pub(super) backwards: Option<u64>,
    pub(super) probe_forwards: Option<u64>,
    pub(super) probe_backwards: Option<u64>,
    /// In forward passes of one example; the share of probing and search too.
    pub(super) compute: Option<u64>,
    pub(super) search: Option<u64>,
    /// None if that of a run is not known.
    pub(super) seconds: Option<f64>,
    /// Revisions of the program that made the runs; `unknown` where a log does not say.
    pub(super) revisions: BTreeSet<String>,
    /// Processors on which they were made, if that matters: runs of libtorch on the CPU.
    pub(super) processors: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Pair {
    pub(super) seed: u64,
    pub(super) a: RunResult,
    pub(super) b: RunResult,
    /// None unless both completed.
    pub(super) difference: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct RunResult {
    pub(super) folder: String,
    pub(super) state: String,
    /// Whether its log has a hash that would show an edit; none before its end.
    pub(super) sealed: Option<bool>,
    pub(super) accuracy: Option<f64>,
    pub(super) accuracy_last_epoch: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss_last_epoch: Option<f64>,
}

impl SideResult {
    pub(super) fn of(side: &Side) -> Self {
        let (reported, last) = (side.observe(Weights::Reported), side.observe(Weights::Last));
        let logs = || side.runs.values().filter_map(|run| run.log.as_ref());
        let total = |of: fn(&crate::record::Summary) -> u64| -> Option<u64> {
            let runs = side.runs.values();
            let summaries = runs.map(|run| run.log.as_ref()?.summary.as_ref());
            summaries
                .map(|summary| summary.map(of))
                .try_fold(0_u64, |sum, images| Some(sum.saturating_add(images?)))
        };
        let mut seconds = side.runs.values().map(|run| run.seconds);
        let estimate = reported.estimate;
        let metric = side.metric();
        let mean = |of: Metric, over: &OverSeeds| {
            let estimate = over.estimate.filter(|_| metric == of);
            estimate.map(|estimate| estimate.mean)
        };
        Self {
            name: side.name.clone(),
            seeds: side.runs.keys().copied().collect(),
            completed: estimate.map_or(0, |estimate| estimate.n),
            diverged: reported.diverged,
            not_finished: reported.pending,
            unsealed: side
                .runs
                .values()
                .filter(|run| run.sealed() == Some(false))
                .count(),
            mean_accuracy: mean(Metric::Accuracy, &reported),
            mean_loss: mean(Metric::Loss, &reported),
            deviation: estimate.and_then(|estimate| estimate.deviation),
            interval_95: estimate.and_then(|estimate| estimate.interval()),
            mean_accuracy_last_epoch: mean(Metric::Accuracy, &last),
            mean_loss_last_epoch: mean(Metric::Loss, &last),
            epochs: logs().map(|log| log.epochs.len() as u64).sum(),
            forwards: total(|summary| summary.forwards),
            backwards: total(|summary| summary.backwards),
            probe_forwards: total(|summary| summary.probe_forwards),
            probe_backwards: total(|summary| summary.probe_backwards),
            compute: total(|summary| {
                let (trained, search) = summary.compute();
                trained.saturating_add(search)
            }),
            search: total(|summary| summary.compute().1),
            seconds: seconds.try_fold(0.0, |sum, seconds| Some(sum + seconds?)),
            revisions: logs()
                .flat_map(RunLog::builds)
                .map(|build| build.revision().unwrap_or_else(|| "unknown".to_owned()))
                .collect(),
            processors: logs().flat_map(RunLog::processors).collect(),
        }
    }
}

impl RunResult {
    pub(super) fn of(run: &Run, metric: Metric) -> Self {
        let value = |of: Metric, weights| {
            let value = run.value(weights, metric);
            value.filter(|_| metric == of)
        };
        Self {
            folder: run.dir.display().to_string(),
            state: run.state(),
            sealed: run.sealed(),
            accuracy: value(Metric::Accuracy, Weights::Reported),
            accuracy_last_epoch: value(Metric::Accuracy, Weights::Last),
            loss: value(Metric::Loss, Weights::Reported),
            loss_last_epoch: value(Metric::Loss, Weights::Last),
        }
    }

    pub(super) fn words(&self) -> String {
        let number = |accuracy: Option<f64>, loss: Option<f64>| {
            let accuracy = accuracy.map(hundredths);
            accuracy.or_else(|| loss.map(number::significant))
        };
        let none = || "–".to_owned();
        let reported = number(self.accuracy, self.loss);
        let last = number(self.accuracy_last_epoch, self.loss_last_epoch);
        match (self.state.as_str(), reported) {
            ("completed", reported) => format!(
                "{} ({})",
                reported.unwrap_or_else(none),
                last.unwrap_or_else(none)
            ),
            (state, Some(value)) => format!("{state}; {value}"),
            (state, None) => state.to_owned(),
        }
    }
}

/// The verdict for a program.
pub(super) fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NotDistinguishable => "not-distinguishable",
        Verdict::TooFewSeeds { .. } => "too-few-seeds",
        Verdict::NotComparable { .. } => "not-comparable",
        Verdict::NotFinished { .. } => "not-finished",
    }
}

/// The verdict for a person.
pub(super) fn words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Better | Verdict::Worse => format!("A is {verdict} than B"),
        _ => verdict.to_string(),
    }
}
