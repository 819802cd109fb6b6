//! The closed loop against each baseline, and robust against each tuned schedule, over seeds.

use super::outcome::synthetic_note;
use super::seeds::{compare, signed_interval};
use super::table::{Cell, Column, Table};
use super::{Experiment, Section, Series};
use crate::number::{p_value, plural, signed};
use crate::statistics::{EXACT_PAIRS, Judged, Verdict, judge, least_pairs};

/// The paper's scheduler, which is compared with the schedules at the paper's rates.
const PAPER: &str = "ours";
/// The method without a rate, which is compared with the tuned schedules and the paper's scheduler.
const ROBUST: &str = "robust";
/// How the names of series at a tuned rate end.
const TUNED: &str = "-tuned";

/// A row a baseline and protocol; none where no series is run with several seeds, or there is nothing to compare.
pub(super) fn table(experiment: &Experiment<'_>) -> Option<Table> {
    if !experiment.several_seeds() {
        return None;
    }
    let columns = vec![
        Column::text("comparison"),
        Column::text("protocol"),
        Column::number("pairs"),
        Column::text("diverged"),
        Column::number("mean difference (points)"),
        Column::number("95 % interval"),
        Column::number("p"),
        Column::number("p, Holm"),
        Column::text("verdict"),
    ];
    let mut table = Table::new(
        "Test accuracy as the protocol reports it: differences, seed by seed.",
        columns,
    );
    let mut largest = 0;
    for (_, section) in &experiment.sections {
        for rows in families(section) {
            largest = largest.max(rows.len());
            table.rows.extend(rows);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    table.notes = vec![
        format!(
            "p: exact two-sided sign-flip test of the paired differences (beyond {EXACT_PAIRS} pairs, a million sign \
             vectors are drawn). Holm: corrected for the comparisons of one scheduler under a protocol, {largest} at most. Better or worse \
             stands for a Holm-corrected p of at most 0.05, by the sign of the mean difference; if nothing differed, at \
             most one report in twenty would say so of that scheduler. With {}, it takes at least {} to find \
             anything, however large.",
            plural(largest, "comparison"),
            plural(least_pairs(largest), "seed")
        ),
        "This holds for a number of seeds that was chosen beforehand. Whoever adds seeds and looks again, until something \
         is found, finds it more often: looking after each of 6 to 14 seeds, in one of seven comparisons in which nothing \
         differs."
            .to_owned(),
        "A run that diverged has no accuracy, and none is made up for it. Who diverges depends on the scheduler, so the \
         seeds that are left are no fair sample: a comparison with diverged runs, also of seeds that only one of the \
         two has, has no p and no verdict of better or worse, and its mean difference is over the pairs in which both completed. It still counts as one of the \
         comparisons that are corrected for."
            .to_owned(),
    ];
    table
        .notes
        .extend(synthetic_note(experiment.runs().map(|placed| placed.run)));
    Some(table)
}

/// The comparisons of a section: a family for each of the two candidates.
fn families(section: &Section) -> [Vec<Vec<Cell>>; 2] {
    let tuned = |series: &Series| series.entry.name.ends_with(TUNED);
    [
        family(section, PAPER, |series| {
            !tuned(series) && series.entry.name != ROBUST
        }),
        family(section, ROBUST, |series| {
            tuned(series) || series.entry.name == PAPER
        }),
    ]
}

/// The comparisons of one series with those that `against` takes, corrected together.
fn family(section: &Section, candidate: &str, against: impl Fn(&Series) -> bool) -> Vec<Vec<Cell>> {
    let all = &section.series;
    let Some(candidate) = all.iter().find(|series| series.entry.name == candidate) else {
        return Vec::new();
    };
    let others = all
        .iter()
        .filter(|series| series.entry.name != candidate.entry.name);
    let baselines: Vec<&Series> = others.filter(|series| against(series)).collect();
    let family = baselines
        .iter()
        .map(|other| compare(candidate, other))
        .collect();
    let judged = judge(family);
    let rows = baselines.iter().zip(&judged);
    rows.map(|(baseline, judged)| row(&section.entry.protocol, candidate, baseline, judged))
        .collect()
}

fn row(protocol: &str, ours: &Series, baseline: &Series, judged: &Judged) -> Vec<Cell> {
    let comparison = &judged.comparison;
    let here_and_there = format!(
        "({} here, {} there)",
        comparison.candidate_diverged, comparison.baseline_diverged
    );
    let diverged = match (comparison.diverged, comparison.unpaired_diverged) {
        (0, 0) => Cell::new("0"),
        (pairs, 0) => Cell::diverged(format!("{} {here_and_there}", plural(pairs, "pair"))),
        (pairs, alone) => Cell::diverged(format!(
            "{}, {} that only one has {here_and_there}",
            plural(pairs, "pair"),
            plural(alone, "seed")
        )),
    };
    let difference = comparison.difference;
    vec![
        Cell::new(format!("{} − {}", ours.entry.label, baseline.entry.label)),
        Cell::new(protocol),
        Cell::new(comparison.pairs.to_string()),
        diverged,
        Cell::or_none(difference.map(|difference| signed(difference.mean))),
        Cell::or_none(difference.and_then(|difference| signed_interval(&difference))),
        Cell::or_none(comparison.test.map(|test| p_value(test.p))),
        Cell::or_none(judged.holm_p.map(p_value)),
        verdict(judged.verdict),
    ]
}

fn verdict(verdict: Verdict) -> Cell {
    let words = verdict.to_string();
    match verdict {
        Verdict::Better | Verdict::Worse => Cell::strong(words),
        Verdict::NotComparable { .. } => Cell::diverged(words),
        Verdict::NotFinished { .. } => Cell::faint(words),
        _ => Cell::new(words),
    }
}
