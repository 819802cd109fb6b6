//! `autolr compare`: two specifications, seed by seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use toml::{Table, Value};

use crate::exit::{BadInput, ExitStatus};
use crate::experiment::{DeviceName, ExperimentFile, RunSpec, Scale};
use crate::record::{Outcome, RunLog, read_seconds};
use crate::report::number::{count, duration, hundredths, p_value, plural, signed};
use crate::report::seeds::{OverSeeds, Weights, observe, signed_interval};
use crate::statistics::{Comparison, Judged, Observation, Verdict, judge};
use crate::visible::visible;

/// Compare two specifications over their runs, seed by seed
///
/// A and B are each a run's folder, which stands for that run alone, or a specification file, which stands for every
/// run under --runs that differs from it in training.seed alone (and in training.device, where the file says auto).
/// A run's own spec.toml is such a file.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A run's folder, or a specification: FILE.toml, or FILE.toml#SERIES where it holds several
    #[arg(value_name = "A")]
    a: String,
    /// What it is compared with, in the same form
    #[arg(value_name = "B")]
    b: String,
    /// Folder in which the runs of a specification are looked for
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Lay a scale over specification files
    #[arg(long, value_enum)]
    scale: Option<Scale>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// One of the two that are compared.
struct Side {
    name: String,
    spec: RunSpec,
    /// By seed.
    runs: BTreeMap<u64, Run>,
}

/// A run, read.
struct Run {
    dir: PathBuf,
    log: Option<RunLog>,
    seconds: Option<f64>,
}

impl Run {
    fn read(dir: PathBuf, spec: &RunSpec) -> Result<Self> {
        Ok(Self {
            log: RunLog::read_of(&spec.digest()?, &dir.join("events.jsonl"))?,
            seconds: read_seconds(&dir),
            dir,
        })
    }

    fn accuracy(&self, weights: Weights) -> Option<f64> {
        self.log.as_ref().and_then(|log| weights.accuracy(log))
    }

    fn state(&self) -> String {
        let summary = self.log.as_ref().and_then(|log| log.summary.as_ref());
        match summary.map(|summary| &summary.outcome) {
            None => "not finished".to_owned(),
            Some(Outcome::Completed) => "completed".to_owned(),
            Some(Outcome::Diverged { epoch, .. }) => format!("diverged (epoch {epoch})"),
        }
    }
}

impl Side {
    fn find(given: &str, args: &CompareArgs) -> Result<Self> {
        let path = Path::new(given);
        if path.is_dir() {
            Self::of_folder(given, path)
        } else {
            Self::of_file(given, args)
        }
    }

    fn of_folder(given: &str, dir: &Path) -> Result<Self> {
        let Some(spec) = read_spec(dir)? else {
            return Err(BadInput(format!(
                "{given}: no spec.toml there: not the folder of a run; name a run's folder or a specification file"
            ))
            .into());
        };
        let run = Run::read(dir.to_owned(), &spec)?;
        Ok(Self {
            name: given.to_owned(),
            runs: BTreeMap::from([(spec.training.seed, run)]),
            spec,
        })
    }

    fn of_file(given: &str, args: &CompareArgs) -> Result<Self> {
        let whole = Path::new(given).is_file();
        let (file, series) = match given.rsplit_once('#') {
            Some((file, series)) if !whole => (file, Some(series)),
            _ => (given, None),
        };
        let experiment = ExperimentFile::load(Path::new(file))?;
        let overlay = match args.scale {
            Some(scale) => scale.overlay()?.0,
            None => Table::new(),
        };
        let spec = experiment
            .find(series)
            .and_then(|series| experiment.spec(series, &overlay))
            .map_err(|error| {
                let hint = "; write it as FILE.toml#SERIES";
                let hint = if series.is_none() && experiment.series.len() > 1 {
                    hint
                } else {
                    ""
                };
                BadInput(format!("{file}: {error}{hint}"))
            })?;
        let wanted = without_seed(&spec, &spec);
        let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
        for dir in folders(&args.runs)? {
            let found = match read_spec(&dir) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) => {
                    eprintln!("note: left out: {}", visible(&format!("{error:#}")));
                    continue;
                }
            };
            if without_seed(&found, &spec) != wanted {
                continue;
            }
            if let Some(other) = runs.get(&found.training.seed) {
                return Err(BadInput(format!(
                    "{given}: seed {} stands there twice, in {} and {}: set training.device to choose",
                    found.training.seed,
                    other.dir.display(),
                    dir.display()
                ))
                .into());
            }
            let run = Run::read(dir, &found)?;
            runs.insert(found.training.seed, run);
        }
        if runs.is_empty() {
            return Err(BadInput(format!(
                "{given}: no run of this specification under {}, whatever its seed",
                args.runs.display()
            ))
            .into());
        }
        Ok(Self {
            name: given.to_owned(),
            spec,
            runs,
        })
    }

    fn observe(&self, weights: Weights) -> OverSeeds {
        let runs = self.runs.values();
        OverSeeds::of(runs.map(|run| observe(run.log.as_ref(), weights)))
    }

    fn seeds(&self) -> String {
        let seeds: Vec<String> = self.runs.keys().map(u64::to_string).collect();
        format!(
            "{} ({} {})",
            plural(seeds.len(), "run"),
            if seeds.len() == 1 { "seed" } else { "seeds" },
            seeds.join(", ")
        )
    }
}

/// The specification in a run's folder; none if there is none.
fn read_spec(dir: &Path) -> Result<Option<RunSpec>> {
    let path = dir.join("spec.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{}: cannot be read", path.display()));
        }
    };
    let wrong = |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
    let table: Table = text.parse().map_err(|error| wrong(&error))?;
    let spec = RunSpec::from_table(table).map_err(|error| wrong(&error))?;
    Ok(Some(spec))
}

/// The folders in a folder, in the order of their names.
fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: std::io::Error| BadInput(format!("--runs {}: {error}", dir.display()));
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// A specification without what does not count beside `wanted`.
fn without_seed(spec: &RunSpec, wanted: &RunSpec) -> RunSpec {
    let mut spec = spec.clone();
    spec.training.seed = 0;
    if wanted.training.device == DeviceName::Auto {
        spec.training.device = DeviceName::Auto;
    }
    spec
}

/// A key in which the specifications differ.
#[derive(Debug, PartialEq, Serialize)]
struct DifferingKey {
    key: String,
    a: Option<Value>,
    b: Option<Value>,
}

fn differing_keys(a: &RunSpec, b: &RunSpec) -> Result<Vec<DifferingKey>> {
    let flat = |spec: &RunSpec| -> Result<BTreeMap<String, Value>> {
        let mut flat = BTreeMap::new();
        flatten("", Table::try_from(spec)?, &mut flat);
        flat.remove("training.seed");
        Ok(flat)
    };
    let (mut a, mut b) = (flat(a)?, flat(b)?);
    let keys: std::collections::BTreeSet<String> = a.keys().chain(b.keys()).cloned().collect();
    let differing = keys.into_iter().map(|key| DifferingKey {
        a: a.remove(&key),
        b: b.remove(&key),
        key,
    });
    Ok(differing.filter(|key| key.a != key.b).collect())
}

fn flatten(above: &str, table: Table, flat: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if above.is_empty() {
            key
        } else {
            format!("{above}.{key}")
        };
        match value {
            Value::Table(table) => flatten(&key, table, flat),
            value => {
                flat.insert(key, value);
            }
        }
    }
}

/// What `--json` prints. Accuracies are in percent, differences in points.
#[derive(Debug, Serialize)]
struct Compared {
    a: SideResult,
    b: SideResult,
    differing_keys: Vec<DifferingKey>,
    /// Seeds that both have.
    pairs: Vec<Pair>,
    /// Seeds that only one has.
    unpaired_seeds: Vec<u64>,
    /// Pairs of which a run diverged.
    diverged_pairs: usize,
    mean_difference: Option<f64>,
    interval_95: Option<(f64, f64)>,
    /// Of the sign-flip test.
    p: Option<f64>,
    /// Whether `p` is over all sign vectors.
    p_exact: Option<bool>,
    verdict: &'static str,
    verdict_words: String,
}

#[derive(Debug, Serialize)]
struct SideResult {
    name: String,
    seeds: Vec<u64>,
    completed: usize,
    diverged: usize,
    not_finished: usize,
    mean_accuracy: Option<f64>,
    deviation: Option<f64>,
    interval_95: Option<(f64, f64)>,
    mean_accuracy_last_epoch: Option<f64>,
    epochs: u64,
    forwards: u64,
    backwards: u64,
    probe_forwards: u64,
    probe_backwards: u64,
    seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Pair {
    seed: u64,
    a: RunResult,
    b: RunResult,
    /// None unless both completed.
    difference: Option<f64>,
}

#[derive(Debug, Serialize)]
struct RunResult {
    folder: String,
    state: String,
    accuracy: Option<f64>,
    accuracy_last_epoch: Option<f64>,
}

impl SideResult {
    fn of(side: &Side) -> Self {
        let (reported, last) = (side.observe(Weights::Reported), side.observe(Weights::Last));
        let logs = || side.runs.values().filter_map(|run| run.log.as_ref());
        let total = |of: fn(&crate::record::Summary) -> u64| {
            let summaries = logs().filter_map(|log| log.summary.as_ref());
            summaries.map(of).fold(0, u64::saturating_add)
        };
        let seconds = side.runs.values().filter_map(|run| run.seconds);
        let estimate = reported.estimate;
        Self {
            name: side.name.clone(),
            seeds: side.runs.keys().copied().collect(),
            completed: estimate.map_or(0, |estimate| estimate.n),
            diverged: reported.diverged,
            not_finished: reported.pending,
            mean_accuracy: estimate.map(|estimate| estimate.mean),
            deviation: estimate.and_then(|estimate| estimate.deviation),
            interval_95: estimate.and_then(|estimate| estimate.interval()),
            mean_accuracy_last_epoch: last.estimate.map(|estimate| estimate.mean),
            epochs: logs().map(|log| log.epochs.len() as u64).sum(),
            forwards: total(|summary| summary.forwards),
            backwards: total(|summary| summary.backwards),
            probe_forwards: total(|summary| summary.probe_forwards),
            probe_backwards: total(|summary| summary.probe_backwards),
            seconds: seconds.reduce(|a, b| a + b),
        }
    }
}

impl RunResult {
    fn of(run: &Run) -> Self {
        Self {
            folder: run.dir.display().to_string(),
            state: run.state(),
            accuracy: run.accuracy(Weights::Reported),
            accuracy_last_epoch: run.accuracy(Weights::Last),
        }
    }

    fn words(&self) -> String {
        let number = |accuracy: Option<f64>| accuracy.map_or_else(|| "–".to_owned(), hundredths);
        match (self.state.as_str(), self.accuracy) {
            ("completed", _) => format!(
                "{} ({})",
                number(self.accuracy),
                number(self.accuracy_last_epoch)
            ),
            (state, Some(accuracy)) => format!("{state}; {}", hundredths(accuracy)),
            (state, None) => state.to_owned(),
        }
    }
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
    let pairs: Vec<(u64, &Run, &Run)> = a
        .runs
        .iter()
        .filter_map(|(seed, run)| Some((*seed, run, b.runs.get(seed)?)))
        .collect();
    let value = |run: &Run| observe(run.log.as_ref(), Weights::Reported);
    let observed: Vec<(Observation, Observation)> =
        pairs.iter().map(|(_, a, b)| (value(a), value(b))).collect();
    let unpaired = a.runs.keys().filter(|seed| !b.runs.contains_key(seed));
    let unpaired = unpaired.chain(b.runs.keys().filter(|seed| !a.runs.contains_key(seed)));
    let mut unpaired_seeds: Vec<u64> = unpaired.copied().collect();
    unpaired_seeds.sort_unstable();
    // A family of one.
    let Some(judged) = judge(vec![Comparison::of(&observed)]).pop() else {
        anyhow::bail!("a comparison without a verdict");
    };
    let pairs = pairs.iter().zip(&observed);
    let pairs = pairs.map(|((seed, a, b), observed)| Pair {
        seed: *seed,
        a: RunResult::of(a),
        b: RunResult::of(b),
        difference: match observed {
            (Observation::Value(a), Observation::Value(b)) => Some(a - b),
            _ => None,
        },
    });
    let difference = judged.comparison.difference;
    let test = judged.comparison.test;
    let compared = Compared {
        a: SideResult::of(&a),
        b: SideResult::of(&b),
        differing_keys,
        pairs: pairs.collect(),
        unpaired_seeds,
        diverged_pairs: judged.comparison.diverged,
        mean_difference: difference.map(|difference| difference.mean),
        interval_95: difference.and_then(|difference| difference.interval()),
        p: test.map(|test| test.p),
        p_exact: test.map(|test| test.exact),
        verdict: name(judged.verdict),
        verdict_words: words(judged.verdict),
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&compared)?)?;
    } else {
        print(&a, &b, &compared, &judged, out)?;
    }
    Ok(ExitStatus::Success)
}

/// The verdict for a program.
fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NotDistinguishable => "not-distinguishable",
        Verdict::TooFewSeeds { .. } => "too-few-seeds",
        Verdict::NotComparable { .. } => "not-comparable",
        Verdict::NotFinished { .. } => "not-finished",
    }
}

/// The verdict for a person.
fn words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Better | Verdict::Worse => format!("A is {verdict} than B"),
        _ => verdict.to_string(),
    }
}

fn print(
    a: &Side,
    b: &Side,
    compared: &Compared,
    judged: &Judged,
    out: &mut dyn Write,
) -> Result<()> {
    writeln!(out, "A  {}: {}", visible(&a.name), a.seeds())?;
    writeln!(out, "B  {}: {}", visible(&b.name), b.seeds())?;
    writeln!(out, "\nThe specifications differ in")?;
    let none = || "–".to_owned();
    let text = |value: &Option<Value>| value.as_ref().map_or_else(none, Value::to_string);
    let keys = &compared.differing_keys;
    let width = keys.iter().map(|key| key.key.len()).max().unwrap_or(0);
    for key in keys {
        let (a, b) = (text(&key.a), text(&key.b));
        writeln!(out, "  {:<width$}  {a} | {b}", key.key)?;
    }
    writeln!(
        out,
        "\nTest accuracy (%) of the reported weights, in brackets after the last epoch"
    )?;
    let mut rows = vec![["seed", "A", "B", "A − B"].map(str::to_owned)];
    rows.extend(compared.pairs.iter().map(|pair| {
        [
            pair.seed.to_string(),
            pair.a.words(),
            pair.b.words(),
            pair.difference.map_or_else(none, signed),
        ]
    }));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3].map(width);
    for row in &rows {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:>width$}"))
            .collect();
        writeln!(out, "  {}", cells.join("  "))?;
    }
    if !compared.unpaired_seeds.is_empty() {
        let seeds: Vec<String> = compared.unpaired_seeds.iter().map(u64::to_string).collect();
        writeln!(
            out,
            "  not paired, since only one of the two has them: seeds {}",
            seeds.join(", ")
        )?;
    }
    writeln!(
        out,
        "\nMean ± half the 95 % interval (Student's t), over runs that completed"
    )?;
    for (name, side) in [("A", a), ("B", b)] {
        let words = |weights| side.observe(weights).words(hundredths);
        let (reported, last) = (words(Weights::Reported), words(Weights::Last));
        writeln!(out, "  {name}      {reported}; last epoch {last}")?;
    }
    if let Some(difference) = judged.comparison.difference {
        let interval = signed_interval(&difference);
        let interval = interval.map_or_else(String::new, |i| format!(", 95 % interval {i}"));
        let p = match judged.comparison.test {
            Some(test) if test.exact => format!("; exact sign-flip p = {}", p_value(test.p)),
            Some(test) => format!("; sign-flip p = {} (drawn)", p_value(test.p)),
            None => "; no test, since not all pairs completed".to_owned(),
        };
        writeln!(
            out,
            "  A − B  {}{interval} ({}){p}",
            signed(difference.mean),
            plural(difference.n, "pair")
        )?;
    }
    writeln!(out, "\nCost, probes counted in")?;
    for (name, side) in [("A", &compared.a), ("B", &compared.b)] {
        let time = side.seconds.map_or_else(none, duration);
        let probes = side.probe_forwards.saturating_add(side.probe_backwards);
        writeln!(
            out,
            "  {name}  {} epochs, {} images forward, {} backward ({} of both by probes), {time}",
            side.epochs,
            count(side.forwards),
            count(side.backwards),
            count(probes)
        )?;
    }
    writeln!(out, "\nVerdict: {}.", compared.verdict_words)?;
    Ok(())
}
