//! `autolr reproduce`: the paper's experiments, and a report beside the paper's numbers.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::plan::{Plan, PlanRequest, PlannedRun};
use super::progress::{Overview, glance};
use super::run::execute;
use super::{cores, data_location, interrupt_flag};
use crate::data::Location;
use crate::exit::{ExitStatus, Interrupted};
use crate::experiment::{DeviceName, Protocol, Scale};
use crate::record::EpochRecord;
use crate::report::ExperimentName;
use crate::train::Observer;

/// Run the paper's experiments and write a report
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Which experiments
    #[arg(value_enum, value_name = "EXPERIMENT", default_value = "all")]
    experiments: Vec<Choice>,
    /// How large
    #[arg(long, value_enum, default_value = "quick")]
    scale: Scale,
    /// By the paper's text, by its released code, or both
    #[arg(long, value_enum, default_value = "both")]
    protocol: ProtocolChoice,
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceName,
    /// Seed of all runs; the paper's is 0
    // No larger than TOML can hold.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: u64,
    /// Several seeds: 0..6 (which is 0 to 5), 0..=5, or 0,1,7
    #[arg(long, value_name = "SEEDS", value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<Seeds>,
    /// Folder of the report and its runs
    #[arg(long, value_name = "DIR", default_value = "report")]
    out: PathBuf,
    /// Folder of the data sets, instead of AUTOLR_DATA and the project's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Trainings at a time, each a process with one thread [default: the cores; 1 at scale smoke and on CUDA]
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    jobs: Option<usize>,
}

/// Seeds on the command line.
#[derive(Debug, Clone)]
struct Seeds(Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    crate::experiment::seeds(text).map(Seeds)
}

/// An experiment, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Test accuracy by scheduler, CIFAR-10
    Table1,
    /// Number of factors, CIFAR-100
    Fig2,
    /// Size of the scoring batch, CIFAR-10
    Fig3,
    /// Initial rate 1
    Divergence,
    /// All of them
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProtocolChoice {
    /// Algorithm 1 as the paper states it
    Published,
    /// What the released code does
    Released,
    /// Both
    Both,
}

const ALL: [(Choice, ExperimentName); 4] = [
    (Choice::Table1, ExperimentName::Table1),
    (Choice::Fig2, ExperimentName::Fig2),
    (Choice::Fig3, ExperimentName::Fig3),
    (Choice::Divergence, ExperimentName::Divergence),
];

/// `autolr reproduce`
///
/// # Errors
/// Bad input before any training; [`Interrupted`] after Ctrl-C; otherwise a run that failed does not take the others
/// along: the report says so, and the status is a failure.
pub fn reproduce(args: &ReproduceArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let chosen = |choice| {
        args.experiments
            .iter()
            .any(|&c| c == choice || c == Choice::All)
    };
    let experiments: Vec<ExperimentName> = ALL
        .iter()
        .filter(|(choice, _)| chosen(*choice))
        .map(|(_, name)| *name)
        .collect();
    let protocols: &[Protocol] = match args.protocol {
        ProtocolChoice::Published => &[Protocol::Published],
        ProtocolChoice::Released => &[Protocol::Released],
        ProtocolChoice::Both => &Protocol::ALL,
    };
    let location = data_location(args.data.as_ref())?;
    let request = PlanRequest {
        experiments: &experiments,
        protocols,
        scale: args.scale,
        device: args.device,
        seeds: &args.seeds.clone().map_or(vec![args.seed], |seeds| seeds.0),
    };
    let plan = Plan::new(&request, &args.out, &location)?;
    let runs_dir = args.out.join("runs");
    std::fs::create_dir_all(&runs_dir)
        .with_context(|| format!("{}: cannot be made", runs_dir.display()))?;
    let manifest = serde_json::to_string_pretty(&plan.manifest)?;
    std::fs::write(args.out.join("manifest.json"), manifest + "\n")
        .with_context(|| format!("{}: cannot be written", args.out.display()))?;

    let cuda = plan
        .runs
        .iter()
        .any(|run| run.spec.training.device == DeviceName::Cuda);
    let jobs = args.jobs.unwrap_or(if cuda || args.scale == Scale::Smoke {
        1
    } else {
        cores()
    });
    let failures = carry_out(&plan.runs, &runs_dir, &location, jobs);
    // Whatever happened, what there is is shown.
    let path = crate::report::write(&args.out)?;
    let finished = plan.runs.iter().filter(|run| run.finished).count();
    let (total, failed) = (plan.runs.len(), failures.len());
    for (place, error) in &failures {
        if !error.is::<Interrupted>() {
            eprintln!("{place}: {error:#}");
        }
    }
    if interrupt_flag().load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    writeln!(
        out,
        "{total} runs ({finished} of them finished before), {failed} failed"
    )?;
    writeln!(out, "report: {}", path.display())?;
    Ok(if failures.is_empty() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

/// Carries out what is not finished, `jobs` at a time; returns the places that failed, with the reason.
fn carry_out(
    runs: &[PlannedRun],
    dir: &Path,
    location: &Location,
    jobs: usize,
) -> Vec<(String, anyhow::Error)> {
    let epochs = runs.iter().map(|run| run.spec.training.epochs).sum();
    let done = |run: &PlannedRun| {
        if run.finished {
            run.spec.training.epochs
        } else {
            run.epochs_done
        }
    };
    let overview = Overview::new(epochs, runs.iter().map(done).sum());
    let queue: Mutex<VecDeque<&PlannedRun>> =
        Mutex::new(runs.iter().filter(|run| !run.finished).collect());
    let failures = Mutex::new(Vec::new());
    let lock = |error: PoisonError<_>| error.into_inner();
    let worker = || {
        while !interrupt_flag().load(Ordering::Relaxed) {
            let Some(run) = queue.lock().unwrap_or_else(lock).pop_front() else {
                break;
            };
            let line = overview.line(&run.place);
            let mut on_epoch = |record: &EpochRecord| {
                line.set_message(glance(record));
                overview.epochs(u64::from(record.epoch >= run.epochs_done));
            };
            let outcome = if jobs == 1 {
                in_this_process(run, dir, location, &mut on_epoch)
            } else {
                in_a_child(run, dir, location, &mut on_epoch)
            };
            line.finish_and_clear();
            if let Err(error) = outcome {
                let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                failures.push((run.place.clone(), error));
            }
        }
    };
    if jobs == 1 {
        worker();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(worker);
            }
        });
    }
    overview.finish();
    failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Passes each epoch on.
struct OnEpoch<'a>(&'a mut dyn FnMut(&EpochRecord));

impl Observer for OnEpoch<'_> {
    fn epoch(&mut self, record: &EpochRecord) {
        (self.0)(record);
    }

    fn note(&mut self, text: &str) {
        eprintln!("note: {text}");
    }
}

fn in_this_process(
    run: &PlannedRun,
    dir: &Path,
    location: &Location,
    on_epoch: &mut dyn FnMut(&EpochRecord),
) -> Result<()> {
    execute(
        &run.spec,
        &dir.join(&run.run),
        location,
        1,
        &mut OnEpoch(on_epoch),
    )
    .map(|_| ())
}

/// `autolr run` with one thread: a run that crashes takes no other along, and results do not depend on the cores.
fn in_a_child(
    run: &PlannedRun,
    dir: &Path,
    location: &Location,
    on_epoch: &mut dyn FnMut(&EpochRecord),
) -> Result<()> {
    let folder = dir.join(&run.run);
    std::fs::create_dir_all(&folder)?;
    let spec = folder.join("spec.toml");
    std::fs::write(&spec, run.spec.to_toml()?)
        .with_context(|| format!("{}: cannot be written", spec.display()))?;
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    let mut child = Command::new(program)
        .arg("run")
        .arg(&spec)
        .arg("--out")
        .arg(dir)
        .arg("--data")
        .arg(&location.folder)
        .args(["--threads", "1", "--epoch-lines"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("a training process cannot be started")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let (lines, errors) = (child.stdout.take(), child.stderr.take());
    let (status, said) = std::thread::scope(|scope| -> Result<_> {
        scope.spawn(move || {
            for line in lines
                .map(BufReader::new)
                .into_iter()
                .flat_map(BufRead::lines)
            {
                let record = line.ok().and_then(|line| serde_json::from_str(&line).ok());
                if let Some(record) = record
                    && sender.send(record).is_err()
                {
                    break;
                }
            }
        });
        let said = scope.spawn(move || {
            let mut said = String::new();
            if let Some(mut errors) = errors {
                // What could be read is what there is to say.
                let _ = errors.read_to_string(&mut said);
            }
            said
        });
        loop {
            match receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(record) => on_epoch(&record),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if interrupt_flag().load(Ordering::Relaxed) {
                // Its last checkpoint stands.
                let _ = child.kill();
            }
        }
        Ok((child.wait()?, said.join().unwrap_or_default()))
    })?;
    if interrupt_flag().load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    if status.code() == Some(ExitStatus::Interrupted as i32) {
        return Err(Interrupted.into());
    }
    if !status.success() {
        let said = said.trim().trim_start_matches("error: ");
        bail!("the training process ended with {status}: {said}");
    }
    Ok(())
}
