//! `autolr compare`: two specifications, seed by seed.

mod print;
mod result;
mod side;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use self::print::print;
use self::result::{Compared, Pair, RunResult, SideResult, differing_keys, name, words};
use self::side::{Run, Side};
use crate::exit::{BadInput, ExitStatus};
use crate::experiment::{RunSpec, Scale};
use crate::number::plural;
use crate::report::seeds::{Weights, compare_seeds, observe};
use crate::statistics::{Observation, judge};
use crate::task::Metric;

/// Compare two specifications over their runs, seed by seed
///
/// A and B are each a run's folder, which stands for that run alone, or a specification file, which stands for every
/// run under --runs that differs from it in training.seed alone (and in training.device, where the file says auto).
/// A run's own spec.toml is such a file.
///
/// Better or worse is wrong in at most 5 % of cases for one comparison over a number of seeds that was chosen beforehand:
/// of many comparisons some will claim a difference by chance, and so will one that is repeated with every further seed.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A run's folder, or a specification: FILE.toml, or FILE.toml#SERIES where it holds several
    #[arg(value_name = "A")]
    a: String,
    /// What to compare it with, in the same form
    #[arg(value_name = "B")]
    b: String,
    /// Folder to look for the runs of a specification
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Lay a scale over specification files
    #[arg(long, value_enum)]
    scale: Option<Scale>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// `autolr compare`
///
/// # Errors
/// [`BadInput`] if A or B is no run, has none, or both are the same specification; a log that is none.
pub fn compare(args: &CompareArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let (a, b) = (Side::find(&args.a, args)?, Side::find(&args.b, args)?);
    let differing_keys = differing_keys(&a.spec, &b.spec)?;
    if differing_keys.is_empty() {
        return Err(BadInput(format!(
            "{} and {}: the same specification, whatever the seed: there is nothing to compare",
            a.name, b.name
        ))
        .into());
    }
    let metric = a.metric();
    if b.metric() != metric {
        let judged = |side: &Side| {
            let measure = side.metric().name();
            format!("{} is judged by its {measure}", side.name)
        };
        let message = format!("{}, {}: there is no common measure", judged(&a), judged(&b));
        return Err(BadInput(message).into());
    }
    // Losses of other problems say nothing of each other.
    let problem = |spec: &RunSpec| (spec.network.kind(), spec.data.set, spec.data.file.clone());
    if metric == Metric::Loss && problem(&a.spec) != problem(&b.spec) {
        let message = format!(
            "{} and {}: losses of different problems (network.kind, data.set, data.file) cannot be compared",
            a.name, b.name
        );
        return Err(BadInput(message).into());
    }
    // Where lower is better, the difference of the negative values has the sign that the verdict goes by.
    let sign = metric.sign();
    let of = |side: &Side| -> BTreeMap<u64, Observation> {
        let value = |run: &Run| match observe(run.log.as_ref(), Weights::Reported, metric) {
            Observation::Value(value) => Observation::Value(sign * value),
            other => other,
        };
        let runs = side.runs.iter();
        runs.map(|(seed, run)| (*seed, value(run))).collect()
    };
    let (mut of_a, mut of_b) = (of(&a), of(&b));
    // A folder stands for its run alone: other seeds of the other side were not asked for.
    if Path::new(&args.a).is_dir() {
        of_b.retain(|seed, _| of_a.contains_key(seed));
    }
    if Path::new(&args.b).is_dir() {
        of_a.retain(|seed, _| of_b.contains_key(seed));
    }
    let comparison = compare_seeds(&of_a, &of_b);
    let unpaired = a.runs.keys().filter(|seed| !b.runs.contains_key(seed));
    let unpaired = unpaired.chain(b.runs.keys().filter(|seed| !a.runs.contains_key(seed)));
    let mut unpaired_seeds: Vec<u64> = unpaired.copied().collect();
    unpaired_seeds.sort_unstable();
    // A family of one.
    let Some(judged) = judge(vec![comparison]).pop() else {
        anyhow::bail!("a comparison without a verdict");
    };
    let pairs = a.runs.iter().filter_map(|(seed, run)| {
        Some(Pair {
            seed: *seed,
            a: RunResult::of(run, metric),
            b: RunResult::of(b.runs.get(seed)?, metric),
            difference: match (of_a.get(seed)?, of_b.get(seed)?) {
                (Observation::Value(a), Observation::Value(b)) => Some(sign * (a - b)),
                _ => None,
            },
        })
    });
    let difference = judged.comparison.difference;
    let test = judged.comparison.test;
    let interval = difference.and_then(|difference| difference.interval());
    let mut unreadable = a.unreadable.clone();
    // Both sides were looked for in one folder.
    let of_b = b.unreadable.iter();
    unreadable.extend(
        of_b.filter(|folder| !a.unreadable.contains(folder))
            .cloned(),
    );
    let (verdict, verdict_words) = match &unreadable[..] {
        [] => (name(judged.verdict), words(judged.verdict)),
        folders => (
            "not-comparable",
            format!(
                "not comparable: {} cannot be used, and may be a run of these",
                plural(folders.len(), "folder")
            ),
        ),
    };
    let compared = Compared {
        metric,
        a: SideResult::of(&a),
        b: SideResult::of(&b),
        differing_keys,
        pairs: pairs.collect(),
        unpaired_seeds,
        diverged_pairs: judged.comparison.diverged,
        diverged_unpaired: judged.comparison.unpaired_diverged,
        mean_difference: difference.map(|difference| sign * difference.mean),
        interval_95: interval.map(|(low, high)| match metric {
            Metric::Accuracy => (low, high),
            Metric::Loss => (-high, -low),
        }),
        p: test.map(|test| test.p),
        p_exact: test.map(|test| test.exact),
        verdict,
        verdict_words,
        unreadable,
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&compared)?)?;
    } else {
        print(&a, &b, &compared, &judged, out)?;
    }
    Ok(ExitStatus::Success)
}
