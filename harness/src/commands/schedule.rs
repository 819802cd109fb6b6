//! `autolr schedule`: the rates of an open-loop schedule, before anything is trained with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::iter::repeat;

use autolr_core::schedule::{Schedule, ScheduleConfig};
use autolr_core::{KeyDefault, Kind};
use clap::Args;
use serde::Serialize;
use toml::{Table, Value};

use crate::did_you_mean::unknown;
use crate::exit::{BadInput, ExitStatus};
use crate::experiment::schedulers::schedules;
use crate::experiment::value_kind::{ValuesOf, check_value};
use crate::text_figure::{significant, text_figure};
use crate::typed_number::whole;
use crate::visible::{shortened, typed};

/// The paper's rate (section 3.1).
const DEFAULT_LR: &str = "0.005";

/// Rates that are printed at most: each has a line of its own.
const MOST_EPOCHS: u64 = 10_000_000;
/// As much of a parameter as the title shows.
const TITLE_VALUE: usize = 60;
/// Significant digits in the title and the table; the JSON has them all.
const TABLE_DIGITS: usize = 6;
/// Width of the figure and height of its plotting area, in characters.
const FIGURE: (usize, usize) = (72, 10);
/// How many epochs the figure shows at most, evenly spaced: more than it has dots across.
const FIGURE_EPOCHS: u64 = 500;

/// Width that the keys of a scheduler have in the help.
const KEYS_WIDTH: usize = 36;

/// Print the learning rates of an open-loop schedule
#[derive(Debug, Args)]
#[command(after_help = list_of_schedulers())]
pub struct ScheduleArgs {
    /// Which scheduler, of those below
    #[arg(value_name = "NAME")]
    name: String,
    /// Its parameters, such as lr=0.1
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// How many epochs; the paper's experiments have 100
    #[arg(long, value_name = "EPOCHS", default_value_t = 100, value_parser = whole)]
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
    if args.epochs > MOST_EPOCHS {
        let text = format!("--epochs = {}: must be at most {MOST_EPOCHS}", args.epochs);
        return Err(BadInput(text).into());
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

/// The part of the help that the list of schedulers gives.
fn list_of_schedulers() -> String {
    let mut text = "Schedulers, with their keys and defaults:\n".to_owned();
    for kind in flat() {
        list(kind, &mut text);
    }
    text.push_str(
        "
lr and max_lr default to 0.005, the paper's rate; EPOCHS is the number of epochs. The
other defaults are PyTorch's; where it has none (step_size, milestones, t_0, the gamma
of exponential) they are this program's. milestones is a list with commas.

Made of other schedulers, for specification files only (docs/SPECIFICATION.md):
",
    );
    for kind in schedules().filter(|kind| kind.is_composed()) {
        list(kind, &mut text);
    }
    text.push_str(
        "
Examples:
  autolr schedule cosine
  autolr schedule step lr=0.1 gamma=0.5 --epochs 200 --json",
    );
    text
}

/// A scheduler's name, keys and explanation, the keys over several lines if they have to be.
fn list(kind: &Kind, text: &mut String) {
    let name_width = schedules().map(|kind| kind.name.len()).max();
    let name_width = name_width.unwrap_or_default();
    let mut lines = vec![String::new()];
    for (index, key) in kind.keys.iter().enumerate() {
        let default = match key.default {
            KeyDefault::Core(default) | KeyDefault::Shown(default) => format!("={default}"),
            KeyDefault::RunLength => "=EPOCHS".to_owned(),
            _ => String::new(),
        };
        let comma = if index + 1 < kind.keys.len() { "," } else { "" };
        let word = format!("{}{default}{comma}", key.name);
        let line = lines.last_mut();
        match line.filter(|line| line.len() + 1 + word.len() <= KEYS_WIDTH) {
            Some(line) if line.is_empty() => line.push_str(&word),
            Some(line) => line.extend([" ", &word]),
            None => lines.push(word),
        }
    }
    let firsts = [kind.name].into_iter().chain(repeat(""));
    let lasts = [kind.what].into_iter().chain(repeat(""));
    for ((line, first), last) in lines.iter().zip(firsts).zip(lasts) {
        let row = format!("  {first:name_width$}  {line:KEYS_WIDTH$}  {last}");
        text.extend([row.trim_end(), "\n"]);
    }
}

/// The schedulers that a line of words can describe.
fn flat() -> impl Iterator<Item = &'static Kind> {
    schedules().filter(|kind| !kind.is_composed())
}

/// The schedule that the words on the command line describe, and the same in words, with its
/// defaults.
fn parse(
    name: &str,
    parameters: &[String],
    epochs: u64,
) -> Result<(ScheduleConfig, String), String> {
    let Some(kind) = schedules().find(|kind| kind.name == name) else {
        let names: Vec<&str> = flat().map(|kind| kind.name).collect();
        return Err(unknown("scheduler", name, &names));
    };
    if kind.is_composed() {
        return Err(format!(
            "`{name}` is made of other schedulers: it is for specification files only (docs/SPECIFICATION.md)"
        ));
    }
    let given = read(kind, parameters)?;
    let mut table = Table::new();
    table.insert("kind".into(), name.into());
    for key in kind.keys {
        let word = match (given.get(key.name), key.default) {
            (Some(word), _) => word,
            (None, KeyDefault::Rate) => DEFAULT_LR,
            (None, KeyDefault::Shown(default)) => default,
            (None, KeyDefault::RunLength) => {
                // TOML's whole numbers end at 2⁶³ − 1.
                let length = i64::try_from(epochs).unwrap_or(i64::MAX);
                table.insert(key.name.into(), length.into());
                continue;
            }
            (None, _) => continue,
        };
        let value = key.holds.parse(word);
        let value = value.map_err(|rule| format!("{} = {}: {rule}", key.name, typed(word)))?;
        check_value(key, &value).map_err(|error| error.to_string())?;
        table.insert(key.name.into(), value);
    }
    let schedule = ScheduleConfig::read(table).map_err(|error| error.to_string())?;
    let title = title(kind, &schedule).map_err(|error| error.to_string())?;
    Ok((schedule, title))
}

/// The words of the parameters, by key.
fn read<'a>(kind: &Kind, parameters: &'a [String]) -> Result<BTreeMap<&'a str, &'a str>, String> {
    let keys: Vec<&str> = kind.keys.iter().map(|key| key.name).collect();
    let mut given = BTreeMap::new();
    for parameter in parameters {
        let Some((key, value)) = parameter.split_once('=') else {
            return Err(format!(
                "`{}`: a parameter is written key=value, such as lr=0.1",
                typed(parameter)
            ));
        };
        if !keys.contains(&key) {
            return Err(if flat().any(|other| other.key(key).is_some()) {
                format!(
                    "{key} = {}: `{}` has no such key ({})",
                    typed(value),
                    kind.name,
                    keys.join(", ")
                )
            } else {
                unknown("key", key, &keys)
            });
        }
        if let Some(first) = given.insert(key, value) {
            let (first, value) = (typed(first), typed(value));
            return Err(format!("{key} is given twice: {first} and {value}"));
        }
    }
    Ok(given)
}

/// The schedule in words, with all its keys.
fn title(kind: &Kind, schedule: &ScheduleConfig) -> anyhow::Result<String> {
    let values = Table::try_from(schedule)?;
    let mut title = format!("{}:", kind.name);
    for (index, key) in kind.keys.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let value = values.get(key.name).map(words).unwrap_or_default();
        let value = shortened(&value, TITLE_VALUE);
        write!(title, "{comma} {} {value}", key.name)?;
    }
    Ok(title)
}

/// A value without TOML's quotes and brackets.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) => significant(*number, TABLE_DIGITS),
        Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join(","),
        other => other.to_string(),
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
