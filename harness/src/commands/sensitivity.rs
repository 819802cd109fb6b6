//! `autolr sensitivity`: methods on problems, from many initial rates, at equal compute.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::arguments::{TrainingArgs, at_once, check_folder, data_location};
use crate::data::cifar;
use crate::disk::write_whole;
use crate::exit::{BadInput, ExitStatus};
use crate::experiment::SPEC_BYTES;
use crate::number;
use crate::regular_file::{self, Links};
use crate::report::multiples::{Figure, Panel, PanelLine, Point, Vertical, svg};
use crate::runs::job::{Job, lay_out};
use crate::runs::outlook::{Outlook, time_folders};
use crate::runs::pool;
use crate::runs::sensitivity::{
    AGAIN, Compared, Contender, Markdown, Problem, Row, Run, Tuned, compared, contenders, grid,
    rates, rounded, rows, summaries,
};
use crate::statistics::Estimate;
use crate::task::Metric;
use crate::text_table::TextTable;
use crate::visible::typed;

/// Compare methods on problems, from many initial rates, at equal compute
///
/// Every run has the same compute budget; probes and search count. The reference, tuned, is the best of constant, cosine and linear
/// schedules over half decades of rates, chosen by validation on seeds 100 to 103; its tuning is not counted. Regret is what
/// a run is worse than it at the same seed, in points of accuracy, or in percent of what the loss came down.
#[derive(Debug, Args)]
pub struct SensitivityArgs {
    /// Problems: a list, `fast` (in pure Rust), `claim` (those of them that no default was set on), or `all`
    #[arg(long, value_name = "NAMES", default_value = "claim")]
    problems: String,
    /// Methods: robust, tuned, tuned-again, table, autolr, constant, cosine, linear, those of experiments/methods.toml, or
    /// `all`
    #[arg(long, value_name = "NAMES", default_value = "robust,tuned,tuned-again,table,autolr", value_parser = methods)]
    methods: Methods,
    /// Initial rates of the methods that take one: 1e-6..1e2:17 (17 of equal ratio), or a list
    #[arg(long, value_name = "RATES", default_value = "1e-3..1e1:5", value_parser = initial_rates)]
    lrs: Rates,
    /// Values of the knob of the other methods, in multiples of their authors' recommendation
    #[arg(long, value_name = "MULTIPLES", default_value = "0.01,1,100", value_parser = initial_rates)]
    knobs: Rates,
    /// Seeds: 0..6 (which is 0 to 5), 0..=5, or 0,1,7
    #[arg(long, value_name = "SEEDS", default_value = "0..6", value_parser = seeds)]
    seeds: Seeds,
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "sensitivity")]
    out: PathBuf,
    /// Print one row a method over all problems, as a Markdown table, instead of a table a problem
    #[arg(long, conflicts_with = "json")]
    summary: bool,
    /// Draw the results over the initial rates into this SVG file
    #[arg(long, value_name = "FILE.svg")]
    figure: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingArgs,
    /// Show what would run, as `autolr plan` does, and train nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone)]
struct Methods(Vec<Contender>);

fn methods(text: &str) -> Result<Methods, String> {
    contenders(text).map(Methods)
}

#[derive(Debug, Clone)]
struct Rates(Vec<f64>);

fn initial_rates(text: &str) -> Result<Rates, String> {
    rates(text).map(Rates)
}

#[derive(Debug, Clone)]
struct Seeds(Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    let seeds = crate::experiment::seeds(text)?;
    // Those that follow are of the tuned reference.
    match seeds.iter().find(|seed| **seed >= 100) {
        Some(seed) => Err(format!(
            "{seed}: seeds below 100 are needed; those from 100 on tune"
        )),
        None => Ok(Seeds(seeds)),
    }
}

/// `tuned.json` in the folder: the tuned reference of each problem. It is chosen once; without the file, again.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Choices(BTreeMap<String, Tuned>);

impl Choices {
    const FILE: &str = "tuned.json";

    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(Self::FILE);
        let wrong =
            |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
        let text = match regular_file::read_text(&path, Links::Refuse, SPEC_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(wrong(&error).into()),
        };
        let choices: Self = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        for (name, tuned) in &choices.0 {
            let name = typed(name);
            if !Problem::exists(&name)? {
                return Err(wrong(&format!("{name}: there is no such problem")).into());
            }
            if !tuned.schedule.is_tunable() {
                let schedule = tuned.schedule.name();
                let rule = "must be constant, cosine or linear";
                return Err(wrong(&format!("{name}.schedule = {schedule}: {rule}")).into());
            }
            if !(tuned.lr > 0.0 && tuned.lr.is_finite()) {
                let rule = "must be positive and finite";
                return Err(wrong(&format!("{name}.lr = {}: {rule}", tuned.lr)).into());
            }
        }
        Ok(choices)
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        let path = dir.join(Self::FILE);
        let there = regular_file::read_text(&path, Links::Refuse, SPEC_BYTES);
        if self.0.is_empty() || there.is_ok_and(|there| there == text) {
            return Ok(());
        }
        write_whole(&path, text.as_bytes())
    }
}

/// A problem, and what was found on it.
#[derive(Debug, Serialize)]
struct Found {
    problem: String,
    label: String,
    steps: u64,
    metric: Metric,
    /// Whether defaults of `robust` were set on it.
    development: bool,
    tuned: Option<Tuned>,
    runs: Vec<Row>,
    refused: Vec<(Contender, String)>,
}

/// `autolr sensitivity`
///
/// # Errors
/// Bad input before any training; [`crate::exit::Interrupted`] after Ctrl-C, [`crate::exit::TimeSpent`] at the end of
/// the budget; otherwise a run that failed does not take the others along, and the status is a failure.
pub fn sensitivity(args: &SensitivityArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let problems = Problem::named(&args.problems)?;
    check_folder("--out", &args.out)?;
    let location = data_location(args.training.data.as_ref())?;
    for problem in &problems {
        if let Some(set) = problem.base.data.set.cifar() {
            cifar::load(set, location.find(set)?)?;
        }
    }
    let folder = args.out.join("runs");
    let wants = |of: Contender| args.methods.0.contains(&of);
    let mut chosen = Choices::read(&args.out)?;
    let mut tuning = Vec::new();
    for problem in &problems {
        let tunes = wants(Contender::Tuned) || wants(Contender::TunedAgain);
        tuning.push(if tunes && !chosen.0.contains_key(&problem.name) {
            grid(problem, &folder)?
        } else {
            Vec::new()
        });
    }
    let jobs = |runs: &mut dyn Iterator<Item = &Run>| -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for run in runs {
            if seen.insert(run.job.dir.clone()) {
                jobs.push(run.job.clone());
            }
        }
        jobs
    };
    let of_grid = tuning.iter().flatten();
    let tuning_jobs = jobs(&mut of_grid.flat_map(|(_, _, runs)| runs));
    let side_by_side = at_once(args.training.jobs, &tuning_jobs);
    if args.dry_run {
        // Without the runs of a tuned schedule that is not chosen yet.
        let known: Vec<Option<Tuned>> = problems
            .iter()
            .map(|problem| chosen.0.get(&problem.name).copied())
            .collect();
        let planned = plans(args, &problems, &known, &folder)?;
        let mut all: Vec<Job> = tuning_jobs;
        all.extend(jobs(&mut planned.iter().flat_map(Planned::all)));
        let outlook = Outlook::of(&all, side_by_side, &time_folders(&args.out))?;
        if args.training.json {
            crate::json_output::print_json(out, &outlook)?;
        } else {
            outlook.print(out)?;
        }
        return Ok(ExitStatus::Success);
    }
    let budget = args.training.budget.start();
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot be made", args.out.display()))?;
    let carry_out = |jobs: Vec<Job>| {
        let left: Vec<Job> = jobs.into_iter().filter(|job| !job.finished).collect();
        lay_out(&left)?;
        anyhow::Ok(pool::carry_out(&left, &location, side_by_side, budget))
    };
    let mut unfinished = carry_out(tuning_jobs)?;
    let mut tuned = Vec::new();
    for (problem, grid) in problems.iter().zip(&tuning) {
        let known = chosen.0.get(&problem.name).copied();
        let choice = match known {
            None if !grid.is_empty() => Tuned::choose(problem, grid)?,
            known => known,
        };
        if let Some(choice) = choice {
            chosen.0.insert(problem.name.clone(), choice);
        }
        tuned.push(choice);
    }
    chosen.write(&args.out)?;
    let plans = plans(args, &problems, &tuned, &folder)?;
    if !crate::runs::stop::is_due() {
        unfinished.extend(carry_out(jobs(&mut plans.iter().flat_map(Planned::all)))?);
    }
    let mut found = Vec::new();
    for ((problem, planned), tuned) in problems.iter().zip(&plans).zip(tuned) {
        found.push(Found {
            problem: problem.name.clone(),
            label: problem.label.clone(),
            steps: problem.steps,
            metric: problem.base.network.metric(),
            development: problem.is_development(),
            tuned,
            runs: rows(problem, &planned.runs, &planned.untrained)?,
            refused: planned.refused.clone(),
        });
    }
    if let Some(path) = &args.figure {
        let figure = Figure {
            title: "Test results over the initial rate, by problem and method",
            horizontal: "initial rate",
            cross: "runs diverged",
            panels: found.iter().map(panel).collect(),
        };
        write_whole(path, svg(&figure).as_bytes())?;
    }
    if args.training.json {
        for row in found.iter().flat_map(|found| &found.runs) {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
    } else if args.summary {
        let of: Vec<_> = problems
            .iter()
            .zip(&found)
            .map(|(problem, found)| (problem, compared(&found.runs)))
            .collect();
        write!(out, "{}", Markdown(&summaries(&of)))?;
    } else {
        print(&found, out)?;
    }
    pool::status(&unfinished)
}

/// The runs of a problem.
struct Planned {
    runs: Vec<(Contender, Option<f64>, Run)>,
    untrained: Vec<Run>,
    /// Methods that cannot run on the problem, and why.
    refused: Vec<(Contender, String)>,
}

impl Planned {
    fn all(&self) -> impl Iterator<Item = &Run> {
        let runs = self.runs.iter().map(|(_, _, run)| run);
        runs.chain(&self.untrained)
    }
}

fn plans(
    args: &SensitivityArgs,
    problems: &[Problem],
    tuned: &[Option<Tuned>],
    folder: &Path,
) -> Result<Vec<Planned>> {
    let mut plans = Vec::new();
    for (problem, tuned) in problems.iter().zip(tuned) {
        let mut planned = Planned {
            runs: Vec::new(),
            untrained: Vec::new(),
            refused: Vec::new(),
        };
        let mut refused: Vec<(Contender, String)> = Vec::new();
        for &seed in &args.seeds.0 {
            planned.untrained.push(problem.untrained(seed, folder)?);
            for &of in &args.methods.0 {
                let mut add = |as_if: Contender, lr: f64, seed: u64| -> Result<()> {
                    let run = problem.run(as_if, lr, seed, folder)?;
                    let given = of.knob().is_some().then_some(lr);
                    planned.runs.push((of, given, run));
                    Ok(())
                };
                match (of, tuned) {
                    (Contender::Tuned, Some(tuned)) => add(tuned.schedule, tuned.lr, seed)?,
                    (Contender::TunedAgain, Some(tuned)) => {
                        add(tuned.schedule, tuned.lr, seed + AGAIN)?;
                    }
                    (Contender::Tuned | Contender::TunedAgain, None) => {}
                    (Contender::Robust | Contender::Table, _) => {
                        add(of, problem.usual_rate(), seed)?;
                    }
                    (Contender::Listed(_), _) => {
                        let recommended = of.recommended(problem).unwrap_or(f64::NAN);
                        for &multiple in &args.knobs.0 {
                            if let Err(error) = add(of, rounded(multiple * recommended), seed) {
                                refused.push((of, error.to_string()));
                                break;
                            }
                        }
                    }
                    _ => {
                        for &lr in &args.lrs.0 {
                            add(of, lr, seed)?;
                        }
                    }
                }
            }
        }
        refused.dedup_by_key(|(of, _)| *of);
        planned.refused = refused;
        plans.push(planned);
    }
    Ok(plans)
}

/// A problem's methods over their initial rates, in percent or by the loss.
fn panel(found: &Found) -> Panel {
    let mut of = compared(&found.runs);
    of.sort_by_key(|of| of.method);
    let mut lines: Vec<PanelLine> = Vec::new();
    for compared in &of {
        let point = Point {
            lr: compared.lr,
            mean: compared.value.map(|value| value.mean),
            half: compared
                .value
                .and_then(|value| value.half_width)
                .unwrap_or(0.0),
            diverged: compared.diverged > 0,
        };
        let label = compared.method.name();
        match lines.iter_mut().find(|line| line.label == label) {
            Some(line) => line.points.push(point),
            None => lines.push(PanelLine {
                label: label.to_owned(),
                points: vec![point],
            }),
        }
    }
    Panel {
        title: found.problem.clone(),
        metric: found.metric.heading().to_owned(),
        vertical: match found.metric {
            Metric::Loss => Vertical::Log,
            Metric::Accuracy => Vertical::Percent,
        },
        lines,
    }
}

fn print(found: &[Found], out: &mut dyn Write) -> Result<()> {
    for found in found {
        let kind = if found.development {
            "; defaults were set on it"
        } else {
            ""
        };
        writeln!(
            out,
            "{}: {}; {} steps, {}{kind}",
            found.problem,
            found.label,
            number::count(found.steps),
            found.metric.heading()
        )?;
        if let Some(tuned) = &found.tuned {
            let (name, lr) = (tuned.schedule.name(), number::rate(tuned.lr));
            writeln!(out, "tuned: {name} from {lr}")?;
        }
        let mut table = TextTable::new(&[
            ("method", false),
            ("initial rate", true),
            ("test", true),
            ("regret", true),
            ("within 1", true),
            ("diverged", true),
            ("search (%)", true),
        ]);
        let mut of = compared(&found.runs);
        of.sort_by_key(|of| of.method);
        for compared in &of {
            table.row(line(compared));
        }
        write!(out, "{table}")?;
        for (of, why) in &found.refused {
            writeln!(out, "{} cannot run here: {why}", of.name())?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "test, regret: mean ± half its 95 % interval, over the runs that did not diverge. within 1: runs whose regret is at most 1. \
         search: share of the compute that went into search and probes."
    )?;
    Ok(())
}

fn line(compared: &Compared) -> [String; 7] {
    let words = |estimate: Option<Estimate>, mean: fn(f64) -> String, half: fn(f64) -> String| {
        let Some(estimate) = estimate else {
            return "–".to_owned();
        };
        match estimate.half_width {
            Some(width) => format!("{} ± {}", mean(estimate.mean), half(width)),
            None => mean(estimate.mean),
        }
    };
    let hundredths = |value| number::decimals(value, 2);
    [
        compared.method.name().to_owned(),
        compared.lr.map_or_else(|| "–".to_owned(), number::rate),
        words(compared.value, number::significant, |half| {
            number::to_digits(half, 2)
        }),
        words(compared.regret, hundredths, hundredths),
        if compared.regret.is_none() && compared.diverged < compared.runs {
            "–".to_owned()
        } else {
            format!("{} of {}", compared.within, compared.runs)
        },
        compared.diverged.to_string(),
        number::decimals(100.0 * compared.search, 1),
    ]
}
