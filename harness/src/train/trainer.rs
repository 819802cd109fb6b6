//! The training itself: steps and epochs, and what a method asks for in between.

use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use autolr_core::{
    Answer, Branch, Budget, DriveError, Event as Told, Keep, Line, Method, Needs, Plan, Probe,
    ProbeCost, Record, Request, Slot, Training, drive, resume,
};
use ndarray::Array1;

use super::checkpoint::{Checkpoint, Generations, PartialEpoch, Progress};
use super::options::{RunOptions, RunSize};
use super::slots::{Best, Rates, SlotMark, SlotState, Slots};
use crate::disk::Disk;
use crate::exit::Interrupted;
use crate::experiment::Cost;
use crate::experiment::cost::passes;
use crate::experiment::{BatchNormAfterValidation, RunSpec, ScoringBatch};
use crate::lock_file::LockFile;
use crate::record::{
    AnswerRecord, ChangeRecord, DecisionRecord, EpochRecord, Event, LogWriter, MoveRecord, Outcome,
    begin_timing, end_timing,
};
use crate::workload::{Draw, EpochSums, Moment, Place, StateArray, Workload};

/// Where checkpoints go.
#[derive(Clone, Copy)]
pub(super) struct Saving<'a> {
    pub(super) disk: &'a Disk,
    pub(super) generations: &'a Generations,
    pub(super) dir: &'a Path,
    pub(super) lock: &'a LockFile,
}

/// A training with its log and checkpoints.
pub(super) struct Trainer<'a, 'o> {
    pub(super) saving: Saving<'a>,
    pub(super) spec: &'a RunSpec,
    pub(super) options: &'a mut RunOptions<'o>,
    pub(super) workload: Box<dyn Workload>,
    pub(super) log: LogWriter,
    pub(super) progress: Progress,
    pub(super) best: Rc<Vec<StateArray>>,
    pub(super) slots: Slots,
    needs: Needs,
    plan: Plan,
    /// Compute that the run may take, if it is limited.
    limit: Option<u64>,
    /// Steps of the epoch at hand.
    steps: u64,
    rates: Option<Rates>,
    /// Wall-clock seconds of the epoch at hand, before `since`.
    seconds: f64,
    since: Instant,
    /// The last checkpoint, for those within an epoch.
    saved: Instant,
    /// Training and validation loss of the last epoch.
    last: (f64, f64),
    /// Whether the run has ended for want of budget.
    pub(super) budget_spent: bool,
    /// Images of an epoch's batches.
    images: u64,
    /// Whether a gradient waits for its step: whatever else needs one would overwrite it.
    holds_gradient: bool,
}

/// Why a training does not go on.
pub(super) enum Halt {
    /// Its budget is spent.
    Spent,
    /// It failed, or was told to stop.
    Error(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

type Step<T> = std::result::Result<T, Halt>;

fn undriven(error: DriveError<Halt>) -> Halt {
    match error {
        DriveError::Training(halt) => halt,
        DriveError::Method(error) => Halt::Error(error.into()),
    }
}

impl<'a, 'o> Trainer<'a, 'o> {
    /// At `progress`, to which `workload` has gone back.
    pub(super) fn new(
        saving: Saving<'a>,
        spec: &'a RunSpec,
        options: &'a mut RunOptions<'o>,
        workload: Box<dyn Workload>,
        log: LogWriter,
        checkpoint: Checkpoint,
        needs: Needs,
    ) -> Self {
        let Checkpoint {
            progress,
            best,
            slots,
            ..
        } = checkpoint;
        let steps_per_epoch = workload.steps_per_epoch();
        let batch = spec.training.batch_size as u64;
        let images = match spec.data.drop_last {
            true => steps_per_epoch * batch,
            false => workload.data().train as u64,
        };
        let all = steps_per_epoch.saturating_mul(spec.training.epochs);
        let budget = spec.training.budget;
        let within = progress.within.unwrap_or_default();
        Self {
            saving,
            spec,
            options,
            workload,
            log,
            best,
            slots,
            needs,
            plan: Plan {
                steps: budget.map_or(all, |budget| budget.steps(steps_per_epoch).min(all)),
                steps_per_epoch,
            },
            limit: budget.map(|budget| budget.compute(images, batch)),
            steps: within.sums.steps,
            rates: within.rates,
            seconds: within.seconds,
            progress,
            since: Instant::now(),
            saved: Instant::now(),
            last: (f64::NAN, f64::NAN),
            budget_spent: false,
            images,
            holds_gradient: false,
        }
    }

    /// Trains to the end, from the beginning or (`begun`) from where a checkpoint left it.
    pub(super) fn train(&mut self, method: &mut dyn Method, begun: bool) -> Result<Outcome> {
        let within = self.progress.within.unwrap_or_default();
        self.go_to(within.sums)?;
        self.options.observer.begin(RunSize {
            epochs_done: self.progress.next_epoch,
            steps_done: self.steps,
            epochs: self.plan.steps.div_ceil(self.plan.steps_per_epoch.max(1)),
            steps_per_epoch: self.plan.steps_per_epoch,
        });
        let outcome = self.train_on(method, begun);
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::Spent) => {
                self.budget_spent = true;
                if self.steps > 0 {
                    let epoch = self.progress.next_epoch;
                    self.end_epoch()?;
                    self.time_epoch(epoch)?;
                    end_timing(self.saving.dir)?;
                }
                Ok(self.diverged().unwrap_or(Outcome::Completed))
            }
        }
    }

    fn train_on(&mut self, method: &mut dyn Method, begun: bool) -> Step<Outcome> {
        if begun {
            if self.steps > 0 && self.rates.is_none() {
                // A checkpoint from before rates were kept: they did not change within an epoch.
                self.rates = Some(Rates::with(None, method.lr()));
            }
            resume(method, self).map_err(undriven)?;
            if let Some(diverged) = self.diverged() {
                return Ok(diverged);
            }
        } else {
            self.tell(method, &Told::Start(self.plan))?;
        }
        while self.progress.next_epoch < self.spec.training.epochs {
            if self.options.interrupted.load(Ordering::Relaxed) {
                // The checkpoint of the epoch before stands.
                return Err(Interrupted.into());
            }
            if let Some(outcome) = self.epoch(method)? {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Completed)
    }

    fn tell(&mut self, method: &mut dyn Method, event: &Told<'_>) -> Step<()> {
        drive(method, event, self).map_err(undriven)
    }

    /// The steps of one epoch, or those that are left of it, its validation and what the method makes of it; an outcome
    /// if the run diverged in it.
    fn epoch(&mut self, method: &mut dyn Method) -> Step<Option<Outcome>> {
        while self.steps < self.plan.steps_per_epoch {
            if !self.budget().allows(self.step_cost()) {
                return Err(Halt::Spent);
            }
            let before = match self.needs.line {
                true => Some(self.workload.sums()?),
                false => None,
            };
            if !self.workload.gradient()? {
                break;
            }
            let stepped = self.step(method);
            if let (Err(Halt::Spent), true, Some(before)) = (&stepped, self.holds_gradient, before)
            {
                // The batch whose step is not taken does not count.
                self.workload.begin(self.place(), before)?;
                self.holds_gradient = false;
            }
            stepped?;
            self.options.observer.step();
            let interrupted = self.options.interrupted.load(Ordering::Relaxed);
            if interrupted || self.saved.elapsed() >= self.options.checkpoint_every {
                self.checkpoint(method)?;
            }
            if interrupted {
                return Err(Interrupted.into());
            }
        }
        let epoch = self.progress.next_epoch;
        self.end_epoch()?;
        if self.progress.diverged.is_none() || self.needs.divergence {
            self.tell_epoch(method)?;
        }
        let diverged = self.diverged();
        self.time_epoch(epoch)?;
        if diverged.is_none() {
            self.checkpoint(method)?;
        }
        end_timing(self.saving.dir)?;
        Ok(diverged)
    }

    /// One optimiser step along the gradient at hand.
    fn step(&mut self, method: &mut dyn Method) -> Step<()> {
        if self.needs.gradient {
            let event = Told::Gradient {
                loss: self.workload.batch_loss()?,
                squared_norm: self.workload.squared_gradient_norm()?,
            };
            self.holds_gradient = true;
            self.tell(method, &event)?;
            self.holds_gradient = false;
        }
        let loss = match self.needs.loss {
            true => Some(self.workload.batch_loss()?),
            false => None,
        };
        let lr = self.workload.step(method.lr())?;
        self.steps += 1;
        self.rates = Some(Rates::with(self.rates, lr));
        self.tell(method, &Told::Step { loss })
    }

    /// How the run ends, if a loss was not finite and the method has not gone elsewhere since.
    fn diverged(&self) -> Option<Outcome> {
        let reason = self.progress.diverged.clone()?;
        let epoch = self.progress.next_epoch.saturating_sub(1);
        Some(Outcome::Diverged { epoch, reason })
    }

    /// Validates and writes the epoch's record.
    fn end_epoch(&mut self) -> Result<()> {
        let epoch = self.progress.next_epoch;
        let sums = self.workload.sums()?;
        let train_loss = sums.mean_loss();
        self.progress.cost += Cost::of_training(self.samples());
        self.steps = 0;
        let validation = self.workload.validate()?;
        self.progress.cost.forwards += validation.images;
        let lr = self.rates.map_or(f64::NAN, |rates| rates.first);
        let record = EpochRecord {
            epoch,
            lr,
            rates: self.rates.and_then(|rates| rates.range.unless_all(lr)),
            steps: sums.steps,
            train_loss,
            train_accuracy: sums.accuracy(),
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
        };
        self.options.observer.epoch(&record);
        self.append(&Event::Epoch(record))?;
        self.progress.next_epoch += 1;
        self.last = (train_loss, validation.loss);
        self.progress.within = None;
        self.rates = None;
        for (what, loss) in [("training", train_loss), ("validation", validation.loss)] {
            if !loss.is_finite() {
                self.progress.diverged = Some(format!("the {what} loss is {loss}"));
                return Ok(());
            }
        }
        let best = self.progress.best;
        if best.is_none_or(|best| validation.loss < best.validation.loss) {
            self.progress.best = Some(Best { epoch, validation });
            self.best = Rc::new(self.workload.save_evaluated()?);
        }
        if self.progress.next_epoch < self.spec.training.epochs {
            self.go_to(EpochSums::default())?;
        } else {
            self.freeze_if_asked();
        }
        Ok(())
    }

    /// Writes to the log, unless somebody else may be writing there too.
    fn append(&mut self, event: &Event) -> Result<()> {
        self.saving.lock.check()?;
        self.log.append(event)
    }

    fn tell_epoch(&mut self, method: &mut dyn Method) -> Step<()> {
        let (train_loss, validation) = self.last;
        let event = Told::Epoch {
            train_loss,
            validation_loss: Some(validation),
        };
        self.tell(method, &event)
    }

    /// Goes to the batches of the epoch at hand, behind the steps of `sums`.
    fn go_to(&mut self, sums: EpochSums) -> Result<()> {
        self.steps = sums.steps;
        self.freeze_if_asked();
        self.workload.begin(self.place(), sums)
    }

    fn place(&self) -> Place {
        Place {
            epoch: self.progress.next_epoch,
            attempt: self.progress.attempt,
        }
    }

    fn freeze_if_asked(&mut self) {
        let frozen =
            self.spec.training.batch_norm_after_validation == BatchNormAfterValidation::Frozen;
        let frozen = frozen && self.progress.next_epoch > 0;
        self.workload.freeze_batch_norm(frozen);
    }

    /// What the next step costs.
    fn step_cost(&self) -> u64 {
        let batch = self.spec.training.batch_size as u64;
        // The last batch of an epoch may be smaller.
        3 * batch.min(self.images.saturating_sub(self.samples()))
    }

    /// Images of the epoch at hand that were trained on so far.
    fn samples(&self) -> u64 {
        self.samples_of(self.steps)
    }

    /// Images of so many steps of an epoch, from its beginning.
    fn samples_of(&self, steps: u64) -> u64 {
        // The last batch of an epoch may be smaller.
        (steps * self.spec.training.batch_size as u64).min(self.images)
    }

    /// Compute so far, of training and search.
    fn spent(&self) -> u64 {
        let Progress {
            cost, probe_cost, ..
        } = &self.progress;
        let trained = cost.backwards.saturating_sub(probe_cost.backwards) + self.samples();
        Cost::of_training(trained).compute() + probe_cost.compute()
    }

    /// What a probe draws its batches for: the epoch just ended, or the steps so far.
    fn draw(&self) -> Draw {
        let Place { epoch, attempt } = self.place();
        let moment = match (epoch, self.steps) {
            (1.., 0) => Moment::AfterEpoch(epoch - 1),
            _ => Moment::AfterSteps(epoch * self.plan.steps_per_epoch + self.steps),
        };
        Draw { moment, attempt }
    }

    /// The epoch that a decision belongs to, and its steps where it has not ended.
    fn when(&self) -> (u64, Option<u64>) {
        match (self.progress.next_epoch, self.steps) {
            (epoch @ 1.., 0) => (epoch - 1, None),
            (epoch, steps) => (epoch, Some(steps)),
        }
    }

    pub(super) fn checkpoint(&mut self, method: &dyn Method) -> Result<()> {
        self.saving.lock.check()?;
        self.log.sync()?;
        self.progress.log = self.log.mark();
        self.progress.scheduler = Some(method.state());
        self.progress.within = if self.steps == 0 {
            None
        } else {
            Some(PartialEpoch {
                sums: self.workload.sums()?,
                seconds: self.seconds + self.since.elapsed().as_secs_f64(),
                rates: self.rates,
            })
        };
        self.progress.slots = self
            .slots
            .iter()
            .map(|(slot, state)| (*slot, state.mark))
            .collect();
        let checkpoint = Checkpoint {
            progress: self.progress.clone(),
            state: self.workload.save()?,
            best: self.best.clone(),
            slots: self.slots.clone(),
        };
        let Saving {
            disk, generations, ..
        } = self.saving;
        generations.write(disk, &checkpoint)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn time_epoch(&mut self, epoch: u64) -> Result<()> {
        let seconds = self.seconds + self.since.elapsed().as_secs_f64();
        (self.seconds, self.since) = (0.0, Instant::now());
        begin_timing(self.saving.dir, epoch, seconds)
    }

    /// A copy of the training as it is.
    fn copy(&self) -> Result<SlotState> {
        let sums = if self.steps == 0 {
            EpochSums::default()
        } else {
            self.workload.sums()?
        };
        Ok(SlotState {
            mark: SlotMark {
                place: self.place(),
                sums,
                rates: self.rates,
                best: self.progress.best,
                base: sums.samples,
                search: Cost::default(),
            },
            arrays: Rc::new(self.workload.save()?),
            best_arrays: self.best.clone(),
        })
    }

    fn slot(&self, slot: Slot) -> Result<&SlotState> {
        let found = self.slots.get(&slot);
        found.with_context(|| format!("the scheduler asks for slot {}, which is empty", slot.0))
    }

    /// Makes the training what a copy is: in weights, batches and records, but not in what was spent.
    fn become_copy(&mut self, copy: &SlotState, optimizer: Keep) -> Result<()> {
        match optimizer {
            Keep::Saved => self.workload.load(&copy.arrays)?,
            Keep::Present => {
                let mut arrays = copy.arrays.to_vec();
                arrays.retain(|array| !array.name.starts_with("optimizer."));
                self.workload.load(&arrays)?;
            }
        }
        let mark = &copy.mark;
        self.progress.next_epoch = mark.place.epoch;
        self.progress.best = mark.best;
        self.best = copy.best_arrays.clone();
        self.rates = mark.rates;
        self.go_to(mark.sums)
    }

    /// The training is another from here on: what was trained and is left behind stays spent.
    fn move_to(&mut self, slot: Slot, optimizer: Keep, attempt: u64) -> Result<()> {
        let copy = self.slot(slot)?.clone();
        self.progress.cost += Cost::of_training(self.samples());
        self.progress.attempt = attempt;
        self.progress.diverged = None;
        self.become_copy(&copy, optimizer)?;
        self.progress.cost -= Cost::of_training(copy.mark.base);
        self.progress.cost -= copy.mark.search;
        self.progress.probe_cost -= copy.mark.search;
        // The log has one line of epochs: a copy from further on would be on another.
        let epoch = self.progress.next_epoch;
        self.slots
            .retain(|_, other| other.mark.place.epoch <= epoch);
        if let Some(kept) = self.slots.get_mut(&slot) {
            // Its steps are the training's own now.
            (kept.mark.base, kept.mark.search) = (kept.mark.sums.samples, Cost::default());
        }
        let Place { epoch, attempt } = self.place();
        self.append(&Event::Moved(MoveRecord {
            epoch,
            step: self.steps,
            attempt,
        }))
    }

    fn spend(&mut self, cost: Cost) {
        self.progress.cost += cost;
        self.progress.probe_cost += cost;
    }

    fn stop_if_told(&self) -> Step<()> {
        if self.options.interrupted.load(Ordering::Relaxed) {
            // The checkpoint from before the request stands.
            return Err(Interrupted.into());
        }
        Ok(())
    }

    /// Trials of one step, in place.
    fn probe(&mut self, probe: &Probe) -> Step<Answer> {
        let lrs: Array1<f64> = probe.lrs.column(0).to_owned();
        // At most.
        let cost = Cost::of_probe(&self.spec.probe, lrs.len(), self.spec.training.batch_size);
        if !self.budget().allows(cost.compute()) {
            return Err(Halt::Spent);
        }
        let mut losses = Array1::from_elem(lrs.len(), f64::NAN);
        let mut cost = Cost::default();
        let draw = self.draw();
        self.workload
            .probe(draw, lrs.view(), losses.view_mut(), &mut cost)?;
        self.spend(cost);
        let evaluated = lrs.len() - self.spec.probe.read_off(&lrs, &losses).len();
        Ok(Answer::Losses {
            losses: losses.to_vec(),
            cost: Some(passes(&self.spec.probe, evaluated as u64)),
        })
    }

    /// Trials of several steps, each from the same weights and over the same batches.
    fn long_probe(&mut self, probe: &Probe, method: &dyn Method) -> Step<Answer> {
        let (n, steps) = (probe.lrs.nrows() as u64, probe.course.steps);
        let draw = self.draw();
        let scored = self.spec.probe.batch_size as u64;
        let mut cost = Cost::of_training(n * steps * self.spec.training.batch_size as u64);
        cost.forwards += n * scored;
        if !self.budget().allows(cost.compute()) {
            return Err(Halt::Spent);
        }
        self.checkpoint(method)?;
        let origin = self.copy()?;
        let mut losses = Vec::new();
        for (index, &lr) in probe.lrs.column(0).iter().enumerate() {
            for k in 0..steps {
                self.stop_if_told()?;
                self.workload.trial_gradient(draw, k)?;
                self.workload.step(lr * probe.course.factor(k))?;
                self.options.observer.trial_step();
            }
            let batch = match self.spec.probe.batches {
                ScoringBatch::Shared => 0,
                ScoringBatch::PerCandidate => index as u64,
            };
            losses.push(self.workload.score(draw, batch)?);
            self.workload.load(&origin.arrays)?;
        }
        // The epoch's place among its batches is as it was; its gradient is used up.
        self.workload.begin(self.place(), origin.mark.sums)?;
        self.spend(cost);
        Ok(Answer::Losses {
            losses,
            cost: Some(ProbeCost::new(n * (steps + 1), n * steps)),
        })
    }

    /// Losses and slopes along the direction of the step whose gradient waits.
    fn line(&mut self, line: &Line) -> Step<Answer> {
        let batch = self.step_cost() / 3;
        let (losses, slopes) = (line.lrs.len() as u64, line.slopes.len() as u64);
        let mut cost = Cost::of_training(slopes.saturating_mul(batch));
        cost.forwards = cost.forwards.saturating_add(losses.saturating_mul(batch));
        // The step is still to come.
        if !self
            .budget()
            .allows(cost.compute().saturating_add(self.step_cost()))
        {
            return Err(Halt::Spent);
        }
        let reading = self.workload.line(line)?;
        self.spend(cost);
        Ok(Answer::Line(reading))
    }

    /// A training apart from the training.
    fn branch(&mut self, branch: &Branch, method: &dyn Method) -> Step<Answer> {
        let from = self.slot(branch.from)?.clone();
        let steps = branch.course.steps;
        let steps = steps.min(self.plan.steps_per_epoch - from.mark.sums.steps);
        let batch = self.spec.training.batch_size as u64;
        let scored = branch
            .scores
            .saturating_mul(self.spec.probe.batch_size as u64);
        if !self
            .budget()
            .allows((3 * steps * batch).saturating_add(scored))
        {
            return Err(Halt::Spent);
        }
        self.checkpoint(method)?;
        let spent = (self.progress.cost, self.progress.probe_cost);
        let origin = self.copy()?;
        self.become_copy(&from, Keep::Saved)?;
        let mut taken = 0;
        while taken < steps {
            self.stop_if_told()?;
            if !self.workload.gradient()? {
                break;
            }
            let lr = branch.lrs[0] * branch.course.factor(taken);
            self.workload.step(lr)?;
            self.options.observer.trial_step();
            self.rates = Some(Rates::with(self.rates, lr));
            taken += 1;
        }
        self.steps += taken;
        let sums = self.workload.sums()?;
        let samples = sums.samples - from.mark.sums.samples;
        let train_loss = (sums.loss - from.mark.sums.loss) / samples as f64;
        let mut scores = Vec::new();
        for index in 0..branch.scores {
            self.stop_if_told()?;
            scores.push(self.workload.score(self.draw(), index)?);
        }
        let images = self.samples() - self.samples_of(from.mark.sums.steps);
        let mut search = from.mark.search;
        search += Cost::of_training(images);
        let end = SlotState {
            mark: SlotMark {
                sums,
                rates: self.rates,
                search,
                ..from.mark
            },
            arrays: Rc::new(self.workload.save()?),
            best_arrays: from.best_arrays,
        };
        self.slots.insert(branch.into, end);
        self.become_copy(&origin, Keep::Saved)?;
        (self.progress.cost, self.progress.probe_cost) = spent;
        let mut cost = Cost::of_training(images);
        cost.forwards += scored;
        self.spend(cost);
        Ok(Answer::Branched {
            steps: taken,
            train_loss,
            scores,
        })
    }

    /// Writes an answer that no decision holds.
    fn note_answer(&mut self, request: &Request, answer: &Answer) -> Result<()> {
        let mut record = AnswerRecord {
            request: request.clone(),
            losses: None,
            read_off: Vec::new(),
            cost: None,
            steps: None,
            train_loss: None,
            scores: Vec::new(),
        };
        match answer {
            Answer::Losses { .. } if self.needs.records_losses => return Ok(()),
            Answer::Losses { losses, cost } => {
                if let Request::Probe(probe) = request {
                    record.read_off = AnswerRecord::read_off(&self.spec.probe, probe, losses);
                }
                (record.losses, record.cost) = (Some(losses.clone()), *cost);
            }
            Answer::Branched {
                steps,
                train_loss,
                scores,
            } => {
                (record.steps, record.train_loss) = (Some(*steps), Some(*train_loss));
                record.scores.clone_from(scores);
            }
            _ => return Ok(()),
        }
        self.append(&Event::Answer(record))
    }
}

impl Training for Trainer<'_, '_> {
    type Error = Halt;

    fn budget(&self) -> Budget {
        Budget {
            spent: self.spent(),
            limit: self.limit,
        }
    }

    fn carry_out(&mut self, request: &Request, method: &dyn Method) -> Step<Answer> {
        if let Request::Line(line) = request {
            if !self.holds_gradient {
                let text = "the scheduler asks for `line` where no gradient waits for its step";
                return Err(anyhow!(text).into());
            }
            // A log grows with epochs and decisions, not with steps: it does not hold the answer.
            return self.line(line);
        }
        if self.holds_gradient {
            let name = request.name();
            return Err(anyhow!(
                "the scheduler asks for `{name}` between a gradient and its step; ask for it after the step"
            )
            .into());
        }
        let answer = match request {
            Request::Probe(Probe { lrs, .. }) if lrs.ncols() != 1 => {
                let groups = lrs.ncols();
                return Err(anyhow!("the scheduler has {groups} groups, a run has one").into());
            }
            Request::Branch(Branch { lrs, .. }) if lrs.len() != 1 => {
                let groups = lrs.len();
                return Err(anyhow!("the scheduler has {groups} groups, a run has one").into());
            }
            Request::Probe(Probe { course, .. }) | Request::Branch(Branch { course, .. })
                if course.steps == 0 =>
            {
                let name = request.name();
                return Err(anyhow!("the scheduler asks for a {name} of 0 steps").into());
            }
            Request::Probe(probe) if probe.course.is_one_step() => self.probe(probe)?,
            Request::Probe(probe) => self.long_probe(probe, method)?,
            Request::Branch(branch) => self.branch(branch, method)?,
            Request::Save { slot } => {
                let copy = self.copy()?;
                self.slots.insert(*slot, copy);
                Answer::Done
            }
            Request::Drop { slot } => {
                self.slot(*slot)?;
                self.slots.remove(slot);
                Answer::Done
            }
            Request::Restore { slot, optimizer } => {
                self.move_to(*slot, *optimizer, self.progress.attempt + 1)?;
                Answer::Done
            }
            Request::Adopt { slot } => {
                let attempt = self.progress.attempt;
                self.move_to(*slot, Keep::Saved, attempt)?;
                self.slots.remove(slot);
                Answer::Done
            }
            other => return Err(anyhow!("the scheduler asks for `{}`", other.name()).into()),
        };
        self.note_answer(request, &answer)?;
        Ok(answer)
    }

    fn record(&mut self, record: Record) -> Step<()> {
        let (epoch, step) = self.when();
        let event = match record {
            Record::Decision(decision) => Event::Decision(DecisionRecord {
                epoch,
                step,
                read_off: DecisionRecord::read_off(&self.spec.probe, &decision),
                decision: *decision,
            }),
            Record::Change(change) => Event::Change(ChangeRecord {
                epoch,
                step,
                change,
            }),
            _ => return Ok(()),
        };
        Ok(self.append(&event)?)
    }
}
