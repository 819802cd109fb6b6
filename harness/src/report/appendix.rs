//! The appendix: each run's specification, folded away.

use super::document::Block;
use super::outcome::Status;
use super::{Experiment, Placed};

/// A folded block a run.
pub(super) fn blocks(experiments: &[Experiment<'_>]) -> Vec<Block> {
    let mut blocks = vec![
        Block::section("Appendix: the runs"),
        Block::paragraph(
            "The specification of each run is folded away in index.html; every decision stands under the heat maps. They \
             are also in the run's folder under runs/, in spec.toml and events.jsonl.",
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
