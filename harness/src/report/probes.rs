//! The heat maps of a section: what each closed loop tried, and what it chose.

use super::document::Block;
use super::group::Group;
use super::heat::HeatMap;
use super::outcome::synthetic_note;
use super::{Run, Series};
use crate::number::plural;

/// A heat map a run with decisions; of several seeds of a series the first is shown, and the others are folded away.
pub(super) fn heat_maps(number: usize, group: &Group<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (place, series) in group.series.iter().enumerate() {
        let runs = series.runs.iter().enumerate();
        let mut maps = runs.filter_map(|(i, run)| {
            heat_map(format!("heat-{number}-{place}-{i}"), group, series, run)
        });
        blocks.extend(maps.next().map(Block::Heat));
        let others: Vec<Block> = maps
            .enumerate()
            .map(|(i, mut map)| {
                map.legend = i == 0;
                Block::Heat(map)
            })
            .collect();
        if !others.is_empty() {
            blocks.push(Block::Details {
                summary: format!(
                    "{}: heat maps of {} more",
                    series.entry.label,
                    plural(others.len(), "seed")
                ),
                blocks: others,
            });
        }
    }
    blocks
}

fn heat_map(id: String, group: &Group<'_>, series: &Series, run: &Run) -> Option<HeatMap> {
    let title = format!(
        "{}: losses of the candidates{}.",
        series.label(run),
        group.protocol
    );
    let mut map = HeatMap::of(id, title, &run.log.as_ref()?.decisions)?;
    map.notes
        .extend(group.experiment.and_then(|_| synthetic_note([run])));
    Some(map)
}
