//! The figures: validation loss and learning rate by epoch, over the paper's curves.
//!
//! Of several seeds, each has its line of the learning rate; of the losses there is the median, with a band from the
//! lowest to the highest.

use super::chart::{Chart, Line, Mark, MarkKind, Of, Points, Source};
use super::document::Block;
use super::group::Group;
use super::horizontal::Horizontal;
use super::outcome::Status;
use super::published::{self, Curve};
use super::spread::{SeedCurve, spread};
use super::{DOUBLE_DESCENT_RULE, DescentVerdict, Run, Series, double_descent};
use crate::experiment::ExperimentName;
use crate::number::{loss, plural};
use crate::record::{EpochRecord, RunLog};

/// Losses above this many times the paper's largest are drawn at that height.
const CEILING: f64 = 2.0;
/// Without a curve of the paper, and on a logarithmic axis: this many times the lowest loss.
const LOG_CEILING: f64 = 1e6;

/// As many diverged seeds of a series have a cross with words of their own.
const CROSSES: usize = 4;

/// What a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    ValidationLoss,
    LearningRate,
}

impl Quantity {
    fn title(self) -> &'static str {
        match self {
            Self::ValidationLoss => "validation loss",
            Self::LearningRate => "learning rate",
        }
    }

    fn axis(self) -> &'static str {
        match self {
            Self::ValidationLoss => "validation loss (nats)",
            Self::LearningRate => "learning rate",
        }
    }

    fn of(self, epoch: &EpochRecord) -> f64 {
        match self {
            Self::ValidationLoss => epoch.validation_loss,
            Self::LearningRate => epoch.lr,
        }
    }

    fn published(self, experiment: Option<ExperimentName>, series: &str) -> Option<Curve> {
        let experiment = experiment?;
        match self {
            Self::ValidationLoss => published::validation_loss(experiment, series),
            Self::LearningRate => published::learning_rate(experiment, series),
        }
    }
}

/// The figures of a group: validation loss and learning rate by epoch.
pub(super) fn figures(number: usize, group: &Group<'_>) -> Vec<Block> {
    let horizontal = Horizontal::of(group);
    [Quantity::ValidationLoss, Quantity::LearningRate]
        .into_iter()
        .map(|quantity| chart(number, group, &horizontal, quantity))
        .map(|chart| {
            if chart.lines.is_empty() {
                Block::paragraph(format!("{} There is nothing to draw yet.", chart.title))
            } else {
                Block::Figure(chart)
            }
        })
        .collect()
}

fn chart(number: usize, group: &Group<'_>, horizontal: &Horizontal, quantity: Quantity) -> Chart {
    let experiment = group.experiment;
    let mut lines = Vec::new();
    for (hue, series) in group.series.iter().enumerate() {
        let paper = quantity.published(experiment, &series.entry.name);
        lines.extend(our_lines(hue, series, horizontal, quantity, experiment));
        lines.extend(paper.zip(experiment).map(|(curve, experiment)| {
            let epochs = published::epochs(experiment);
            paper_line(hue, &series.entry.name, curve, quantity, |epoch| {
                horizontal.x(epoch, epochs)
            })
        }));
    }
    // The paper's plots of losses are linear; a diverging loss and a learning rate move by factors.
    let log_y =
        quantity == Quantity::LearningRate || experiment == Some(ExperimentName::Divergence);
    let has_paper = lines.iter().any(|line| line.source == Source::Paper);
    let spread = if lines.iter().any(|line| !line.band.is_empty()) {
        ", median and min–max band over seeds"
    } else {
        ""
    };
    let mut chart = Chart {
        id: format!("figure-{number}-{}", quantity.title().replace(' ', "-")),
        title: format!(
            "{}: {}{spread}{}.",
            group.title,
            quantity.title(),
            group.protocol
        ),
        notes: Vec::new(),
        x_title: horizontal.title().to_owned(),
        x_range: horizontal.range(),
        y_title: quantity.axis().to_owned(),
        log_y,
        ceiling: (quantity == Quantity::ValidationLoss)
            .then(|| match experiment {
                Some(_) => ceiling(&lines, log_y),
                None => above_the_start(&lines),
            })
            .flatten(),
        lines,
    };
    chart.notes = notes(group, &chart, horizontal, quantity, has_paper);
    chart
}

/// The bound above which losses are drawn at the bound; none if there is nothing to go by.
fn ceiling(lines: &[Line], log_y: bool) -> Option<f64> {
    let values = |source: Option<Source>| {
        let lines = lines
            .iter()
            .filter(move |line| source.is_none_or(|source| line.source == source));
        lines
            .flat_map(|line| &line.points)
            .map(|(_, y)| *y)
            .filter(|y| y.is_finite())
    };
    if log_y {
        let lowest = values(None).filter(|y| *y > 0.0).reduce(f64::min);
        lowest.map(|lowest| LOG_CEILING * lowest)
    } else {
        let highest = values(Some(Source::Paper)).reduce(f64::max);
        highest.map(|highest| CEILING * highest)
    }
}

/// Losses far above those after the first epoch would flatten all others.
fn above_the_start(lines: &[Line]) -> Option<f64> {
    let first = lines.iter().filter_map(|line| line.points.first());
    let finite = first.map(|(_, loss)| *loss).filter(|loss| loss.is_finite());
    finite.reduce(f64::max).map(|highest| CEILING * highest)
}

fn notes(
    group: &Group<'_>,
    chart: &Chart,
    horizontal: &Horizontal,
    quantity: Quantity,
    has_paper: bool,
) -> Vec<String> {
    let experiment = group.experiment;
    let mut notes = Vec::new();
    if has_paper {
        let source = match (quantity, experiment) {
            (Quantity::LearningRate, _) => "slide 14",
            (_, Some(ExperimentName::Table1)) => "slide 12",
            (_, Some(ExperimentName::Fig2)) => "figure 2",
            _ => "figure 3",
        };
        notes.push(format!(
            "Marked (paper), dashed and lighter: the paper's curve ({source}), read off its plot."
        ));
    }
    notes.extend(horizontal.note(experiment));
    if is_judged(experiment, quantity) {
        notes.push(format!(
            "{DOUBLE_DESCENT_RULE} Brackets over the plot (in HTML) run from a to c and bend at b."
        ));
    }
    if let Some(ceiling) = chart.ceiling.filter(|_| chart.any_clipped()) {
        notes.push(format!(
            "Values above {0} are drawn at {0}, infinite ones at the top (as ▲ in the HTML figure).",
            loss(ceiling)
        ));
    }
    if chart.lines.iter().any(|line| !line.band.is_empty()) {
        notes.push(
            "Of several seeds: the line is the median of their losses, the band reaches from the lowest to the highest \
             (min–max, no interval of confidence). A seed whose loss is not finite counts as above all others from \
             there on, and the band then reaches to the top."
                .to_owned(),
        );
    }
    if chart.lines.iter().any(|line| !line.rings.is_empty()) {
        notes.push(
            "A ring is a rate set after several probes: the best candidate was the outermost one, and the window was \
             moved on."
                .to_owned(),
        );
    }
    notes.extend(group.series.iter().filter_map(diverged_seeds));
    for (series, run) in group.runs() {
        let status = Status::of(run);
        if matches!(
            status,
            Status::NotBegun | Status::Unreadable { .. } | Status::NotFinished { .. }
        ) {
            notes.push(format!("{}: {}.", series.label(run), status.words()));
        }
    }
    notes.extend(group.synthetic_note());
    notes
}

/// Whether double descent is looked for in a figure: the paper speaks of it.
fn is_judged(experiment: Option<ExperimentName>, quantity: Quantity) -> bool {
    let is_paper = experiment.is_some_and(|of| of != ExperimentName::Divergence);
    quantity == Quantity::ValidationLoss && is_paper
}

/// How many seeds of a series diverged, and when, if any did and there are several.
fn diverged_seeds(series: &Series) -> Option<String> {
    let diverged = series.runs.iter().filter_map(|run| match Status::of(run) {
        Status::Diverged { epoch, .. } => Some(format!("seed {} (epoch {epoch})", run.entry.seed)),
        _ => None,
    });
    let diverged: Vec<String> = diverged.collect();
    (series.runs.len() > 1 && !diverged.is_empty()).then(|| {
        format!(
            "{}: {} of {} diverged: {}.",
            series.entry.label,
            diverged.len(),
            plural(series.runs.len(), "seed"),
            diverged.join(", ")
        )
    })
}

/// The lines of a series: one a run, or for the losses of several seeds their median.
fn our_lines(
    hue: usize,
    series: &Series,
    horizontal: &Horizontal,
    quantity: Quantity,
    experiment: Option<ExperimentName>,
) -> Vec<Line> {
    let begun = |run: &'_ Run| run.log.as_ref().map(|log| horizontal.planned(run, log));
    let judged = is_judged(experiment, quantity);
    let runs = || series.runs.iter().filter(|run| begun(run).is_some());
    if quantity == Quantity::ValidationLoss && runs().count() > 1 {
        return vec![median_line(hue, series, horizontal, judged)];
    }
    let mut crosses = 0;
    let mut lines = Vec::new();
    for run in runs() {
        let (Some(log), Some(planned)) = (&run.log, begun(run)) else {
            continue;
        };
        let x = |epoch| horizontal.x(epoch, planned);
        let values = values(log, quantity);
        let mut line = Line::new(&series.entry.label, hue, Source::Ours, placed(&values, x));
        if series.runs.len() > 1 {
            line.of = Of::Seed(run.entry.seed);
        }
        if let Some(cross) = cross(run, &values, x).filter(|_| crosses < CROSSES) {
            crosses += 1;
            line.marks.push(cross);
        }
        if judged {
            line.marks.extend(bracket(&values, x));
        }
        if quantity == Quantity::LearningRate {
            // The rate that such a decision set holds from the next epoch on.
            let several = log.decisions.iter().filter(|it| it.decision.probes() > 1);
            let next = several.map(|it| it.epoch + 1);
            let there = next.filter(|epoch| *epoch < log.epochs.len() as u64);
            line.rings = there.map(x).collect();
        }
        lines.push(line);
    }
    lines
}

/// The median over a series' seeds with the range around; the seeds themselves are among the numbers beneath.
fn median_line(hue: usize, series: &Series, horizontal: &Horizontal, judged: bool) -> Line {
    let mut curves = Vec::new();
    let mut marks = Vec::new();
    let mut beneath = Vec::new();
    let mut planned = 0;
    for run in &series.runs {
        let Some(log) = &run.log else { continue };
        let of_run = horizontal.planned(run, log);
        planned = planned.max(of_run);
        let x = |epoch| horizontal.x(epoch, of_run);
        let values = values(log, Quantity::ValidationLoss);
        marks.extend(cross(run, &values, x).map(|cross| Mark {
            text: format!("seed {}: {}", run.entry.seed, cross.text),
            ..cross
        }));
        beneath.push((series.label(run), placed(&values, x)));
        curves.push(SeedCurve {
            seed: run.entry.seed,
            values: values.iter().map(|(_, y)| *y).collect(),
            diverged: matches!(Status::of(run), Status::Diverged { .. }),
        });
    }
    marks.truncate(CROSSES);
    let x = |epoch| horizontal.x(epoch, planned);
    let spread = spread(&curves);
    let epochs = || spread.iter().zip(0_u64..);
    let values: Vec<(u64, f64)> = epochs().map(|(it, epoch)| (epoch, it.median)).collect();
    if judged {
        marks.extend(bracket(&values, x));
    }
    let label = &series.entry.label;
    let edge = |name: &str, of: fn(&super::spread::Spread) -> f64| {
        let points: Points = epochs().map(|(it, epoch)| (x(epoch), of(it))).collect();
        (format!("{label}, {name}"), points)
    };
    let edges = [edge("lowest", |it| it.low), edge("highest", |it| it.high)];
    Line {
        of: Of::Median(curves.len()),
        band: epochs()
            .map(|(it, epoch)| (x(epoch), it.low, it.high))
            .collect(),
        marks,
        beneath: edges.into_iter().chain(beneath).collect(),
        ..Line::new(label, hue, Source::Ours, placed(&values, x))
    }
}

fn values(log: &RunLog, quantity: Quantity) -> Vec<(u64, f64)> {
    let epochs = log.epochs.iter();
    epochs
        .map(|epoch| (epoch.epoch, quantity.of(epoch)))
        .collect()
}

fn placed(values: &[(u64, f64)], x: impl Fn(u64) -> f64) -> Points {
    values.iter().map(|(epoch, y)| (x(*epoch), *y)).collect()
}

/// Where a run diverged, at its last value that can be drawn.
fn cross(run: &Run, values: &[(u64, f64)], x: impl Fn(u64) -> f64) -> Option<Mark> {
    let status = Status::of(run);
    let Status::Diverged { epoch, .. } = status else {
        return None;
    };
    let before = values.iter().take_while(|(at, _)| *at <= epoch);
    let last = before.filter(|(_, y)| y.is_finite()).last();
    Some(Mark {
        text: status.words(),
        kind: MarkKind::Cross {
            x: x(epoch),
            y: last.map(|(_, y)| *y),
        },
    })
}

fn paper_line(
    hue: usize,
    name: &str,
    curve: Curve,
    quantity: Quantity,
    x: impl Fn(u64) -> f64,
) -> Line {
    let values: Vec<(u64, f64)> = curve
        .iter()
        .map(|reading| (reading.epoch, reading.value))
        .collect();
    let judged = quantity == Quantity::ValidationLoss;
    let points = placed(&values, &x);
    Line {
        marks: judged
            .then(|| bracket(&values, &x))
            .flatten()
            .into_iter()
            .collect(),
        ..Line::new(name, hue, Source::Paper, points)
    }
}

/// The mark of a curve that falls, rises and falls again.
fn bracket(values: &[(u64, f64)], x: impl Fn(u64) -> f64) -> Option<Mark> {
    let verdict = judge(values);
    let swings = verdict.swings()?;
    let at = |index: usize| values.get(index).map(|(epoch, _)| x(*epoch));
    let text = match verdict {
        DescentVerdict::DoubleDescent(_) => "double descent",
        _ => "falls again, no new low",
    };
    Some(Mark {
        text: text.to_owned(),
        kind: MarkKind::Bracket {
            from: at(swings.first_low)?,
            peak: at(swings.peak)?,
            to: at(swings.second_low)?,
        },
    })
}

/// The rule of double descent on values with their epochs.
pub(super) fn judge(values: &[(u64, f64)]) -> DescentVerdict {
    let losses: Vec<f64> = values.iter().map(|(_, loss)| *loss).collect();
    double_descent(&losses)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::{RunEntry, Section, SectionEntry, SeriesEntry};

    pub(in crate::report) fn section(experiment: ExperimentName, specs: &[&str]) -> Section {
        let series = |spec: &&str| Series {
            entry: SeriesEntry {
                name: "factor_5".to_owned(),
                label: "factor_5".to_owned(),
                runs: Vec::new(),
            },
            runs: vec![Run {
                entry: RunEntry {
                    seed: 0,
                    run: "run".to_owned(),
                },
                spec: (*spec).to_owned(),
                log: None,
                problem: None,
                seconds: None,
            }],
        };
        Section {
            entry: SectionEntry {
                experiment,
                protocol: "published".to_owned(),
                description: String::new(),
                series: Vec::new(),
            },
            series: specs.iter().map(series).collect(),
        }
    }

    #[test]
    fn a_section_not_begun_shows_the_papers_curves() {
        let blocks = figures(0, &Group::of(&section(ExperimentName::Fig2, &[""])));
        let [Block::Figure(losses), Block::Figure(rates)] = &blocks[..] else {
            panic!("{blocks:?}");
        };
        assert_eq!((losses.lines.len(), rates.lines.len()), (1, 1));
        assert!(losses.notes.contains(&"factor_5: not begun.".to_owned()));
        let blocks = figures(0, &Group::of(&section(ExperimentName::Divergence, &[""])));
        assert!(matches!(
            blocks[..],
            [Block::Paragraph(_), Block::Paragraph(_)]
        ));
    }

    #[test]
    fn an_axis_without_the_papers_curves_has_a_bound_too() {
        let line = |source, points: &[(f64, f64)]| Line::new("", 0, source, points.to_vec());
        let ours = line(Source::Ours, &[(0.0, 2.0), (1.0, 1e200), (2.0, f64::NAN)]);
        let paper = line(Source::Paper, &[(0.0, 3.0), (1.0, 1.0)]);
        assert_eq!(ceiling(&[ours.clone(), paper], false), Some(6.0));
        assert_eq!(ceiling(std::slice::from_ref(&ours), true), Some(2e6));
        assert_eq!(ceiling(&[ours], false), None);
    }
}
