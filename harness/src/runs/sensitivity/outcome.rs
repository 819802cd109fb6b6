//! What the runs came to.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Contender, Problem, Run};
use crate::record::{Outcome, RunLog};
use crate::statistics::Estimate;
use crate::task::Metric;

/// A finished run.
#[derive(Debug, Clone, Copy)]
struct Finished {
    /// By the problem's metric; none of one that diverged.
    value: Option<f64>,
    /// The same on the validation images.
    validation: Option<f64>,
    forwards: u64,
    backwards: u64,
    /// Share of the compute that went into search and probes.
    search: f64,
}

impl Finished {
    fn read(run: &Run, metric: Metric) -> Result<Option<Self>> {
        let digest = run.job.spec.digest()?;
        let Some(log) = RunLog::read_of(&digest, &run.job.dir.join("events.jsonl"))? else {
            return Ok(None);
        };
        let Some(summary) = &log.summary else {
            return Ok(None);
        };
        let completed = summary.outcome == Outcome::Completed;
        let tested = summary.reported().filter(|_| completed);
        let last = log.epochs.last().filter(|_| completed);
        let (trained, search) = summary.compute();
        Ok(Some(Self {
            value: tested.and_then(|tested| metric.value(tested.loss, tested.accuracy)),
            validation: last
                .and_then(|last| metric.value(last.validation_loss, last.validation_accuracy)),
            forwards: summary.forwards,
            backwards: summary.backwards,
            search: search as f64 / (trained + search).max(1) as f64,
        }))
    }
}

/// The tuned reference of a problem.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tuned {
    pub(crate) schedule: Contender,
    pub(crate) lr: f64,
    /// Mean over the seeds that it was chosen on.
    pub(crate) validation: f64,
}

impl Tuned {
    /// The schedule and rate of the best mean validation over the seeds, of those that did not diverge on any. None unless
    /// all are finished.
    pub(crate) fn choose(
        problem: &Problem,
        grid: &[(Contender, f64, Vec<Run>)],
    ) -> Result<Option<Self>> {
        let metric = problem.base.network.metric();
        let mut best: Option<Self> = None;
        for (schedule, lr, runs) in grid {
            let mut values = Vec::new();
            for run in runs {
                let Some(finished) = Finished::read(run, metric)? else {
                    return Ok(None);
                };
                values.extend(finished.validation);
            }
            if values.len() < runs.len() {
                continue;
            }
            let validation = values.iter().sum::<f64>() / values.len() as f64;
            let better = |than: &Self| metric.sign() * (validation - than.validation) > 0.0;
            if best.as_ref().is_none_or(better) {
                best = Some(Self {
                    schedule: *schedule,
                    lr: *lr,
                    validation,
                });
            }
        }
        Ok(best)
    }
}

/// A run, as `--json` has it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) problem: String,
    pub(crate) method: &'static str,
    /// None where nobody gives one.
    pub(crate) initial_lr: Option<f64>,
    pub(crate) seed: u64,
    pub(crate) metric: Metric,
    pub(crate) value: Option<f64>,
    pub(crate) higher_is_better: bool,
    /// By how much it is worse than the tuned reference at the same seed, in points of accuracy or percent of the loss's
    /// fall.
    pub(crate) regret: Option<f64>,
    /// That of the tuned reference's own rerun for this seed, against the mean.
    pub(crate) tuned_regret: Option<f64>,
    pub(crate) forwards: u64,
    pub(crate) backwards: u64,
    /// Share of its compute that went into search and probes.
    pub(crate) search: f64,
    /// `completed`, `diverged`.
    pub(crate) outcome: &'static str,
}

/// A contender at a rate on a problem, over its seeds.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    pub(crate) method: Contender,
    pub(crate) lr: Option<f64>,
    pub(crate) value: Option<Estimate>,
    pub(crate) regret: Option<Estimate>,
    /// Runs whose regret is at most 1.
    pub(crate) within: usize,
    pub(crate) runs: usize,
    pub(crate) diverged: usize,
    pub(crate) search: f64,
}

/// All runs of a problem with their regret; those that are not finished are left out.
pub(crate) fn rows(
    problem: &Problem,
    runs: &[(Contender, Option<f64>, Run)],
    untrained: &[Run],
) -> Result<Vec<Row>> {
    let metric = problem.base.network.metric();
    let mut read = Vec::new();
    for (of, lr, run) in runs {
        if let Some(finished) = Finished::read(run, metric)? {
            read.push((*of, *lr, run.seed, finished));
        }
    }
    let values = |wanted: Contender| -> Vec<f64> {
        let of = read.iter().filter(|(of, ..)| *of == wanted);
        of.filter_map(|(.., finished)| finished.value).collect()
    };
    let mean = Estimate::of(&values(Contender::Tuned)).map(|tuned| tuned.mean);
    // Seed by seed, since the data differs between seeds; the rerun, which has others, against the mean.
    let tuned = |seed: u64| {
        let same = read
            .iter()
            .find(|(of, _, at, _)| *of == Contender::Tuned && *at == seed);
        match same {
            Some((.., tuned)) => tuned.value,
            None => mean,
        }
    };
    let mut initial = Vec::new();
    for run in untrained {
        let finished = Finished::read(run, Metric::Loss)?;
        initial.extend(finished.and_then(|finished| finished.value));
    }
    let initial = Estimate::of(&initial).map(|initial| initial.mean);
    let has_floor = problem.base.network.kind() == "quadratic";
    let regret = |value: f64, seed: u64| match metric {
        Metric::Accuracy => Some(tuned(seed)? - value),
        // The expected loss, whose floor is 0: in percent of the decades that the tuned reference came down.
        Metric::Loss if has_floor => {
            let (tuned, initial) = (tuned(seed)?, initial?);
            Some(100.0 * (value / tuned).ln() / (initial / tuned).ln())
        }
        Metric::Loss => {
            let (tuned, initial) = (tuned(seed)?, initial?);
            Some(100.0 * (value - tuned) / (initial - tuned))
        }
    };
    let row = |(of, lr, seed, finished): &(Contender, Option<f64>, u64, Finished)| {
        let again = read.iter().find(|(other, _, at, _)| {
            *other == Contender::TunedAgain && *at == seed % super::AGAIN + super::AGAIN
        });
        Row {
            problem: problem.name.clone(),
            method: of.name(),
            initial_lr: *lr,
            seed: *seed,
            metric,
            value: finished.value,
            higher_is_better: metric.sign() > 0.0,
            regret: finished.value.and_then(|value| regret(value, *seed)),
            tuned_regret: again.and_then(|(.., seed, again)| regret(again.value?, *seed)),
            forwards: finished.forwards,
            backwards: finished.backwards,
            search: finished.search,
            outcome: if finished.value.is_some() {
                "completed"
            } else {
                "diverged"
            },
        }
    };
    Ok(read.iter().map(row).collect())
}

/// Over the seeds, in the rows' order.
pub(crate) fn compared(rows: &[Row]) -> Vec<Compared> {
    let mut all: Vec<(Compared, Vec<&Row>)> = Vec::new();
    for row in rows {
        let Some(method) = Contender::all().find(|of| of.name() == row.method) else {
            continue;
        };
        let same = |of: &Compared| of.method == method && of.lr == row.initial_lr;
        match all.iter_mut().find(|(of, _)| same(of)) {
            Some((_, rows)) => rows.push(row),
            None => all.push((
                Compared {
                    method,
                    lr: row.initial_lr,
                    value: None,
                    regret: None,
                    within: 0,
                    runs: 0,
                    diverged: 0,
                    search: 0.0,
                },
                vec![row],
            )),
        }
    }
    let of = |(compared, rows): (Compared, Vec<&Row>)| {
        let values: Vec<f64> = rows.iter().filter_map(|row| row.value).collect();
        let regrets: Vec<f64> = rows.iter().filter_map(|row| row.regret).collect();
        Compared {
            value: Estimate::of(&values),
            regret: Estimate::of(&regrets),
            within: regrets.iter().filter(|regret| **regret <= 1.0).count(),
            runs: rows.len(),
            diverged: rows.len() - values.len(),
            search: rows.iter().map(|row| row.search).sum::<f64>() / rows.len() as f64,
            ..compared
        }
    };
    all.into_iter().map(of).collect()
}
