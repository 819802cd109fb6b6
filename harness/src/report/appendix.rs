//! The appendix: each run's specification and decisions, folded away.

use autolr_core::{Decision, Verdict};

use super::document::Block;
use super::number::{loss, rate};
use super::outcome::{Status, synthetic_note};
use super::table::{Cell, Column, Table};
use super::{Experiment, Placed};
use crate::record::DecisionRecord;

/// A folded block a run.
pub(super) fn blocks(experiments: &[Experiment<'_>]) -> Vec<Block> {
    let mut blocks = vec![
        Block::section("Appendix: the runs"),
        Block::paragraph(
            "The specification of each run and, where the rate was set by trying candidates, every decision, are folded \
             away in index.html. They are also in the run's folder under runs/, in spec.toml and events.jsonl.",
        ),
    ];
    let experiments = experiments.iter();
    for experiment in experiments {
        blocks.extend(experiment.runs().map(|run| details(experiment, run)));
    }
    blocks
}

fn details(experiment: &Experiment<'_>, placed: Placed<'_>) -> Block {
    let run = placed.run;
    let status = Status::of(run);
    let mut blocks = Vec::new();
    let mut facts = vec![format!("Folder: runs/{}", run.entry.run)];
    if let Status::Diverged { reason, .. } = status {
        facts.push(format!("Diverged: {reason}"));
    }
    if let Some(log) = &run.log {
        facts.push(format!(
            "SHA-256 of the specification: {}",
            log.provenance.spec
        ));
        facts.push(format!(
            "Data: {}, SHA-256 {}",
            log.provenance.data.name, log.provenance.data.digest
        ));
    }
    blocks.push(Block::List(facts));
    if !run.spec.is_empty() {
        blocks.push(Block::Verbatim(run.spec.clone()));
    }
    if let Some(log) = run.log.as_ref().filter(|log| !log.decisions.is_empty()) {
        let mut table = decisions(&log.decisions);
        table.notes.extend(synthetic_note([run]));
        blocks.push(Block::Table(table));
    }
    let short = experiment.title().split(':').next().unwrap_or_default();
    Block::Details {
        summary: format!(
            "{short}, {} protocol, {}: {}",
            placed.protocol,
            placed.label(),
            status.words()
        ),
        blocks,
    }
}

/// One row a decision; the candidates' values stand in one order throughout.
fn decisions(decisions: &[DecisionRecord]) -> Table {
    let columns = vec![
        Column::number("after epoch"),
        Column::number("learning rate"),
        Column::number("next"),
        Column::text("verdict"),
        Column::text("candidates"),
        Column::text("their losses"),
        Column::text("their weights"),
    ];
    let mut table = Table::new(
        "Decisions: the candidates' rates, losses and weights.",
        columns,
    );
    table.rows = decisions
        .iter()
        .map(|record| row(record.epoch, &record.decision))
        .collect();
    table
}

fn row(epoch: u64, decision: &Decision) -> Vec<Cell> {
    let join = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(" ");
    let verdict = match decision.verdict {
        Verdict::Raised => "raised",
        Verdict::Lowered => "lowered",
        Verdict::Held => "held",
        Verdict::NoFiniteLoss => "held: no finite loss",
        Verdict::Propagated => "NaN: a loss was not finite",
        _ => "other",
    };
    vec![
        Cell::new(epoch.to_string()),
        Cell::new(rate(decision.lr)),
        Cell::new(rate(decision.new_lr)),
        Cell::new(verdict),
        Cell::new(join(&mut decision.candidates.iter().map(|x| rate(*x)))),
        Cell::new(join(&mut decision.losses.iter().map(|x| loss(*x)))),
        Cell::new(join(
            &mut decision.weights.iter().map(|x| format!("{x:.3}")),
        )),
    ]
}
