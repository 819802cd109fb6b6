//! One training run in its folder, from its specification to its summary.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result};
use autolr_core::{AutoLr, LrScheduler, OpenLoop, SchedulerState, StateError, Tick, Unit};

use super::checkpoint::{Best, Checkpoint, Generations, Progress};
use super::lock::lock;
use super::options::{RunOptions, RunSize};
use crate::disk::{Disk, remove_half_written};
use crate::exit::{BadInput, Interrupted};
use crate::experiment::{BatchNormAfterValidation, RunSpec, SchedulerSpec};
use crate::number::plural;
use crate::record::{
    Build, DecisionRecord, EpochRecord, Evaluation, Event, LogMark, LogWriter, Outcome, Provenance,
    RunLog, Summary, computed_epochs,
};
use crate::workload::{Cost, EpochProbe, EpochSums, StateArray, Workload, WorkloadError};

/// Version of the event log's format.
const LOG_FORMAT: u32 = 1;

/// What [`run`] found or did.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStatus {
    /// How the run ended.
    pub summary: Summary,
    /// Whether it had been finished before.
    pub was_finished: bool,
}

/// The scheduler of a specification, at its beginning or where it was saved.
pub(crate) fn scheduler<E: std::error::Error + Send + Sync + 'static>(
    spec: &SchedulerSpec,
    state: Option<&SchedulerState>,
) -> Result<Box<dyn LrScheduler<E>>, StateError> {
    Ok(match (spec, state) {
        (SchedulerSpec::AutoLr(config), Some(state)) => {
            Box::new(AutoLr::with_state(config.clone(), state)?)
        }
        (SchedulerSpec::AutoLr(config), None) => Box::new(AutoLr::new(config.clone())),
        (SchedulerSpec::OpenLoop(schedule), Some(state)) => {
            Box::new(OpenLoop::with_state(schedule.clone(), Unit::Epoch, state)?)
        }
        (SchedulerSpec::OpenLoop(schedule), None) => {
            Box::new(OpenLoop::new(schedule.clone(), Unit::Epoch))
        }
    })
}

/// Whether an accuracy is not above chance: at most 1/classes plus two standard errors of that many draws.
pub fn at_chance(tested: Evaluation, classes: usize) -> bool {
    let chance = 1.0 / classes as f64;
    let error = (chance * (1.0 - chance) / tested.images.max(1) as f64).sqrt();
    tested.accuracy <= chance + 2.0 * error
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
        return Ok(status);
    }
    // Bad input is found here, before anything is written.
    let mut workload = build()?;
    let _lock = lock(dir)?;
    let unreadable = match finished(&digest, &log_path) {
        Ok(Some(status)) => return Ok(status),
        Ok(None) => None,
        Err(error) => Some(error),
    };
    remove_half_written(dir);
    let generations = Generations::of(dir);
    let usable = |checkpoint: &Checkpoint, path: &Path| -> Result<()> {
        checkpoint.progress.log.verify(&log_path)?;
        Ok(checkpoint.restore(workload.as_mut(), path)?)
    };
    let found = generations.read(&digest, usable).map_err(or_start_again)?;
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
    disk.write_whole(&dir.join("spec.toml"), spec.to_toml()?.as_bytes(), None)?;
    let saving = Saving {
        disk,
        generations: &generations,
    };
    let mut run = Run::start(
        saving,
        spec,
        digest,
        &log_path,
        checkpoint,
        workload.as_mut(),
        options,
    )?;
    options.observer.begin(RunSize {
        epochs_done: run.progress.next_epoch,
        steps_done: run.progress.within.unwrap_or_default().sums.steps,
        epochs: spec.training.epochs,
        steps_per_epoch: workload.steps_per_epoch(),
    });
    let outcome = loop {
        if run.progress.next_epoch == spec.training.epochs {
            break Outcome::Completed;
        }
        if options.interrupted.load(Ordering::Relaxed) {
            // The checkpoint of the epoch before stands.
            return Err(Interrupted.into());
        }
        let start = Instant::now();
        let before = run.progress.within.unwrap_or_default().seconds;
        let ended = run.epoch(workload.as_mut(), options)?;
        let epoch = run.progress.next_epoch;
        run.progress.next_epoch += 1;
        if ended.is_none() {
            run.checkpoint(workload.as_ref())?;
        }
        append_timing(dir, epoch, before + start.elapsed().as_secs_f64())?;
        if let Some(outcome) = ended {
            break outcome;
        }
    };
    let summary = run.finish(workload.as_mut(), outcome)?;
    generations.forget_previous();
    Ok(RunStatus {
        summary,
        was_finished: false,
    })
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
/// is in `timings.jsonl`, which follows its checkpoint. (Not if the run diverged in it: then there is none.)
fn refuse_without_checkpoint(digest: &str, dir: &Path) -> Result<()> {
    let path = dir.join("events.jsonl");
    let Some(log) = RunLog::read_of(digest, &path)? else {
        return Ok(());
    };
    let went_on = |epoch: &EpochRecord| {
        let finite = epoch.train_loss.is_finite() && epoch.validation_loss.is_finite();
        finite && !computed_epochs(dir).is_empty()
    };
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

/// Where checkpoints go.
#[derive(Clone, Copy)]
struct Saving<'a> {
    disk: &'a Disk,
    generations: &'a Generations,
}

/// The state of a run between two epochs, or two steps.
struct Run<'a> {
    saving: Saving<'a>,
    spec: &'a RunSpec,
    scheduler: Box<dyn LrScheduler<WorkloadError>>,
    log: LogWriter,
    progress: Progress,
    best: Vec<StateArray>,
}

impl<'a> Run<'a> {
    /// Where `checkpoint`, which `workload` has gone back to, stands; else at the beginning.
    fn start(
        saving: Saving<'a>,
        spec: &'a RunSpec,
        digest: String,
        log_path: &Path,
        checkpoint: Option<Checkpoint>,
        workload: &mut dyn Workload,
        options: &RunOptions<'_>,
    ) -> Result<Self> {
        let provenance = Provenance {
            format: LOG_FORMAT,
            spec: digest.clone(),
            autolr: env!("CARGO_PKG_VERSION").into(),
            libtorch: workload.libtorch(),
            device: workload.device(),
            threads: options.threads,
            parameters: workload.parameters(),
            data: workload.data(),
            build: Build::here(workload.device() != "cpu"),
        };
        if let Some(checkpoint) = checkpoint {
            let other_build = check_conditions(log_path, &checkpoint.progress.log, &provenance)?;
            let mut run = Self {
                saving,
                spec,
                scheduler: scheduler(&spec.scheduler, checkpoint.progress.scheduler.as_ref())
                    .map_err(|error| or_start_again(BadInput::from_error(error).into()))?,
                log: LogWriter::resume(saving.disk, log_path, &checkpoint.progress.log)?,
                progress: checkpoint.progress,
                best: checkpoint.best,
            };
            if let Some(build) = other_build {
                run.log.append(&Event::RunContinued(build))?;
            }
            run.freeze_if_asked(workload);
            return Ok(run);
        }
        let mut log = LogWriter::create(saving.disk, log_path)?;
        log.append(&Event::RunStarted(provenance))?;
        Ok(Self {
            saving,
            spec,
            scheduler: scheduler(&spec.scheduler, None)?,
            log,
            progress: Progress {
                spec: digest,
                next_epoch: 0,
                within: None,
                scheduler: None,
                best: None,
                cost: Cost::default(),
                probe_cost: Cost::default(),
                log: LogMark::nothing(),
            },
            best: Vec::new(),
        })
    }

    fn freeze_if_asked(&self, workload: &mut dyn Workload) {
        let frozen =
            self.spec.training.batch_norm_after_validation == BatchNormAfterValidation::Frozen;
        if frozen && self.progress.next_epoch > 0 {
            workload.freeze_batch_norm();
        }
    }

    /// The steps of one epoch, or those that are left of it, with checkpoints in between.
    fn train(
        &mut self,
        workload: &mut dyn Workload,
        options: &mut RunOptions<'_>,
    ) -> Result<EpochSums> {
        let (epoch, lr) = (self.progress.next_epoch, self.scheduler.lr());
        let mut within = self.progress.within.unwrap_or_default();
        loop {
            let start = Instant::now();
            let mut left = false;
            within.sums = workload.train_epoch(epoch, lr, within.sums, &mut || {
                options.observer.step();
                left = options.interrupted.load(Ordering::Relaxed)
                    || start.elapsed() >= options.checkpoint_every;
                !left
            })?;
            if !left {
                self.progress.within = None;
                return Ok(within.sums);
            }
            within.seconds += start.elapsed().as_secs_f64();
            self.progress.within = Some(within);
            self.checkpoint(workload)?;
            if options.interrupted.load(Ordering::Relaxed) {
                return Err(Interrupted.into());
            }
        }
    }

    /// One epoch with its validation and decision; an outcome if the run diverged in it.
    fn epoch(
        &mut self,
        workload: &mut dyn Workload,
        options: &mut RunOptions<'_>,
    ) -> Result<Option<Outcome>> {
        let epoch = self.progress.next_epoch;
        let lr = self.scheduler.lr();
        let sums = self.train(workload, options)?;
        let train_loss = sums.mean_loss();
        self.progress.cost += Cost {
            forwards: sums.samples,
            backwards: sums.samples,
        };
        let validation = workload.validate()?;
        self.progress.cost.forwards += validation.images;
        let record = EpochRecord {
            epoch,
            lr,
            steps: sums.steps,
            train_loss,
            train_accuracy: sums.accuracy(),
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
        };
        options.observer.epoch(&record);
        self.log.append(&Event::Epoch(record))?;
        for (what, loss) in [("training", train_loss), ("validation", validation.loss)] {
            if !loss.is_finite() {
                let reason = format!("the {what} loss is {loss}");
                return Ok(Some(Outcome::Diverged { epoch, reason }));
            }
        }
        let best = Best { epoch, validation };
        if self
            .progress
            .best
            .is_none_or(|best| validation.loss < best.validation.loss)
        {
            self.progress.best = Some(best);
            self.best = workload.save()?;
            self.best
                .retain(|array| !array.name.starts_with("optimizer."));
        }
        if epoch == 0
            && self.spec.training.batch_norm_after_validation == BatchNormAfterValidation::Frozen
        {
            workload.freeze_batch_norm();
        }
        let mut cost = Cost::default();
        let mut probe = EpochProbe {
            workload,
            epoch,
            cost: &mut cost,
            spec: &self.spec.probe,
        };
        let tick = Tick::epoch(validation.loss);
        let decision = self.scheduler.advance(tick, &mut probe)?;
        self.progress.cost += cost;
        self.progress.probe_cost += cost;
        self.progress.scheduler = Some(self.scheduler.state());
        if let Some(decision) = decision {
            self.log
                .append(&Event::Decision(DecisionRecord { epoch, decision }))?;
        }
        Ok(None)
    }

    fn checkpoint(&mut self, workload: &dyn Workload) -> Result<()> {
        self.log.sync()?;
        self.progress.log = self.log.mark();
        let checkpoint = Checkpoint {
            progress: self.progress.clone(),
            state: workload.save()?,
            best: self.best.clone(),
        };
        let Saving { disk, generations } = self.saving;
        generations.write(disk, &checkpoint)
    }

    /// Tests the last weights and the best, and closes the log.
    fn finish(&mut self, workload: &mut dyn Workload, outcome: Outcome) -> Result<Summary> {
        let epochs = self.progress.next_epoch;
        let mut test = |progress: &mut Progress| -> Result<Evaluation> {
            let tested = workload.test()?;
            progress.cost.forwards += tested.images;
            Ok(tested)
        };
        let last = test(&mut self.progress)?;
        let last = last.loss.is_finite().then_some(last);
        let best = match self.progress.best {
            Some(best) if best.epoch + 1 == epochs => last,
            Some(_) => {
                workload.load(&self.best)?;
                let tested = workload.test()?;
                self.progress.cost.forwards += tested.images;
                Some(tested)
            }
            None => None,
        };
        let outcome = match (outcome, last) {
            (Outcome::Completed, Some(last)) if at_chance(last, self.spec.classes()) => {
                Outcome::Diverged {
                    epoch: epochs - 1,
                    reason: format!(
                        "the accuracy is at chance when the run ends ({:.1} % of {} test images)",
                        100.0 * last.accuracy,
                        last.images
                    ),
                }
            }
            (Outcome::Completed, None) => Outcome::Diverged {
                epoch: epochs - 1,
                reason: "the test loss of the last weights is not finite".into(),
            },
            (outcome, _) => outcome,
        };
        let summary = Summary {
            outcome,
            epochs,
            best_epoch: self.progress.best.map(|best| best.epoch),
            best,
            last,
            reported: self.spec.training.tested_checkpoint.name().into(),
            forwards: self.progress.cost.forwards,
            backwards: self.progress.cost.backwards,
            probe_forwards: self.progress.probe_cost.forwards,
            probe_backwards: self.progress.probe_cost.backwards,
        };
        self.log.append(&Event::RunFinished(summary.clone()))?;
        self.log.sync()?;
        Ok(summary)
    }
}

/// Refuses to go on under other conditions than a run was begun under: its log would not be that of one run. The build
/// may be another; it is returned if it is.
fn check_conditions(log_path: &Path, mark: &LogMark, now: &Provenance) -> Result<Option<Build>> {
    let Some(log) = RunLog::read_marked(mark, log_path)? else {
        return Ok(None);
    };
    let last = log.continued.last().unwrap_or(&log.provenance.build);
    let build = (*last != now.build).then(|| now.build.clone());
    let begun = Provenance {
        build: now.build.clone(),
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

fn append_timing(dir: &Path, epoch: u64, seconds: f64) -> Result<()> {
    let path = dir.join("timings.jsonl");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{}: cannot be opened", path.display()))?;
    writeln!(
        file,
        "{}",
        serde_json::json!({"epoch": epoch, "seconds": seconds})
    )?;
    Ok(())
}
