//! Draws a heat map as inline SVG.
//!
//! A cell takes a few bytes: cells of one colour are one path of horizontal strokes, in units of cells, and neighbours
//! are one stroke. Two hundred runs of a hundred epochs have to fit into a page that a phone can open.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::axis::Scale;
use super::frame::{Axes, BOTTOM, LEFT, RIGHT, WIDTH, px};
use super::heat::{Cell, HeatMap, ticks};

const TOP: f64 = 8.0;
/// Height of a row of cells, where there are few.
const ROW: f64 = 26.0;
/// Height of all rows, where there are many.
const HIGHEST: f64 = 340.0;

/// Where things are.
struct Layout {
    /// Width of a cell.
    column: f64,
    /// Height of a cell.
    row: f64,
    bottom: f64,
    /// log₂ of the topmost row's middle.
    top_log2: f64,
    spacing: f64,
}

impl Layout {
    fn of(map: &HeatMap) -> Self {
        let (low, high) = map.range();
        let rows = (high - low) / map.spacing;
        let row = ROW.min(HIGHEST / rows);
        Self {
            column: (WIDTH - LEFT - RIGHT) / map.epochs as f64,
            row,
            bottom: TOP + rows * row,
            top_log2: high - map.spacing / 2.0,
            spacing: map.spacing,
        }
    }

    /// The row of a factor, 0 for the topmost; between two for a factor between two.
    fn row_of(&self, log2: f64) -> f64 {
        (self.top_log2 - log2) / self.spacing
    }

    fn x(&self, epoch: f64) -> f64 {
        LEFT + (epoch + 0.5) * self.column
    }

    fn y(&self, log2: f64) -> f64 {
        TOP + (self.row_of(log2) + 0.5) * self.row
    }
}

/// The heat map as an `<svg>` element, with a title and a description for screen readers.
pub(super) fn draw(map: &HeatMap) -> Markup {
    let layout = Layout::of(map);
    let (title, description) = (format!("{}-title", map.id), format!("{}-desc", map.id));
    let dots = format!("{}-dots", map.id);
    let height = layout.bottom + BOTTOM;
    // Strokes are in units of cells: the x of a cell is its epoch, the y its row.
    let units = |dx: f64, scale: f64| {
        format!(
            "translate({} {}) scale({} {})",
            px(LEFT + dx * layout.column),
            fine(TOP + 0.5 * layout.row),
            fine(layout.column * scale),
            fine(layout.row * scale)
        )
    };
    // What the script needs to find the cell under the pointer.
    let place = [
        LEFT,
        TOP,
        layout.column,
        layout.row,
        layout.top_log2,
        layout.spacing,
    ];
    let place = place.map(|x| x.to_string()).join(" ");
    html! {
        svg class="chart heat" viewBox={ "0 0 " (WIDTH) " " (px(height)) } role="img" data-heat=(place)
            aria-labelledby={ (title) " " (description) } {
            title id=(title) { (map.title) }
            desc id=(description) { (map.description()) }
            g class="cells" transform=(units(0.0, 1.0)) {
                @for (colour, path) in strokes(&map.cells, &layout) {
                    path class=(class(colour)) d=(path) {}
                }
            }
            path class="broken" transform=(units(0.0, 0.1)) d=(crosses(&map.cells, &layout)) {}
            (axes(map, &layout))
            g class="halo" transform=(units(0.5, 1.0)) { path class="dot" id=(dots) d=(chosen(map, &layout)) {} }
            g class="dots" { use href={ "#" (dots) } transform=(units(0.5, 1.0)) {} }
        }
    }
}

/// The class of a colour.
pub(super) fn class(colour: Option<usize>) -> String {
    colour.map_or_else(|| "h-none".to_owned(), |colour| format!("h{colour}"))
}

/// A path for each colour; neighbouring cells of one row are one stroke.
fn strokes(cells: &[Cell], layout: &Layout) -> Vec<(Option<usize>, String)> {
    let mut rows: BTreeMap<(Option<usize>, String), Vec<u64>> = BTreeMap::new();
    for cell in cells {
        let row = fine(layout.row_of(cell.log2));
        rows.entry((cell.colour, row)).or_default().push(cell.epoch);
    }
    let mut paths: BTreeMap<Option<usize>, String> = BTreeMap::new();
    for ((colour, row), epochs) in rows {
        let path = paths.entry(colour).or_default();
        for run in epochs.chunk_by(|a, b| a + 1 == *b) {
            if let [first, ..] = run {
                path.push_str(&format!("M{first} {row}h{}", run.len()));
            }
        }
    }
    paths.into_iter().collect()
}

/// A cross in each cell without a finite loss, in tenths of cells.
fn crosses(cells: &[Cell], layout: &Layout) -> String {
    let broken = cells.iter().filter(|cell| cell.colour.is_none());
    let cross = |cell: &Cell| {
        let (x, y) = (
            10 * cell.epoch + 2,
            fine(10.0 * layout.row_of(cell.log2) - 3.0),
        );
        format!("M{x} {y}l6 6m0 -6l-6 6")
    };
    broken.map(cross).collect()
}

/// A dot at the factor of each decision: a stroke without length and with round ends.
fn chosen(map: &HeatMap, layout: &Layout) -> String {
    let dots = map.chosen.iter();
    dots.map(|(epoch, log2)| format!("M{epoch} {}h0", fine(layout.row_of(*log2))))
        .collect()
}

fn axes(map: &HeatMap, layout: &Layout) -> Markup {
    let epochs = Scale::between(0.0, (map.epochs - 1).max(1) as f64).ticks();
    // Between whole epochs there is nothing.
    let epochs = epochs
        .into_iter()
        .filter(|(x, _)| x.fract() == 0.0 && *x < map.epochs as f64);
    let factors = ticks(map).into_iter();
    Axes {
        top: TOP,
        bottom: layout.bottom,
        x_ticks: epochs.map(|(x, _)| (layout.x(x), x.to_string())).collect(),
        y_ticks: factors
            .map(|(log2, label)| (layout.y(log2), label.to_string()))
            .collect(),
        x_title: "epoch",
        y_title: "factor",
        grid: false,
    }
    .draw()
}

/// A number to a hundredth, without needless zeros.
fn fine(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(epoch: u64, log2: f64, colour: Option<usize>) -> Cell {
        Cell {
            epoch,
            log2,
            colour,
        }
    }

    fn layout() -> Layout {
        Layout {
            column: 6.0,
            row: 20.0,
            bottom: 100.0,
            top_log2: 1.0,
            spacing: 1.0,
        }
    }

    #[test]
    fn neighbours_are_one_stroke() {
        let cells = [
            cell(0, 1.0, Some(0)),
            cell(0, 0.0, None),
            cell(1, 1.0, Some(0)),
            cell(2, 1.0, Some(4)),
            cell(4, 1.0, Some(0)),
        ];
        let paths = strokes(&cells, &layout());
        let expected = [
            (None, "M0 1h1"),
            (Some(0), "M0 0h2M4 0h1"),
            (Some(4), "M2 0h1"),
        ];
        let expected = expected.map(|(colour, path)| (colour, path.to_owned()));
        assert_eq!(paths, expected);
        assert_eq!(crosses(&cells, &layout()), "M2 7l6 6m0 -6l-6 6");
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(2.0, "2"), (0.5, "0.5"), (-0.001, "0"), (100.0, "100")] {
            assert_eq!(fine(value), text);
        }
    }
}
