//! One training run in its folder, from its specification to its summary.

use std::path::Path;

use anyhow::Result;
use autolr_core::{Method, MethodState, StateError};

use super::checkpoint::{Checkpoint, Generations, Progress};
use super::lock::lock;
use super::options::{Observer, RunOptions};
use super::trainer::{Saving, Trainer};
use crate::disk::{Disk, remove_half_written};
use crate::exit::BadInput;
use crate::experiment::{ExperimentFile, RunSpec, SPEC_BYTES};
use crate::number;
use crate::number::plural;
use crate::record::{
    Build, EpochRecord, Evaluation, Event, LOG_FORMAT, LogMark, LogWriter, Outcome, Provenance,
    RunLog, Summary, check_timings, has_ended_line,
};
use crate::regular_file::{self, Links};
use crate::task::Metric;
use crate::workload::Workload;

/// What [`run`] found or did.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStatus {
    /// How the run ended.
    pub summary: Summary,
    /// Whether it had been finished before.
    pub was_finished: bool,
}

/// Whether there is an accuracy, and it is not above chance: at most 1/classes plus two standard errors of that many
/// draws.
pub fn at_chance(tested: Evaluation, classes: usize) -> bool {
    let Some(accuracy) = tested.accuracy else {
        return false;
    };
    let chance = 1.0 / classes as f64;
    let error = (chance * (1.0 - chance) / tested.images.max(1) as f64).sqrt();
    accuracy <= chance + 2.0 * error
}

/// Trains what `build` makes, in the folder `dir`, unless that has been done already.
///
/// The folder holds `spec.toml`, `events.jsonl`, `timings.jsonl`, and the last two checkpoints, from the newer of which
/// (or, if that is damaged, the older) it goes on after a stop at any moment; the log is then the one of an
/// uninterrupted run. Checkpoints are written after each epoch, within one that takes longer than
/// [`RunOptions::checkpoint_every`], and when told to stop.
///
/// # Errors
/// [`Interrupted`] when told to stop, after a checkpoint, [`crate::exit::BadInput`] for what cannot be run, whatever the
/// machinery says.
pub fn run(
    spec: &RunSpec,
    dir: &Path,
    build: &dyn Fn() -> Result<Box<dyn Workload>>,
    options: &mut RunOptions<'_>,
) -> Result<RunStatus> {
    run_on(&Disk::default(), spec, dir, build, options)
}

/// The same as [`run`] on a disk that may have faults.
///
/// # Errors
/// As [`run`].
pub fn run_on(
    disk: &Disk,
    spec: &RunSpec,
    dir: &Path,
    build: &dyn Fn() -> Result<Box<dyn Workload>>,
    options: &mut RunOptions<'_>,
) -> Result<RunStatus> {
    let digest = spec.digest()?;
    let log_path = dir.join("events.jsonl");
    if let Ok(Some(status)) = finished(&digest, &log_path) {
        put_back_spec(disk, spec, dir, options.observer)?;
        return Ok(status);
    }
    // Bad input is found here, before anything is written.
    check_files(dir)?;
    let mut workload = build()?;
    let lock = lock(disk, dir)?;
    let unreadable = match finished(&digest, &log_path) {
        Ok(Some(status)) => {
            put_back_spec(disk, spec, dir, options.observer)?;
            return Ok(status);
        }
        Ok(None) => None,
        Err(error) => Some(error),
    };
    remove_half_written(dir);
    let generations = Generations::of(dir);
    let new = make_method(spec, None, options).map_err(BadInput::from_error)?;
    let limit = Checkpoint::limit(workload.as_ref(), new.needs().slots)?;
    let own_method = options.method.is_some();
    let usable = |checkpoint: &Checkpoint, path: &Path| -> Result<()> {
        checkpoint.progress.log.verify(&log_path)?;
        let marked = RunLog::read_marked(&checkpoint.progress.log, &log_path)?;
        let progress = &checkpoint.progress;
        progress
            .check(marked.as_ref(), spec, workload.as_ref())
            .and_then(|()| match (&marked, own_method) {
                (Some(log), false) => progress.check_method(log, spec),
                _ => Ok(()),
            })
            .map_err(|why| {
                BadInput(format!(
                    "{}: does not agree with its log and specification: {why}",
                    path.display()
                ))
            })?;
        Ok(checkpoint.restore(workload.as_mut(), path)?)
    };
    let found = generations
        .read(&digest, limit, usable)
        .map_err(or_start_again)?;
    let checkpoint = found.map(|(checkpoint, refused)| {
        for why in refused {
            let progress = &checkpoint.progress;
            let from = match progress.within {
                Some(within) => {
                    format!(
                        "after step {} of epoch {}",
                        within.sums.steps, progress.next_epoch
                    )
                }
                None => format!("with epoch {}", progress.next_epoch),
            };
            options.observer.note(&format!(
                "{why}; going on from the checkpoint before it, {from}"
            ));
        }
        checkpoint
    });
    match (unreadable, &checkpoint) {
        (Some(error), None) if error.chain().any(|cause| cause.is::<std::io::Error>()) => {
            return Err(error);
        }
        (Some(error), None) => {
            return Err(or_start_again(BadInput(format!("{error:#}")).into()));
        }
        // Up to where the checkpoint was written the log is whole; what follows is written again.
        (Some(error), Some(_)) => options.observer.note(&format!(
            "{error:#}; going on from the part of the log that the checkpoint vouches for"
        )),
        (None, Some(_)) => {}
        (None, None) => refuse_without_checkpoint(&digest, dir)?,
    }
    let state = checkpoint
        .as_ref()
        .and_then(|checkpoint| checkpoint.progress.scheduler.as_ref());
    let mut method = make_method(spec, state, options)
        .map_err(|error| or_start_again(BadInput::from_error(error).into()))?;
    disk.write_whole(&dir.join("spec.toml"), spec.to_toml()?.as_bytes(), None)?;
    let provenance = Provenance {
        format: LOG_FORMAT,
        spec: digest.clone(),
        autolr: env!("CARGO_PKG_VERSION").into(),
        libtorch: workload.libtorch(),
        device: workload.device(),
        threads: options.threads,
        parameters: workload.parameters(),
        data: workload.data(),
        build: Build::here(workload.device() != "cpu", workload.libtorch().is_some()),
    };
    let (begun, log, checkpoint) = match checkpoint {
        Some(checkpoint) => {
            let mark = &checkpoint.progress.log;
            let other_build = check_conditions(&log_path, mark, &provenance)?;
            let mut log = LogWriter::resume(disk, &log_path, mark)?;
            if let Some((build, what)) = other_build {
                options.observer.note(&format!(
                    "{}: resumed {what}: from here on the last bits may differ",
                    log_path.display()
                ));
                log.append(&Event::RunContinued(build))?;
            }
            (true, log, checkpoint)
        }
        None => {
            let mut log = LogWriter::create(disk, &log_path)?;
            log.append(&Event::RunStarted(provenance))?;
            (false, log, Checkpoint::nothing(digest))
        }
    };
    let saving = Saving {
        disk,
        generations: &generations,
        dir,
        lock: &lock,
    };
    let needs = method.needs();
    let mut trainer = Trainer::new(saving, spec, options, workload, log, checkpoint, needs);
    let outcome = trainer.train(method.as_mut(), begun)?;
    let start = || Ok(build()?.test()?.loss);
    let summary = finish(&mut trainer, outcome, &start)?;
    drop(trainer);
    put_back_spec(disk, spec, dir, options.observer)?;
    generations.forget_previous();
    Ok(RunStatus {
        summary,
        was_finished: false,
    })
}

/// Writes the specification of a finished run again if somebody took it away or changed it, and says so: without it,
/// nobody can read the result.
fn put_back_spec(
    disk: &Disk,
    spec: &RunSpec,
    dir: &Path,
    observer: &mut dyn Observer,
) -> Result<()> {
    let path = dir.join("spec.toml");
    let text = spec.to_toml()?;
    let what = match regular_file::read_text(&path, Links::Refuse, SPEC_BYTES) {
        Ok(there) if there == text => return Ok(()),
        // Of a program before this one, or laid out by hand.
        Ok(there) if says(&there, spec) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "missing",
        Ok(_) | Err(_) => "not the specification of this run",
    };
    disk.write_whole(&path, text.as_bytes(), None)?;
    observer.note(&format!("{}: was {what}; written again", path.display()));
    Ok(())
}

/// Whether a text is that specification, in whatever words.
fn says(text: &str, spec: &RunSpec) -> bool {
    let read = || -> Result<bool> {
        let file = ExperimentFile::parse(text)?;
        let read = file.spec(file.find(None)?, &toml::Table::new())?;
        Ok(read.digest()? == spec.digest()?)
    };
    read().unwrap_or(false)
}

/// Refuses a run's folder in which something else is where a file belongs.
fn check_files(dir: &Path) -> Result<(), BadInput> {
    let names = [
        "lock",
        "spec.toml",
        "events.jsonl",
        "events.sha256",
        "failed.json",
        "checkpoint.safetensors",
        "checkpoint.previous.safetensors",
    ];
    for path in names.map(|name| dir.join(name)) {
        regular_file::check(&path)
            .map_err(|error| BadInput(format!("{}: {error}", path.display())))?;
    }
    check_timings(dir)
}

/// Says what to do about a checkpoint that cannot be used.
fn or_start_again(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<BadInput>() {
        Ok(BadInput(text)) => {
            BadInput(format!("{text}; remove the run's folder to start again")).into()
        }
        Err(error) => error,
    }
}

/// Refuses to write over the log of a run whose checkpoints are gone: it had some if there are two epochs, or if the first
/// has an ended line in `timings.jsonl`, which follows its checkpoint. (Not if the run diverged in it: then there is none.)
fn refuse_without_checkpoint(digest: &str, dir: &Path) -> Result<()> {
    let path = dir.join("events.jsonl");
    let Some(log) = RunLog::read_of(digest, &path)? else {
        return Ok(());
    };
    let went_on = |epoch: &EpochRecord| epoch.is_finite() && has_ended_line(dir);
    match &log.epochs[..] {
        [] => Ok(()),
        [first] if !went_on(first) => Ok(()),
        epochs => Err(BadInput(format!(
            "{}: holds {}, but there is no checkpoint; put it back, or remove the run's folder to start again",
            path.display(),
            plural(epochs.len(), "epoch")
        ))
        .into()),
    }
}

/// How a run ended, if it has.
fn finished(spec: &str, log_path: &Path) -> Result<Option<RunStatus>> {
    let summary = RunLog::read_of(spec, log_path)?.and_then(|log| log.summary);
    Ok(summary.map(|summary| RunStatus {
        summary,
        was_finished: true,
    }))
}

/// The method of a specification, at its beginning or where it was saved.
fn make_method(
    spec: &RunSpec,
    state: Option<&MethodState>,
    options: &RunOptions<'_>,
) -> Result<Box<dyn Method>, StateError> {
    match (options.method, state) {
        (Some(make), state) => make(state),
        (None, Some(state)) => spec.scheduler.method().resume(state),
        (None, None) => Ok(spec.scheduler.method().build()),
    }
}

/// Tests the last weights and the best, and closes the log. `start` is the test loss of the initial weights.
fn finish(
    trainer: &mut Trainer<'_, '_>,
    outcome: Outcome,
    start: &dyn Fn() -> Result<f64>,
) -> Result<Summary> {
    let budget_spent = trainer.budget_spent;
    trainer.saving.lock.check()?;
    let Trainer {
        workload,
        progress,
        spec,
        log,
        best,
        ..
    } = trainer;
    let epochs = progress.next_epoch;
    let count = |progress: &mut Progress, tested: Evaluation| {
        progress.cost.forwards += tested.images;
        tested
    };
    let last = count(progress, workload.test()?);
    let last = last.loss.is_finite().then_some(last);
    let tested = match progress.best {
        Some(best) if best.epoch + 1 == epochs => last,
        Some(_) => Some(count(progress, workload.test_saved(best)?)),
        None => None,
    };
    let epoch = epochs.saturating_sub(1);
    let outcome = match (outcome, last) {
        (Outcome::Completed, Some(last)) if at_chance(last, spec.classes()) => Outcome::Diverged {
            epoch,
            reason: format!(
                "the accuracy is at chance when the run ends ({:.1} % of {} test images)",
                100.0 * last.accuracy.unwrap_or(f64::NAN),
                last.images
            ),
        },
        (Outcome::Completed, Some(last)) if spec.network.metric() == Metric::Loss => {
            let start = start()?;
            // A start without any loss is no measure.
            if start > 0.0 && last.loss > start {
                let (now, then) = (number::significant(last.loss), number::significant(start));
                let reason = format!(
                    "the test loss when the run ends, {now}, is above that of the initial weights, {then}"
                );
                Outcome::Diverged { epoch, reason }
            } else {
                Outcome::Completed
            }
        }
        (Outcome::Completed, None) => Outcome::Diverged {
            epoch,
            reason: "the test loss of the last weights is not finite".into(),
        },
        (outcome, _) => outcome,
    };
    log.finish(&Summary {
        outcome,
        epochs,
        best_epoch: progress.best.map(|best| best.epoch),
        best: tested,
        last,
        reported: spec.training.tested_checkpoint.name().into(),
        forwards: progress.cost.forwards,
        backwards: progress.cost.backwards,
        probe_forwards: progress.probe_cost.forwards,
        probe_backwards: progress.probe_cost.backwards,
        budget_spent,
        log: None,
    })
}

/// Refuses to resume under other conditions than a run was begun under: its log would not be that of one run. The build
/// may be another; it is returned if it is, with what is other about it in words.
fn check_conditions(
    log_path: &Path,
    mark: &LogMark,
    now: &Provenance,
) -> Result<Option<(Build, String)>> {
    let Some(log) = RunLog::read_marked(mark, log_path)? else {
        return Ok(None);
    };
    let last = log.continued.last().unwrap_or(&log.provenance.build);
    let build = (*last != now.build).then(|| (now.build.clone(), now.build.difference(last)));
    let begun = Provenance {
        build: now.build.clone(),
        // The format is the one that the log was begun in, whichever that is.
        format: now.format,
        ..log.provenance
    };
    let (begun, now) = (serde_json::to_value(begun)?, serde_json::to_value(now)?);
    for (field, now) in now.as_object().into_iter().flatten() {
        if begun.get(field) != Some(now) {
            let was = begun
                .get(field)
                .map(ToString::to_string)
                .unwrap_or_default();
            return Err(BadInput(format!(
                "{}: the run was begun with {field} = {was}, this would go on with {now}; \
                 take the same again, or remove the run's folder to start again",
                log_path.display()
            ))
            .into());
        }
    }
    Ok(build)
}
