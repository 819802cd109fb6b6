//! Series that are shown together.

use super::outcome::synthetic_note;
use super::{Run, Section, Series};
use crate::experiment::ExperimentName;

/// A section of the paper's experiments, or the runs of one problem in any folder.
pub(super) struct Group<'a> {
    /// Whose curves of the paper are drawn too.
    pub(super) experiment: Option<ExperimentName>,
    /// How a figure's title begins.
    pub(super) title: String,
    /// How it ends: `, published protocol`.
    pub(super) protocol: String,
    pub(super) series: &'a [Series],
}

impl<'a> Group<'a> {
    pub(super) fn of(section: &'a Section) -> Self {
        let title = match section.entry.experiment {
            ExperimentName::Table1 => "Schedulers of Table 1",
            ExperimentName::Fig2 => "Figure 2, number of factors",
            ExperimentName::Fig3 => "Figure 3, size of the scoring batch",
            ExperimentName::Divergence => "Divergence, initial learning rate 1",
        };
        Self {
            experiment: Some(section.entry.experiment),
            title: title.to_owned(),
            protocol: format!(", {} protocol", section.entry.protocol),
            series: &section.series,
        }
    }

    /// What is under a figure of the paper's experiments if any of its runs was trained on synthetic data; elsewhere that is
    /// what was asked for.
    pub(super) fn synthetic_note(&self) -> Option<String> {
        self.experiment?;
        synthetic_note(self.runs().map(|(_, run)| run))
    }

    /// Every run, with its series.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&'a Series, &'a Run)> {
        let series = self.series.iter();
        series.flat_map(|series| series.runs.iter().map(move |run| (series, run)))
    }
}
