//! Whether a checkpoint agrees with its log and its specification. Its hash tells damage; this tells what cannot be.

use super::checkpoint::Progress;
use super::slots::{Best, SlotMark};
use crate::experiment::RunSpec;
use crate::record::{Entry, Record, RunLog};
use crate::workload::{EpochSums, Workload};

/// The size of a run.
struct Size {
    epochs: u64,
    steps_per_epoch: u64,
    batch_size: u64,
    /// Samples of an epoch.
    samples: u64,
}

impl Size {
    /// Samples of the first `steps` of an epoch: the last batch may be smaller.
    fn samples_of(&self, steps: u64) -> u64 {
        steps.saturating_mul(self.batch_size).min(self.samples)
    }

    /// Whether an epoch can have come so far.
    fn check_sums(&self, key: &str, sums: EpochSums) -> Result<(), String> {
        let EpochSums { steps, samples, .. } = sums;
        if steps > self.steps_per_epoch {
            return Err(format!(
                "{key}.steps = {steps}: an epoch has {}",
                self.steps_per_epoch
            ));
        }
        // A task may count several samples an example, such as the characters of a text.
        let examples = self.samples_of(steps);
        if samples.checked_rem(examples).unwrap_or(samples) != 0 || (samples == 0) != (steps == 0) {
            return Err(format!(
                "{key}.images = {samples}: {steps} steps have {examples}, or a multiple of that"
            ));
        }
        match sums.correct {
            Some(correct) if correct > samples => {
                Err(format!("{key}.correct = {correct}: of {samples} images"))
            }
            _ => Ok(()),
        }
    }
}

impl Progress {
    /// Whether it agrees with `log`, the part of the log that it vouches for, and with `spec`.
    ///
    /// # Errors
    /// The first value that does not, and what it has to be.
    pub(super) fn check(
        &self,
        log: Option<&RunLog>,
        spec: &RunSpec,
        workload: &dyn Workload,
    ) -> Result<(), String> {
        let Some(log) = log else {
            return Err("its part of the log has no line".to_owned());
        };
        let steps_per_epoch = workload.steps_per_epoch();
        let batch_size = spec.training.batch_size as u64;
        let size = Size {
            epochs: spec.training.epochs,
            steps_per_epoch,
            batch_size,
            samples: match spec.data.drop_last {
                true => steps_per_epoch.saturating_mul(batch_size),
                false => workload.data().train as u64,
            },
        };
        let logged = log.epochs.len() as u64;
        if self.next_epoch != logged {
            return Err(format!(
                "next_epoch = {}: its part of the log has {logged} epochs",
                self.next_epoch
            ));
        }
        if self.next_epoch > size.epochs {
            return Err(format!(
                "next_epoch = {}: the run has {} epochs",
                self.next_epoch, size.epochs
            ));
        }
        if let Some(within) = self.within {
            if self.next_epoch == size.epochs {
                return Err(format!(
                    "within: an epoch after the last of {}",
                    size.epochs
                ));
            }
            size.check_sums("within.sums", within.sums)?;
            let seconds = within.seconds;
            if !(seconds.is_finite() && seconds >= 0.0) {
                return Err(format!(
                    "within.seconds = {seconds}: must be finite and not negative"
                ));
            }
        }
        self.check_best(log)?;
        let moves = log.entries.iter().filter_map(|entry| match entry {
            Entry::Moved(moved) => Some(moved.attempt),
            _ => None,
        });
        let attempt = moves.clone().next_back().unwrap_or(0);
        if self.attempt != attempt {
            return Err(format!(
                "attempt = {}: its part of the log tells of attempt {attempt}",
                self.attempt
            ));
        }
        self.check_cost(log, &size, moves.count() > 0)?;
        self.check_divergence(log)?;
        for (slot, mark) in &self.slots {
            check_slot(mark, self.next_epoch, &size)
                .map_err(|why| format!("slots.{}.{why}", slot.0))?;
        }
        Ok(())
    }

    /// Whether the method is where its part of the log leads, as far as that can be told between two epochs.
    ///
    /// # Errors
    /// What differs.
    pub(super) fn check_method(&self, log: &RunLog, spec: &RunSpec) -> Result<(), String> {
        let Some(state) = &self.scheduler else {
            return Err("scheduler = null: a checkpoint has the state of its scheduler".to_owned());
        };
        // What is wrong with it otherwise is said when it is resumed.
        let Ok(own) = spec.scheduler.method().resume(state) else {
            return Ok(());
        };
        if self.within.is_some() || !self.slots.is_empty() {
            return Ok(());
        }
        let record = Record {
            spec: spec.clone(),
            log: log.clone(),
        };
        let states = record.states_so_far();
        let own = (own.state(), self.probe_cost.compute());
        if states.is_empty() || states.contains(&own) {
            return Ok(());
        }
        if states.iter().any(|(state, _)| *state == own.0) {
            return Err(format!(
                "probe_cost comes to {} forward passes: its part of the log tells of {}",
                own.1, states[0].1
            ));
        }
        Err("scheduler: not in the state to which its part of the log leads".to_owned())
    }

    /// A training that has diverged says so in its last epoch.
    fn check_divergence(&self, log: &RunLog) -> Result<(), String> {
        let Some(reason) = &self.diverged else {
            return Ok(());
        };
        match log.epochs.last() {
            Some(epoch) if !epoch.is_finite() => Ok(()),
            _ => Err(format!(
                "diverged = {reason:?}: the last losses in the log are finite"
            )),
        }
    }

    /// The best epoch is the log's.
    fn check_best(&self, log: &RunLog) -> Result<(), String> {
        let name = |epoch: Option<u64>| epoch.map_or("none".to_owned(), |epoch| epoch.to_string());
        let own = self.best.map(|best| best.epoch);
        let best = log.best_epoch();
        let logged = best.map(|best| best.epoch);
        if own != logged {
            return Err(format!(
                "best.epoch = {}: by its part of the log it is {}",
                name(own),
                name(logged)
            ));
        }
        match (self.best, best) {
            (Some(Best { validation, .. }), Some(record))
                if validation.loss.to_bits() != record.validation_loss.to_bits() =>
            {
                Err(format!(
                    "best.validation.loss = {}: in the log it is {}",
                    validation.loss, record.validation_loss
                ))
            }
            _ => Ok(()),
        }
    }

    /// What was spent. Where the training went elsewhere the log does not tell what was left behind.
    fn check_cost(&self, log: &RunLog, size: &Size, moved: bool) -> Result<(), String> {
        for (key, part, whole) in [
            (
                "probe_cost.forwards",
                self.probe_cost.forwards,
                self.cost.forwards,
            ),
            (
                "probe_cost.backwards",
                self.probe_cost.backwards,
                self.cost.backwards,
            ),
        ] {
            if part > whole {
                return Err(format!("{key} = {part}: exceeds the {whole} of all"));
            }
        }
        let epochs = log.epochs.iter();
        let trained = epochs.fold(0_u64, |sum, epoch| {
            sum.saturating_add(size.samples_of(epoch.steps))
        });
        // Validations are forward only, each over as many images.
        let validated = match self.best {
            Some(best) => (log.epochs.len() as u64).checked_mul(best.validation.images),
            None => None,
        };
        let with_validation = validated.map(|images| trained.saturating_add(images));
        for (key, whole, part, told) in [
            (
                "cost.backwards",
                self.cost.backwards,
                self.probe_cost.backwards,
                Some(trained),
            ),
            (
                "cost.forwards",
                self.cost.forwards,
                self.probe_cost.forwards,
                with_validation,
            ),
        ] {
            let own = whole - part;
            let Some(told) = told else { continue };
            if own < told || (own > told && !moved) {
                return Err(format!(
                    "{key} = {whole}: {own} without probes, and the log tells of {told}"
                ));
            }
        }
        Ok(())
    }
}

/// Whether a copy lies on the way to `next_epoch`.
fn check_slot(mark: &SlotMark, next_epoch: u64, size: &Size) -> Result<(), String> {
    let epoch = mark.place.epoch;
    if epoch > next_epoch {
        return Err(format!("place.epoch = {epoch}: beyond {next_epoch}"));
    }
    size.check_sums("sums", mark.sums)?;
    match mark.best {
        Some(best) if best.epoch >= epoch => Err(format!(
            "best.epoch = {}: not before epoch {epoch}",
            best.epoch
        )),
        _ => Ok(()),
    }
}
