//! The tables of figures 2 and 3: where the losses end, and whether they descend twice.

use super::curves::judge;
use super::outcome::{Status, divergence_notes, synthetic_note};
use super::seeds::OverSeeds;
use super::table::{Cell, Column, Table};
use super::{DescentVerdict, Experiment, Series, Swings, published};
use crate::experiment::ExperimentName;
use crate::number::{loss, plural, rate, significant};
use crate::record::RunLog;
use crate::statistics::Observation;

/// Final and best validation loss, final rate and double descent, by series and source.
pub(super) fn table(experiment: &Experiment<'_>) -> Table {
    let columns = vec![
        Column::text("series"),
        Column::text("source"),
        Column::text("state"),
        Column::number("final loss"),
        Column::number("best loss"),
        Column::number("best epoch"),
        Column::number("final learning rate"),
        Column::text("double descent"),
    ];
    let caption = match experiment.name {
        ExperimentName::Fig3 => "Figure 3: validation loss (nats) by size of the scoring batch.",
        _ => "Figure 2: validation loss (nats) by number of factors.",
    };
    let mut table = Table::new(caption, columns);
    for (name, label) in experiment.series() {
        if let Some(losses) = published::validation_loss(experiment.name, name) {
            let losses: Vec<(u64, f64)> = losses
                .iter()
                .map(|reading| (reading.epoch, reading.value))
                .collect();
            let rate = paper_final_rate(experiment.name, name);
            table
                .rows
                .push(row(label, "paper", Cell::none(), &losses, rate));
        }
        for placed in experiment.runs_of(name) {
            let log = placed.run.log.as_ref();
            let epochs = log.map_or(&[][..], |log| log.epochs.as_slice());
            let losses: Vec<(u64, f64)> = epochs
                .iter()
                .map(|e| (e.epoch, e.validation_loss))
                .collect();
            let rate = Cell::or_none(epochs.last().map(|epoch| rate(epoch.lr)));
            let state = Status::of(placed.run).cell();
            table
                .rows
                .push(row(&placed.label(), placed.protocol, state, &losses, rate));
        }
        for protocol in experiment.protocols() {
            let series = experiment.find(protocol, name);
            let several = series.filter(|series| series.runs.len() > 1);
            table
                .rows
                .extend(several.map(|series| over_seeds(protocol, series)));
        }
    }
    table
        .notes
        .push("Double descent: by the rule under the figures of validation losses.".to_owned());
    table.notes.extend(divergence_notes(experiment.runs()));
    table.notes.push(experiment.sample_note());
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    table
}

/// Mean ± half the 95 % interval of the final and the best loss of the runs that completed.
fn over_seeds(protocol: &str, series: &Series) -> Vec<Cell> {
    let over = |of: &dyn Fn(&RunLog) -> Option<f64>| {
        OverSeeds::of(series.runs.iter().map(|run| match Status::of(run) {
            Status::NotBegun | Status::Unreadable { .. } | Status::NotFinished { .. } => {
                Observation::Pending
            }
            Status::Diverged { .. } => Observation::Diverged,
            Status::Completed => {
                Observation::value(run.log.as_ref().and_then(of).unwrap_or(f64::NAN))
            }
        }))
    };
    let last = over(&|log| log.epochs.last().map(|epoch| epoch.validation_loss));
    let best = over(&|log| {
        let losses = log.epochs.iter().map(|epoch| epoch.validation_loss);
        losses.filter(|loss| loss.is_finite()).reduce(f64::min)
    });
    vec![
        Cell::new(format!("{}, mean ± 95 % interval", series.entry.label)),
        Cell::new(protocol),
        Cell::new(last.counts()),
        last.cell(loss),
        best.cell(loss),
        Cell::none(),
        Cell::none(),
        Cell::none(),
    ]
}

/// The last rate that the plot shows, or that it is below what can be read.
fn paper_final_rate(experiment: ExperimentName, name: &str) -> Cell {
    match published::learning_rate(experiment, name) {
        None => Cell::none(),
        Some(curve) if (curve.len() as u64) < published::epochs(experiment) => {
            Cell::new(format!("< {}", rate(published::LEARNING_RATE_PIXEL)))
        }
        Some(curve) => Cell::or_none(curve.last().map(|reading| rate(reading.value))),
    }
}

fn row(label: &str, source: &str, state: Cell, losses: &[(u64, f64)], rate: Cell) -> Vec<Cell> {
    let finite = losses.iter().filter(|(_, loss)| loss.is_finite());
    let best = finite.min_by(|a, b| a.1.total_cmp(&b.1));
    let verdict = if losses.is_empty() {
        Cell::none()
    } else {
        verdict_cell(losses)
    };
    vec![
        Cell::new(label),
        Cell::new(source),
        state,
        Cell::or_none(losses.last().map(|(_, last)| loss(*last))),
        Cell::or_none(best.map(|(_, best)| loss(*best))),
        Cell::or_none(best.map(|(epoch, _)| epoch.to_string())),
        rate,
        verdict,
    ]
}

/// The verdict in words, with the epochs of first low, peak and second low.
fn verdict_cell(losses: &[(u64, f64)]) -> Cell {
    let epochs = |swings: Swings| {
        let at = |index: usize| losses.get(index).map_or(0, |(epoch, _)| *epoch);
        format!(
            "{}, {}, {}",
            at(swings.first_low),
            at(swings.peak),
            at(swings.second_low)
        )
    };
    match judge(losses) {
        DescentVerdict::TooShort { epochs } => {
            Cell::faint(format!("not judged ({})", plural(epochs, "epoch")))
        }
        DescentVerdict::TooNoisy { noise } => Cell::faint(format!(
            "not judged (noise {} % of the range)",
            significant(100.0 * noise)
        )),
        DescentVerdict::Absent => Cell::new("no"),
        DescentVerdict::NoNewLow(swings) => Cell::new(format!(
            "no: falls again, but to no new low (epochs {})",
            epochs(swings)
        )),
        DescentVerdict::DoubleDescent(swings) => {
            Cell::strong(format!("yes (epochs {})", epochs(swings)))
        }
    }
}
