//! Draws a chart as inline SVG.
//!
//! No plotting library: the drawing has to follow the page's light or dark colours through CSS classes, keep its text
//! as text, and pull in nothing from elsewhere. Colours are in `style.css`.

use maud::{Markup, html};

use super::axis::Scale;
use super::chart::{Chart, Key, Line, Mark, MarkKind, Of, Source};
use super::frame::{Axes, BOTTOM, LEFT, RIGHT, WIDTH, px};

const PLOT_HEIGHT: f64 = 270.0;
/// One row above the plot for each mark, so that the words never cover a line or one another.
const LANE: f64 = 18.0;
/// What is added to a row where the words stand over what is marked instead of beside it.
const WORDS_ABOVE: f64 = 14.0;
/// Width of a letter, on average: enough to see where words fit.
const LETTER: f64 = 6.9;
/// As many series have a colour and dash of their own; those after them have the same with another marker.
const HUES: usize = 5;
/// A line has about this many markers, one of several seeds fewer.
const MARKERS: usize = 8;
const MARKERS_OF_A_SEED: usize = 3;

/// Where things are: the plot's top, and the scales.
struct Layout {
    top: f64,
    x: Scale,
    y: Scale,
}

impl Layout {
    fn x(&self, value: f64) -> f64 {
        place_x(self.x, value)
    }

    fn y(&self, value: f64) -> f64 {
        // What is infinite stands at the top.
        self.top + (1.0 - self.y.position(value).min(1.0)) * PLOT_HEIGHT
    }

    fn bottom(&self) -> f64 {
        self.top + PLOT_HEIGHT
    }
}

/// A mark's row above the plot.
struct Lane<'a> {
    line: &'a Line,
    mark: &'a Mark,
    words: String,
    words_at: WordsAt,
    top: f64,
}

/// Where a mark's words stand.
#[derive(Debug, Clone, Copy, PartialEq)]
enum WordsAt {
    /// From here to the right.
    Right(f64),
    /// From here to the left.
    Left(f64),
    /// Around here, over what is marked.
    Above(f64),
}

/// The marks' rows from `top` on, and where the last ends.
fn lanes(chart: &Chart, top: f64) -> (Vec<Lane<'_>>, f64) {
    let x = chart.x_scale();
    let mut bottom = top;
    let mut lanes = Vec::new();
    for (line, mark) in chart.marks() {
        let words = line.words(mark);
        let (from, to) = match mark.kind {
            MarkKind::Cross { x: at, .. } => (place_x(x, at) - 5.0, place_x(x, at) + 5.0),
            MarkKind::Bracket { from, to, .. } => (place_x(x, from), place_x(x, to)),
        };
        let words_at = place_words(from, to, LETTER * words.chars().count() as f64);
        lanes.push(Lane {
            line,
            mark,
            words,
            words_at,
            top: bottom,
        });
        let above = matches!(words_at, WordsAt::Above(_));
        bottom += LANE + if above { WORDS_ABOVE } else { 0.0 };
    }
    (lanes, bottom)
}

fn place_x(scale: Scale, value: f64) -> f64 {
    LEFT + scale.position(value) * (WIDTH - LEFT - RIGHT)
}

/// The chart as an `<svg>` element, with a title and a description for screen readers.
pub(super) fn draw(chart: &Chart) -> Markup {
    let (lanes, lanes_end) = lanes(chart, 2.0);
    let layout = Layout {
        top: lanes_end + 8.0,
        x: chart.x_scale(),
        y: chart.y_scale(),
    };
    let height = layout.bottom() + BOTTOM;
    let (title, description) = (format!("{}-title", chart.id), format!("{}-desc", chart.id));
    let paper_first = [Source::Paper, Source::Ours];
    let legend = chart.legend();
    // What the script needs to find the point under the pointer.
    let ends = |scale: Scale| {
        let (low, high, log) = scale.ends();
        [low, high, f64::from(u8::from(log))]
    };
    let mut place = vec![LEFT, WIDTH - RIGHT, layout.top, layout.bottom()];
    place.extend(ends(layout.x));
    place.extend(ends(layout.y));
    let place = place
        .iter()
        .map(f64::to_string)
        .chain(chart.ceiling.map(|y| y.to_string()));
    let place = place.collect::<Vec<_>>().join(" ");
    html! {
        svg class="chart lines" viewBox={ "0 0 " (WIDTH) " " (px(height)) } role="img" data-place=(place)
            aria-labelledby={ (title) " " (description) } {
            title id=(title) { (chart.title) }
            desc id=(description) { (chart.description()) }
            (axes(chart, &layout))
            // Bands lie under all lines.
            @for line in chart.lines.iter().filter(|line| !line.band.is_empty()) {
                g class=(classes(&legend, line)) { path class="band" d=(band(chart, line, &layout)) {} }
            }
            @for source in paper_first {
                @for line in chart.lines.iter().filter(|line| line.source == source) {
                    (draw_line(chart, line, &layout, &legend))
                }
            }
            @for lane in &lanes {
                (draw_mark(chart, lane, &layout, &legend))
            }
        }
    }
}

/// An entry of the legend as it looks in the plot.
pub(super) fn sample(key: &Key) -> Markup {
    html! {
        svg class={ "sample " (hue_class(key.hue, key.source)) } viewBox="0 0 32 16" aria-hidden="true" {
            @if key.band { path class="band" d="M0 1h32v14h-32z" {} }
            @if key.joined { path class="line" d="M1 8h30" {} }
            @if key.source == Source::Ours { path class="marker" d=(marker(key.hue, 16.0, 8.0)) {} }
        }
    }
}

/// Classes of what belongs to a line: its colour, whose it is, and its entry in the legend.
fn classes(legend: &[Key], line: &Line) -> String {
    let key = legend.iter().position(|key| key.is_of(line)).unwrap_or(0);
    let several = if matches!(line.of, Of::Seed(_)) {
        " one-of"
    } else {
        ""
    };
    format!("{} l{key}{several}", hue_class(line.hue, line.source))
}

fn hue_class(hue: usize, source: Source) -> String {
    let source = match source {
        Source::Paper => "paper",
        Source::Ours => "ours",
    };
    format!("s{} {source}", hue % HUES)
}

fn axes(chart: &Chart, layout: &Layout) -> Markup {
    let x_ticks = layout.x.ticks().into_iter();
    let y_ticks = layout.y.ticks().into_iter();
    Axes {
        top: layout.top,
        bottom: layout.bottom(),
        x_ticks: x_ticks.map(|(x, label)| (layout.x(x), label)).collect(),
        y_ticks: y_ticks.map(|(y, label)| (layout.y(y), label)).collect(),
        x_title: &chart.x_title,
        y_title: &chart.y_title,
        grid: true,
    }
    .draw()
}

fn draw_line(chart: &Chart, line: &Line, layout: &Layout, legend: &[Key]) -> Markup {
    let drawn: Vec<Option<(f64, f64)>> = line
        .points
        .iter()
        .map(|(x, y)| chart.drawn(*y).map(|y| (layout.x(*x), layout.y(y))))
        .collect();
    // Each series has its markers at other points, so that lines that coincide can be told apart.
    let markers = match line.of {
        Of::Seed(_) => MARKERS_OF_A_SEED,
        Of::One | Of::Median(_) => MARKERS,
    };
    let stride = drawn.len().div_ceil(markers).max(1);
    let offset = (line.hue % HUES) * stride / HUES;
    let alone = |i: usize| {
        let there = |i: Option<usize>| i.and_then(|i| drawn.get(i)).is_some_and(Option::is_some);
        there(Some(i)) && !there(i.checked_sub(1)) && !there(Some(i + 1))
    };
    let marked = |i: usize| {
        !line.joined || alone(i) || (line.source == Source::Ours && i % stride == offset)
    };
    let clipped = |i: usize| line.points.get(i).is_some_and(|(_, y)| chart.clipped(*y));
    let first_clipped = |i: usize| clipped(i) && !i.checked_sub(1).is_some_and(clipped);
    html! {
        g class=(classes(legend, line)) {
            @if line.joined { path class="line" d=(path(&drawn)) {} }
            @if !line.rings.is_empty() { path class="ring" d=(rings(line, &drawn)) {} }
            @for (i, (point, (_, y))) in drawn.iter().zip(&line.points).enumerate() {
                @if let Some(point) = point {
                    @if chart.clipped(*y) && (marked(i) || first_clipped(i)) {
                        path class="marker" d={ "M" (px(point.0 - 4.5)) " " (px(point.1 + 4.0)) "h9l-4.5 -8z" } {}
                    } @else if !chart.clipped(*y) && marked(i) {
                        path class="marker" d=(marker(line.hue, point.0, point.1)) {}
                    }
                }
            }
        }
    }
}

/// Rings around points, in one path. A ring is an arc that all but closes, which takes half the letters of two arcs.
fn rings(line: &Line, drawn: &[Option<(f64, f64)>]) -> String {
    let many = matches!(line.of, Of::Seed(_)) && line.joined;
    let r = if many { 3.0 } else { 6.0 };
    let points = drawn.iter().zip(&line.points);
    let ringed = points.filter(|(_, (x, _))| line.rings.contains(x));
    let ring = |(x, y): &(f64, f64)| format!("M{} {}a{r} {r} 0 1 0 .1 0z", px(*x), px(y - r));
    ringed
        .filter_map(|(point, _)| point.as_ref().map(ring))
        .collect()
}

/// The area between lowest and highest value, in as many pieces as there are gaps between.
fn band(chart: &Chart, line: &Line, layout: &Layout) -> String {
    let edge = |(x, low, high): &(f64, f64, f64)| {
        let low = layout.y(chart.drawn(*low)?);
        // Without a bound on the axis, what is infinite reaches to the top.
        let high = chart.drawn(*high).map_or(layout.top, |high| layout.y(high));
        Some((layout.x(*x), low, high))
    };
    let edges: Vec<Option<(f64, f64, f64)>> = line.band.iter().map(edge).collect();
    let pieces = edges.split(Option::is_none);
    let piece = |piece: &[Option<(f64, f64, f64)>]| {
        let points = || piece.iter().flatten();
        let over = points().map(|(x, _, high)| (*x, *high));
        let back = points().rev().map(|(x, low, _)| (*x, *low));
        let around: Vec<_> = over.chain(back).map(Some).collect();
        path(&around) + "z"
    };
    pieces.filter(|it| !it.is_empty()).map(piece).collect()
}

/// The points as a path; it starts anew after each gap.
fn path(points: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let mut pen_up = true;
    for point in points {
        if let Some((x, y)) = point {
            path.push(if pen_up { 'M' } else { 'L' });
            path.push_str(&format!("{} {}", px(*x), px(*y)));
        }
        pen_up = point.is_none();
    }
    path
}

/// A mark on its line, and its words in its row above the plot.
fn draw_mark(chart: &Chart, lane: &Lane<'_>, layout: &Layout, legend: &[Key]) -> Markup {
    let (words_y, middle) = match lane.words_at {
        WordsAt::Above(_) => (lane.top + 11.0, lane.top + WORDS_ABOVE + LANE / 2.0),
        WordsAt::Left(_) | WordsAt::Right(_) => {
            (lane.top + LANE / 2.0 + 4.5, lane.top + LANE / 2.0)
        }
    };
    let (words_x, anchor) = match lane.words_at {
        WordsAt::Right(x) => (x, "start"),
        WordsAt::Left(x) => (x, "end"),
        WordsAt::Above(x) => (x, "middle"),
    };
    let shape = match lane.mark.kind {
        MarkKind::Cross { x, y } => {
            let x = layout.x(x);
            let y = y.and_then(|y| chart.drawn(y));
            let y = y.map_or(layout.top, |y| layout.y(y));
            html! {
                path class="drop" d={ "M" (px(x)) " " (px(middle)) "V" (px(y)) } {}
                path class="cross" d=(cross(x, middle, 4.0)) {}
                path class="cross" d=(cross(x, y, 5.5)) {}
            }
        }
        MarkKind::Bracket { from, peak, to } => {
            let bracket = bracket(layout.x(from), layout.x(peak), layout.x(to), middle);
            html! { path class="bracket" d=(bracket) {} }
        }
    };
    html! {
        g class={ "mark " (classes(legend, lane.line)) } {
            (shape)
            text class="words" text-anchor=(anchor) x=(px(words_x)) y=(px(words_y)) { (lane.words) }
        }
    }
}

/// Beside what is marked if there is room, right before left; else over it, within the drawing.
fn place_words(from: f64, to: f64, width: f64) -> WordsAt {
    if to + 8.0 + width < WIDTH {
        WordsAt::Right(to + 8.0)
    } else if from - 8.0 - width > 0.0 {
        WordsAt::Left(from - 8.0)
    } else {
        let half = (width / 2.0).min(WIDTH / 2.0);
        WordsAt::Above(((from + to) / 2.0).clamp(half, WIDTH - half))
    }
}

/// A line with ends at the lows and a bend at the peak.
fn bracket(from: f64, peak: f64, to: f64, middle: f64) -> String {
    let (top, y) = (px(middle - 4.0), px(middle));
    format!(
        "M{from} {top}v8M{to} {top}v8M{from} {y}H{before}L{peak} {peak_top}L{after} {y}H{to}",
        before = px(peak - 6.0),
        peak_top = px(middle - 7.0),
        after = px(peak + 6.0),
        from = px(from),
        peak = px(peak),
        to = px(to),
    )
}

fn cross(x: f64, y: f64, r: f64) -> String {
    let (left, right, top, bottom) = (px(x - r), px(x + r), px(y - r), px(y + r));
    format!("M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}")
}

fn circle(x: f64, y: f64, r: f64) -> String {
    let (left, y, r, width) = (px(x - r), px(y), px(r), px(2.0 * r));
    format!("M{left} {y}a{r} {r} 0 1 0 {width} 0a{r} {r} 0 1 0 -{width} 0z")
}

/// Circle, square, triangle, diamond, plus; another one for the series of the same colour.
fn marker(hue: usize, x: f64, y: f64) -> String {
    match (hue + hue / HUES) % HUES {
        0 => circle(x, y, 3.6),
        1 => format!("M{} {}h6.6v6.6h-6.6z", px(x - 3.3), px(y - 3.3)),
        2 => format!("M{} {}l4.4 7.6h-8.8z", px(x), px(y - 4.6)),
        3 => format!("M{} {}l4.6 4.6l-4.6 4.6l-4.6 -4.6z", px(x), px(y - 4.6)),
        _ => format!(
            "M{} {}h2.4v3.3h3.3v2.4h-3.3v3.3h-2.4v-3.3h-3.3v-2.4h3.3z",
            px(x - 1.2),
            px(y - 4.5)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            id: "test".to_owned(),
            title: "A <b>title</b>".to_owned(),
            notes: Vec::new(),
            x_title: "epoch".to_owned(),
            x_range: (0.0, 4.0),
            y_title: "loss".to_owned(),
            log_y: false,
            ceiling: Some(5.0),
            lines: vec![Line::new("ours & theirs", 0, Source::Ours, points)],
        }
    }

    #[test]
    fn gaps_break_the_path() {
        let points = [Some((0.0, 1.0)), Some((1.0, 2.0)), None, Some((3.0, 4.25))];
        assert_eq!(path(&points), "M0 1L1 2M3 4.2");
        assert_eq!(path(&[]), "");
    }

    #[test]
    fn values_above_the_ceiling_stay_in_the_plot() {
        let huge = chart(vec![
            (0.0, 2.0),
            (1.0, 1e300),
            (2.0, f64::INFINITY),
            (3.0, f64::NAN),
        ]);
        let svg = draw(&huge).into_string();
        assert_eq!(svg.matches("h9l-4.5 -8z").count(), 2, "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    /// Where a seed has diverged the band reaches to the top of the plot; where all have, there is none to draw.
    #[test]
    fn bands_break_at_gaps_and_reach_to_the_top() {
        let mut chart = chart(vec![(0.0, 1.0), (4.0, 1.0)]);
        chart.ceiling = None;
        let infinite = f64::INFINITY;
        chart.lines[0].band = vec![
            (0.0, 1.0, 2.0),
            (1.0, 1.0, infinite),
            (2.0, infinite, infinite),
            (3.0, 1.0, 2.0),
            (4.0, 1.0, 2.0),
        ];
        let svg = draw(&chart).into_string();
        let band = svg.split("class=\"band\" d=\"").nth(1).unwrap();
        let band = band.split('"').next().unwrap();
        assert_eq!(band.matches('z').count(), 2, "{band}");
        let top = svg.split("class=\"axis\" d=\"M64 ").last().unwrap();
        let top = top.split('V').next().unwrap();
        assert!(band.contains(&format!(" {top}L")), "{top}: {band}");
    }

    #[test]
    fn rings_are_around_their_points() {
        let mut chart = chart(vec![(0.0, 1.0), (4.0, 1.0)]);
        chart.lines[0].rings = vec![4.0];
        let svg = draw(&chart).into_string();
        let ring = svg.split("class=\"ring\" d=\"").nth(1).unwrap();
        assert!(ring.starts_with("M662 "), "{ring:.20}");
        assert_eq!(ring.split('"').next().unwrap().matches('M').count(), 1);
    }

    /// The cross of a run that left the plot stays in the plot.
    #[test]
    fn crosses_stay_in_the_plot() {
        let mut huge = chart(vec![(0.0, 2.0), (1.0, 1e300)]);
        let kind = MarkKind::Cross {
            x: 1.0,
            y: Some(1e300),
        };
        huge.lines[0].marks.push(Mark {
            text: "diverged (epoch 1)".to_owned(),
            kind,
        });
        let svg = draw(&huge).into_string();
        let drop = svg.split("class=\"drop\" d=\"").nth(1).unwrap();
        let (_, bottom) = drop.split_once('V').unwrap();
        let bottom: f64 = bottom.split('"').next().unwrap().parse().unwrap();
        assert!((0.0..PLOT_HEIGHT).contains(&bottom), "{bottom}");
    }

    #[test]
    fn text_is_escaped() {
        let svg = draw(&chart(vec![(0.0, 1.0)])).into_string();
        assert!(svg.contains("A &lt;b&gt;title&lt;/b&gt;") && svg.contains("ours &amp; theirs"));
    }

    #[test]
    fn words_stand_where_there_is_room() {
        assert_eq!(place_words(100.0, 200.0, 150.0), WordsAt::Right(208.0));
        assert_eq!(place_words(500.0, 600.0, 150.0), WordsAt::Left(492.0));
        assert_eq!(place_words(100.0, 600.0, 150.0), WordsAt::Above(350.0));
        assert_eq!(
            place_words(10.0, 660.0, 2.0 * WIDTH),
            WordsAt::Above(WIDTH / 2.0)
        );
    }
}
