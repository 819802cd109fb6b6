//! How far a run has come, in the words that every table and figure uses.

use super::table::Cell;
use super::{Placed, Run};
use crate::number::plural;
use crate::record::{Outcome, RunLog};

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status<'a> {
    /// There is no log.
    NotBegun,
    /// The log cannot be read, or is not that of this run.
    Unreadable {
        /// Why.
        problem: &'a str,
    },
    /// The log has no last event.
    NotFinished {
        /// Epochs trained so far.
        epochs: usize,
    },
    /// All epochs were trained, and the accuracy is above chance.
    Completed,
    /// A loss that is not finite, or accuracy at chance when the run ended.
    Diverged {
        /// In which epoch, from 0.
        epoch: u64,
        /// What happened.
        reason: &'a str,
    },
}

impl<'a> Status<'a> {
    pub(super) fn of(run: &'a Run) -> Self {
        match &run.problem {
            Some(problem) => Self::Unreadable { problem },
            None => Self::of_log(run.log.as_ref()),
        }
    }

    pub(super) fn of_log(log: Option<&'a RunLog>) -> Self {
        let Some(log) = log else {
            return Self::NotBegun;
        };
        match log.summary.as_ref().map(|summary| &summary.outcome) {
            None => Self::NotFinished {
                epochs: log.epochs.len(),
            },
            Some(Outcome::Completed) => Self::Completed,
            Some(Outcome::Diverged { epoch, reason }) => Self::Diverged {
                epoch: *epoch,
                reason,
            },
        }
    }

    /// `completed`, `diverged (epoch 3)`, `not finished (4 epochs)`, `not begun`, `unreadable`.
    pub(super) fn words(&self) -> String {
        match self {
            Self::NotBegun => "not begun".to_owned(),
            Self::Unreadable { .. } => "unreadable".to_owned(),
            Self::NotFinished { epochs } => format!("not finished ({})", plural(*epochs, "epoch")),
            Self::Completed => "completed".to_owned(),
            Self::Diverged { epoch, .. } => format!("diverged (epoch {epoch})"),
        }
    }

    /// The words as a cell.
    pub(super) fn cell(&self) -> Cell {
        match self {
            Self::Completed => Cell::new(self.words()),
            Self::Diverged { .. } | Self::Unreadable { .. } => Cell::diverged(self.words()),
            Self::NotBegun | Self::NotFinished { .. } => Cell::faint(self.words()),
        }
    }
}

/// The reason of each run that diverged, a sentence each, under its protocol and label.
pub(super) fn divergence_notes<'a>(runs: impl IntoIterator<Item = Placed<'a>>) -> Vec<String> {
    let runs = runs.into_iter();
    runs.filter_map(|placed| match Status::of(placed.run) {
        Status::Diverged { epoch, reason } => Some(format!(
            "{}, {}: diverged (epoch {epoch}): {reason}.",
            placed.label(),
            placed.protocol
        )),
        _ => None,
    })
    .collect()
}

/// The epochs that a run is to have: `training.epochs` of its specification, else what a completed run has.
pub(super) fn planned_epochs(run: &Run) -> Option<u64> {
    let specified = || {
        let table: toml::Table = toml::from_str(&run.spec).ok()?;
        let epochs = table.get("training")?.get("epochs")?.as_integer()?;
        u64::try_from(epochs).ok()
    };
    let trained = || {
        let log = run.log.as_ref()?;
        let complete = Status::of(run) == Status::Completed;
        complete.then_some(log.epochs.len() as u64)
    };
    specified().or_else(trained).filter(|epochs| *epochs > 0)
}

/// What stands under a table or figure if any of its runs was trained on synthetic data.
pub(super) fn synthetic_note<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Option<String> {
    let synthetic = runs.into_iter().any(is_synthetic);
    synthetic.then(|| {
        "SYNTHETIC DATA: drawn by the program itself, not CIFAR. These numbers are not comparable with the paper's."
            .to_owned()
    })
}

/// Whether a run was trained on data that the program drew itself; not, as far as known, if it has not begun.
pub(super) fn is_synthetic(run: &Run) -> bool {
    let log = run.log.as_ref();
    log.is_some_and(|log| log.provenance.data.synthetic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RunEntry;

    fn with_spec(spec: &str) -> Run {
        Run {
            entry: RunEntry {
                seed: 0,
                run: "run".to_owned(),
            },
            spec: spec.to_owned(),
            log: None,
            problem: None,
            seconds: None,
        }
    }

    #[test]
    fn planned_epochs_stand_in_the_specification() {
        let spec = "seed = 0\n[training]\nepochs = 7";
        assert_eq!(planned_epochs(&with_spec(spec)), Some(7));
        let none = [
            "",
            "epochs = 7",
            "training.epochs = 0",
            "training.epochs = -1",
            "training.epochs = \"many\"",
            "no toml =",
        ];
        for spec in none {
            assert_eq!(planned_epochs(&with_spec(spec)), None, "{spec}");
        }
    }

    #[test]
    fn a_run_without_a_log_has_not_begun() {
        assert_eq!(Status::of(&with_spec("")).words(), "not begun");
    }
}
