//! `autolr find`: the search of `robust` alone, before the first step or at a checkpoint: a rate, and how it was found.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use autolr_core::optimizer::OptimizerConfig;
use autolr_core::{Request, Robust};
use clap::Args;
use serde::Serialize;
use toml::Table;

use crate::arguments::{data_location, thread_count, threads};
use crate::device::DeviceName;
use crate::disk::write_whole;
use crate::exit::{BadInput, ExitStatus, say};
use crate::experiment::{RunSpec, Scale, SchedulerSpec, sizes};
use crate::json_output::print_json;
use crate::number;
use crate::openmp;
use crate::record::{Entry, RunLog};
use crate::report::multiples::{Figure, Panel, PanelLine, Point, Vertical, svg};
use crate::runs::resolve::{locate_in, resolve};
use crate::runs::stop;
use crate::text_figure::text_figure;
use crate::text_table::TextTable;
use crate::train::{self, Checkpoint, Observer, RunOptions};
use crate::workload;

/// Find a learning rate: only the search of `robust`, no training after it
///
/// The specification's scheduler is looked at only if it is `robust`, whose settings are then used. The rate is the highest
/// one of a schedule that warms up and then falls to zero in a straight line over the length of the run.
#[derive(Debug, Args)]
pub struct FindArgs {
    /// Specification (TOML)
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    /// Which [[series]] of the file, if it has several
    #[arg(long, value_name = "NAME")]
    series: Option<String>,
    /// Search from the weights of this checkpoint of a run of the specification, for the epochs that are left
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Lay a scale over the specification
    #[arg(long, value_enum)]
    scale: Option<Scale>,
    /// Override training.device
    #[arg(long, value_enum)]
    device: Option<DeviceName>,
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Threads within an operation of libtorch [default: the cores]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
    /// Draw the trials into this SVG file
    #[arg(long, value_name = "FILE.svg")]
    figure: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Stops the training at its first step, which comes after the search.
struct UntilFirstStep<'a> {
    flag: &'a AtomicBool,
}

impl Observer for UntilFirstStep<'_> {
    fn step(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    fn trial_step(&mut self) {
        if stop::is_due() {
            self.flag.store(true, Ordering::Relaxed);
        }
    }

    fn note(&mut self, text: &str) {
        say(&format!("note: {text}"));
    }
}

/// A trial of the search.
#[derive(Debug, Clone, Serialize)]
struct Trial {
    lr: f64,
    steps: u64,
    /// Mean loss over the scoring batches, and its standard error; none where it is not finite.
    loss: Option<f64>,
    standard_error: Option<f64>,
    #[serde(skip)]
    scores: Vec<f64>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Found {
    /// The highest rate of the schedule.
    lr: f64,
    /// The same for rates whose loss in the last round was within two standard errors of its best.
    interval: Option<(f64, f64)>,
    /// The lowest rate with a trial that came to no finite loss.
    edge: Option<f64>,
    /// Why there is no better answer, where the search could not be made.
    reason: String,
    /// Steps of the run, and of the search.
    steps: u64,
    search_steps: u64,
    warm_up_steps: u64,
    trials: Vec<Trial>,
    pytorch: Option<String>,
}

/// `autolr find`
///
/// # Errors
/// Bad input before any work; [`crate::exit::Interrupted`] after Ctrl-C.
pub fn find(args: &FindArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let threads = threads(args.threads)?;
    let mut spec = resolve(&args.spec, args.series.as_deref(), args.scale, args.device)?;
    let location = data_location(args.data.as_ref())?;
    let run = spec.clone();
    if let Some(path) = &args.checkpoint {
        if spec.training.budget.is_some() {
            let rule = "a run with a budget has no number of epochs that are left";
            return Err(BadInput(format!("--checkpoint: {rule} (training.budget)")).into());
        }
        let mut workload = workload::build(&run, &location, threads)?;
        let done = Checkpoint::start_from(path, &run, workload.as_mut())?;
        spec.training.epochs = spec.training.epochs.saturating_sub(done);
        if spec.training.epochs == 0 {
            return Err(BadInput(format!(
                "{}: no epoch is left of {} (training.epochs)",
                path.display(),
                run.training.epochs
            ))
            .into());
        }
    }
    if spec.scheduler.kind() != "robust" {
        let mut table = Table::new();
        table.insert("kind".into(), "robust".into());
        spec.scheduler = SchedulerSpec::try_from(table).map_err(BadInput)?;
    }
    openmp::wait_briefly(&spec, threads);
    let steps = sizes::run_steps(&spec)?;
    let scratch = tempfile::tempdir().context("no temporary folder can be made")?;
    let flag = AtomicBool::new(false);
    let mut observer = UntilFirstStep { flag: &flag };
    let mut options = RunOptions::new(&flag, threads, &mut observer);
    let build = || {
        let mut workload = workload::build(&spec, &location, threads)?;
        if let Some(path) = &args.checkpoint {
            Checkpoint::start_from(path, &run, workload.as_mut())?;
        }
        Ok(workload)
    };
    let outcome = train::run(&spec, scratch.path(), &build, &mut options);
    if stop::is_due() {
        return Err(stop::reason());
    }
    // That it was stopped is what was asked for.
    if let Err(error) = outcome
        && !stop::is_stop(&error)
    {
        return Err(locate_in(
            &args.spec,
            args.series.as_deref(),
            args.scale,
            error,
        ));
    }
    let found = Found::read(&spec, steps, scratch.path())?;
    if let Some(path) = &args.figure {
        let name = args.spec.file_stem().unwrap_or_default().to_string_lossy();
        let figure = Figure {
            title: "Loss after each trial of the search",
            horizontal: "learning rate",
            cross: "not finite, or far above the first trial's loss",
            panels: vec![found.panel(&name)],
        };
        write_whole(path, svg(&figure).as_bytes())?;
    }
    if args.json {
        print_json(out, &found)?;
    } else {
        found.print(out)?;
    }
    Ok(ExitStatus::Success)
}

impl Found {
    fn read(spec: &RunSpec, steps: u64, dir: &Path) -> Result<Self> {
        let log = RunLog::read(&dir.join("events.jsonl"))?;
        let log = log.context("the search left no log")?;
        let mut trials = Vec::new();
        let mut change = None;
        for entry in &log.entries {
            match entry {
                Entry::Answer(answer) => {
                    if let Request::Branch(branch) = &answer.request {
                        trials.push(Trial::of(
                            branch.lrs[0],
                            answer.steps.unwrap_or_default(),
                            answer.scores.clone(),
                        ));
                    }
                }
                Entry::Change(record) if change.is_none() => change = Some(record.change.clone()),
                _ => {}
            }
        }
        let change = change.context("the search came to no rate")?;
        let details = serde_json::to_value(&change)?["details"].clone();
        let lr = change.new_lr;
        let robust: Robust = spec
            .scheduler
            .method()
            .downcast()
            .map(|config| Robust::new(*config))
            .context("another scheduler")?;
        let longest = trials.iter().map(|trial| trial.steps).max();
        let last: Vec<&Trial> = trials
            .iter()
            .filter(|trial| Some(trial.steps) == longest)
            .collect();
        let tied = tied(&last);
        let scaled = |rate: f64| robust.scale() * rate;
        let interval = tied.map(|(low, high)| (scaled(low), scaled(high)));
        let lost = trials.iter().filter(|trial| trial.loss.is_none());
        let edge = lost.map(|trial| trial.lr).min_by(f64::total_cmp);
        Ok(Self {
            lr,
            interval,
            edge,
            reason: details["reason"].as_str().unwrap_or_default().to_owned(),
            steps,
            search_steps: trials.iter().map(|trial| trial.steps).sum(),
            warm_up_steps: robust.warm_up_steps(steps),
            pytorch: pytorch(&spec.optimizer, lr),
            trials,
        })
    }

    /// The trials of each length, by rate, under a label.
    fn rounds(&self) -> Vec<(String, Vec<&Trial>)> {
        let mut lengths: Vec<u64> = self.trials.iter().map(|trial| trial.steps).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let round = |steps: u64| {
            let of = self.trials.iter().filter(|trial| trial.steps == steps);
            let mut trials: Vec<&Trial> = of.collect();
            trials.sort_by(|a, b| a.lr.total_cmp(&b.lr));
            (format!("{steps} steps"), trials)
        };
        lengths.into_iter().map(round).collect()
    }

    /// The highest loss in a figure: those far above the initial one, here the first trial's, would flatten the rest.
    fn most_shown(&self) -> f64 {
        let first = self.trials.iter().find_map(|trial| trial.loss);
        1.5 * first.map_or(f64::INFINITY, f64::abs)
    }

    /// The trials as a figure: a line for each length, with standard errors.
    fn panel(&self, name: &str) -> Panel {
        let most = self.most_shown();
        let point = |trial: &&Trial| {
            let mean = trial.loss.filter(|loss| *loss <= most);
            Point {
                lr: Some(trial.lr),
                mean,
                half: trial.standard_error.unwrap_or(0.0),
                diverged: mean.is_none(),
            }
        };
        let lines = self.rounds().into_iter().map(|(label, trials)| PanelLine {
            label,
            points: trials.iter().map(point).collect(),
        });
        Panel {
            title: name.to_owned(),
            metric: "loss, ± its standard error".to_owned(),
            vertical: Vertical::Linear,
            lines: lines.collect(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> Result<()> {
        if !self.trials.is_empty() {
            let mut table = TextTable::new(&[
                ("rate", true),
                ("steps", true),
                ("loss afterwards", true),
                ("standard error", true),
            ]);
            for trial in &self.trials {
                let loss =
                    |loss: Option<f64>| loss.map_or("not finite".into(), number::significant);
                table.row([
                    number::rate(trial.lr),
                    trial.steps.to_string(),
                    loss(trial.loss),
                    trial
                        .standard_error
                        .map_or("–".into(), |error| number::to_digits(error, 2)),
                ]);
            }
            writeln!(out, "{table}")?;
            let most = self.most_shown();
            let curves: Vec<(String, Vec<(f64, f64)>)> = self
                .rounds()
                .into_iter()
                .map(|(name, trials)| {
                    let points = trials.iter().filter_map(|of| Some((of.lr, of.loss?)));
                    (name, points.filter(|(_, loss)| *loss <= most).collect())
                })
                .collect();
            let series: Vec<(&str, &[(f64, f64)])> = curves
                .iter()
                .map(|(name, points)| (name.as_str(), points.as_slice()))
                .collect();
            writeln!(out, "{}", text_figure(&series, 72, 12, true, false))?;
        }
        write!(out, "learning rate: {}", number::rate(self.lr))?;
        if let Some((low, high)) = self.interval.filter(|(low, high)| low < high) {
            let (low, high) = (number::rate(low), number::rate(high));
            write!(
                out,
                " (from {low} to {high} the trials cannot be told apart)"
            )?;
        }
        writeln!(out)?;
        if self.reason != "search" {
            writeln!(out, "{}: this rate is a guess", self.reason)?;
        }
        if let Some(edge) = self.edge {
            writeln!(out, "edge: from {} on a trial was lost", number::rate(edge))?;
        }
        let share = self.search_steps as f64 / self.steps.max(1) as f64;
        writeln!(
            out,
            "search: {} of {} steps ({} %); `robust` trains on from the best trial",
            number::count(self.search_steps),
            number::count(self.steps),
            number::decimals(100.0 * share, 1)
        )?;
        if let Some(line) = &self.pytorch {
            let (steps, rise) = (self.steps, self.warm_up_steps);
            writeln!(
                out,
                "\n{line}\nscheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / {}, 1 - step / {steps}))",
                rise + 1
            )?;
        }
        Ok(())
    }
}

impl Trial {
    fn of(lr: f64, steps: u64, scores: Vec<f64>) -> Self {
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
        let error = (squares / (n * (n - 1.0).max(1.0))).sqrt();
        let is_finite = mean.is_finite();
        Self {
            lr,
            steps,
            loss: is_finite.then_some(mean),
            standard_error: is_finite.then_some(error),
            scores,
        }
    }
}

/// Lowest and highest rate of the trials within two standard errors, batch by batch, of the best.
fn tied(trials: &[&Trial]) -> Option<(f64, f64)> {
    let finite = || trials.iter().filter(|trial| trial.loss.is_some());
    let loss = |trial: &Trial| trial.loss.unwrap_or(f64::INFINITY);
    let best = finite().min_by(|a, b| loss(a).total_cmp(&loss(b)))?;
    let tied = finite().filter(|trial| {
        let pairs = trial.scores.iter().zip(&best.scores);
        let difference = Trial::of(trial.lr, 0, pairs.map(|(a, b)| a - b).collect());
        difference
            .loss
            .zip(difference.standard_error)
            .is_some_and(|(mean, error)| mean <= 2.0 * error)
    });
    let rates: Vec<f64> = tied.map(|trial| trial.lr).collect();
    Some((
        rates.iter().copied().fold(f64::INFINITY, f64::min),
        rates.iter().copied().fold(0.0, f64::max),
    ))
}

/// The optimiser in PyTorch, where it has it.
fn pytorch(optimizer: &OptimizerConfig, lr: f64) -> Option<String> {
    let lr = format!("{lr:.3e}");
    match optimizer {
        OptimizerConfig::Sgd(sgd) => {
            let nesterov = if sgd.nesterov { ", nesterov=True" } else { "" };
            Some(format!(
                "optimizer = torch.optim.SGD(model.parameters(), lr={lr}, momentum={}, weight_decay={}{nesterov})",
                sgd.momentum, sgd.weight_decay
            ))
        }
        OptimizerConfig::AdamW(adam) => Some(format!(
            "optimizer = torch.optim.AdamW(model.parameters(), lr={lr}, betas=({}, {}), eps={}, weight_decay={})",
            adam.beta1, adam.beta2, adam.eps, adam.weight_decay
        )),
        _ => None,
    }
}
