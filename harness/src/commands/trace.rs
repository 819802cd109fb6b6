//! `autolr trace`: steps of any optimiser and scheduler on a problem given from outside.

use std::convert::Infallible;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use autolr_core::optimizer::{
    Evaluation, Flat, Objective, Optimizer, OptimizerConfig, ScoringBatches, StepProbe, TrialLoss,
    read_line,
};
use autolr_core::{
    Event, Line, LineReading, Method, Plan, ProbeBackend, Probing, drive, float_serde,
};
use clap::Args;
use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::exit::{BadInput, ExitStatus};
use crate::experiment::{RunSpec, schedulers, sweep};
use crate::regular_file::{self, Links};
use crate::typed_number::whole;
use crate::visible::typed;

/// Take steps on a quadratic problem, to check an optimiser or scheduler against another implementation
///
/// PROBLEM.json holds {"a": [[…]], "b": […], "x0": […], "noise": [[…], …]}, noise being optional. In step t, from 0, the
/// loss is ½xᵀAx − (b − noise[t mod len])ᵀx and the gradient Ax − b + noise[t mod len], for every evaluation of that step,
/// those of probes too. All in float64. Each step counts as an epoch of one step.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: autolr trace PROBLEM.json --set optimizer.kind=adamw --set scheduler.lr=0.01 --json"
)]
pub struct TraceArgs {
    /// The problem
    #[arg(value_name = "PROBLEM.json")]
    problem: PathBuf,
    /// A key of [optimizer] or [scheduler] of a specification, and its value; by default plain SGD, at a fixed rate
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// How many steps
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole)]
    steps: u64,
    /// Print a JSON object a step, with all digits: where the gradient is taken, and the rate that was really taken
    #[arg(long)]
    json: bool,
}

/// Steps that are taken at most: each has a line of its own.
const MOST_STEPS: u64 = 10_000_000;
/// Coordinates on a line for a person.
const COORDINATES: usize = 6;

/// A step, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    step: u64,
    #[serde(with = "float_serde")]
    lr: f64,
    #[serde(with = "float_serde")]
    loss: f64,
    #[serde(with = "float_serde::vec")]
    x: &'a [f64],
}

/// `autolr trace`
///
/// # Errors
/// [`BadInput`] for a problem whose shapes do not fit, or a setting that there is not; else what `out` says.
pub fn trace(args: &TraceArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    if args.steps == 0 {
        return Err(BadInput("--steps = 0: must be at least 1".to_owned()).into());
    }
    if args.steps > MOST_STEPS {
        let text = format!("--steps = {}: must be at most {MOST_STEPS}", args.steps);
        return Err(BadInput(text).into());
    }
    let spec = spec(&args.settings, args.steps)?;
    let mut problem = Problem::read(&args.problem)?;
    let mut out = BufWriter::new(out);
    let mut method = spec.scheduler.method().build();
    let Ok(mut optimizer) = Optimizer::new(spec.optimizer, &problem.x);
    let plan = Plan {
        steps: args.steps,
        steps_per_epoch: 1,
    };
    tell(
        method.as_mut(),
        &Event::Start(plan),
        &mut problem,
        &optimizer,
    )?;
    for step in 0..args.steps {
        problem.step = step;
        let loss = problem.value(step);
        if method.needs().gradient {
            problem.set_gradient(&[step])?;
            let squared_norm = Flat::dot_product(&problem.gradient, &problem.gradient)?;
            let event = Event::Gradient { loss, squared_norm };
            tell(method.as_mut(), &event, &mut problem, &optimizer)?;
        }
        problem.set_gradient(&[step])?;
        let x = problem.x.clone();
        let lr =
            optimizer.step_at_loss(&mut problem.x, &mut problem.gradient, method.lr(), loss)?;
        if args.json {
            let x = &x.to_vec();
            let line = Printed { step, lr, loss, x };
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        } else {
            let shown: Vec<String> = x
                .iter()
                .take(COORDINATES)
                .map(|x| format!("{x:?}"))
                .collect();
            let more = if x.len() > COORDINATES { ", …" } else { "" };
            let x = shown.join(", ");
            writeln!(out, "step {step}  lr {lr:?}  loss {loss:?}  x [{x}{more}]")?;
        }
        tell(
            method.as_mut(),
            &Event::Step { loss: Some(loss) },
            &mut problem,
            &optimizer,
        )?;
        let event = Event::Epoch {
            train_loss: loss,
            validation_loss: Some(problem.value(step)),
        };
        tell(method.as_mut(), &event, &mut problem, &optimizer)?;
    }
    out.flush()?;
    Ok(ExitStatus::Success)
}

/// The optimiser and scheduler of a specification, from the settings, over plain SGD at a fixed rate.
fn spec(settings: &[String], steps: u64) -> Result<RunSpec, BadInput> {
    let mut given = Table::new();
    for setting in settings {
        let axis = sweep::axis(setting).map_err(|error| BadInput(format!("--set: {error}")))?;
        let sweep::Axis { key, values } = axis;
        let mut values = values.into_iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            let setting = typed(setting);
            return Err(BadInput(format!("--set {setting}: one value is needed")));
        };
        let mut path = key.split('.');
        let table = path.next().unwrap_or_default();
        let rest: Vec<&str> = path.collect();
        let Some((last, tables)) = rest
            .split_last()
            .filter(|_| ["optimizer", "scheduler"].contains(&table))
        else {
            let key = typed(&key);
            return Err(BadInput(format!(
                "--set {key}: a trace has keys of [optimizer] and [scheduler], such as scheduler.lr"
            )));
        };
        let mut place = &mut given;
        for name in [table].iter().chain(tables) {
            let inner = place
                .entry((*name).to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else {
                let (key, name) = (typed(&key), typed(name));
                return Err(BadInput(format!("--set {key}: {name} is no table")));
            };
            place = inner;
        }
        place.insert((*last).to_owned(), value);
    }
    let mut with_kind = |name: &str, kind: &str| {
        let mut table = match given.remove(name) {
            Some(Value::Table(table)) => table,
            _ => Table::new(),
        };
        table
            .entry("kind")
            .or_insert_with(|| Value::String(kind.to_owned()));
        table
    };
    let optimizer = with_kind("optimizer", OptimizerConfig::PLAIN_SGD.kind());
    let mut scheduler = with_kind("scheduler", "fixed");
    schedulers::fill_in(&mut scheduler, i64::try_from(steps).unwrap_or(i64::MAX));
    // A specification's other tables, which have no say here.
    let mut table: Table = toml::toml! {
        [data]
        set = "synthetic"
        augment = false
        [network]
        kind = "reference"
        [training]
        epochs = 1
    };
    table.insert("optimizer".to_owned(), Value::Table(optimizer));
    table.insert("scheduler".to_owned(), Value::Table(scheduler));
    RunSpec::from_table(table)
}

fn tell(
    method: &mut dyn Method,
    event: &Event<'_>,
    problem: &mut Problem,
    optimizer: &Optimizer<Array1<f64>>,
) -> Result<()> {
    let mut probing = Probing::new(Trials { problem, optimizer });
    Ok(drive(method, event, &mut probing)?)
}

/// The problem, as a file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    a: Vec<Vec<f64>>,
    b: Vec<f64>,
    x0: Vec<f64>,
    #[serde(default)]
    noise: Vec<Vec<f64>>,
}

/// What the file of a problem may have: a matrix of 3,000 rows.
const PROBLEM_BYTES: u64 = 256 << 20;

/// A quadratic, and where the training stands on it; vectors have shape `[n]`.
struct Problem {
    /// A, shape `[n, n]`.
    matrix: Array2<f64>,
    b: Array1<f64>,
    noise: Vec<Array1<f64>>,
    x: Array1<f64>,
    gradient: Array1<f64>,
    step: u64,
}

impl Problem {
    fn read(path: &Path) -> Result<Self, BadInput> {
        let wrong = |what: String| BadInput(format!("{}: {what}", path.display()));
        let text = regular_file::read_text(path, Links::Follow, PROBLEM_BYTES)
            .map_err(|error| wrong(error.to_string()))?;
        let raw: Raw = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let n = raw.x0.len();
        if n == 0 {
            return Err(wrong("x0 is empty".into()));
        }
        let rows = raw
            .a
            .iter()
            .enumerate()
            .map(|(i, row)| (format!("a[{i}]"), row));
        let noise = raw
            .noise
            .iter()
            .enumerate()
            .map(|(i, row)| (format!("noise[{i}]"), row));
        if raw.a.len() != n {
            return Err(wrong(format!("a has {} rows, x0 {n} entries", raw.a.len())));
        }
        for (name, vector) in rows.chain([("b".to_owned(), &raw.b)]).chain(noise) {
            if vector.len() != n {
                let found = vector.len();
                return Err(wrong(format!("{name} has {found} entries, x0 {n}")));
            }
        }
        let matrix = Array2::from_shape_vec((n, n), raw.a.concat());
        Ok(Self {
            matrix: matrix.map_err(|error| wrong(error.to_string()))?,
            b: raw.b.into(),
            noise: raw.noise.into_iter().map(Array1::from).collect(),
            gradient: Array1::zeros(n),
            x: raw.x0.into(),
            step: 0,
        })
    }

    /// b − noise, in a step.
    fn pull(&self, step: u64) -> Array1<f64> {
        match self.noise.len() as u64 {
            0 => self.b.clone(),
            len => &self.b - &self.noise[(step % len) as usize],
        }
    }

    /// The loss at x, in a step.
    fn value(&self, step: u64) -> f64 {
        let ax = self.matrix.dot(&self.x);
        0.5 * self.x.dot(&ax) - self.pull(step).dot(&self.x)
    }
}

impl Objective for Problem {
    type Vector = Array1<f64>;
    /// The step whose noise it has.
    type Batch = u64;
    type Random = ();
    type Error = Infallible;

    fn vectors(&mut self) -> (&mut Array1<f64>, &mut Array1<f64>) {
        (&mut self.x, &mut self.gradient)
    }

    fn set_gradient(&mut self, steps: &[u64]) -> Result<(), Infallible> {
        self.gradient = self.matrix.dot(&self.x);
        for &step in steps {
            let pull = self.pull(step);
            self.gradient.scaled_add(-1.0 / steps.len() as f64, &pull);
        }
        Ok(())
    }

    fn loss(&mut self, step: &u64) -> Result<f64, Infallible> {
        Ok(self.value(*step))
    }

    fn random(&self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_random(&mut self, (): &()) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What probes rates on the problem.
struct Trials<'a> {
    problem: &'a mut Problem,
    optimizer: &'a Optimizer<Array1<f64>>,
}

impl ProbeBackend for Trials<'_> {
    type Error = Infallible;

    fn line(&mut self, line: &Line) -> Result<Option<LineReading>, Infallible> {
        let step = self.problem.step;
        read_line(self.problem, self.optimizer, &step, line).map(Some)
    }

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Infallible> {
        let probe = StepProbe {
            gradient: None,
            scoring: ScoringBatches::Shared(vec![self.problem.step]),
            loss: TrialLoss::AfterStep,
            evaluate: Evaluation::All,
        };
        let mut found = vec![f64::NAN; lrs.len()];
        probe.run(self.problem, self.optimizer, &lrs.to_vec(), &mut found)?;
        losses
            .iter_mut()
            .zip(found)
            .for_each(|(to, loss)| *to = loss);
        Ok(())
    }
}
