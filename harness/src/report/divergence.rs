//! The run from learning rate 1: does it converge?

use super::outcome::{Status, is_synthetic, synthetic_note};
use super::seeds::{OverSeeds, Weights};
use super::table::{Cell, Column, Table};
use super::{Experiment, Placed, Series};
use crate::number;
use crate::number::plural;

/// How each run ended.
pub(super) fn table(experiment: &Experiment<'_>) -> Table {
    let columns = vec![
        Column::text("run"),
        Column::text("protocol"),
        Column::text("outcome"),
        Column::text("what happened"),
        Column::number("last validation loss"),
        Column::number("last learning rate"),
        Column::number("test accuracy of the reported weights (%)"),
    ];
    let mut table = Table::new(
        "Divergence: how the runs from learning rate 1 end.",
        columns,
    );
    let faint = || Cell::none();
    table.rows.push(vec![
        Cell::new("paper"),
        faint(),
        Cell::diverged("does not converge"),
        faint(),
        faint(),
        faint(),
        faint(),
    ]);
    for (name, _) in experiment.series() {
        table
            .rows
            .extend(experiment.runs_of(name).into_iter().map(row));
    }
    table.notes.push(
        "A run counts as diverged if a loss is not finite, or if the accuracy of its last weights is at chance; the \
         weights that the protocol reports may be those of an earlier epoch.".to_owned(),
    );
    table.notes.push(experiment.sample_note());
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

fn row(placed: Placed<'_>) -> Vec<Cell> {
    let run = placed.run;
    let status = Status::of(run);
    let last = run.log.as_ref().and_then(|log| log.epochs.last());
    let summary = run.log.as_ref().and_then(|log| log.summary.as_ref());
    let tested = summary.and_then(|summary| summary.reported());
    let reason = match status {
        Status::Diverged { reason, .. } => Cell::new(reason),
        _ => Cell::none(),
    };
    vec![
        Cell::new(placed.label()),
        Cell::new(placed.protocol),
        status.cell(),
        reason,
        Cell::or_none(last.map(|epoch| number::loss(epoch.validation_loss))),
        Cell::or_none(last.map(|epoch| number::rate(epoch.lr))),
        Cell::or_none(tested.and_then(|tested| Some(number::percent(tested.accuracy?)))),
    ]
}

/// One sentence a run: how it ended, and whether the paper says the same.
pub(super) fn sentences(experiment: &Experiment<'_>) -> Vec<String> {
    let sentence = |placed: Placed<'_>| {
        let run = placed.run;
        // The paper has one such run; what was added to it has nothing to be compared with.
        let comparable = placed.series.entry.name == "ours" && !is_synthetic(run);
        let status = Status::of(run);
        let (why, paper) = match status {
            Status::Diverged { reason, .. } => (format!(": {reason}"), ", as in the paper"),
            Status::Completed => (String::new(), ", unlike in the paper"),
            Status::NotBegun | Status::Unreadable { .. } | Status::NotFinished { .. } => {
                (String::new(), "")
            }
        };
        let paper = if comparable { paper } else { "" };
        format!(
            "{} ({} protocol): {}{paper}{why}.",
            placed.label(),
            placed.protocol,
            status.words(),
            why = why.trim_end_matches('.')
        )
    };
    let several = |series: &Series| series.runs.len() > 1;
    experiment
        .every_series()
        .flat_map(|(protocol, series)| {
            if several(series) {
                vec![counts(protocol, series)]
            } else {
                Placed::all(protocol, series).map(sentence).collect()
            }
        })
        .collect()
}

/// One sentence for several seeds: how many ended how.
fn counts(protocol: &str, series: &Series) -> String {
    let over = OverSeeds::accuracy(series, Weights::Reported);
    let completed = over.runs - over.diverged - over.pending;
    let pending = match over.pending {
        0 => String::new(),
        pending => format!(", {pending} not finished"),
    };
    format!(
        "{} ({protocol} protocol): of {}, {} diverged, {completed} completed{pending}.",
        series.entry.label,
        plural(over.runs, "seed"),
        over.diverged
    )
}
