//! Goes through a recorded run again, without the network that made it: the recorded losses are told to a scheduler of
//! the recorded specification, and every rate and decision has to come out again, bit for bit.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use autolr_core::{
    Answer, AutoLr, AutoLrConfig, Budget, DriveError, Event, Method, MethodState, Plan,
    ProbeBackend, RecordedProbe, Request, Slot, Training, drive,
};
use ndarray::Array1;
use serde::Serialize;

use super::{AnswerRecord, DecisionRecord, Entry, EpochRecord, RateRange, RunLog};
use crate::exit::BadInput;
use crate::experiment::cost::passes;
use crate::experiment::{Cost, SpecError};
use crate::experiment::{RunSpec, SPEC_BYTES, sizes};
use crate::regular_file::{self, Links};

/// A recorded run: its specification and its log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// `spec.toml`.
    pub spec: RunSpec,
    /// `events.jsonl`.
    pub log: RunLog,
}

/// What was gone through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Rates of epochs that came out again.
    pub rates: usize,
    /// Decisions that did.
    pub decisions: usize,
    /// Epochs whose rates depend on the loss or gradient of each step, which a log does not hold.
    pub unchecked: usize,
}

/// Where a replay came out otherwise than the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch}: {what}")]
pub struct Difference {
    /// Number of the epoch, from 0.
    pub epoch: u64,
    /// What differs, with both values.
    pub what: String,
}

impl Record {
    /// The logs under a path: itself if it is a file, else every `events.jsonl` in the folder and the folders in it, by
    /// name.
    ///
    /// # Errors
    /// [`BadInput`] if there is none, or a folder cannot be read.
    pub fn find(path: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        collect(&regular_file::named(path), &mut found)
            .map_err(|error| BadInput(format!("{}: {error}", path.display())))?;
        if found.is_empty() {
            let text = format!("{}: no events.jsonl in it", path.display());
            return Err(BadInput(text).into());
        }
        found.sort();
        Ok(found)
    }

    /// Reads a log, and the `spec.toml` beside it.
    ///
    /// # Errors
    /// [`BadInput`] that names the file, if one of the two is missing or cannot be read, or the log is not of that
    /// specification.
    pub fn read(log_path: &Path) -> Result<Self> {
        let log = RunLog::read(log_path)
            .map_err(|error| BadInput(format!("{error:#}")))?
            .ok_or_else(|| BadInput(format!("{}: holds no event", log_path.display())))?;
        if log.epochs.is_empty() {
            let text = format!("{}: holds no epoch", log_path.display());
            return Err(BadInput(text).into());
        }
        let spec_path = log_path.with_file_name("spec.toml");
        let in_spec =
            |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", spec_path.display()));
        let text = regular_file::read_text(&spec_path, Links::Refuse, SPEC_BYTES)
            .map_err(|error| in_spec(&error))?;
        let table = text
            .parse()
            .map_err(|error: toml::de::Error| in_spec(&error.message()))?;
        let spec = RunSpec::from_table(table).map_err(|error| in_spec(&error))?;
        let digest = spec
            .digest()
            .with_context(|| spec_path.display().to_string())?;
        if digest != log.provenance.spec {
            return Err(in_spec(&format!(
                "its digest is {digest}, but the log beside it is of the specification {}",
                log.provenance.spec
            ))
            .into());
        }
        Ok(Self { spec, log })
    }

    /// Goes through the record again: the method of the specification is told what the log says happened, and has to answer
    /// with the same requests, decisions and rates.
    ///
    /// # Errors
    /// The first [`Difference`].
    pub fn replay(&self) -> Result<Replayed, Difference> {
        self.replay_with(self.method())
    }

    /// The method of the specification, by the rule of the program that made the log: what a bound cut was decided otherwise
    /// in revisions that recorded no factors.
    fn method(&self) -> Box<dyn Method> {
        let method = self.spec.scheduler.method();
        let Some(config) = method.downcast::<AutoLrConfig>() else {
            return method.build();
        };
        let n = config.rule().factors().len();
        let is_shared = |record: &DecisionRecord| {
            let decision = &record.decision;
            let mut earlier = decision.earlier.iter();
            !decision.factors.is_empty() || earlier.any(|probe| probe.candidates.len() < n)
        };
        if self.log.decisions.iter().any(is_shared) {
            method.build()
        } else {
            Box::new(AutoLr::new(config.clone()).with_cut_candidates_as_tried())
        }
    }

    /// The same with a method of one's own in place of the specification's.
    ///
    /// # Errors
    /// The first [`Difference`].
    pub fn replay_with(&self, mut method: Box<dyn Method>) -> Result<Replayed, Difference> {
        let needs = method.needs();
        if needs.loss || needs.gradient || needs.line {
            // The log does not hold what such a method was told at each step, nor what it asked for there.
            self.check_summary(None, needs.line)?;
            return Ok(Replayed {
                unchecked: self.log.epochs.len(),
                ..Replayed::default()
            });
        }
        let mut played = Played::new(self)?;
        played.tell(method.as_mut(), &Event::Start(played.plan))?;
        while let Some(record) = played.next_epoch() {
            if record.steps > played.plan.steps_per_epoch {
                let what = format!(
                    "{} steps are recorded, an epoch has {}",
                    record.steps, played.plan.steps_per_epoch
                );
                return played.differs(what);
            }
            while played.steps < record.steps {
                let lr = method.lr();
                played.take_step(lr);
                let outcome = played.tell(method.as_mut(), &Event::Step { loss: None });
                if played.spent {
                    break;
                }
                outcome?;
                if played.epoch != record.epoch {
                    let what = format!("the training is at epoch {}", played.epoch);
                    return played.differs(what);
                }
            }
            played.end_epoch(&record)?;
            let whole = record.steps == played.plan.steps_per_epoch;
            if !record.is_finite() && !needs.divergence || !whole && record.is_finite() {
                // Training ended here, before any decision.
                break;
            }
            if played.stopped_before_decision() {
                break;
            }
            let event = Event::Epoch {
                train_loss: record.train_loss,
                validation_loss: Some(record.validation_loss),
            };
            let outcome = played.tell(method.as_mut(), &event);
            if played.spent {
                // What the method asks for is more than the budget has left: the run ended here.
                break;
            }
            outcome?;
        }
        let search = played.search;
        let replayed = played.end()?;
        self.check_summary(Some(search), false)?;
        Ok(replayed)
    }

    /// The states that the method of the specification may have after the epochs and decisions of a log that is not
    /// finished, and what its probes have cost (compute): one by each rule that may have made the log. None of a method or
    /// a log of which that cannot be told: where the losses of steps are asked for, where the training was elsewhere, or
    /// where another program would have decided otherwise.
    pub(crate) fn states_so_far(&self) -> Vec<(MethodState, u64)> {
        let methods = [self.spec.scheduler.method().build(), self.method()];
        let states = methods.into_iter().map(|method| self.state_so_far(method));
        states.filter_map(Result::ok).flatten().collect()
    }

    fn state_so_far(
        &self,
        mut method: Box<dyn Method>,
    ) -> Result<Option<(MethodState, u64)>, Difference> {
        let needs = method.needs();
        let elsewhere = |entry: &Entry| matches!(entry, Entry::Answer(_) | Entry::Moved(_));
        if needs.loss || needs.gradient || needs.line || self.log.entries.iter().any(elsewhere) {
            return Ok(None);
        }
        let mut played = Played::new(self)?;
        played.tell(method.as_mut(), &Event::Start(played.plan))?;
        while let Some(record) = played.next_epoch() {
            if record.steps > played.plan.steps_per_epoch || !record.is_finite() {
                return Ok(None);
            }
            while played.steps < record.steps {
                played.take_step(method.lr());
                played.tell(method.as_mut(), &Event::Step { loss: None })?;
            }
            played.end_epoch(&record)?;
            let event = Event::Epoch {
                train_loss: record.train_loss,
                validation_loss: Some(record.validation_loss),
            };
            played.tell(method.as_mut(), &event)?;
        }
        let whole = played.entries.is_empty();
        Ok(whole.then(|| (method.state(), played.search)))
    }

    /// Whether the summary is that of the epochs and decisions; `unrecorded`: what was spent beside the training is not in
    /// the log.
    fn check_summary(&self, search: Option<u64>, unrecorded: bool) -> Result<(), Difference> {
        let Some(summary) = &self.log.summary else {
            return Ok(());
        };
        let best = self.log.best_epoch().map(|record| record.epoch);
        let of_epochs = (self.log.epochs.len() as u64, best);
        let of_summary = (summary.epochs, summary.best_epoch);
        if of_epochs != of_summary {
            return Err(Difference {
                epoch: summary.epochs.saturating_sub(1),
                what: format!(
                    "epochs and best epoch are {of_epochs:?}, in the summary {of_summary:?}"
                ),
            });
        }
        let mut probes = Cost::default();
        for DecisionRecord { decision, .. } in &self.log.decisions {
            let earlier = decision.earlier.iter();
            let probed = earlier
                .map(|probe| (&probe.candidates, &probe.losses))
                .chain([(&decision.candidates, &decision.losses)]);
            for (lrs, losses) in probed {
                let evaluated = lrs.len() - self.spec.probe.read_off(lrs, losses).len();
                let own = self.spec.training.batch_size;
                probes += Cost::of_probe(&self.spec.probe, evaluated, own);
            }
        }
        if let Some(search) = search {
            let of_summary = summary.compute().1;
            if search != of_summary {
                return Err(Difference {
                    epoch: summary.epochs.saturating_sub(1),
                    what: format!(
                        "compute of probes and search is {search}, in the summary {of_summary}"
                    ),
                });
            }
        }
        let mut entries = self.log.entries.iter();
        if unrecorded || entries.any(|entry| matches!(entry, Entry::Answer(_))) {
            // Counted above where it is recorded; decisions are not all there is.
            return Ok(());
        }
        let of_decisions = (probes.forwards, probes.backwards);
        let of_summary = (summary.probe_forwards, summary.probe_backwards);
        if of_decisions != of_summary {
            return Err(Difference {
                epoch: summary.epochs.saturating_sub(1),
                what: format!(
                    "images forward and backward by probes are {of_decisions:?}, in the summary {of_summary:?}"
                ),
            });
        }
        Ok(())
    }
}

/// A run that is gone through again: a training that answers with what the log says.
struct Played<'a> {
    record: &'a Record,
    /// What is left of the log.
    entries: VecDeque<&'a Entry>,
    losses: RecordedProbe,
    plan: Plan,
    limit: Option<u64>,
    /// Images of an epoch's batches.
    images: u64,
    /// The epoch at hand, from 0, or the one just ended where `ended`.
    epoch: u64,
    ended: bool,
    steps: u64,
    rates: Option<(f64, RateRange)>,
    /// Images trained on, and what probes and search have cost.
    trained: u64,
    search: u64,
    slots: BTreeMap<Slot, Place>,
    replayed: Replayed,
    /// Whether something was asked for that the budget does not allow.
    spent: bool,
}

/// Where a copy of the training is.
#[derive(Clone, Copy)]
struct Place {
    epoch: u64,
    steps: u64,
    rates: Option<(f64, RateRange)>,
    /// What the branches behind it cost.
    search: u64,
}

impl<'a> Played<'a> {
    fn new(record: &'a Record) -> Result<Self, Difference> {
        let spec = &record.spec;
        let sized = |error: SpecError| Difference {
            epoch: 0,
            what: error.to_string(),
        };
        let steps_per_epoch = sizes::steps_per_epoch(spec).map_err(sized)?;
        let batch = spec.training.batch_size as u64;
        let images = match spec.data.drop_last {
            true => steps_per_epoch * batch,
            false => sizes::sizes(spec).map_err(sized)?.train as u64,
        };
        let budget = spec.training.budget;
        Ok(Self {
            record,
            entries: record.log.entries.iter().collect(),
            losses: RecordedProbe::new(record.log.decisions.iter().map(|record| &record.decision)),
            plan: Plan {
                steps: sizes::run_steps(spec).map_err(sized)?,
                steps_per_epoch,
            },
            limit: budget.map(|budget| budget.compute(images, batch)),
            images,
            epoch: 0,
            ended: false,
            steps: 0,
            rates: None,
            trained: 0,
            search: 0,
            slots: BTreeMap::new(),
            replayed: Replayed::default(),
            spent: false,
        })
    }

    fn differs<T>(&self, what: impl Into<String>) -> Result<T, Difference> {
        let epoch = self.epoch - u64::from(self.ended);
        let what = what.into();
        Err(Difference { epoch, what })
    }

    fn tell(&mut self, method: &mut dyn Method, event: &Event<'_>) -> Result<(), Difference> {
        match drive(method, event, self) {
            Ok(()) => Ok(()),
            Err(DriveError::Training(difference)) => Err(difference),
            Err(DriveError::Method(error)) => self.differs(error.to_string()),
        }
    }

    /// The next epoch of the log.
    fn next_epoch(&mut self) -> Option<EpochRecord> {
        self.ended = false;
        self.entries.iter().find_map(|entry| match entry {
            Entry::Epoch(record) => Some(record.clone()),
            _ => None,
        })
    }

    fn take_step(&mut self, lr: f64) {
        self.steps += 1;
        let (_, range) = self.rates.get_or_insert((lr, RateRange::of(lr)));
        range.add(lr);
    }

    fn end_epoch(&mut self, record: &EpochRecord) -> Result<(), Difference> {
        match self.entries.pop_front() {
            Some(Entry::Epoch(_)) => {}
            Some(Entry::Decision(_)) => {
                return self.differs("a decision is recorded, and none is due");
            }
            _ => return self.differs("the log has something here that does not come out again"),
        }
        let (lr, range) = self
            .rates
            .take()
            .unwrap_or((f64::NAN, RateRange::of(f64::NAN)));
        if !self.record.spec.optimizer.is_proportional() {
            // The optimiser finds its own, from each gradient.
            self.replayed.unchecked += 1;
            self.next_epoch_begins();
            return Ok(());
        }
        if lr.to_bits() != record.lr.to_bits() && !(lr.is_nan() && record.lr.is_nan()) {
            let what = format!("the rate is {lr:e}, recorded is {:e}", record.lr);
            return self.differs(what);
        }
        if range.unless_all(lr) != record.rates {
            let (is, was) = (range.unless_all(lr), record.rates);
            return self.differs(format!("the rates are {is:?}, recorded are {was:?}"));
        }
        self.replayed.rates += 1;
        self.next_epoch_begins();
        Ok(())
    }

    fn next_epoch_begins(&mut self) {
        self.trained += self.samples();
        (self.epoch, self.steps, self.ended) = (self.epoch + 1, 0, true);
    }

    /// Whether the log ends with this epoch though a decision may have been due: it was stopped in between.
    fn stopped_before_decision(&self) -> bool {
        self.entries.is_empty() && self.record.log.summary.is_none()
    }

    fn samples(&self) -> u64 {
        self.samples_of(self.steps)
    }

    /// Images of so many steps; the last batch of an epoch may be smaller.
    fn samples_of(&self, steps: u64) -> u64 {
        (steps * self.record.spec.training.batch_size as u64).min(self.images)
    }

    /// What a request costs at most.
    fn cost_of(&self, request: &Request) -> u64 {
        let spec = &self.record.spec;
        let (batch, scored) = (
            spec.training.batch_size as u64,
            spec.probe.batch_size as u64,
        );
        match request {
            Request::Probe(probe) if !probe.course.is_one_step() => {
                probe.lrs.nrows() as u64 * (3 * probe.course.steps * batch + scored)
            }
            Request::Probe(probe) => {
                Cost::of_probe(&spec.probe, probe.lrs.nrows(), batch as usize).compute()
            }
            Request::Branch(branch) => {
                let begun = self.slots.get(&branch.from).map_or(0, |place| place.steps);
                let left = self.plan.steps_per_epoch - begun;
                3 * branch.course.steps.min(left) * batch + branch.scores.saturating_mul(scored)
            }
            _ => 0,
        }
    }

    fn end(self) -> Result<Replayed, Difference> {
        let in_an_epoch = !self
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Epoch(_)));
        match self.entries.front() {
            None => Ok(self.replayed),
            // Stopped within an epoch, whose rates are not recorded yet.
            Some(_) if self.record.log.summary.is_none() && in_an_epoch => Ok(self.replayed),
            Some(Entry::Decision(left)) => {
                let what = format!("decision {} has no place", left.decision.index);
                let epoch = left.epoch;
                Err(Difference { epoch, what })
            }
            Some(_) => self.differs("the log goes on where the run ends"),
        }
    }

    /// Whether the losses that were read off are those that the evaluated ones give, to the bit.
    fn check_curve(&self, lrs: &[f64], losses: &[f64]) -> Result<(), Difference> {
        let mut again = losses.to_vec();
        // Of as many losses as rates, as both callers know.
        self.record.spec.probe.evaluate.read_off(lrs, &mut again);
        let differs = |(a, b): (&f64, &f64)| a.to_bits() != b.to_bits();
        match again.iter().zip(losses).position(differs) {
            Some(i) => self.differs(format!(
                "loss {i} is read off as {}, recorded is {}",
                again[i], losses[i]
            )),
            None => Ok(()),
        }
    }

    /// Whether what is said to have been read off is what was.
    fn check_read_off<T: PartialEq + std::fmt::Debug>(
        &self,
        is: &[T],
        was: &[T],
    ) -> Result<(), Difference> {
        if is != was {
            return self.differs(format!("read_off is {is:?}, recorded is {was:?}"));
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<&'a AnswerRecord, Difference> {
        match self.entries.pop_front() {
            Some(Entry::Answer(answer)) => Ok(answer),
            _ => self.differs("the scheduler asks for something, and no answer is recorded"),
        }
    }

    fn answered(&mut self, request: &Request) -> Result<Answer, Difference> {
        let answer = self.answer()?;
        if answer.request != *request {
            let (is, was) = (request.name(), answer.request.name());
            return self.differs(format!(
                "the scheduler asks for another {is} than the {was} that is recorded"
            ));
        }
        let spec = &self.record.spec;
        let (batch, scored) = (
            spec.training.batch_size as u64,
            spec.probe.batch_size as u64,
        );
        match (request, &answer.losses, answer.steps, answer.train_loss) {
            (Request::Probe(probe), Some(losses), _, _) => {
                if losses.len() != probe.lrs.nrows() {
                    return self.differs("there is not one loss for each rate");
                }
                let n = losses.len() as u64;
                let read_off = AnswerRecord::read_off(&spec.probe, probe, losses);
                self.check_read_off(&read_off, &answer.read_off)?;
                self.search += if !probe.course.is_one_step() {
                    n * (3 * probe.course.steps * batch + scored)
                } else {
                    let evaluated = losses.len() - read_off.len();
                    let lrs = probe.lrs.column(0).to_vec();
                    self.check_curve(&lrs, losses)?;
                    Cost::of_probe(&spec.probe, evaluated, batch as usize).compute()
                };
                Ok(Answer::Losses {
                    losses: losses.clone(),
                    cost: answer.cost,
                })
            }
            (Request::Branch(branch), _, Some(steps), Some(train_loss)) => {
                let Some(mut place) = self.slots.get(&branch.from).copied() else {
                    return self.differs(format!("slot {} is empty", branch.from.0));
                };
                for k in 0..steps {
                    let lr = branch.lrs[0] * branch.course.factor(k);
                    let (_, range) = place.rates.get_or_insert((lr, RateRange::of(lr)));
                    range.add(lr);
                }
                let samples = self.samples_of(place.steps + steps) - self.samples_of(place.steps);
                let cost = 3 * samples;
                if answer.scores.len() as u64 != branch.scores {
                    return self.differs("there is not one score for each batch");
                }
                self.search += cost + branch.scores * scored;
                place.steps += steps;
                place.search += cost;
                self.slots.insert(branch.into, place);
                Ok(Answer::Branched {
                    steps,
                    train_loss,
                    scores: answer.scores.clone(),
                })
            }
            _ => self.differs("an answer is recorded without what it should hold"),
        }
    }

    fn move_to(&mut self, slot: Slot, adopted: bool) -> Result<Answer, Difference> {
        let Some(place) = self.slots.get(&slot).copied() else {
            return self.differs(format!("slot {} is empty", slot.0));
        };
        let Place {
            epoch,
            steps,
            rates,
            search,
        } = place;
        let Some(Entry::Moved(moved)) = self.entries.pop_front() else {
            return self.differs("the training moves, and no move is recorded");
        };
        if (moved.epoch, moved.step) != (epoch, steps) {
            return self.differs(format!(
                "the training moves to step {steps} of epoch {epoch}, recorded are {} and {}",
                moved.step, moved.epoch
            ));
        }
        let base = self.samples_of(steps).saturating_sub(search / 3);
        self.trained = (self.trained + self.samples()).saturating_sub(base);
        self.search = self.search.saturating_sub(search);
        (self.epoch, self.steps, self.rates, self.ended) = (epoch, steps, rates, false);
        self.slots.retain(|_, other| other.epoch <= epoch);
        if adopted {
            self.slots.remove(&slot);
        } else if let Some(kept) = self.slots.get_mut(&slot) {
            kept.search = 0;
        }
        Ok(Answer::Done)
    }
}

impl Training for Played<'_> {
    type Error = Difference;

    fn budget(&self) -> Budget {
        Budget {
            spent: 3 * (self.trained + self.samples()) + self.search,
            limit: self.limit,
        }
    }

    fn carry_out(&mut self, request: &Request, method: &dyn Method) -> Result<Answer, Difference> {
        if !self.budget().allows(self.cost_of(request)) {
            self.spent = true;
            return self.differs("the budget is spent");
        }
        match request {
            Request::Probe(probe) if method.needs().records_losses => {
                let spec = &self.record.spec;
                let n = probe.lrs.nrows();
                if !self
                    .entries
                    .iter()
                    .any(|entry| matches!(entry, Entry::Decision(_)))
                {
                    return self.differs("a decision is due, and none is recorded");
                }
                let mut losses = Array1::from_elem(n, f64::NAN);
                if let Err(error) = self.losses.probe(probe.lrs.column(0), losses.view_mut()) {
                    return self.differs(error.to_string());
                }
                let lrs = probe.lrs.column(0);
                self.check_curve(&lrs.to_vec(), &losses.to_vec())?;
                let evaluated = n - spec.probe.read_off(lrs, &losses).len();
                let cost = Cost::of_probe(&spec.probe, evaluated, spec.training.batch_size);
                self.search += cost.compute();
                Ok(Answer::Losses {
                    losses: losses.to_vec(),
                    cost: Some(passes(&spec.probe, evaluated as u64)),
                })
            }
            Request::Save { slot } => {
                let place = Place {
                    epoch: self.epoch,
                    steps: self.steps,
                    rates: self.rates,
                    search: 0,
                };
                self.slots.insert(*slot, place);
                Ok(Answer::Done)
            }
            Request::Drop { slot } => {
                self.slots.remove(slot);
                Ok(Answer::Done)
            }
            Request::Restore { slot, .. } => self.move_to(*slot, false),
            Request::Adopt { slot } => self.move_to(*slot, true),
            request => self.answered(request),
        }
    }

    fn record(&mut self, record: autolr_core::Record) -> Result<(), Difference> {
        let what = match (self.entries.pop_front(), &record) {
            (Some(Entry::Decision(was)), autolr_core::Record::Decision(is)) => {
                self.replayed.decisions += 1;
                let read_off = DecisionRecord::read_off(&self.record.spec.probe, is);
                self.check_read_off(&read_off, &was.read_off)?;
                difference(&was.decision, is)
            }
            (Some(Entry::Change(was)), autolr_core::Record::Change(is)) => {
                self.replayed.decisions += 1;
                difference(&was.change, is)
            }
            _ => Some("a decision is due, and none is recorded".to_owned()),
        };
        match what {
            Some(what) => self.differs(what),
            None => Ok(()),
        }
    }
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // A link to a folder could lead round in a circle.
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), found)?;
        } else if entry.file_name() == "events.jsonl" {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// In which key two records differ first, with both values; none if in none. Numbers are compared as they are
/// written, which tells all bits.
fn difference<T: Serialize>(recorded: &T, again: &T) -> Option<String> {
    let object = |record: &T| match serde_json::to_value(record) {
        Ok(serde_json::Value::Object(object)) => object,
        _ => serde_json::Map::new(),
    };
    let (recorded, again) = (object(recorded), object(again));
    let null = serde_json::Value::Null;
    recorded.keys().chain(again.keys()).find_map(|key| {
        let (before, after) = (
            recorded.get(key).unwrap_or(&null),
            again.get(key).unwrap_or(&null),
        );
        // As text: as numbers, 0 and −0 would be equal.
        let (was, is) = (before.to_string(), after.to_string());
        (was != is).then(|| format!("{key} is {after}, recorded is {before}"))
    })
}
