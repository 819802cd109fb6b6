//! Table 1: test accuracy by scheduler.

use std::collections::BTreeSet;

use super::outcome::{Status, divergence_notes, is_synthetic, synthetic_note};
use super::seeds::{OverSeeds, Weights, interval};
use super::table::{Cell, Column, Table};
use super::{Experiment, Run, Series, published};
use crate::number;
use crate::number::hundredths;

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
        let reported = protocols
            .iter()
            .map(|protocol| match experiment.find(protocol, name) {
                Some(series) if series.runs.len() > 1 => {
                    OverSeeds::accuracy(series, Weights::Reported).cell(hundredths)
                }
                _ => {
                    let [reported, ..] = cells(run(experiment, protocol, name));
                    reported
                }
            });
        row.extend(reported);
        table.rows.push(row);
    }
    table.notes.push(if experiment.several_seeds() {
        "Ours: mean over the seeds that completed ± half its 95 % interval (Student's t), and how many diverged. What \
         may be said of the differences stands under Table 1 below."
            .to_owned()
    } else {
        experiment.sample_note()
    });
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

/// Table 1 in full: over seeds and seed by seed, or one run each.
pub(super) fn tables(experiment: &Experiment<'_>) -> Vec<Table> {
    if experiment.several_seeds() {
        vec![over_seeds(experiment), every_value(experiment)]
    } else {
        vec![table(experiment)]
    }
}

/// Every series with its protocols, in Table 1's order.
fn every_series<'a>(experiment: &Experiment<'a>) -> Vec<(&'a str, &'a Series)> {
    let protocols = experiment.protocols();
    rows(experiment)
        .into_iter()
        .flat_map(|(name, _)| {
            let found = protocols
                .iter()
                .map(move |protocol| (*protocol, experiment.find(protocol, name)));
            found.filter_map(|(protocol, series)| Some((protocol, series?)))
        })
        .collect()
}

/// Mean, deviation and interval over seeds, the paper's number beside them.
fn over_seeds(experiment: &Experiment<'_>) -> Table {
    let (reported, last) = ("test (%)", "test after the last epoch (%)");
    let columns = vec![
        Column::text("scheduler"),
        Column::text("protocol"),
        Column::number("completed (n)"),
        Column::number("diverged"),
        Column::number("mean").under(reported),
        Column::number("standard deviation").under(reported),
        Column::number("95 % interval").under(reported),
        Column::number("test (%)").under("paper"),
        Column::text("in the interval").under("paper"),
        Column::number("mean").under(last),
        Column::number("95 % interval").under(last),
    ];
    let mut table = Table::new(
        "Table 1: test accuracy on CIFAR-10 by scheduler, over seeds.",
        columns,
    );
    for (protocol, series) in every_series(experiment) {
        let over = OverSeeds::accuracy(series, Weights::Reported);
        let last = OverSeeds::accuracy(series, Weights::Last);
        let mean = |over: &OverSeeds| over.estimate.map(|estimate| hundredths(estimate.mean));
        let interval = |over: &OverSeeds| over.estimate.as_ref().and_then(interval);
        let published = published::test_accuracy(&series.entry.name);
        let synthetic = series.runs.iter().any(is_synthetic);
        let inside = published.filter(|_| !synthetic).zip(over.estimate);
        let inside = inside.and_then(|(paper, estimate)| estimate.contains(paper));
        let n = over.estimate.map_or(0, |estimate| estimate.n);
        table.rows.push(vec![
            Cell::new(&series.entry.label),
            Cell::new(protocol),
            if over.pending > 0 {
                Cell::faint(format!("{n}; {} not finished", over.pending))
            } else {
                Cell::new(n.to_string())
            },
            if over.diverged > 0 {
                Cell::diverged(format!("{} of {}", over.diverged, over.runs))
            } else {
                Cell::new("0")
            },
            mean(&over).map_or_else(Cell::none, Cell::strong),
            Cell::or_none(over.estimate.and_then(|e| e.deviation).map(hundredths)),
            Cell::or_none(interval(&over)),
            paper(&series.entry.name),
            Cell::or_none(inside.map(|inside| if inside { "yes" } else { "no" }.to_owned())),
            Cell::or_none(mean(&last)),
            Cell::or_none(interval(&last)),
        ]);
    }
    table.notes = vec![
        "Test: accuracy of the weights which the protocol reports. Means, deviations and intervals (Student's t) are over \
         the runs that completed: a run that diverged has no accuracy, none is made up for it, and its number stands \
         beside them."
            .to_owned(),
        "The interval is that of the mean over seeds. The paper's number is presumably one run, which scatters more than \
         a mean: outside the interval, it may still be one of ours."
            .to_owned(),
    ];
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

/// Every seed's value.
fn every_value(experiment: &Experiment<'_>) -> Table {
    let seeds: BTreeSet<u64> = experiment
        .runs()
        .map(|placed| placed.run.entry.seed)
        .collect();
    let mut columns = vec![
        Column::text("scheduler"),
        Column::text("protocol"),
        Column::text("weights"),
    ];
    columns.extend(
        seeds
            .iter()
            .map(|seed| Column::number(format!("seed {seed}"))),
    );
    let mut table = Table::new("Table 1: test accuracy (%) of every run.", columns);
    for (protocol, series) in every_series(experiment) {
        let run = |seed: &u64| series.runs.iter().find(|run| run.entry.seed == *seed);
        for weights in [Weights::Reported, Weights::Last] {
            let mut row = vec![
                Cell::new(&series.entry.label),
                Cell::new(protocol),
                Cell::new(match weights {
                    Weights::Reported => "reported",
                    Weights::Last => "last epoch",
                }),
            ];
            row.extend(seeds.iter().map(|seed| match run(seed) {
                None => Cell::none(),
                Some(run) => value(run, weights),
            }));
            table.rows.push(row);
        }
    }
    table.notes.push(
        "Reported: the weights which the protocol reports, also behind the word diverged. Last epoch: those at the end."
            .to_owned(),
    );
    table.notes.extend(divergence_notes(experiment.runs()));
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

/// Accuracy of a run, or how far it has come.
fn value(run: &Run, weights: Weights) -> Cell {
    let status = Status::of(run);
    let accuracy = run.log.as_ref().and_then(|log| weights.accuracy(log));
    match (status, accuracy) {
        (Status::Completed, accuracy) => Cell::or_none(accuracy.map(hundredths)),
        // What its weights reach is a result too, though not one to average.
        (Status::Diverged { .. }, Some(accuracy)) => {
            Cell::diverged(format!("{}; {}", status.words(), hundredths(accuracy)))
        }
        _ => status.cell(),
    }
}

/// The same as at a glance with best epoch and accuracy after the last epoch: three columns a protocol.
fn table(experiment: &Experiment<'_>) -> Table {
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
    table.notes.push(experiment.sample_note());
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
        summary.and_then(|summary| summary.reported()?.accuracy),
    ) {
        (Status::Completed, Some(accuracy)) => Cell::strong(number::percent(accuracy)),
        (Status::Completed, None) => Cell::none(),
        // What its best weights reach is a result too.
        (status @ Status::Diverged { .. }, Some(accuracy)) => {
            Cell::diverged(format!("{}; {}", status.words(), number::percent(accuracy)))
        }
        (status, _) => status.cell(),
    };
    let best = summary.and_then(|summary| summary.best_epoch);
    let last = summary.and_then(|summary| summary.last);
    [
        reported,
        Cell::or_none(best.map(|epoch| epoch.to_string())),
        Cell::or_none(last.and_then(|tested| Some(number::percent(tested.accuracy?)))),
    ]
}
