//! What the runs cost: images through the network, and time.

use super::outcome::synthetic_note;
use super::table::{Cell, Column, Table};
use super::{Experiment, Series};
use crate::number;
use crate::record::Summary;

/// Images forward and backward, the probes' share of them, and wall-clock time, by run.
pub(super) fn table(experiment: &Experiment<'_>) -> Table {
    let several = experiment.several_seeds();
    let mut columns = vec![Column::text("run"), Column::text("protocol")];
    if several {
        columns.push(Column::number("runs ended"));
    }
    columns.extend([
        Column::number("epochs"),
        Column::number("images forward"),
        Column::number("images backward"),
        Column::number("of these, by probes (%)"),
        Column::number("time"),
    ]);
    let mut table = Table::new(
        "Images sent through the network, and wall-clock time.",
        columns,
    );
    for (name, label) in experiment.series() {
        for protocol in experiment.protocols() {
            if let Some(series) = experiment.find(protocol, name) {
                table.rows.push(row(label, protocol, series, several));
            }
        }
    }
    if several {
        table.notes.push(
            "Totals over the seeds. Epochs and time of runs that have not ended are counted so far, their images are not."
                .to_owned(),
        );
    }
    table.notes.push(
        "Forward counts training, validation, test and probes. Time is that of this machine, with whatever else ran on it."
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
    let (forwards, backwards) = (total(|s| s.forwards), total(|s| s.backwards));
    let probes = total(|s| s.probe_forwards.saturating_add(s.probe_backwards));
    let share = || {
        let all = forwards?.saturating_add(backwards?);
        (all > 0).then_some(number::percent(probes? as f64 / all as f64))
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
        Cell::or_none(forwards.map(number::count)),
        Cell::or_none(backwards.map(number::count)),
        Cell::or_none(share()),
        Cell::or_none(time),
    ]);
    cells
}
