//! Table 1: test accuracy by scheduler.

use super::outcome::{Status, divergence_notes, synthetic_note};
use super::table::{Cell, Column, Table};
use super::{Experiment, Run, number, published};

/// What stands under every table of results: how much one run says.
pub(super) const ONE_RUN: &str = "One run each (n = 1), here as presumably in the paper: differences between rows may \
    be chance, and none is claimed to be significant.";

/// The paper's number beside ours, a column a protocol.
pub(super) fn glance(experiment: &Experiment<'_>) -> Table {
    let protocols = experiment.protocols();
    let mut columns = vec![Column::text("scheduler"), Column::number("paper")];
    columns.extend(
        protocols
            .iter()
            .map(|protocol| Column::number(format!("{protocol} protocol"))),
    );
    let mut table = Table::new(
        "Table 1: test accuracy (%) on CIFAR-10 by scheduler.",
        columns,
    );
    for (name, label) in rows(experiment) {
        let mut row = vec![Cell::new(label), paper(name)];
        let reported = protocols.iter().map(|protocol| {
            let [reported, ..] = cells(run(experiment, protocol, name));
            reported
        });
        row.extend(reported);
        table.rows.push(row);
    }
    table.notes.push(ONE_RUN.to_owned());
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

/// The same with best epoch and accuracy after the last epoch: three columns a protocol.
pub(super) fn table(experiment: &Experiment<'_>) -> Table {
    let protocols = experiment.protocols();
    let mut columns = vec![
        Column::text("scheduler"),
        Column::number("test (%)").under("paper"),
    ];
    for protocol in &protocols {
        let group = format!("{protocol} protocol");
        columns.push(Column::number("test (%)").under(&group));
        columns.push(Column::number("best epoch").under(&group));
        columns.push(Column::number("last epoch (%)").under(&group));
    }
    let mut table = Table::new("Table 1: test accuracy on CIFAR-10 by scheduler.", columns);
    for (name, label) in rows(experiment) {
        let mut row = vec![Cell::new(label), paper(name)];
        for protocol in &protocols {
            row.extend(cells(run(experiment, protocol, name)));
        }
        table.rows.push(row);
    }
    table.notes.push(
        "Test: accuracy of the weights which the protocol reports, also behind the word diverged. Best epoch: the one with the lowest validation loss, \
         from 0. Last epoch: test accuracy of the last weights."
            .to_owned(),
    );
    table.notes.extend(divergence_notes(experiment.runs()));
    table.notes.push(ONE_RUN.to_owned());
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

/// The paper's schedulers in its order, then what it does not have.
fn rows<'a>(experiment: &Experiment<'a>) -> Vec<(&'a str, &'a str)> {
    let mut rows = experiment.series();
    let place = |name: &str| published::TABLE_1.iter().position(|(of, _)| *of == name);
    rows.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    for (name, _) in published::TABLE_1 {
        if !rows.iter().any(|(of, _)| *of == name) {
            rows.push((name, name));
        }
    }
    rows
}

/// The paper's number.
fn paper(name: &str) -> Cell {
    Cell::or_none(published::test_accuracy(name).map(|accuracy| format!("{accuracy:.1}")))
}

/// The first run of a series.
fn run<'a>(experiment: &Experiment<'a>, protocol: &str, name: &str) -> Option<&'a Run> {
    experiment.find(protocol, name)?.runs.first()
}

/// Reported accuracy, best epoch, accuracy after the last epoch.
fn cells(run: Option<&Run>) -> [Cell; 3] {
    let Some(run) = run else {
        return [Cell::none(), Cell::none(), Cell::none()];
    };
    let summary = run.log.as_ref().and_then(|log| log.summary.as_ref());
    let reported = match (
        Status::of(run),
        summary.and_then(|summary| summary.reported()),
    ) {
        (Status::Completed, Some(tested)) => Cell::strong(number::percent(tested.accuracy)),
        (Status::Completed, None) => Cell::none(),
        // What its best weights reach is a result too.
        (status @ Status::Diverged { .. }, Some(tested)) => Cell::diverged(format!(
            "{}; {}",
            status.words(),
            number::percent(tested.accuracy)
        )),
        (status, _) => status.cell(),
    };
    let best = summary.and_then(|summary| summary.best_epoch);
    let last = summary.and_then(|summary| summary.last);
    [
        reported,
        Cell::or_none(best.map(|epoch| epoch.to_string())),
        Cell::or_none(last.map(|tested| number::percent(tested.accuracy))),
    ]
}
