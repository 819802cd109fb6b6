//! The figures: validation loss and learning rate by epoch, over the paper's curves.

use std::collections::BTreeSet;

use super::chart::{Chart, Line, Mark, MarkKind, Source};
use super::document::Block;
use super::number::loss;
use super::outcome::{Status, planned_epochs, synthetic_note};
use super::published::{self, Curve};
use super::{DOUBLE_DESCENT_RULE, DescentVerdict, ExperimentName, Run, Section, double_descent};
use crate::record::{EpochRecord, RunLog};

/// Losses above this many times the paper's largest are drawn at that height.
const CEILING: f64 = 2.0;
/// Without a curve of the paper, and on a logarithmic axis: this many times the lowest loss.
const LOG_CEILING: f64 = 1e6;

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

    fn published(self, experiment: ExperimentName, series: &str) -> Option<Curve> {
        match self {
            Self::ValidationLoss => published::validation_loss(experiment, series),
            Self::LearningRate => published::learning_rate(experiment, series),
        }
    }
}

/// The horizontal axis: epochs where all curves have as many, else the share of the training done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Horizontal {
    Epoch { epochs: u64 },
    Share { ours: BTreeSet<u64> },
}

impl Horizontal {
    fn of(section: &Section) -> Self {
        let experiment = section.entry.experiment;
        let mut planned: BTreeSet<u64> = section
            .runs()
            .filter_map(|(_, run)| planned_epochs(run))
            .collect();
        let ours = planned.clone();
        let has_paper = section
            .series
            .iter()
            .any(|series| published::validation_loss(experiment, &series.entry.name).is_some());
        if has_paper || planned.is_empty() {
            planned.insert(published::epochs(experiment));
        }
        match planned.first() {
            Some(epochs) if planned.len() == 1 => Self::Epoch { epochs: *epochs },
            _ => Self::Share { ours },
        }
    }

    /// Where an epoch stands in a training of so many. The share is the one done when the epoch ends.
    fn x(&self, epoch: u64, planned: u64) -> f64 {
        match self {
            Self::Epoch { .. } => epoch as f64,
            Self::Share { .. } => 100.0 * (epoch + 1) as f64 / planned.max(1) as f64,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Epoch { .. } => "epoch",
            Self::Share { .. } => "share of the training done (%)",
        }
    }

    fn range(&self) -> (f64, f64) {
        match self {
            Self::Epoch { epochs } => (0.0, epochs.saturating_sub(1) as f64),
            Self::Share { .. } => (0.0, 100.0),
        }
    }

    /// Why the axis is not in epochs.
    fn note(&self, experiment: ExperimentName) -> Option<String> {
        match self {
            Self::Epoch { .. } => None,
            Self::Share { ours } => {
                let ours: Vec<String> = ours.iter().map(u64::to_string).collect();
                Some(format!(
                    "Drawn against the share of the training done, since the numbers of epochs differ: {} here, {} in the \
                     paper.",
                    ours.join(" or "),
                    published::epochs(experiment)
                ))
            }
        }
    }

    /// As many epochs as a run is to have, as far as is known.
    fn planned(&self, run: &Run, log: &RunLog) -> u64 {
        let known = match self {
            Self::Epoch { epochs } => Some(*epochs),
            Self::Share { ours } => planned_epochs(run).or(ours.last().copied()),
        };
        known.unwrap_or(0).max(log.epochs.len() as u64)
    }
}

/// The figures of a section: validation loss and learning rate by epoch.
pub(super) fn figures(number: usize, section: &Section) -> Vec<Block> {
    let horizontal = Horizontal::of(section);
    [Quantity::ValidationLoss, Quantity::LearningRate]
        .into_iter()
        .map(|quantity| chart(number, section, &horizontal, quantity))
        .map(|chart| {
            if chart.lines.is_empty() {
                Block::paragraph(format!("{} There is nothing to draw yet.", chart.title))
            } else {
                Block::Figure(chart)
            }
        })
        .collect()
}

fn chart(number: usize, section: &Section, horizontal: &Horizontal, quantity: Quantity) -> Chart {
    let experiment = section.entry.experiment;
    let mut lines = Vec::new();
    for (hue, series) in section.series.iter().enumerate() {
        let paper = quantity.published(experiment, &series.entry.name);
        // A line a run; those of one series share its colour.
        lines.extend(series.runs.iter().filter_map(|run| {
            let log = run.log.as_ref()?;
            let planned = horizontal.planned(run, log);
            let mut line = our_line(hue, run, log, quantity, experiment, |epoch| {
                horizontal.x(epoch, planned)
            });
            line.label = series.label(run);
            Some(line)
        }));
        lines.extend(paper.map(|curve| {
            let epochs = published::epochs(experiment);
            paper_line(hue, &series.entry.name, curve, quantity, |epoch| {
                horizontal.x(epoch, epochs)
            })
        }));
    }
    let name = match experiment {
        ExperimentName::Table1 => "Schedulers of Table 1",
        ExperimentName::Fig2 => "Figure 2, number of factors",
        ExperimentName::Fig3 => "Figure 3, size of the scoring batch",
        ExperimentName::Divergence => "Divergence, initial learning rate 1",
    };
    // The paper's plots of losses are linear; a diverging loss and a learning rate move by factors.
    let log_y = quantity == Quantity::LearningRate || experiment == ExperimentName::Divergence;
    let has_paper = lines.iter().any(|line| line.source == Source::Paper);
    let mut chart = Chart {
        id: format!("figure-{number}-{}", quantity.title().replace(' ', "-")),
        title: format!(
            "{name}: {}, {} protocol.",
            quantity.title(),
            section.entry.protocol
        ),
        notes: Vec::new(),
        x_title: horizontal.title().to_owned(),
        x_range: horizontal.range(),
        y_title: quantity.axis().to_owned(),
        log_y,
        ceiling: (quantity == Quantity::ValidationLoss)
            .then(|| ceiling(&lines, log_y))
            .flatten(),
        lines,
    };
    chart.notes = notes(section, &chart, horizontal, quantity, has_paper);
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

fn notes(
    section: &Section,
    chart: &Chart,
    horizontal: &Horizontal,
    quantity: Quantity,
    has_paper: bool,
) -> Vec<String> {
    let experiment = section.entry.experiment;
    let mut notes = Vec::new();
    if has_paper {
        let source = match (quantity, experiment) {
            (Quantity::LearningRate, _) => "slide 14",
            (_, ExperimentName::Table1) => "slide 12",
            (_, ExperimentName::Fig2) => "figure 2",
            _ => "figure 3",
        };
        notes.push(format!(
            "Marked (paper), dashed and lighter: the paper's curve ({source}), read off its plot."
        ));
    }
    notes.extend(horizontal.note(experiment));
    let judged = quantity == Quantity::ValidationLoss && experiment != ExperimentName::Divergence;
    if judged {
        notes.push(format!(
            "{DOUBLE_DESCENT_RULE} Brackets over the plot (in HTML) run from a to c and bend at b."
        ));
    }
    if let Some(ceiling) = chart.ceiling.filter(|_| chart.any_clipped()) {
        notes.push(format!(
            "Values above {0} are drawn at {0} (as ▲ in the HTML figure).",
            loss(ceiling)
        ));
    }
    for (series, run) in section.runs() {
        let status = Status::of(run);
        if matches!(status, Status::NotBegun | Status::NotFinished { .. }) {
            notes.push(format!("{}: {}.", series.label(run), status.words()));
        }
    }
    notes.extend(synthetic_note(section.runs().map(|(_, run)| run)));
    notes
}

fn our_line(
    hue: usize,
    run: &Run,
    log: &RunLog,
    quantity: Quantity,
    experiment: ExperimentName,
    x: impl Fn(u64) -> f64,
) -> Line {
    let values: Vec<(u64, f64)> = log
        .epochs
        .iter()
        .map(|epoch| (epoch.epoch, quantity.of(epoch)))
        .collect();
    let mut marks = Vec::new();
    if let Status::Diverged { epoch, .. } = Status::of(run) {
        let before = values.iter().take_while(|(at, _)| *at <= epoch);
        let last = before.filter(|(_, y)| y.is_finite()).last();
        marks.push(Mark {
            text: Status::of(run).words(),
            kind: MarkKind::Cross {
                x: x(epoch),
                y: last.map(|(_, y)| *y),
            },
        });
    }
    if quantity == Quantity::ValidationLoss && experiment != ExperimentName::Divergence {
        marks.extend(bracket(&values, &x));
    }
    Line {
        label: String::new(),
        hue,
        source: Source::Ours,
        points: values.iter().map(|(epoch, y)| (x(*epoch), *y)).collect(),
        marks,
    }
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
    Line {
        label: name.to_owned(),
        hue,
        source: Source::Paper,
        points: values.iter().map(|(epoch, y)| (x(*epoch), *y)).collect(),
        marks: judged
            .then(|| bracket(&values, &x))
            .flatten()
            .into_iter()
            .collect(),
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
mod tests {
    use super::*;
    use crate::report::{RunEntry, SectionEntry, Series, SeriesEntry};

    fn section(experiment: ExperimentName, specs: &[&str]) -> Section {
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
    fn the_axis_is_in_epochs_where_all_agree() {
        let same = Horizontal::of(&section(
            ExperimentName::Fig2,
            &["training.epochs = 50", "training.epochs = 50"],
        ));
        assert_eq!(same, Horizontal::Epoch { epochs: 50 });
        assert_eq!(same.range(), (0.0, 49.0));
        let shorter = Horizontal::of(&section(ExperimentName::Fig2, &["training.epochs = 5"]));
        assert_eq!(
            (shorter.x(0, 5), shorter.x(4, 5), shorter.x(49, 50)),
            (20.0, 100.0, 100.0)
        );
        assert!(
            shorter
                .note(ExperimentName::Fig2)
                .unwrap()
                .contains("5 here, 50 in the paper")
        );
        // No curve of the paper to agree with.
        let alone = Horizontal::of(&section(
            ExperimentName::Divergence,
            &["training.epochs = 5"],
        ));
        assert_eq!(alone, Horizontal::Epoch { epochs: 5 });
        let unknown = Horizontal::of(&section(ExperimentName::Divergence, &[""]));
        assert_eq!(unknown, Horizontal::Epoch { epochs: 100 });
    }

    #[test]
    fn a_section_not_begun_shows_the_papers_curves() {
        let blocks = figures(0, &section(ExperimentName::Fig2, &[""]));
        let [Block::Figure(losses), Block::Figure(rates)] = &blocks[..] else {
            panic!("{blocks:?}");
        };
        assert_eq!((losses.lines.len(), rates.lines.len()), (1, 1));
        assert!(losses.notes.contains(&"factor_5: not begun.".to_owned()));
        let blocks = figures(0, &section(ExperimentName::Divergence, &[""]));
        assert!(matches!(
            blocks[..],
            [Block::Paragraph(_), Block::Paragraph(_)]
        ));
    }

    #[test]
    fn an_axis_without_the_papers_curves_has_a_bound_too() {
        let line = |source, points: &[(f64, f64)]| Line {
            label: String::new(),
            hue: 0,
            source,
            points: points.to_vec(),
            marks: Vec::new(),
        };
        let ours = line(Source::Ours, &[(0.0, 2.0), (1.0, 1e200), (2.0, f64::NAN)]);
        let paper = line(Source::Paper, &[(0.0, 3.0), (1.0, 1.0)]);
        assert_eq!(ceiling(&[ours.clone(), paper], false), Some(6.0));
        assert_eq!(ceiling(std::slice::from_ref(&ours), true), Some(2e6));
        assert_eq!(ceiling(&[ours], false), None);
    }
}
