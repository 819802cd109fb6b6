//! One row a method, over all problems: which one to take.

use std::fmt;

use super::outcome::Compared;
use super::{Contender, Problem};
use crate::number;

/// Mean regret up to which a value of the knob is usable.
const USABLE: f64 = 2.0;

/// What a method comes to over the problems.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    method: Contender,
    /// Decades of the knob, from its least to its greatest usable value: the mean over the problems. None where there is no
    /// knob.
    usable: Option<f64>,
    /// At the recommended value, a hundredth and a hundred times of it.
    at: [At; 3],
    /// Share of the compute that went into search and probes, at the recommended value.
    search: f64,
}

/// At one value of the knob.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct At {
    /// Sum of the mean regrets of the problems on which no run diverged, their number, and the worst.
    regrets: (f64, usize, f64),
    /// Problems with a mean regret of at most 1.
    within: usize,
    /// Problems on which it ran.
    problems: usize,
    /// Runs.
    runs: usize,
    diverged: usize,
}

impl At {
    fn add(&mut self, of: &Compared) {
        self.problems += 1;
        self.runs += of.runs;
        self.diverged += of.diverged;
        if let Some(regret) = of.regret.filter(|_| of.diverged == 0) {
            self.within += usize::from(regret.mean <= 1.0);
            let (sum, n, worst) = self.regrets;
            let worst = if n == 0 {
                regret.mean
            } else {
                worst.max(regret.mean)
            };
            self.regrets = (sum + regret.mean, n + 1, worst);
        }
    }

    fn mean(&self) -> Option<f64> {
        let (sum, n, _) = self.regrets;
        (n > 0).then(|| sum / n as f64)
    }
}

/// The methods that ran, by their mean regret at the recommended value; what diverged there comes last.
pub(crate) fn summaries(found: &[(&Problem, Vec<Compared>)]) -> Vec<Summary> {
    let mut all = Vec::new();
    for method in Contender::all() {
        let mut summary = Summary {
            method,
            usable: None,
            at: [At::default(); 3],
            search: 0.0,
        };
        let mut decades = Vec::new();
        for (problem, compared) in found {
            let of: Vec<&Compared> = compared.iter().filter(|of| of.method == method).collect();
            let recommended = method.recommended(problem);
            for (i, multiple) in [1.0, 0.01, 100.0].into_iter().enumerate() {
                let wanted = recommended.map(|lr| multiple * lr);
                let at = of.iter().find(|of| match (of.lr, wanted) {
                    (Some(lr), Some(wanted)) => (lr / wanted).log10().abs() < 0.31,
                    (None, _) => i == 0,
                    _ => false,
                });
                if let Some(at) = at {
                    summary.at[i].add(at);
                    if i == 0 {
                        summary.search += at.search;
                    }
                }
            }
            if of.iter().any(|of| of.lr.is_some()) {
                decades.push(usable(&of));
            }
        }
        if summary.at[0].problems == 0 {
            continue;
        }
        summary.search /= summary.at[0].problems as f64;
        if !decades.is_empty() {
            summary.usable = Some(decades.iter().sum::<f64>() / decades.len() as f64);
        }
        all.push(summary);
    }
    let rank = |of: &Summary| {
        let at = &of.at[0];
        (at.diverged > 0, at.mean().unwrap_or(f64::INFINITY))
    };
    all.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    all
}

/// Decades that the longest run of usable values spans.
fn usable(of: &[&Compared]) -> f64 {
    let mut of: Vec<(f64, bool)> = of
        .iter()
        .filter_map(|of| {
            let good = of.diverged == 0 && of.regret.is_some_and(|regret| regret.mean <= USABLE);
            Some((of.lr?.log10(), good))
        })
        .collect();
    of.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut longest, mut from) = (0.0_f64, None);
    for (log, good) in of {
        if good {
            let from = *from.get_or_insert(log);
            longest = longest.max(log - from);
        } else {
            from = None;
        }
    }
    longest
}

/// A Markdown table.
pub(crate) struct Markdown<'a>(pub(crate) &'a [Summary]);

impl fmt::Display for Markdown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| method | knob | usable (decades) | regret: mean, worst | within 1 | at 1/100 | at 100 times | diverged | search (%) |"
        )?;
        writeln!(f, "|---|---|---:|---:|---:|---:|---:|---:|---:|")?;
        for of in self.0 {
            let tenths = |value: f64| number::decimals(value, 1);
            let [at, low, high] = &of.at;
            let mean = |at: &At| match (at.mean(), at.diverged) {
                _ if at.problems == 0 => "–".to_owned(),
                (Some(mean), 0) => tenths(mean),
                (Some(mean), diverged) => {
                    format!("{}; {diverged} of {} diverged", tenths(mean), at.runs)
                }
                (None, diverged) => format!("{diverged} of {} diverged", at.runs),
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} of {} | {} | {} | {} of {} | {} |",
                of.method.name(),
                of.method.knob().map_or("–", |(key, _)| key),
                of.usable.map_or_else(|| "–".to_owned(), tenths),
                at.mean().map_or_else(
                    || "–".to_owned(),
                    |mean| format!("{}, {}", tenths(mean), tenths(at.regrets.2))
                ),
                at.within,
                at.problems,
                mean(low),
                mean(high),
                at.diverged,
                at.runs,
                tenths(100.0 * of.search),
            )?;
        }
        Ok(())
    }
}
