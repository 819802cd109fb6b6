//! What the runs cost: images through the network, and time.

use super::outcome::synthetic_note;
use super::table::{Cell, Column, Table};
use super::{Experiment, Placed, number};

/// Images forward and backward, the probes' share of them, and wall-clock time, by run.
pub(super) fn table(experiment: &Experiment<'_>) -> Table {
    let columns = vec![
        Column::text("run"),
        Column::text("protocol"),
        Column::number("images forward"),
        Column::number("images backward"),
        Column::number("of these, by probes (%)"),
        Column::number("time"),
    ];
    let mut table = Table::new(
        "Images sent through the network, and wall-clock time.",
        columns,
    );
    for (name, _) in experiment.series() {
        table
            .rows
            .extend(experiment.runs_of(name).into_iter().map(row));
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

fn row(placed: Placed<'_>) -> Vec<Cell> {
    let run = placed.run;
    let summary = run.log.as_ref().and_then(|log| log.summary.as_ref());
    let share = summary.and_then(|s| {
        let all = s.forwards.saturating_add(s.backwards);
        let probes = s.probe_forwards.saturating_add(s.probe_backwards);
        (all > 0).then(|| number::percent(probes as f64 / all as f64))
    });
    let seconds = run.seconds.map(number::duration);
    let unfinished = run.log.is_some() && summary.is_none();
    vec![
        Cell::new(placed.label()),
        Cell::new(placed.protocol),
        Cell::or_none(summary.map(|s| number::count(s.forwards))),
        Cell::or_none(summary.map(|s| number::count(s.backwards))),
        Cell::or_none(share),
        Cell::or_none(seconds.map(|time| {
            if unfinished {
                format!("{time} so far")
            } else {
                time
            }
        })),
    ]
}
