//! `autolr probe`: one probe of a saved state, as a table and a figure: a learning-rate finder.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use autolr_core::float_serde::Float;
use autolr_core::{Factors, ScaleUpdate, Update};
use clap::Args;
use ndarray::Array1;
use serde_json::json;

use crate::arguments::{data_location, thread_count, threads};
use crate::device::DeviceName;
use crate::disk::write_whole;
use crate::exit::{BadInput, ExitStatus};
use crate::experiment::Cost;
use crate::experiment::{BatchNormAfterValidation, RunSpec, Scale};
use crate::number::{self, plural};
use crate::openmp;
use crate::regular_file::{self, Links};
use crate::runs::resolve::{locate_in, resolve};
use crate::text_figure::text_figure;
use crate::train::Checkpoint;
use crate::train::write_arrays;
use crate::typed_number;
use crate::visible::typed;
use crate::workload::{self, Draw, StateArray, Workload};
use autolr_core::optimizer::{Evaluation, TrialLoss};

/// Probe candidate rates from a saved state: a learning-rate finder
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Specification of the run (TOML), such as the spec.toml in its folder
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    /// Which [[series]] of the file, if it has several
    #[arg(long, value_name = "NAME")]
    series: Option<String>,
    /// Lay a scale over the specification
    #[arg(long, value_enum)]
    scale: Option<Scale>,
    /// Checkpoint of that run [default: the initial weights]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Rates: a list `0.001,0.01,0.1`, or `FROM..TO:N` for N rates evenly spaced on a log axis
    #[arg(long, value_name = "RATES", default_value = "1e-5..10:13")]
    lrs: String,
    /// Write weights, optimiser state, batches, rates and losses there, as safetensors and JSON
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Override training.device
    #[arg(long, value_enum)]
    device: Option<DeviceName>,
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Threads within an operation of libtorch [default: the cores]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
    /// Print JSON instead of a table and a figure
    #[arg(long)]
    json: bool,
}

/// More than a figure can show.
const MOST_RATES: usize = 10_000;

/// Rates of `--lrs`, positive and finite.
fn parse_rates(text: &str) -> Result<Array1<f64>, BadInput> {
    let wrong = |message: String| BadInput(format!("--lrs {}: {message}", typed(text)));
    let number = |part: &str| {
        let part = part.trim();
        let value = typed_number::number(part)
            .map_err(|rule| wrong(format!("`{}` {rule}", typed(part))))?;
        if value > 0.0 && value.is_finite() {
            Ok(value)
        } else {
            let part = typed(part);
            Err(wrong(format!(
                "{part}: a learning rate must be positive and finite"
            )))
        }
    };
    let Some((from, rest)) = text.split_once("..") else {
        if text.split(',').nth(MOST_RATES).is_some() {
            return Err(wrong(format!("more than {MOST_RATES} rates")));
        }
        return text.split(',').map(number).collect();
    };
    let (to, count) = rest
        .split_once(':')
        .ok_or_else(|| wrong("a range is FROM..TO:N".to_owned()))?;
    let (from, to) = (number(from)?, number(to)?);
    match typed_number::whole(count.trim()).map(|count| count as usize) {
        Ok(count @ 2..=MOST_RATES) => Ok(Array1::from_iter((0..count).map(|index| {
            let share = index as f64 / (count - 1) as f64;
            match index {
                0 => from,
                // The ends as they were typed.
                _ if index == count - 1 => to,
                // `to / from` could overflow.
                _ => ((1.0 - share) * from.ln() + share * to.ln()).exp(),
            }
        }))),
        _ => Err(wrong(format!(
            "the number of rates must be from 2 to {MOST_RATES}"
        ))),
    }
}

/// `autolr probe`
///
/// # Errors
/// Bad input before any work; whatever data, device or disk say.
pub fn probe(args: &ProbeArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let lrs = parse_rates(&args.lrs)?;
    let threads = threads(args.threads)?;
    let spec = resolve(&args.spec, args.series.as_deref(), args.scale, args.device)?;
    openmp::wait_briefly(&spec, threads);
    let location = data_location(args.data.as_ref())?;
    let missing = |path: &Path| BadInput(format!("{}: no such file", path.display()));
    if let Some(path) = &args.checkpoint {
        // Before any work; how large it may be is known after it.
        regular_file::open(path, Links::Follow).map_err(|error| match error.kind() {
            ErrorKind::NotFound => missing(path),
            _ => BadInput(format!("{}: cannot be read: {error}", path.display())),
        })?;
    }
    // It shows what it measured.
    let mut measured = spec.clone();
    measured.probe.evaluate = Evaluation::All;
    let mut workload = workload::build(&measured, &location, threads)
        .map_err(|error| locate_in(&args.spec, args.series.as_deref(), args.scale, error))?;
    let checkpoint = match &args.checkpoint {
        Some(path) => {
            let slots = spec.scheduler.method().build().needs().slots;
            let limit = Checkpoint::limit(workload.as_ref(), slots)?;
            let read = Checkpoint::read(path, &spec.digest()?, limit)?;
            Some((path, read.ok_or_else(|| missing(path))?))
        }
        None => None,
    };
    let (mut next_epoch, mut steps) = (0, 0);
    if let Some((path, checkpoint)) = &checkpoint {
        checkpoint.restore(workload.as_mut(), path)?;
        next_epoch = checkpoint.progress.next_epoch;
        steps = checkpoint.progress.within.unwrap_or_default().sums.steps;
    }
    let frozen = next_epoch > 0
        && spec.training.batch_norm_after_validation == BatchNormAfterValidation::Frozen;
    if frozen {
        workload.freeze_batch_norm(true);
    }
    // The batches of the last decision before the checkpoint.
    let epoch = next_epoch.saturating_sub(1);
    let mut losses = Array1::from_elem(lrs.len(), f64::NAN);
    let mut cost = Cost::default();
    let draw = Draw::after_epoch(epoch);
    workload.probe(draw, lrs.view(), losses.view_mut(), &mut cost)?;
    let update = weigh(&spec, &lrs, &losses)?;
    // Before the step the losses do not depend on the rate, and weights of them are noise.
    let weighed = spec.probe.loss != TrialLoss::BeforeStep;
    let voted = weighed && update.weights.sum() > 0.0;
    let floats = |values: &Array1<f64>| values.iter().map(|&v| Float(v)).collect::<Vec<_>>();
    let record = json!({
        "epochs_trained": next_epoch,
        // Of the epoch after those.
        "steps_trained": steps,
        "lrs": lrs.to_vec(),
        "losses": floats(&losses),
        // Null where the losses do not depend on the rate.
        "weights": weighed.then(|| floats(&update.weights)),
        // Of the rates; null there, too, and where no loss is finite.
        "weighted_geometric_mean": voted.then_some(update.factor),
        "batch_norm": if frozen { "frozen" } else { "batch-statistics" },
        "forwards": cost.forwards,
        "backwards": cost.backwards,
        "spec": spec,
    });
    if let Some(dir) = &args.dump {
        dump(dir, &record, workload.as_ref(), draw, lrs.len())?;
    }
    if args.json {
        writeln!(out, "{record}")?;
    } else {
        let trained = match steps {
            0 => plural(next_epoch as usize, "epoch"),
            steps => format!(
                "{} and {}",
                plural(next_epoch as usize, "epoch"),
                plural(steps as usize, "step")
            ),
        };
        print(out, &spec, &trained, &lrs, &losses, &update)?;
    }
    Ok(ExitStatus::Success)
}

/// What the specification's update makes of the losses, with the rates themselves as factors; the paper's update where the
/// specification has an open loop.
fn weigh(spec: &RunSpec, lrs: &Array1<f64>, losses: &Array1<f64>) -> Result<Update> {
    let present = match spec.scheduler.autolr() {
        Some(config) => config.rule().clone(),
        None => ScaleUpdate::new(Factors::powers_of_two(1)?),
    };
    let factors = Factors::new(lrs.mapv(|lr| lr.max(f64::MIN_POSITIVE)))?;
    let rule = ScaleUpdate::new(factors)
        .with_normalization(present.normalization())
        .with_score(present.score());
    Ok(rule.update(losses.view())?)
}

fn print(
    out: &mut dyn Write,
    spec: &RunSpec,
    trained: &str,
    lrs: &Array1<f64>,
    losses: &Array1<f64>,
    update: &Update,
) -> Result<()> {
    writeln!(out, "{:>12}  {:>14}  {:>9}", "rate", "loss", "weight")?;
    for ((lr, loss), weight) in lrs.iter().zip(losses).zip(&update.weights) {
        let (loss, weight) = (written(*loss), number::percent_to_digits(*weight));
        writeln!(out, "{lr:>12.4e}  {loss:>14}  {weight:>7} %")?;
    }
    let points: Vec<(f64, f64)> = lrs.iter().copied().zip(losses.iter().copied()).collect();
    let finite = || points.iter().filter(|(_, loss)| loss.is_finite());
    let lowest = finite().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let highest = finite().map(|point| point.1).fold(0.0, f64::max);
    // Rates that blow up would press all others flat.
    let log_loss = lowest > 0.0 && highest > 10.0 * lowest;
    let axes = if log_loss {
        "both axes logarithmic"
    } else {
        "rate logarithmic"
    };
    writeln!(
        out,
        "\nloss over rate ({axes}), after {trained} of training"
    )?;
    let figure = text_figure(&[("loss", &points)], 72, 16, true, log_loss);
    writeln!(out, "{figure}")?;
    if spec.probe.loss == TrialLoss::BeforeStep {
        writeln!(
            out,
            "probe.loss = \"before-step\": these losses do not depend on the rate, their differences are noise"
        )?;
        return Ok(());
    }
    match finite().min_by(|a, b| a.1.total_cmp(&b.1)) {
        Some((lr, loss)) => writeln!(out, "lowest loss {} at rate {lr:.4e}", written(*loss))?,
        None => writeln!(out, "no rate gives a finite loss")?,
    }
    if update.weights.sum() > 0.0 {
        writeln!(
            out,
            "weighted geometric mean of the rates: {:.4e}",
            update.factor
        )?;
    }
    Ok(())
}

/// A loss with digits enough to tell those of two small rates apart.
fn written(loss: f64) -> String {
    number::to_digits(loss, 7)
}

fn dump(
    dir: &Path,
    record: &serde_json::Value,
    workload: &dyn Workload,
    draw: Draw,
    candidates: usize,
) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    let write = |file: &str, arrays: &[StateArray]| {
        let named: Vec<(String, &StateArray)> = arrays
            .iter()
            .map(|array| (array.name.clone(), array))
            .collect();
        write_arrays(&dir.join(file), &named, HashMap::new())
    };
    write("weights.safetensors", &workload.save()?)?;
    write(
        "batches.safetensors",
        &workload.probe_batches(draw, candidates)?,
    )?;
    let text = serde_json::to_string_pretty(record)? + "\n";
    write_whole(&dir.join("probe.json"), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::parse_rates;

    #[test]
    fn lists_and_ranges() {
        assert_eq!(parse_rates("0.1, 1,10").unwrap().to_vec(), [0.1, 1.0, 10.0]);
        let range = parse_rates("0.01..1:3").unwrap();
        assert_eq!((range[0], range[2]), (0.01, 1.0));
        // A few roundings in the logarithm.
        assert!((range[1] - 0.1).abs() < 1e-15, "{range}");
        let far = parse_rates("1e-300..1e300:3").unwrap();
        assert!(far.iter().all(|lr| lr.is_finite()), "{far}");
        assert_eq!(parse_rates("1_000").unwrap().to_vec(), [1000.0]);
        let error = parse_rates(".5,1").unwrap_err().to_string();
        assert_eq!(error, "--lrs .5,1: `.5` must be a number: write 0.5");
        // A list has as many rates as a range.
        assert!(parse_rates(&vec!["1"; 10_000].join(",")).is_ok());
        let error = parse_rates(&vec!["1"; 10_001].join(",")).unwrap_err();
        assert!(error.0.ends_with("more than 10000 rates"), "{error}");
        assert!(error.0.len() < 200, "{error}");
        for bad in [
            "", "0", "-1", "nan", "inf", "1..2", "1..2:1", "1,x", "0..1:3",
        ] {
            let error = parse_rates(bad).unwrap_err().to_string();
            assert!(error.starts_with("--lrs "), "{error}");
        }
    }
}
