//! The report of any folder of runs: a section a problem, a row and a line a specification, its seeds together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::Value;

use super::appendix;
use super::document::{Block, Document};
use super::group::Group;
use super::outcome::Status;
use super::seeds::{OverSeeds, Weights, observe};
use super::table::{Cell, Column, Table};
use super::tensorboard;
use super::{
    Rendered, Run, RunEntry, Series, SeriesEntry, curves, probes, render_document, write_rendered,
};
use crate::experiment::{RunSpec, SPEC_BYTES, check_named, is_digest, own_name};
use crate::number::{self, plural};
use crate::record::{RunLog, read_seconds};
use crate::regular_file::{self, Links};
use crate::task::Metric;
use crate::visible::visible;

/// As many series have lines in a figure, the best ones.
const DRAWN: usize = 8;

/// The keys by which specifications are named first.
const KINDS: [&str; 3] = [
    "scheduler.kind",
    "scheduler.schedule.kind",
    "optimizer.kind",
];

type Keys = BTreeMap<String, Value>;
/// Runs by their keys, without the seed.
type ByKeys = Vec<(Keys, Vec<Run>)>;

/// The runs of a folder, read.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderReport {
    title: String,
    problems: Vec<Problem>,
    /// Why runs are not in it.
    unreadable: Vec<String>,
}

/// Runs of the same network and data.
#[derive(Debug, Clone, PartialEq)]
struct Problem {
    title: String,
    metric: Metric,
    /// Best first.
    series: Vec<Series>,
}

impl FolderReport {
    /// Reads runs by their folders, which lie under `root`.
    pub fn read(root: &Path, folders: &[PathBuf]) -> Self {
        let mut unreadable = Vec::new();
        let mut read = Vec::new();
        for folder in folders {
            match read_run(root, folder) {
                Ok(run) => read.push(run),
                Err(error) => unreadable.push(visible(&format!("{error:#}")).to_string()),
            }
        }
        let name = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Self {
            title: format!("Runs in {}", visible(&name.display().to_string())),
            problems: problems(read),
            unreadable,
        }
    }

    /// Whether every run has ended.
    pub fn is_finished(&self) -> bool {
        self.runs()
            .all(|run| matches!(Status::of(run), Status::Completed | Status::Diverged { .. }))
    }

    /// Why runs are not in it.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        let series = self.problems.iter().flat_map(|problem| &problem.series);
        series.flat_map(|series| &series.runs)
    }

    /// The report: a pure function of the runs.
    pub fn render(&self) -> Rendered {
        render_document(&self.document())
    }

    /// Writes `index.html` and `report.md` into a folder; returns the path of `index.html`.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, dir: &Path) -> Result<PathBuf> {
        write_rendered(&self.render(), dir)
    }

    /// Writes an event file a run for TensorBoard under `dir/tensorboard`, and returns that folder.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write_tensorboard(&self, dir: &Path) -> Result<PathBuf> {
        let mut files = tensorboard::Files::new(dir);
        for problem in &self.problems {
            for series in &problem.series {
                for run in &series.runs {
                    let names = [&problem.title, &series.entry.name];
                    files.write(&names.map(String::as_str), run, &dir.join(&run.entry.run))?;
                }
            }
        }
        Ok(files.root())
    }

    fn document(&self) -> Document {
        let mut blocks = Vec::new();
        for why in &self.unreadable {
            blocks.push(Block::Warning(format!(
                "A run cannot be read, and is left out. {why}"
            )));
        }
        for (number, problem) in self.problems.iter().enumerate() {
            blocks.push(Block::section(&problem.title));
            blocks.push(Block::paragraph(problem.answer()));
            blocks.push(Block::Table(problem.table()));
            let drawn = problem.series.len().min(DRAWN);
            let group = Group {
                experiment: None,
                title: problem.title.clone(),
                protocol: String::new(),
                series: &problem.series[..drawn],
            };
            if problem.series.len() > DRAWN {
                blocks.push(Block::paragraph(format!(
                    "The figures show the best {DRAWN} of {}.",
                    plural(problem.series.len(), "specification")
                )));
            }
            blocks.extend(curves::figures(number, &group));
            let maps = probes::heat_maps(number, &group);
            if !maps.is_empty() {
                blocks.push(Block::Details {
                    summary: "Losses of the candidates, probe by probe".to_owned(),
                    blocks: maps,
                });
            }
        }
        blocks.push(Block::section("The runs"));
        for problem in &self.problems {
            for series in &problem.series {
                let label = format!("{}, {}", problem.title, series.entry.label);
                blocks.extend(series.runs.iter().map(|run| {
                    let seed = run.entry.seed;
                    appendix::run(&format!("{label}, seed {seed}"), run)
                }));
            }
        }
        Document {
            title: self.title.clone(),
            blocks,
        }
    }
}

/// A run's keys, its metric, and itself.
fn read_run(root: &Path, folder: &Path) -> Result<(Keys, Metric, Run)> {
    let path = folder.join("spec.toml");
    let in_spec = || path.display().to_string();
    regular_file::check_folder(folder).with_context(|| folder.display().to_string())?;
    let text = regular_file::read_text(&path, Links::Refuse, SPEC_BYTES).with_context(in_spec)?;
    let table = text.parse::<toml::Table>().with_context(in_spec)?;
    let spec = RunSpec::from_table(table).with_context(in_spec)?;
    if is_digest(&own_name(folder)) {
        check_named(folder, &spec)?;
    }
    let (log, problem) = match RunLog::read_of(&spec.digest()?, &folder.join("events.jsonl")) {
        Ok(log) => (log, None),
        Err(error) => (None, Some(visible(&format!("{error:#}")).to_string())),
    };
    let name = folder.strip_prefix(root).unwrap_or(folder);
    let run = Run {
        entry: RunEntry {
            seed: spec.training.seed,
            run: name.display().to_string(),
        },
        spec: text,
        log,
        problem,
        seconds: read_seconds(folder),
    };
    Ok((spec.keys()?, spec.network.metric(), run))
}

/// The runs by problem and by specification.
fn problems(read: Vec<(Keys, Metric, Run)>) -> Vec<Problem> {
    let is_problem = |key: &str| key.starts_with("data.") || key.starts_with("network.");
    let mut found: BTreeMap<String, (Keys, Metric, ByKeys)> = BTreeMap::new();
    for (mut keys, metric, run) in read {
        keys.retain(|key, _| key != "training.seed" && key != "training.device");
        let mut own = keys.clone();
        own.retain(|key, _| is_problem(key));
        keys.retain(|key, _| !is_problem(key));
        let (_, _, series) = found
            .entry(format!("{own:?}"))
            .or_insert_with(|| (own, metric, Vec::new()));
        match series.iter_mut().find(|(of, _)| *of == keys) {
            Some((_, runs)) => runs.push(run),
            None => series.push((keys, vec![run])),
        }
    }
    let of_problems: Vec<&Keys> = found.values().map(|(keys, _, _)| keys).collect();
    let titles = labels(&of_problems, &["data.set", "network.kind"], 2);
    let found = found.into_values().zip(titles);
    found
        .map(|((_, metric, series), title)| {
            let keys: Vec<&Keys> = series.iter().map(|(keys, _)| keys).collect();
            let labels = labels(&keys, &KINDS, 1);
            let series = series.into_iter().zip(labels);
            let mut series: Vec<Series> = series
                .map(|((_, mut runs), label)| {
                    runs.sort_by_key(|run| run.entry.seed);
                    Series {
                        entry: SeriesEntry {
                            name: label.clone(),
                            label,
                            runs: Vec::new(),
                        },
                        runs,
                    }
                })
                .collect();
            let rank = |series: &Series| {
                let over = over_seeds(series, metric);
                let mean = over.estimate.map(|estimate| -metric.sign() * estimate.mean);
                // What diverged comes after what did not.
                (over.diverged > 0, mean.unwrap_or(f64::INFINITY))
            };
            series.sort_by(|a, b| {
                let (a, b) = (rank(a), rank(b));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
            });
            Problem {
                title,
                metric,
                series,
            }
        })
        .collect()
}

/// What tells specifications apart: the values of `kinds`, and further keys where those that agree in `kinds` differ. The
/// first `said` of `kinds` are always said, the others where they differ.
fn labels(all: &[&Keys], kinds: &[&str], said: usize) -> Vec<String> {
    let word = |value: &Value| match value {
        Value::String(text) => visible(text).to_string(),
        // The shorter of 0.05 and 5e-2.
        Value::Float(x) => [x.to_string(), format!("{x:e}")]
            .into_iter()
            .min_by_key(String::len)
            .unwrap_or_default(),
        other => other.to_string(),
    };
    let alike = |a: &Keys, b: &Keys| kinds.iter().all(|key| a.get(*key) == b.get(*key));
    let label = |keys: &&Keys| {
        let others = || all.iter().filter(|other| alike(keys, other));
        let names: BTreeSet<&String> = others().flat_map(|other| other.keys()).collect();
        let differing = names.into_iter().filter(|name| {
            !kinds.contains(&name.as_str())
                && others().any(|other| other.get(*name) != keys.get(*name))
        });
        let (always, others_said) = kinds.split_at(said);
        let differs = |key: &&&str| all.iter().any(|of| of.get(**key) != keys.get(**key));
        let said = always.iter().chain(others_said.iter().filter(differs));
        let mut parts: Vec<String> = said.filter_map(|key| keys.get(*key)).map(word).collect();
        parts.extend(differing.filter_map(|name| {
            let short = name.split_once('.').map_or(name.as_str(), |(_, key)| key);
            Some(format!("{} = {}", visible(short), word(keys.get(name)?)))
        }));
        parts.join(", ")
    };
    all.iter().map(label).collect()
}

fn over_seeds(series: &Series, metric: Metric) -> OverSeeds {
    let runs = series.runs.iter();
    OverSeeds::of(runs.map(|run| observe(run.log.as_ref(), Weights::Reported, metric)))
}

impl Problem {
    fn words(&self, value: f64) -> String {
        match self.metric {
            Metric::Accuracy => number::hundredths(value),
            Metric::Loss => number::significant(value),
        }
    }

    /// What it came to, in a sentence or two.
    fn answer(&self) -> String {
        let heading = self.metric.heading();
        let of = |series: &Series| over_seeds(series, self.metric);
        let Some(best) = self
            .series
            .first()
            .filter(|best| of(best).estimate.is_some())
        else {
            return "No run has ended with a result yet.".to_owned();
        };
        let diverged: usize = self.series.iter().map(|series| of(series).diverged).sum();
        let runs: usize = self.series.iter().map(|series| series.runs.len()).sum();
        let mut text = format!(
            "Best test {heading}: {}, {}.",
            best.entry.label,
            self.mean(&of(best))
        );
        if let Some(second) = self
            .series
            .get(1)
            .filter(|next| of(next).estimate.is_some())
        {
            text += &format!(" Next: {}, {}.", second.entry.label, self.mean(&of(second)));
        }
        text += &match diverged {
            0 => " No run diverged.".to_owned(),
            n => format!(" {n} of {} diverged.", plural(runs, "run")),
        };
        text
    }

    fn mean(&self, over: &OverSeeds) -> String {
        let Some(estimate) = over.estimate else {
            return over.counts();
        };
        let mean = self.words(estimate.mean);
        match estimate.half_width {
            Some(half) => format!("{mean} ± {} ({})", self.words(half), over.counts()),
            None => format!("{mean} ({})", over.counts()),
        }
    }

    fn table(&self) -> Table {
        let heading = self.metric.heading();
        let mut table = Table::new(
            format!("{}: results, best first.", self.title),
            vec![
                Column::text("specification"),
                Column::number(format!("test {heading}")),
                Column::number("diverged"),
                Column::number("highest rate"),
                Column::number("last rate"),
                Column::number("compute"),
                Column::number("search (%)"),
                Column::number("time"),
            ],
        );
        for series in &self.series {
            let over = over_seeds(series, self.metric);
            let logs = || series.runs.iter().filter_map(|run| run.log.as_ref());
            let compute: Vec<(u64, u64)> = logs()
                .filter_map(|log| Some(log.summary.as_ref()?.compute()))
                .collect();
            let total = compute.iter().fold(0_u64, |sum, (trained, search)| {
                sum.saturating_add(*trained).saturating_add(*search)
            });
            let search = compute
                .iter()
                .fold(0_u64, |sum, (_, search)| sum.saturating_add(*search));
            let rates = || logs().flat_map(|log| &log.epochs).map(|epoch| epoch.lr);
            let last = logs()
                .filter_map(|log| log.epochs.last())
                .map(|epoch| epoch.lr);
            let seconds = series
                .runs
                .iter()
                .filter_map(|run| run.seconds)
                .reduce(|a, b| a + b);
            table.rows.push(vec![
                Cell::new(&series.entry.label),
                match over.estimate {
                    Some(_) => Cell::strong(self.mean(&over)),
                    None => Cell::faint(over.counts()),
                },
                if over.diverged > 0 {
                    Cell::diverged(over.diverged.to_string())
                } else {
                    Cell::new("0")
                },
                Cell::or_none(rates().reduce(f64::max).map(number::rate)),
                Cell::or_none(last.reduce(f64::max).map(number::rate)),
                Cell::or_none((total > 0).then(|| number::count(total))),
                Cell::or_none((total > 0).then(|| number::percent(search as f64 / total as f64))),
                Cell::or_none(seconds.map(number::duration)),
            ]);
        }
        table.notes.push(
            "Test: mean over the runs that completed ± half its 95 % interval (Student's t); a run that diverged has no \
             value. Rates are the highest over all seeds. Compute is in forward passes of an example: a forward pass costs \
             1, a backward pass 2; search is the share of it that went into search and probes. The best of many is best partly by chance: to judge two that were chosen beforehand, use \
             `autolr compare`."
                .to_owned(),
        );
        table
    }
}
