//! What accuracy costs: test accuracy over the images sent through the network, the probes' included.

use super::axis::Scale;
use super::chart::{Chart, Line, Of, Source};
use super::document::Block;
use super::outcome::{Status, synthetic_note};
use super::{Run, Section};
use crate::number::grouped;

/// Images in a unit of the horizontal axis.
const MILLION: f64 = 1e6;

/// A point a finished run; none without one.
pub(super) fn figure(number: usize, section: &Section) -> Option<Block> {
    let mut lines = Vec::new();
    let mut without = 0_usize;
    for (hue, series) in section.series.iter().enumerate() {
        for run in &series.runs {
            let Some(point) = point(run) else {
                without += usize::from(matches!(Status::of(run), Status::Diverged { .. }));
                continue;
            };
            let mut line = Line::new(&series.entry.label, hue, Source::Ours, vec![point]);
            line.joined = false;
            if series.runs.len() > 1 {
                line.of = Of::Seed(run.entry.seed);
            }
            if matches!(Status::of(run), Status::Diverged { .. }) {
                line.rings.push(point.0);
            }
            lines.push(line);
        }
    }
    if lines.is_empty() {
        return None;
    }
    let costs = lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x);
    let (low, high, _) = Scale::linear(costs).ends();
    let mut notes = vec![
        "A point is a run: the test accuracy that the protocol reports, over all images sent forward and backward, those \
         of validation, tests and probes included. The paper does not say what its runs cost."
            .to_owned(),
    ];
    if lines.iter().any(|line| !line.rings.is_empty()) {
        notes.push(
            "A ring is a run that diverged: its point is what it had reached and spent.".to_owned(),
        );
    }
    if without > 0 {
        notes.push(format!(
            "Not drawn, since there is no accuracy to report: {} diverged.",
            grouped(without)
        ));
    }
    notes.extend(synthetic_note(section.runs().map(|(_, run)| run)));
    Some(Block::Figure(Chart {
        id: format!("figure-{number}-cost"),
        title: format!(
            "Test accuracy over total cost, {} protocol.",
            section.entry.protocol
        ),
        notes,
        x_title: "images forward and backward (million)".to_owned(),
        x_range: (low, high),
        y_title: "test accuracy (%)".to_owned(),
        log_y: false,
        ceiling: None,
        lines,
    }))
}

/// Cost in millions of images, and reported accuracy in percent.
fn point(run: &Run) -> Option<(f64, f64)> {
    let summary = run.log.as_ref()?.summary.as_ref()?;
    let images = summary.forwards.saturating_add(summary.backwards) as f64;
    let accuracy = 100.0 * summary.reported()?.accuracy;
    accuracy.is_finite().then_some((images / MILLION, accuracy))
}
