//! A line figure in plain text, for terminals and for code blocks in Markdown.

/// How many columns or rows a figure has at most; a larger width or height is cut to it.
const LARGEST: usize = 1_000;
/// How many columns the plotting area has at least.
const FEWEST_COLUMNS: usize = 8;
/// How many rows the plotting area has at least.
const FEWEST_ROWS: usize = 2;
/// Significant digits of the labels, where that is enough to tell them apart.
const DIGITS: usize = 4;
/// One a series, in order; after the last the first comes again.
const MARKERS: [char; 10] = ['●', '○', '▲', '△', '■', '□', '◆', '◇', '×', '+'];

/// Draws `series`, each a name and its points `(x, y)`, joined by lines in the order given.
///
/// The figure is `width` columns wide, the labels of the y axis included; its plotting area is
/// `height` rows high, and the x axis, its labels and a legend follow. The plotting area has at
/// least 8 columns and 2 rows, and neither size exceeds 1,000.
///
/// One series is drawn in braille dots (2 × 4 a character) below its name; of several, each has a
/// marker that the legend names, and where two meet the later one shows.
///
/// Points with a coordinate that is NaN, infinite, or not positive on a logarithmic axis are left
/// out, and the line is broken there. An axis without extent (all values equal) has its one value
/// in the middle. Without any point to draw, the figure is the line `(no finite points)`.
pub fn text_figure(
    series: &[(&str, &[(f64, f64)])],
    width: usize,
    height: usize,
    log_x: bool,
    log_y: bool,
) -> String {
    let drawable = |point: &(f64, f64)| fits(point.0, log_x) && fits(point.1, log_y);
    let points = || {
        series
            .iter()
            .flat_map(|(_, points)| points.iter())
            .filter(|point| drawable(point))
    };
    let x_axis = Axis::over(points().map(|point| point.0), log_x);
    let y_axis = Axis::over(points().map(|point| point.1), log_y);
    let (Some(x_axis), Some(y_axis)) = (x_axis, y_axis) else {
        return "(no finite points)\n".to_owned();
    };

    let rows = height.clamp(FEWEST_ROWS, LARGEST);
    let x_labels = x_axis.labels();
    let y_labels = y_axis.labels();
    let margin = y_labels
        .iter()
        .map(|(_, label)| columns(label))
        .max()
        .unwrap_or(0);
    // Two columns are the blank after the label and the axis itself.
    let plot_columns = width
        .min(LARGEST)
        .saturating_sub(margin + 2)
        .max(FEWEST_COLUMNS);

    let mut canvas = Canvas::new(plot_columns, rows, series.len() == 1);
    for ((_, points), marker) in series.iter().zip(MARKERS.iter().cycle()) {
        let mut last = None;
        for point in *points {
            let dot =
                drawable(point).then(|| canvas.dot(x_axis.share(point.0), y_axis.share(point.1)));
            if let Some(dot) = dot {
                canvas.line(last.unwrap_or(dot), dot, *marker);
            }
            last = dot;
        }
    }

    let mut lines = Vec::with_capacity(rows + 5);
    if let [(name, _)] = series
        && !name.is_empty()
    {
        lines.push(format!("{:margin$} {name}", ""));
    }
    for (row, cells) in canvas.cells.chunks(plot_columns).enumerate() {
        let label = y_labels.iter().find(|(share, _)| canvas.row(*share) == row);
        let (label, tick) = label.map_or(("", '│'), |(_, label)| (label.as_str(), '┤'));
        lines.push(format!(
            "{label:>margin$} {tick}{}",
            cells.iter().collect::<String>()
        ));
    }
    lines.push(format!("{:margin$} └{}", "", "─".repeat(plot_columns)));
    lines.push(format!(
        "{:margin$}  {}",
        "",
        x_axis_text(&x_labels, plot_columns)
    ));
    if series.len() > 1 {
        lines.extend(legend(series, drawable, margin + 2, width));
    }
    lines
        .iter()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

fn fits(value: f64, log: bool) -> bool {
    value.is_finite() && (!log || value > 0.0)
}

/// As many as the characters: labels and names are plain text.
fn columns(text: &str) -> usize {
    text.chars().count()
}

/// The values at the ends of an axis, and what lies between.
struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// The axis over `values`, none if there are none.
    fn over(values: impl Iterator<Item = f64>, log: bool) -> Option<Self> {
        values.fold(None, |axis, value| {
            let (low, high) = axis.map_or((value, value), |axis: Self| (axis.low, axis.high));
            Some(Self {
                low: low.min(value),
                high: high.max(value),
                log,
            })
        })
    }

    fn scaled(&self, value: f64) -> f64 {
        // Halved, so that the difference of two finite values is finite.
        if self.log { value.log10() } else { value / 2.0 }
    }

    /// How far along the axis `value` lies: 0 at the low end, 1 at the high end, in the middle
    /// without extent.
    fn share(&self, value: f64) -> f64 {
        let extent = self.scaled(self.high) - self.scaled(self.low);
        if extent > 0.0 {
            (self.scaled(value) - self.scaled(self.low)) / extent
        } else {
            0.5
        }
    }

    fn middle(&self) -> f64 {
        let sum = self.scaled(self.low) + self.scaled(self.high);
        if self.log {
            10.0_f64.powf(sum / 2.0)
        } else {
            sum
        }
    }

    /// Where labels stand, and their text: both ends and the middle, or the one value.
    fn labels(&self) -> Vec<(f64, String)> {
        if self.low == self.high {
            return vec![(0.5, significant(self.low, DIGITS))];
        }
        let mut labels = Vec::new();
        for digits in DIGITS..=17 {
            labels = [(0.0, self.low), (0.5, self.middle()), (1.0, self.high)]
                .map(|(share, value)| (share, significant(value, digits)))
                .to_vec();
            if labels[0].1 != labels[1].1 && labels[1].1 != labels[2].1 {
                break;
            }
        }
        labels
    }
}

/// `value`, finite, with that many significant digits (at least one), without zeros at its end.
pub fn significant(value: f64, digits: usize) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        let text = format!("{value:.*e}", digits - 1);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", without_zeros(mantissa));
    }
    // The size is bounded, so the exponent is small.
    let decimals = (digits as i32 - 1 - size.log10().floor() as i32).max(0) as usize;
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

/// The labels below the x axis: the first at its left end, the last at its right end, one alone in
/// the middle.
fn x_axis_text(labels: &[(f64, String)], plot_columns: usize) -> String {
    match labels {
        [(_, low), .., (_, high)] => {
            let gap = plot_columns
                .saturating_sub(columns(low) + columns(high))
                .max(1);
            format!("{low}{}{high}", " ".repeat(gap))
        }
        [(_, only)] => format!("{only:^plot_columns$}"),
        [] => String::new(),
    }
}

/// The markers and their names, in lines no wider than `width` where the names allow it.
fn legend(
    series: &[(&str, &[(f64, f64)])],
    drawable: impl Fn(&(f64, f64)) -> bool,
    margin: usize,
    width: usize,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for ((name, points), marker) in series.iter().zip(MARKERS.iter().cycle()) {
        let nothing = if points.iter().any(&drawable) {
            ""
        } else {
            " (no finite points)"
        };
        let entry = format!("{marker} {name}{nothing}");
        match lines.last_mut() {
            Some(line) if columns(line) + 3 + columns(&entry) <= width => {
                line.push_str("   ");
                line.push_str(&entry);
            }
            _ => lines.push(format!("{:margin$}{entry}", "")),
        }
    }
    lines
}

/// A grid of characters, drawn on in dots: 2 × 4 a character in braille, else one.
struct Canvas {
    columns: usize,
    rows: usize,
    braille: bool,
    cells: Vec<char>,
}

impl Canvas {
    fn new(columns: usize, rows: usize, braille: bool) -> Self {
        Self {
            columns,
            rows,
            braille,
            cells: vec![' '; columns * rows],
        }
    }

    /// Dots a character, across and down.
    fn density(&self) -> (usize, usize) {
        if self.braille { (2, 4) } else { (1, 1) }
    }

    /// The dot at `x` and `y`, both from 0 (left, bottom) to 1 (right, top).
    fn dot(&self, x: f64, y: f64) -> (i64, i64) {
        let (across, down) = self.density();
        let place = |share: f64, dots: usize| (share * (dots - 1) as f64).round() as i64;
        (
            place(x, self.columns * across),
            place(1.0 - y, self.rows * down),
        )
    }

    /// The row of characters at `y`.
    fn row(&self, y: f64) -> usize {
        self.dot(0.0, y).1 as usize / self.density().1
    }

    /// A straight line of dots, both ends included.
    fn line(&mut self, from: (i64, i64), to: (i64, i64), marker: char) {
        let (across, down) = (to.0 - from.0, to.1 - from.1);
        let steps = across.abs().max(down.abs()).max(1);
        for step in 0..=steps {
            let along = |start: i64, distance: i64| {
                start + (distance * step * 2 + steps).div_euclid(2 * steps)
            };
            self.mark(along(from.0, across), along(from.1, down), marker);
        }
    }

    fn mark(&mut self, x: i64, y: i64, marker: char) {
        let (across, down) = self.density();
        let (x, y) = (x as usize, y as usize);
        let Some(cell) = self.cells.get_mut(y / down * self.columns + x / across) else {
            return;
        };
        *cell = if self.braille {
            with_dot(*cell, x % 2, y % 4)
        } else {
            marker
        };
    }
}

/// The braille character `cell` (or a blank) with one more dot, in column 0 or 1 and row 0 to 3.
fn with_dot(cell: char, column: usize, row: usize) -> char {
    const BLANK: u32 = 0x2800;
    // Unicode numbers the dots by columns of three, and the fourth row after them.
    const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    let dots = (cell as u32).saturating_sub(BLANK);
    char::from_u32(BLANK + (dots | BITS[column][row])).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(from: i32, to: i32, y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (from..=to)
            .map(|x| (f64::from(x), y(f64::from(x))))
            .collect()
    }

    #[test]
    fn one_series_is_drawn_in_dots() {
        let rising = line(0, 40, |x| x / 40.0);
        insta::assert_snapshot!(text_figure(&[("rate", &rising)], 34, 6, false, false), @r"
            rate
          1 ┤                        ⣀⡠⠤⠒⠊
            │                   ⣀⡠⠤⠒⠊
            │               ⡠⠤⠒⠊
        0.5 ┤          ⡠⠤⠒⠊⠉
            │     ⡠⠤⠒⠊⠉
          0 ┤⡠⠤⠒⠊⠉
            └─────────────────────────────
             0                          40
        ");
    }

    #[test]
    fn several_series_have_markers_and_a_legend() {
        let (up, down) = (line(1, 20, |x| x), line(1, 20, |x| 21.0 - x));
        let lost = [(1.0, f64::NAN)];
        let series: [(&str, &[(f64, f64)]); 3] = [("up", &up), ("down", &down), ("lost", &lost)];
        insta::assert_snapshot!(text_figure(&series, 30, 7, false, false), @r"
          20 ┤○○                    ●●
             │  ○○○○            ●●●●
             │      ○○○      ●●●
        10.5 ┤         ○○○○○●
             │      ●●●●    ○○○○
             │  ●●●●            ○○○○
           1 ┤●●                    ○○
             └────────────────────────
              1                     20
              ● up   ○ down
              ▲ lost (no finite points)
        ");
    }

    #[test]
    fn a_power_is_straight_on_logarithmic_axes() {
        let power: Vec<_> = (0..=30)
            .map(|k| 10.0_f64.powf(f64::from(k) / 10.0))
            .map(|x| (x, 1e-5 * x * x))
            .collect();
        insta::assert_snapshot!(text_figure(&[("", &power)], 30, 5, true, true), @r"
          10 ┤                   ⢀⣀⠤⠒⠊
             │               ⡠⠤⠒⠉⠁
        0.01 ┤         ⢀⣀⠤⠔⠊⠉
             │    ⢀⣀⡠⠒⠊⠁
        1e-5 ┤⣀⠤⠔⠉⠁
             └────────────────────────
              1                   1000
        ");
    }

    #[test]
    fn a_loss_that_is_not_finite_breaks_the_line() {
        let mut losses = line(0, 30, |x| x);
        losses[10].1 = f64::NAN;
        losses[11].1 = f64::INFINITY;
        insta::assert_snapshot!(text_figure(&[("loss", &losses)], 30, 4, false, false), @r"
           loss
        30 ┤                   ⢀⣀⡠⠤⠒⠊⠉
           │             ⢀⣀⡠⠤⠒⠊⠁
        15 ┤       ⣀  ⠒⠒⠉⠁
         0 ┤⣀⡠⠤⠔⠒⠉⠉
           └──────────────────────────
            0                       30
        ");
    }

    #[test]
    fn values_without_extent_lie_in_the_middle() {
        insta::assert_snapshot!(text_figure(&[("lr", &[(3.0, 0.005)])], 20, 3, false, false), @r"
              lr
              │
        0.005 ┤      ⠠
              │
              └─────────────
                     3
        ");
        let flat = [(0.0, 0.005), (9.0, 0.005)];
        insta::assert_snapshot!(text_figure(&[("lr", &flat)], 20, 3, false, true), @r"
              lr
              │
        0.005 ┤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤
              │
              └─────────────
               0           9
        ");
    }

    #[test]
    fn nothing_to_draw_is_said() {
        let none = "(no finite points)\n";
        assert_eq!(text_figure(&[], 40, 10, false, false), none);
        assert_eq!(
            text_figure(
                &[("a", &[]), ("b", &[(f64::NAN, 1.0)])],
                40,
                10,
                false,
                false
            ),
            none
        );
        assert_eq!(
            text_figure(&[("a", &[(0.0, 1.0), (1.0, -1.0)])], 40, 10, true, true),
            none
        );
    }

    #[test]
    fn labels_have_the_digits_that_tell_them_apart() {
        for (value, text) in [
            (0.005, "0.005"),
            (1.0 / 3.0, "0.3333"),
            (-12.5, "-12.5"),
            (999.96, "1000"),
            (123_456.0, "123456"),
            (2.5e-7, "2.5e-7"),
            (f64::MAX, "1.798e308"),
            (5e-324, "4.941e-324"),
        ] {
            assert_eq!(significant(value, 4), text);
        }
        let close = Axis {
            low: 1.0,
            high: 1.000_001,
            log: false,
        };
        let labels: Vec<_> = close.labels().into_iter().map(|(_, text)| text).collect();
        assert_eq!(labels, ["1", "1.0000005", "1.000001"]);
    }

    fn any_series() -> impl Strategy<Value = Vec<Vec<(f64, f64)>>> {
        let value = || {
            prop_oneof![
                -10.0..10.0,
                any::<f64>(),
                Just(f64::MAX),
                Just(f64::MIN),
                Just(5e-324)
            ]
        };
        prop::collection::vec(prop::collection::vec((value(), value()), 0..20), 0..4)
    }

    proptest! {
        /// Whatever the points and sizes, there is a figure, as large as asked for.
        #[test]
        fn any_points_can_be_drawn(
            series in any_series(),
            (width, height) in (0..200_usize, 0..60_usize),
            (log_x, log_y) in any::<(bool, bool)>(),
        ) {
            let named: Vec<_> = series.iter().map(|points| ("s", points.as_slice())).collect();
            let figure = text_figure(&named, width, height, log_x, log_y);
            let drawable = |(x, y): &(f64, f64)| fits(*x, log_x) && fits(*y, log_y);
            if series.iter().flatten().any(drawable) {
                prop_assert!(figure.lines().count() >= height.max(FEWEST_ROWS) + 2);
                // The longest labels (23 columns), one at the y axis and two below, are wider
                // than the rest.
                let widest = figure.lines().map(columns).max().unwrap_or(0);
                prop_assert!(widest <= width.max(72), "{}", figure);
            } else {
                prop_assert_eq!(figure, "(no finite points)\n");
            }
        }
    }

    #[test]
    fn sizes_beyond_reason_are_cut() {
        let points = line(0, 9, |x| x);
        let figure = text_figure(&[("", &points)], usize::MAX, usize::MAX, false, false);
        assert_eq!(figure.lines().count(), LARGEST + 2);
    }
}
