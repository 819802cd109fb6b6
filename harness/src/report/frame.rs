//! What all figures have in common: their width, their margins, their axes.

use maud::{Markup, html};

pub(super) const WIDTH: f64 = 680.0;
/// Room for the tick labels and the title of the vertical axis.
pub(super) const LEFT: f64 = 64.0;
pub(super) const RIGHT: f64 = 18.0;
/// Room for the tick labels and the title of the horizontal axis.
pub(super) const BOTTOM: f64 = 44.0;

/// The axes of a figure.
pub(super) struct Axes<'a> {
    /// Where the plot begins and ends.
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// Places in the drawing, and labels.
    pub(super) x_ticks: Vec<(f64, String)>,
    pub(super) y_ticks: Vec<(f64, String)>,
    pub(super) x_title: &'a str,
    pub(super) y_title: &'a str,
    /// Whether lines cross the plot at the vertical axis' ticks.
    pub(super) grid: bool,
}

impl Axes<'_> {
    pub(super) fn draw(&self) -> Markup {
        let (right, top, bottom) = (WIDTH - RIGHT, self.top, self.bottom);
        let middle = (top + bottom) / 2.0;
        html! {
            g class="axes" {
                @for (y, label) in &self.y_ticks {
                    @if self.grid { path class="grid" d={ "M" (LEFT) " " (px(*y)) "H" (right) } {} }
                    text class="tick" text-anchor="end" x=(LEFT - 7.0) y=(px(y + 4.5)) { (label) }
                }
                @for (x, label) in &self.x_ticks {
                    path class="axis" d={ "M" (px(*x)) " " (px(bottom)) "v5" } {}
                    text class="tick" text-anchor="middle" x=(px(*x)) y=(px(bottom + 18.0)) { (label) }
                }
                path class="axis" d={ "M" (LEFT) " " (px(top)) "V" (px(bottom)) "H" (right) } {}
                text text-anchor="middle" x=(px((LEFT + right) / 2.0)) y=(px(bottom + 38.0)) { (self.x_title) }
                text text-anchor="middle" transform={ "translate(14 " (px(middle)) ") rotate(-90)" } {
                    (self.y_title)
                }
            }
        }
    }
}

/// A coordinate to a tenth of a pixel, without a needless `.0`.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}
