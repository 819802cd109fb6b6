//! The appendix: each run's specification, folded away.

use super::document::Block;
use super::outcome::Status;
use super::{Experiment, Placed, Run};

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
    let short = experiment.title().split(':').next().unwrap_or_default();
    let label = format!("{short}, {} protocol, {}", placed.protocol, placed.label());
    let folder = format!("runs/{}", placed.run.entry.run);
    folded(&label, &folder, placed.run)
}

/// A run of any folder.
pub(super) fn run(label: &str, run: &Run) -> Block {
    folded(label, &run.entry.run, run)
}

fn folded(label: &str, folder: &str, run: &Run) -> Block {
    let status = Status::of(run);
    let mut blocks = Vec::new();
    let mut facts = vec![format!("Folder: {folder}")];
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
    Block::Details {
        summary: format!("{label}: {}", status.words()),
        blocks,
    }
}
