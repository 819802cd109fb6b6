//! `autolr schedule`: the rates of an open-loop schedule, before anything is trained with it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use autolr_core::ConfigError;
use autolr_core::schedule::{
    ConstantLr, CosineAnnealingLr, Fixed, LinearDecay, LinearLr, Schedule, ScheduleConfig, StepLr,
};
use clap::Args;
use serde::Serialize;

use crate::did_you_mean::unknown;
use crate::exit::{BadInput, ExitStatus};
use crate::text_figure::{significant, text_figure};

/// The paper's rate (section 3.1).
const DEFAULT_LR: f64 = 0.005;
/// PyTorch has no default; this one fits the paper's curves.
const DEFAULT_STEP_SIZE: u64 = 30;

/// Significant digits in the table; the JSON has them all.
const TABLE_DIGITS: usize = 6;
/// Width of the figure and height of its plotting area, in characters.
const FIGURE: (usize, usize) = (72, 10);
/// How many epochs the figure shows at most, evenly spaced: more than it has dots across.
const FIGURE_EPOCHS: u64 = 500;

const SCHEDULERS: &str = "\
Schedulers, with their keys and defaults:
  constant      lr, factor=1/3, total_iters=5            PyTorch's ConstantLR
  linear        lr, start_factor=1/3, end_factor=1,      PyTorch's LinearLR
                total_iters=5
  cosine        lr, t_max=EPOCHS, eta_min=0              PyTorch's CosineAnnealingLR
  step          lr, step_size=30, gamma=0.1              PyTorch's StepLR
  fixed         lr                                       the same rate throughout
  linear-decay  lr, total_iters=EPOCHS                   a straight line to zero

lr defaults to 0.005, the paper's rate. The other defaults are PyTorch's; where it
has none, t_max and the total_iters of linear-decay are the number of epochs, and
step_size is 30.

Examples:
  autolr schedule cosine
  autolr schedule step lr=0.1 gamma=0.5 --epochs 200 --json";

/// Print the learning rates of an open-loop schedule
#[derive(Debug, Args)]
#[command(after_help = SCHEDULERS)]
pub struct ScheduleArgs {
    /// Which scheduler: constant, linear, cosine, step, fixed or linear-decay
    #[arg(value_name = "NAME")]
    name: String,
    /// Its parameters, such as lr=0.1
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// How many epochs; the paper's experiments have 100
    #[arg(long, value_name = "EPOCHS", default_value_t = 100)]
    epochs: u64,
    /// Print a JSON array of {"epoch": 0, "lr": 0.005} instead of the table
    #[arg(long)]
    json: bool,
}

/// Prints the rates of a schedule to `out`, as a table with a figure or as JSON.
///
/// # Errors
/// [`BadInput`] for a scheduler, key or value that there is not; else what `out` says.
pub fn schedule(args: &ScheduleArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    if args.epochs == 0 {
        return Err(BadInput("--epochs = 0: must be at least 1".to_owned()).into());
    }
    let (schedule, title) = parse(&args.name, &args.parameters, args.epochs).map_err(BadInput)?;
    let mut out = BufWriter::new(out);
    if args.json {
        write_json(&schedule, args.epochs, &mut out)?;
    } else {
        write_table(&schedule, &title, args.epochs, &mut out)?;
    }
    out.flush()?;
    Ok(ExitStatus::Success)
}

/// The schedulers, each with its keys.
const KEYS: [(&str, &[&str]); 6] = [
    ("constant", &["lr", "factor", "total_iters"]),
    (
        "linear",
        &["lr", "start_factor", "end_factor", "total_iters"],
    ),
    ("cosine", &["lr", "t_max", "eta_min"]),
    ("step", &["lr", "step_size", "gamma"]),
    ("fixed", &["lr"]),
    ("linear-decay", &["lr", "total_iters"]),
];

/// The schedule that the words on the command line describe, and the same in words, with its
/// defaults.
fn parse(
    name: &str,
    parameters: &[String],
    epochs: u64,
) -> Result<(ScheduleConfig, String), String> {
    let Some((_, keys)) = KEYS.iter().find(|(known, _)| *known == name) else {
        return Err(unknown("scheduler", name, &KEYS.map(|(known, _)| known)));
    };
    let mut given = Given::read(name, keys, parameters)?;
    let built = build(name, &mut given, epochs)?;
    built
        .map(|schedule| (schedule, given.title))
        .map_err(|error| error.to_string())
}

fn build(
    name: &str,
    given: &mut Given<'_>,
    epochs: u64,
) -> Result<Result<ScheduleConfig, ConfigError>, String> {
    let lr = given.number("lr", DEFAULT_LR)?;
    Ok(match name {
        "constant" => ConstantLr::new(
            lr,
            given.number("factor", ConstantLr::DEFAULT_FACTOR)?,
            given.count("total_iters", ConstantLr::DEFAULT_TOTAL_ITERS)?,
        )
        .map(Into::into),
        "linear" => LinearLr::new(
            lr,
            given.number("start_factor", LinearLr::DEFAULT_START_FACTOR)?,
            given.number("end_factor", LinearLr::DEFAULT_END_FACTOR)?,
            given.count("total_iters", LinearLr::DEFAULT_TOTAL_ITERS)?,
        )
        .map(Into::into),
        "cosine" => CosineAnnealingLr::new(
            lr,
            given.count("t_max", epochs)?,
            given.number("eta_min", CosineAnnealingLr::DEFAULT_ETA_MIN)?,
        )
        .map(Into::into),
        "step" => StepLr::new(
            lr,
            given.count("step_size", DEFAULT_STEP_SIZE)?,
            given.number("gamma", StepLr::DEFAULT_GAMMA)?,
        )
        .map(Into::into),
        "linear-decay" => LinearDecay::new(lr, given.count("total_iters", epochs)?).map(Into::into),
        _ => Fixed::new(lr).map(Into::into),
    })
}

/// The parameters given, by key, and a title that grows with each that is asked for.
struct Given<'a> {
    values: BTreeMap<&'a str, &'a str>,
    title: String,
}

impl<'a> Given<'a> {
    fn read(name: &str, keys: &[&str], parameters: &'a [String]) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for parameter in parameters {
            let Some((key, value)) = parameter.split_once('=') else {
                return Err(format!(
                    "`{parameter}`: a parameter is written key=value, such as lr=0.1"
                ));
            };
            if !keys.contains(&key) {
                return Err(if KEYS.iter().any(|(_, others)| others.contains(&key)) {
                    format!(
                        "{key} = {value}: `{name}` has no such key ({})",
                        keys.join(", ")
                    )
                } else {
                    unknown("key", key, keys)
                });
            }
            if let Some(first) = values.insert(key, value) {
                return Err(format!("{key} is given twice: {first} and {value}"));
            }
        }
        Ok(Self {
            values,
            title: format!("{name}:"),
        })
    }

    fn number(&mut self, key: &str, default: f64) -> Result<f64, String> {
        self.parsed(key, default, "must be a number")
    }

    fn count(&mut self, key: &str, default: u64) -> Result<u64, String> {
        self.parsed(key, default, "must be a whole number of epochs, at least 1")
    }

    fn parsed<T: FromStr + Display>(
        &mut self,
        key: &str,
        default: T,
        rule: &str,
    ) -> Result<T, String> {
        let value = match self.values.get(key) {
            Some(text) => text
                .parse()
                .map_err(|_| format!("{key} = {text}: {rule}"))?,
            None => default,
        };
        let comma = if self.title.ends_with(':') { "" } else { "," };
        self.title.push_str(&format!("{comma} {key} {value}"));
        Ok(value)
    }
}

/// One rate of the JSON array.
#[derive(Serialize)]
struct Rate {
    epoch: u64,
    lr: f64,
}

fn write_json(schedule: &ScheduleConfig, epochs: u64, out: &mut impl Write) -> io::Result<()> {
    for epoch in 0..epochs {
        write!(out, "{}", if epoch == 0 { "[\n  " } else { ",\n  " })?;
        serde_json::to_writer(
            &mut *out,
            &Rate {
                epoch,
                lr: schedule.lr(epoch),
            },
        )?;
    }
    writeln!(out, "\n]")
}

/// A row for each rate, epochs with the same rate together, and a figure of them all.
fn write_table(
    schedule: &ScheduleConfig,
    title: &str,
    epochs: u64,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "{title}\n")?;
    let width = (2 * (epochs - 1).to_string().len() + 1).max("epoch".len());
    writeln!(out, "{:>width$}  lr", "epoch")?;
    let mut first = 0;
    for epoch in 0..epochs {
        if epoch + 1 < epochs && schedule.lr(epoch + 1) == schedule.lr(first) {
            continue;
        }
        let range = if first == epoch {
            epoch.to_string()
        } else {
            format!("{first}–{epoch}")
        };
        let lr = significant(schedule.lr(first), TABLE_DIGITS);
        writeln!(out, "{range:>width$}  {lr}")?;
        first = epoch + 1;
    }
    writeln!(out, "\n{}", figure(schedule, epochs).trim_end())
}

fn figure(schedule: &ScheduleConfig, epochs: u64) -> String {
    let last = epochs - 1;
    let intervals = last.min(FIGURE_EPOCHS - 1);
    let points: Vec<(f64, f64)> = (0..=intervals)
        .map(|i| (u128::from(last) * u128::from(i) / u128::from(intervals.max(1))) as u64)
        .map(|epoch| (epoch as f64, schedule.lr(epoch)))
        .collect();
    text_figure(&[("lr", &points)], FIGURE.0, FIGURE.1, false, false)
}
