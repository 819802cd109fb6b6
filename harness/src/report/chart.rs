//! A line chart, before it is drawn: lines, what is marked on them, and what the axes mean.

use super::axis::Scale;
use super::data::{Data, Value};
use crate::number::plural;

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

/// Values over the horizontal axis, in its order.
pub(super) type Points = Vec<(f64, f64)>;

/// Of which runs of a series a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The only one.
    One,
    /// The one with this seed.
    Seed(u64),
    /// The median over so many.
    Median(usize),
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// The series, as the legend says it.
    pub(super) label: String,
    /// Of what it is.
    pub(super) of: Of,
    /// Number of the series: its colour, marker and dash.
    pub(super) hue: usize,
    /// Whose it is.
    pub(super) source: Source,
    /// The points; values that are not finite leave gaps.
    pub(super) points: Points,
    /// Whether the points are joined; else each has a marker.
    pub(super) joined: bool,
    /// Around the line, as lowest and highest value at a position; where the highest is infinite, up to the top.
    pub(super) band: Vec<(f64, f64, f64)>,
    /// Positions of points with a ring around.
    pub(super) rings: Vec<f64>,
    /// What is marked on it.
    pub(super) marks: Vec<Mark>,
    /// What was not drawn itself and belongs to the figure's data, by name.
    pub(super) beneath: Vec<(String, Points)>,
}

/// An entry of the legend: all lines of a series from one source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    /// What it says.
    pub(super) text: String,
    /// The lines' hue.
    pub(super) hue: usize,
    /// The lines' source.
    pub(super) source: Source,
    /// Whether the lines have a band.
    pub(super) band: bool,
    /// Whether the points are joined.
    pub(super) joined: bool,
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
    /// A line with nothing marked on it.
    pub(super) fn new(
        label: impl Into<String>,
        hue: usize,
        source: Source,
        points: Points,
    ) -> Self {
        Self {
            label: label.into(),
            of: Of::One,
            hue,
            source,
            points,
            joined: true,
            band: Vec::new(),
            rings: Vec::new(),
            marks: Vec::new(),
            beneath: Vec::new(),
        }
    }

    /// The label, with whose line it is.
    pub(super) fn full_label(&self) -> String {
        let label = self.series_label();
        match self.of {
            Of::One => label,
            Of::Seed(seed) => format!("{label}, seed {seed}"),
            Of::Median(n) => format!("{label}, median of {}", plural(n, "seed")),
        }
    }

    /// What is said of a mark on it.
    pub(super) fn words(&self, mark: &Mark) -> String {
        match (self.of, mark.kind) {
            // One seed among those that the median is of; the mark says which.
            (Of::Median(_), MarkKind::Cross { .. }) => format!("{}, {}", self.label, mark.text),
            _ => format!("{}: {}", self.full_label(), mark.text),
        }
    }

    /// The label, with whose series it is.
    fn series_label(&self) -> String {
        match self.source {
            Source::Ours => self.label.clone(),
            Source::Paper => format!("{} (paper)", self.label),
        }
    }

    fn marks_with(&self) -> impl Iterator<Item = (&Self, &Mark)> {
        self.marks.iter().map(move |mark| (self, mark))
    }
}

impl Key {
    /// Whether a line belongs to the entry.
    pub(super) fn is_of(&self, line: &Line) -> bool {
        self.hue == line.hue && self.source == line.source
    }
}

impl Chart {
    /// A value as it is drawn: none if it cannot be, at the ceiling if it is above, infinite if it stands at the top.
    pub(super) fn drawn(&self, y: f64) -> Option<f64> {
        let above = self.ceiling.filter(|ceiling| y > *ceiling);
        let above = above.map(|ceiling| if y.is_infinite() { y } else { ceiling });
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
        let points = points.map(|(_, y)| *y);
        let bands = self.lines.iter().flat_map(|line| &line.band);
        let bands = bands.flat_map(|(_, low, high)| [*low, *high]);
        let values = points.chain(bands).filter_map(|y| self.drawn(y));
        if self.log_y {
            Scale::log(values)
        } else {
            Scale::linear(values)
        }
    }

    /// Whether any point is drawn at the ceiling.
    pub(super) fn any_clipped(&self) -> bool {
        let mut points = self.lines.iter().flat_map(|line| &line.points);
        let mut bands = self.lines.iter().flat_map(|line| &line.band);
        points.any(|(_, y)| self.clipped(*y)) || bands.any(|(_, _, high)| self.clipped(*high))
    }

    /// The legend, in the lines' order.
    pub(super) fn legend(&self) -> Vec<Key> {
        let mut keys: Vec<(Key, usize)> = Vec::new();
        for line in &self.lines {
            if let Some((_, lines)) = keys.iter_mut().find(|(key, _)| key.is_of(line)) {
                *lines += 1;
                continue;
            }
            let key = Key {
                text: match line.of {
                    Of::Median(n) => format!("{}, {}", line.series_label(), plural(n, "seed")),
                    Of::One | Of::Seed(_) => line.series_label(),
                },
                hue: line.hue,
                source: line.source,
                band: !line.band.is_empty(),
                joined: line.joined,
            };
            keys.push((key, 1));
        }
        let several = |(mut key, lines): (Key, usize)| {
            if lines > 1 {
                key.text = format!("{}, {}", key.text, plural(lines, "seed"));
            }
            key
        };
        keys.into_iter().map(several).collect()
    }

    /// The numbers of the figure, a row a position on the horizontal axis; and for each column, after the first, the
    /// place in the legend of the line that it draws, if it does.
    pub(super) fn data(&self) -> (Data, Vec<Option<usize>>) {
        let mut columns: Vec<(String, &Points, Option<usize>)> = Vec::new();
        let legend = self.legend();
        for line in &self.lines {
            let key = legend.iter().position(|key| key.is_of(line));
            columns.push((line.full_label(), &line.points, key));
            let beneath = line.beneath.iter();
            columns.extend(beneath.map(|(name, points)| (name.clone(), points, None)));
        }
        let mut positions: Vec<f64> = columns
            .iter()
            .flat_map(|(_, points, _)| points.iter().map(|(x, _)| *x))
            .collect();
        positions.sort_by(f64::total_cmp);
        positions.dedup();
        let mut heads = vec![self.x_title.clone()];
        heads.extend(columns.iter().map(|(name, ..)| name.clone()));
        let mut data = Data::new(heads);
        let mut next = vec![0_usize; columns.len()];
        for x in positions {
            // Points of one line at one position, as runs of equal cost have, stand in rows of their own.
            loop {
                let mut row = vec![Value::Number(x)];
                let mut any = false;
                for ((_, points, _), next) in columns.iter().zip(&mut next) {
                    row.push(match points.get(*next).filter(|(at, _)| *at == x) {
                        Some((_, y)) => {
                            *next += 1;
                            any = true;
                            Value::Number(*y)
                        }
                        None => Value::None,
                    });
                }
                if !any {
                    break;
                }
                data.push(row);
            }
        }
        let keys = columns.into_iter().map(|(.., key)| key).collect();
        (data, keys)
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
                    crate::number::rate(point.1)
                } else {
                    crate::number::loss(point.1)
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
            words.push(format!("{}.", line.words(mark)));
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(lines: Vec<Line>) -> Chart {
        Chart {
            id: "test".to_owned(),
            title: String::new(),
            notes: Vec::new(),
            x_title: "epoch".to_owned(),
            x_range: (0.0, 2.0),
            y_title: "loss".to_owned(),
            log_y: true,
            ceiling: None,
            lines,
        }
    }

    fn seed(label: &str, hue: usize, seed: u64, points: &[(f64, f64)]) -> Line {
        Line {
            of: Of::Seed(seed),
            ..Line::new(label, hue, Source::Ours, points.to_vec())
        }
    }

    #[test]
    fn the_legend_has_an_entry_a_series_and_source() {
        let chart = chart(vec![
            seed("ours", 0, 3, &[]),
            seed("ours", 0, 4, &[]),
            Line::new("ours", 0, Source::Paper, Vec::new()),
            Line {
                of: Of::Median(6),
                ..Line::new("step", 1, Source::Ours, Vec::new())
            },
        ]);
        let texts: Vec<String> = chart.legend().into_iter().map(|key| key.text).collect();
        assert_eq!(texts, ["ours, 2 seeds", "ours (paper)", "step, 6 seeds"]);
        let labels: Vec<String> = chart.lines.iter().map(Line::full_label).collect();
        assert_eq!(
            labels,
            [
                "ours, seed 3",
                "ours, seed 4",
                "ours (paper)",
                "step, median of 6 seeds"
            ]
        );
    }

    #[test]
    fn the_data_has_a_row_a_position_and_a_column_a_line() {
        let mut median = Line::new("step", 1, Source::Ours, vec![(1.0, 4.0), (2.0, f64::NAN)]);
        median.beneath = vec![("step, lowest".to_owned(), vec![(1.0, 3.5)])];
        let chart = chart(vec![
            // Two runs that cost the same.
            seed("ours", 0, 0, &[(0.0, 1.0), (0.0, 2.0), (2.0, 3.0)]),
            median,
        ]);
        let (data, keys) = chart.data();
        assert_eq!(keys, [Some(0), Some(1), None]);
        assert_eq!(
            data.csv(),
            "epoch,\"ours, seed 0\",step,\"step, lowest\"\n0,1,,\n0,2,,\n1,,4,3.5\n2,3,NaN,\n"
        );
    }

    #[test]
    fn bands_count_for_the_axis_and_infinite_values_do_not() {
        let mut line = Line::new("a", 0, Source::Ours, vec![(0.0, 1.0), (1.0, f64::INFINITY)]);
        line.band = vec![(0.0, 0.01, 100.0), (1.0, 1.0, f64::INFINITY)];
        let mut chart = chart(vec![line]);
        let (low, high, log) = chart.y_scale().ends();
        assert!(
            log && low < -2.0 && high > 2.0 && high < 3.0,
            "{low} {high}"
        );
        chart.ceiling = Some(10.0);
        assert!(chart.any_clipped());
        assert_eq!(chart.drawn(f64::INFINITY), Some(f64::INFINITY));
        assert_eq!(
            (chart.drawn(11.0), chart.drawn(9.0)),
            (Some(10.0), Some(9.0))
        );
        let (_, high, _) = chart.y_scale().ends();
        // log₁₀ of the ceiling, and the margin.
        assert!(high < 1.2, "{high}");
    }

    #[test]
    fn a_cross_on_a_median_is_of_one_seed() {
        let mut line = Line::new("ours", 0, Source::Ours, Vec::new());
        line.of = Of::Median(4);
        let cross = Mark {
            text: "seed 1: diverged (epoch 3)".to_owned(),
            kind: MarkKind::Cross { x: 3.0, y: None },
        };
        assert_eq!(line.words(&cross), "ours, seed 1: diverged (epoch 3)");
        let bracket = Mark {
            text: "double descent".to_owned(),
            kind: MarkKind::Bracket {
                from: 0.0,
                peak: 1.0,
                to: 2.0,
            },
        };
        assert_eq!(
            line.words(&bracket),
            "ours, median of 4 seeds: double descent"
        );
    }
}
