//! The horizontal axis of a section's curves.

use std::collections::BTreeSet;

use super::group::Group;
use super::outcome::planned_epochs;
use super::{Run, published};
use crate::experiment::ExperimentName;
use crate::record::RunLog;

/// The horizontal axis: epochs where all curves have as many, else the share of the training done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Horizontal {
    Epoch { epochs: u64 },
    Share { ours: BTreeSet<u64> },
}

impl Horizontal {
    pub(super) fn of(group: &Group<'_>) -> Self {
        let mut planned: BTreeSet<u64> = group
            .runs()
            .filter_map(|(_, run)| planned_epochs(run))
            .collect();
        let ours = planned.clone();
        if let Some(experiment) = group.experiment {
            let mut series = group.series.iter();
            let has_paper = series
                .any(|series| published::validation_loss(experiment, &series.entry.name).is_some());
            if has_paper || planned.is_empty() {
                planned.insert(published::epochs(experiment));
            }
        }
        match planned.first() {
            Some(epochs) if planned.len() == 1 => Self::Epoch { epochs: *epochs },
            _ => Self::Share { ours },
        }
    }

    /// Where an epoch stands in a training of so many. The share is the one done when the epoch ends.
    pub(super) fn x(&self, epoch: u64, planned: u64) -> f64 {
        match self {
            Self::Epoch { .. } => epoch as f64,
            Self::Share { .. } => 100.0 * (epoch + 1) as f64 / planned.max(1) as f64,
        }
    }

    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Epoch { .. } => "epoch",
            Self::Share { .. } => "share of the training done (%)",
        }
    }

    pub(super) fn range(&self) -> (f64, f64) {
        match self {
            Self::Epoch { epochs } => (0.0, epochs.saturating_sub(1) as f64),
            Self::Share { .. } => (0.0, 100.0),
        }
    }

    /// Why the axis is not in epochs.
    pub(super) fn note(&self, experiment: Option<ExperimentName>) -> Option<String> {
        match self {
            Self::Epoch { .. } => None,
            Self::Share { ours } => {
                let ours: Vec<String> = ours.iter().map(u64::to_string).collect();
                let paper = experiment.map(published::epochs);
                let paper = paper.map_or_else(String::new, |epochs| {
                    format!(" here, {epochs} in the paper")
                });
                Some(format!(
                    "Drawn against the share of the training done, since the numbers of epochs differ: {}{paper}.",
                    ours.join(" or "),
                ))
            }
        }
    }

    /// As many epochs as a run is to have, as far as is known.
    pub(super) fn planned(&self, run: &Run, log: &RunLog) -> u64 {
        let known = match self {
            Self::Epoch { epochs } => Some(*epochs),
            Self::Share { ours } => planned_epochs(run).or(ours.last().copied()),
        };
        known.unwrap_or(0).max(log.epochs.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Section;
    use crate::report::curves::tests::section;

    fn of(section: &Section) -> Horizontal {
        Horizontal::of(&Group::of(section))
    }

    #[test]
    fn the_axis_is_in_epochs_where_all_agree() {
        let same = of(&section(
            ExperimentName::Fig2,
            &["training.epochs = 50", "training.epochs = 50"],
        ));
        assert_eq!(same, Horizontal::Epoch { epochs: 50 });
        assert_eq!(same.range(), (0.0, 49.0));
        let shorter = of(&section(ExperimentName::Fig2, &["training.epochs = 5"]));
        assert_eq!(
            (shorter.x(0, 5), shorter.x(4, 5), shorter.x(49, 50)),
            (20.0, 100.0, 100.0)
        );
        assert!(
            shorter
                .note(Some(ExperimentName::Fig2))
                .unwrap()
                .contains("5 here, 50 in the paper")
        );
        // No curve of the paper to agree with.
        let alone = of(&section(
            ExperimentName::Divergence,
            &["training.epochs = 5"],
        ));
        assert_eq!(alone, Horizontal::Epoch { epochs: 5 });
        let unknown = of(&section(ExperimentName::Divergence, &[""]));
        assert_eq!(unknown, Horizontal::Epoch { epochs: 100 });
    }
}
