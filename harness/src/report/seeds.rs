//! What the runs of a series come to over their seeds.

use std::collections::{BTreeMap, BTreeSet};

use super::outcome::Status;
use super::table::Cell;
use super::{Run, Series};
use crate::number::{hundredths, signed};
use crate::record::RunLog;
use crate::statistics::{Comparison, Estimate, Observation};
use crate::task::Metric;

/// Which weights' test result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weights {
    /// Those that the protocol reports.
    Reported,
    /// Those after the last epoch.
    Last,
}

impl Weights {
    /// Test accuracy in percent of a run that has ended.
    pub(crate) fn accuracy(self, log: &RunLog) -> Option<f64> {
        self.value(log, Metric::Accuracy)
    }

    /// What it is judged by, over the test data.
    pub(crate) fn value(self, log: &RunLog, metric: Metric) -> Option<f64> {
        let summary = log.summary.as_ref()?;
        let tested = match self {
            Self::Reported => summary.reported(),
            Self::Last => summary.last,
        }?;
        metric.value(tested.loss, tested.accuracy)
    }
}

/// What a run is judged by, as statistics take it: a run that diverged has no value, whatever its weights reached before.
pub(crate) fn observe(log: Option<&RunLog>, weights: Weights, metric: Metric) -> Observation {
    match (Status::of_log(log), log) {
        (Status::NotBegun | Status::Unreadable { .. } | Status::NotFinished { .. }, _)
        | (_, None) => Observation::Pending,
        (Status::Diverged { .. }, _) => Observation::Diverged,
        // Weights that are not finite have no value either.
        (Status::Completed, Some(log)) => {
            Observation::value(weights.value(log, metric).unwrap_or(f64::NAN))
        }
    }
}

/// How many runs there are in each state, and the mean over those that completed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OverSeeds {
    /// Runs in all.
    pub(crate) runs: usize,
    /// Those that diverged.
    pub(crate) diverged: usize,
    /// Those that are not finished.
    pub(crate) pending: usize,
    /// Over the others; none if there is none.
    pub(crate) estimate: Option<Estimate>,
}

impl OverSeeds {
    pub(crate) fn of(observations: impl IntoIterator<Item = Observation>) -> Self {
        let (mut diverged, mut pending, mut values) = (0, 0, Vec::new());
        for observation in observations {
            match observation {
                Observation::Value(value) => values.push(value),
                Observation::Diverged => diverged += 1,
                Observation::Pending => pending += 1,
            }
        }
        Self {
            runs: values.len() + diverged + pending,
            diverged,
            pending,
            estimate: Estimate::of(&values),
        }
    }

    /// Of the test accuracies of a series.
    pub(super) fn accuracy(series: &Series, weights: Weights) -> Self {
        let runs = series.runs.iter();
        Self::of(runs.map(|run| observe(run.log.as_ref(), weights, Metric::Accuracy)))
    }

    /// `n = 6`, `n = 4; 2 diverged`, `n = 0; 1 diverged, 5 not finished`: what stands beside every figure.
    pub(crate) fn counts(&self) -> String {
        let others: Vec<String> = [(self.diverged, "diverged"), (self.pending, "not finished")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{count} {state}"))
            .collect();
        let n = self.estimate.map_or(0, |estimate| estimate.n);
        match others.join(", ").as_str() {
            "" => format!("n = {n}"),
            others => format!("n = {n}; {others}"),
        }
    }

    /// `87.05 ± 0.42 (n = 6)`.
    pub(crate) fn words(&self, write: fn(f64) -> String) -> String {
        match self.estimate {
            None => self.counts(),
            Some(estimate) => match estimate.half_width {
                None => format!("{} ({})", write(estimate.mean), self.counts()),
                Some(half) => format!(
                    "{} ± {} ({})",
                    write(estimate.mean),
                    write(half),
                    self.counts()
                ),
            },
        }
    }

    /// The words as a cell.
    pub(super) fn cell(&self, write: fn(f64) -> String) -> Cell {
        let words = self.words(write);
        if self.diverged > 0 {
            Cell::diverged(words)
        } else if self.pending > 0 {
            Cell::faint(words)
        } else {
            Cell::strong(words)
        }
    }
}

/// The comparison of two series by the test accuracy that the protocol reports.
pub(super) fn compare(candidate: &Series, baseline: &Series) -> Comparison {
    let of = |series: &Series| -> BTreeMap<u64, Observation> {
        let of = |run: &Run| {
            let observed = observe(run.log.as_ref(), Weights::Reported, Metric::Accuracy);
            (run.entry.seed, observed)
        };
        series.runs.iter().map(of).collect()
    };
    compare_seeds(&of(candidate), &of(baseline))
}

/// The comparison of what was observed by seed.
pub(crate) fn compare_seeds(
    candidate: &BTreeMap<u64, Observation>,
    baseline: &BTreeMap<u64, Observation>,
) -> Comparison {
    let seeds: BTreeSet<&u64> = candidate.keys().chain(baseline.keys()).collect();
    let of = |seed| (candidate.get(seed).copied(), baseline.get(seed).copied());
    Comparison::of_seeds(&seeds.into_iter().map(of).collect::<Vec<_>>())
}

/// `86.63 to 87.47`.
pub(crate) fn interval(estimate: &Estimate) -> Option<String> {
    let (low, high) = estimate.interval()?;
    Some(format!("{} to {}", hundredths(low), hundredths(high)))
}

/// `−0.12 to +1.30`.
pub(crate) fn signed_interval(estimate: &Estimate) -> Option<String> {
    let (low, high) = estimate.interval()?;
    Some(format!("{} to {}", signed(low), signed(high)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Observation::{Diverged, Pending, Value};

    #[test]
    fn counts_stand_beside_every_figure() {
        let words = |observations: &[Observation]| {
            OverSeeds::of(observations.iter().copied()).words(hundredths)
        };
        assert_eq!(words(&[Value(86.0)]), "86.00 (n = 1)");
        assert_eq!(words(&[Value(86.0), Value(88.0)]), "87.00 ± 12.71 (n = 2)");
        assert_eq!(
            words(&[Value(86.0), Value(88.0), Diverged, Pending]),
            "87.00 ± 12.71 (n = 2; 1 diverged, 1 not finished)"
        );
        assert_eq!(words(&[Diverged, Diverged]), "n = 0; 2 diverged");
        assert_eq!(words(&[]), "n = 0");
    }
}
