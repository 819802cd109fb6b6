//! What the runs cost: compute, and time.

use super::outcome::synthetic_note;
use super::table::{Cell, Column, Table};
use super::{Experiment, Series};
use crate::number;
use crate::record::Summary;

/// Compute, the share of probing and search in it, and wall-clock time, by run.
pub(super) fn table(experiment: &Experiment<'_>) -> Table {
    let several = experiment.several_seeds();
    let mut columns = vec![Column::text("run"), Column::text("protocol")];
    if several {
        columns.push(Column::number("runs ended"));
    }
    columns.extend([
        Column::number("epochs"),
        Column::number("compute"),
        Column::number("of it, probing and search (%)"),
        Column::number("time"),
    ]);
    let mut table = Table::new("Compute, and wall-clock time.", columns);
    for (name, label) in experiment.series() {
        for protocol in experiment.protocols() {
            if let Some(series) = experiment.find(protocol, name) {
                table.rows.push(row(label, protocol, series, several));
            }
        }
    }
    if several {
        table.notes.push(
            "Totals over the seeds. Epochs and time of runs that have not ended are counted so far, their compute is not."
                .to_owned(),
        );
    }
    table.notes.push(
        "Compute is in forward passes of an image: a forward pass costs 1, a backward pass 2; training, probing and search \
         count, validation and tests do not. Time is that of this machine, with whatever else ran on it."
            .to_owned(),
    );
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

fn row(label: &str, protocol: &str, series: &Series, several: bool) -> Vec<Cell> {
    let logs = || series.runs.iter().filter_map(|run| run.log.as_ref());
    let ended: Vec<&Summary> = logs().filter_map(|log| log.summary.as_ref()).collect();
    let total = |of: fn(&Summary) -> u64| {
        let total = ended.iter().map(|summary| of(summary));
        (!ended.is_empty()).then(|| total.fold(0, u64::saturating_add))
    };
    let all = total(|summary| {
        let (trained, search) = summary.compute();
        trained.saturating_add(search)
    });
    let search = total(|summary| summary.compute().1);
    let share = || {
        let all = all?;
        (all > 0).then_some(number::percent(search? as f64 / all as f64))
    };
    let epochs = logs().map(|log| log.epochs.len() as u64);
    let epochs = epochs.reduce(u64::saturating_add);
    let seconds = series.runs.iter().filter_map(|run| run.seconds);
    let seconds = seconds.reduce(|a, b| a + b).map(number::duration);
    let unfinished = logs().any(|log| log.summary.is_none());
    let time = seconds.map(|time| {
        if unfinished {
            format!("{time} so far")
        } else {
            time
        }
    });
    let mut cells = vec![Cell::new(label), Cell::new(protocol)];
    if several {
        let (ended, runs) = (ended.len(), series.runs.len());
        cells.push(if ended == runs {
            Cell::new(runs.to_string())
        } else {
            Cell::faint(format!("{ended} of {runs}"))
        });
    }
    cells.extend([
        Cell::or_none(epochs.map(number::count)),
        Cell::or_none(all.map(number::count)),
        Cell::or_none(share()),
        Cell::or_none(time),
    ]);
    cells
}
