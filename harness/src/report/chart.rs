//! A line chart, before it is drawn: lines, what is marked on them, and what the axes mean.

use super::axis::Scale;

/// A line chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// Unique within the report; made of letters, digits and hyphens.
    pub(super) id: String,
    /// What is shown, in a line.
    pub(super) title: String,
    /// What a reader has to know beside it.
    pub(super) notes: Vec<String>,
    /// Title of the horizontal axis, with its unit.
    pub(super) x_title: String,
    /// Ends of the horizontal axis.
    pub(super) x_range: (f64, f64),
    /// Title of the vertical axis, with its unit.
    pub(super) y_title: String,
    /// Whether the vertical axis is logarithmic.
    pub(super) log_y: bool,
    /// Values above this are drawn at it, with a ▲.
    pub(super) ceiling: Option<f64>,
    /// The lines, in the legend's order.
    pub(super) lines: Vec<Line>,
}

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The paper's or its slides': dashed and lighter.
    Paper,
    /// Of a run: solid, with markers.
    Ours,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// The series, as the legend says it.
    pub(super) label: String,
    /// Number of the series: its colour, marker and dash.
    pub(super) hue: usize,
    /// Whose it is.
    pub(super) source: Source,
    /// The points; values that are not finite leave gaps.
    pub(super) points: Vec<(f64, f64)>,
    /// What is marked on it.
    pub(super) marks: Vec<Mark>,
}

/// Something marked on a line and said in words above the plot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// What the words say: `double descent`, `diverged (epoch 3)`.
    pub(super) text: String,
    /// What is marked.
    pub(super) kind: MarkKind,
}

/// What is marked on a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum MarkKind {
    /// A cross where a run diverged.
    Cross {
        /// Position on the horizontal axis.
        x: f64,
        /// The last value before it that can be drawn, if any.
        y: Option<f64>,
    },
    /// A bracket from a first low over a peak to a second low.
    Bracket {
        /// First low.
        from: f64,
        /// Peak.
        peak: f64,
        /// Second low.
        to: f64,
    },
}

impl Line {
    /// The label, with whose line it is.
    pub(super) fn full_label(&self) -> String {
        match self.source {
            Source::Ours => self.label.clone(),
            Source::Paper => format!("{} (paper)", self.label),
        }
    }
}

impl Line {
    fn marks_with(&self) -> impl Iterator<Item = (&Self, &Mark)> {
        self.marks.iter().map(move |mark| (self, mark))
    }
}

impl Chart {
    /// A value as it is drawn: none if it cannot be, at the ceiling if it is above.
    pub(super) fn drawn(&self, y: f64) -> Option<f64> {
        let above = self.ceiling.filter(|ceiling| y > *ceiling);
        let drawable = y.is_finite() && (!self.log_y || y > 0.0);
        above.or(drawable.then_some(y))
    }

    /// Whether a value is drawn at the ceiling instead of where it is.
    pub(super) fn clipped(&self, y: f64) -> bool {
        self.ceiling.is_some_and(|ceiling| y > ceiling)
    }

    /// The scale of the horizontal axis.
    pub(super) fn x_scale(&self) -> Scale {
        Scale::between(self.x_range.0, self.x_range.1)
    }

    /// The scale of the vertical axis.
    pub(super) fn y_scale(&self) -> Scale {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let values = points.filter_map(|(_, y)| self.drawn(*y));
        if self.log_y {
            Scale::log(values)
        } else {
            Scale::linear(values)
        }
    }

    /// Whether any point is drawn at the ceiling.
    pub(super) fn any_clipped(&self) -> bool {
        let mut points = self.lines.iter().flat_map(|line| &line.points);
        points.any(|(_, y)| self.clipped(*y))
    }

    /// The marks with their lines, paper's and ours.
    pub(super) fn marks(&self) -> impl Iterator<Item = (&Line, &Mark)> {
        self.lines.iter().flat_map(Line::marks_with)
    }

    /// The chart in words, for those who cannot see it.
    pub(super) fn description(&self) -> String {
        let mut words = vec![format!(
            "Line chart. Horizontal: {}. Vertical: {}{}.",
            self.x_title,
            self.y_title,
            if self.log_y { ", logarithmic" } else { "" }
        )];
        for line in &self.lines {
            let mut finite = line.points.iter().filter(|(_, y)| y.is_finite());
            let first = finite.next();
            let last = finite.next_back().or(first);
            let value = |point: &(f64, f64)| {
                if self.log_y {
                    super::number::rate(point.1)
                } else {
                    super::number::loss(point.1)
                }
            };
            words.push(match (first, last) {
                (Some(first), Some(last)) => format!(
                    "{}: {} points, from {} to {}.",
                    line.full_label(),
                    line.points.len(),
                    value(first),
                    value(last)
                ),
                _ => format!("{}: nothing to draw.", line.full_label()),
            });
        }
        for (line, mark) in self.marks() {
            words.push(format!("{}: {}.", line.full_label(), mark.text));
        }
        words.join(" ")
    }
}
