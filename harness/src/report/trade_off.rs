//! What accuracy costs: test accuracy over the compute of training, probing and search.

use super::axis::Scale;
use super::chart::{Chart, Line, Of, Source};
use super::document::Block;
use super::outcome::{Status, synthetic_note};
use super::{Run, Section};
use crate::number::grouped;

/// Forward passes in a unit of the horizontal axis.
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
        "A point is a run: the test accuracy that the protocol reports, over its compute. A forward pass of an image costs \
         1, a backward pass 2; training, probing and search count, validation and tests do not. The paper does not say \
         what its runs cost."
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
        x_title: "compute (million forward passes of an image)".to_owned(),
        x_range: (low, high),
        y_title: "test accuracy (%)".to_owned(),
        log_y: false,
        ceiling: None,
        lines,
    }))
}

/// Compute in millions, and reported accuracy in percent.
fn point(run: &Run) -> Option<(f64, f64)> {
    let summary = run.log.as_ref()?.summary.as_ref()?;
    let (trained, search) = summary.compute();
    let compute = trained.saturating_add(search) as f64;
    let accuracy = 100.0 * summary.reported()?.accuracy?;
    accuracy
        .is_finite()
        .then_some((compute / MILLION, accuracy))
}
