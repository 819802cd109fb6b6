//! Small multiples over initial rates, as an SVG file that stands alone: colours and fonts are inside.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use super::axis::Scale;

const WIDTH: f64 = 900.0;
const PANEL_HEIGHT: f64 = 190.0;
/// The least that an axis of percent spans, so that small differences look small.
const LEAST_PERCENT: f64 = 10.0;
/// Around the plot of a panel: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (46.0, 10.0, 26.0, 34.0);
const LEGEND: f64 = 34.0;
/// Colours that differ for the colour-blind too (Okabe and Ito), at 3:1 on white or more.
const COLOURS: [&str; 6] = [
    "#0072b2", "#000000", "#d55e00", "#6a6a6a", "#009e73", "#cc79a7",
];
const DASHES: [&str; 3] = ["none", "6 3", "2 3"];

/// A vertical axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vertical {
    Percent,
    Linear,
    Log,
}

/// A whole figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) title: &'static str,
    /// What is on the horizontal axes.
    pub(crate) horizontal: &'static str,
    /// What a × means.
    pub(crate) cross: &'static str,
    pub(crate) panels: Vec<Panel>,
}

/// A panel: what one problem came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// What is on the vertical axis.
    pub(crate) metric: String,
    pub(crate) vertical: Vertical,
    pub(crate) lines: Vec<PanelLine>,
}

/// A method in a panel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PanelLine {
    /// The same in every panel: it gives the colour.
    pub(crate) label: String,
    pub(crate) points: Vec<Point>,
}

/// A mean over runs, and half its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// None for a method that takes no rate: it is drawn all the way.
    pub(crate) lr: Option<f64>,
    /// None if all runs diverged.
    pub(crate) mean: Option<f64>,
    pub(crate) half: f64,
    /// Whether any run diverged.
    pub(crate) diverged: bool,
}

/// The file.
pub(crate) fn svg(figure: &Figure) -> String {
    let panels = &figure.panels;
    let mut labels: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !labels.contains(&&*line.label) {
            labels.push(&line.label);
        }
    }
    let points = || {
        let lines = panels.iter().flat_map(|panel| &panel.lines);
        lines.flat_map(|line| &line.points)
    };
    let x = Scale::log(points().filter_map(|point| point.lr));
    // Two or four panels in two columns, others in three.
    let columns = match panels.len() {
        0 | 1 => 1,
        2 | 4 => 2,
        _ => 3,
    };
    let rows = panels.len().div_ceil(columns);
    let panel_width = WIDTH / columns as f64;
    let (width, height) = (WIDTH, LEGEND + PANEL_HEIGHT * rows as f64);
    let any_diverged = points().any(|point| point.lr.is_some() && point.diverged);
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}"))
            width=(width) height=(height) role="img" font-family="system-ui, sans-serif" font-size="11" {
            title { (figure.title) }
            rect width=(width) height=(height) fill="#ffffff" {}
            (legend(&labels, any_diverged.then_some(figure.cross)))
            @for (i, panel) in panels.iter().enumerate() {
                @let (column, row) = (i % columns, i / columns);
                g transform=(format!("translate({} {})", panel_width * column as f64, LEGEND + PANEL_HEIGHT * row as f64)) {
                    (draw(panel, panel_width, &labels, (x, figure.horizontal)))
                }
            }
        }
    };
    markup.into_string() + "\n"
}

fn style(labels: &[&str], label: &str) -> (&'static str, &'static str) {
    let place = labels.iter().position(|of| *of == label).unwrap_or(0);
    (COLOURS[place % COLOURS.len()], DASHES[place % DASHES.len()])
}

fn legend(labels: &[&str], cross: Option<&str>) -> Markup {
    let mut left = MARGIN.0;
    html! {
        @for label in labels {
            @let (colour, dash) = style(labels, label);
            @let from = left;
            line x1=(from) x2=(from + 24.0) y1="16" y2="16" stroke=(colour) stroke-width="2.5" stroke-dasharray=(dash) {}
            text x=(from + 29.0) y="20" fill="#1a1a1a" { (label) }
            // Some seven units a letter.
            ({ left += 48.0 + 7.0 * label.chars().count() as f64; PreEscaped("") })
        }
        @if let Some(meaning) = cross {
            text x=(left) y="20" fill="#1a1a1a" { tspan font-weight="700" font-size="14" { "×" } " " (meaning) }
        }
    }
}

fn draw(
    panel: &Panel,
    panel_width: f64,
    labels: &[&str],
    (x, horizontal): (Scale, &str),
) -> Markup {
    let (left, right, top, bottom) = MARGIN;
    let (width, height) = (panel_width - left - right, PANEL_HEIGHT - top - bottom);
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    // Not from 0: the differences are what counts. The intervals are inside.
    let ends = || {
        let known = points().filter_map(|point| Some((point.mean?, point.half)));
        known.flat_map(|(mean, half)| [mean - half, mean + half])
    };
    let (low, high) = (ends().reduce(f64::min), ends().reduce(f64::max));
    let (low, high) = (low.unwrap_or(0.0), high.unwrap_or(1.0));
    let margin = 0.04 * (high - low);
    let y = match panel.vertical {
        Vertical::Log => Scale::log(points().filter_map(|point| point.mean)),
        Vertical::Linear => Scale::between(low - margin, high + margin),
        Vertical::Percent => {
            let margin = margin.max((LEAST_PERCENT - (high - low)) / 2.0);
            Scale::between((low - margin).max(0.0), (high + margin).min(100.0))
        }
    };
    let at_x = |lr: f64| left + x.position(lr) * width;
    // The end of an interval may have no logarithm: it is at the bottom then.
    let at_y = |value: f64| {
        let position = y.position(value);
        let position = if position.is_nan() { 0.0 } else { position };
        top + (1.0 - position.clamp(0.0, 1.0)) * height
    };
    let ticks = y.ticks();
    let every = ticks.len().div_ceil(5).max(1);
    html! {
        text x=(left) y="15" font-weight="600" fill="#1a1a1a" { (panel.title) tspan font-weight="400" fill="#595959" { ", " (panel.metric) } }
        @for (value, label) in ticks.iter().step_by(every) {
            line x1=(left) x2=(left + width) y1=(at_y(*value)) y2=(at_y(*value)) stroke="#e3e3e3" {}
            text x=(left - 5.0) y=(at_y(*value) + 4.0) text-anchor="end" fill="#595959" { (label) }
        }
        @for (value, label) in x.ticks() {
            text x=(at_x(value)) y=(top + height + 14.0) text-anchor="middle" fill="#595959" { (label) }
        }
        text x=(left + width / 2.0) y=(top + height + 28.0) text-anchor="middle" fill="#595959" { (horizontal) }
        line x1=(left) x2=(left + width) y1=(top + height) y2=(top + height) stroke="#8a8a8a" {}
        @for line in &panel.lines {
            @let (colour, dash) = style(labels, &line.label);
            @for point in line.points.iter().filter(|point| point.lr.is_none()) {
                @if let Some(mean) = point.mean {
                    rect x=(left) y=(at_y(mean + point.half)) width=(width)
                        height=((at_y(mean - point.half) - at_y(mean + point.half)).max(0.0)) fill=(colour) opacity="0.12" {}
                    line x1=(left) x2=(left + width) y1=(at_y(mean)) y2=(at_y(mean)) stroke=(colour) stroke-width="2.5" stroke-dasharray=(dash) {}
                }
            }
            path d=(path(&line.points, &at_x, &at_y)) fill="none" stroke=(colour) stroke-width="2" stroke-dasharray=(dash) {}
            @for point in &line.points {
                @if let (Some(lr), Some(mean)) = (point.lr, point.mean) {
                    line x1=(at_x(lr)) x2=(at_x(lr)) y1=(at_y(mean - point.half)) y2=(at_y(mean + point.half)) stroke=(colour) {}
                    circle cx=(at_x(lr)) cy=(at_y(mean)) r="3" fill=(colour) {}
                }
                @if let (Some(lr), true) = (point.lr, point.diverged) {
                    text x=(at_x(lr)) y=(top + height - 3.0) text-anchor="middle" font-size="14" font-weight="700" fill=(colour) { "×" }
                }
            }
        }
    }
}

/// Joins the points of a line that have a rate and a mean; others leave a gap.
fn path(points: &[Point], at_x: &impl Fn(f64) -> f64, at_y: &impl Fn(f64) -> f64) -> String {
    let (mut path, mut joined) = (String::new(), false);
    for point in points {
        let (Some(lr), Some(mean)) = (point.lr, point.mean) else {
            joined = false;
            continue;
        };
        let command = if joined { 'L' } else { 'M' };
        // Writing to a string does not fail.
        let _ = write!(path, "{command}{:.1} {:.1}", at_x(lr), at_y(mean));
        joined = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(lr: Option<f64>, mean: Option<f64>) -> Point {
        Point {
            lr,
            mean,
            half: 1.0,
            diverged: mean.is_none(),
        }
    }

    #[test]
    fn a_figure_stands_alone_and_marks_what_diverged() {
        let over = vec![
            point(Some(1e-3), Some(90.0)),
            point(Some(1e-2), Some(95.0)),
            point(Some(1e-1), None),
        ];
        let line = |label: &str, points| PanelLine {
            label: label.to_owned(),
            points,
        };
        let panel = Panel {
            title: "a <b>".to_owned(),
            metric: "accuracy (%)".to_owned(),
            vertical: Vertical::Percent,
            lines: vec![
                line("robust", vec![point(None, Some(97.0))]),
                line("autolr", over),
            ],
        };
        let figure = |panels| Figure {
            title: "figure",
            horizontal: "rate",
            cross: "diverged",
            panels,
        };
        let text = svg(&figure(vec![panel]));
        assert!(text.contains("a &lt;b&gt;"), "{text}");
        assert!(text.starts_with("<svg xmlns="), "{text}");
        // In the legend, and at its rate.
        assert_eq!(text.matches('×').count(), 2);
        // A gap after the second point.
        assert_eq!(text.matches(" d=\"M").count(), 1);
        assert!(!text.contains("class=") && !text.contains("NaN"), "{text}");
        // Without any point there is a figure too.
        assert!(!svg(&figure(Vec::new())).contains("NaN"));
    }
}
