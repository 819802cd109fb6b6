//! The conformance suite: probes a back end in many ways and says what is wrong.

mod extremes;
mod groups;
mod independence;
mod training;

use ndarray::{ArrayView1, aview1};

use super::suite::{Outcome, Stop, Suite, UNWRITTEN, is_unwritten, missing, near, spread};
use super::{Check, Finding, Report, Skip, Subject};
use crate::ProbeBackend;

/// A few values of memory, the rate and the loss, may be kept for each candidate: bytes.
const ALLOWANCE: u64 = 16;

/// What a loss in single precision may be off by, relatively.
const SINGLE: f64 = 1e-5;

/// Rates of which one makes a difference in most trainings.
const FAR: [f64; 3] = [1e-6, 1e-3, 1.0];

/// More passes than a probe of one rate can take.
const MOST_PASSES: u64 = 1_000_000;

/// Checks the back end of `subject` around the rate `lr`, where the loss is finite and depends on the rate.
///
/// `tolerance` is the relative difference allowed between losses that should be equal, at least 0 and below 1; 0 asks
/// for the same bits, and a few units in the last place allow for kernels that are not deterministic. The state has to
/// be left alone to the bit whatever the tolerance. A back end that panics is caught and named, unless panics abort. A
/// rate that is not positive and finite, or another tolerance, is the report's one finding.
///
/// Costs about 100 trials, 18 calls of [`Subject::loss_after_step`], 38 trials in [`Subject::peak_memory`], and three
/// calls of [`Subject::training`], in one of them five trials a step; with parameter groups a few more.
///
/// # Errors
/// When the back end's or the subject's machinery fails at an ordinary rate.
pub fn conformance<S: Subject>(
    subject: &mut S,
    lr: f64,
    tolerance: f64,
) -> Result<Report, S::Error> {
    let mut suite = Suite {
        origin: subject.fingerprint()?,
        subject,
        lr,
        tolerance,
        report: Report::default(),
    };
    if !(lr > 0.0 && lr.is_finite() && (0.0..1.0).contains(&tolerance)) {
        suite.found(Finding::Arguments { lr, tolerance });
        return Ok(suite.report);
    }
    match suite.run() {
        Ok(()) | Err(Stop::Found) => Ok(suite.report),
        Err(Stop::Machinery(error)) => Err(error),
    }
}

/// Losses after the optimiser's own step: at rate 0, and at each of the ordinary rates.
struct Steps {
    still: f64,
    losses: Vec<f64>,
}

impl<S: Subject> Suite<'_, S> {
    fn run(&mut self) -> Outcome<(), S> {
        self.fingerprint()?;
        let steps = self.steps()?;
        let still = steps.as_ref().map(|steps| steps.still);
        let losses = self.first(steps.as_ref())?;
        // Before a rate that is no ordinary one makes NaN of what was forgotten, which no probe could then change.
        self.training()?;
        self.numbers()?;
        self.independence(&losses, still)?;
        // Losses that follow neither the rate nor a rule are not worth comparing.
        let comparable = self.report.conforms();
        if let (Some(steps), true) = (&steps, comparable) {
            self.agreement(&losses, &steps.losses);
        }
        let agreeing = self.report.conforms();
        let reference = comparable.then_some(losses[2]);
        self.extremes(reference)?;
        self.errors(&losses, comparable)?;
        self.memory()?;
        self.cost();
        self.groups(agreeing.then_some(&losses))?;
        self.advance(steps.is_some())
    }

    fn fingerprint(&mut self) -> Outcome<(), S> {
        if self.origin.is_empty() {
            return self.stop(Finding::EmptyFingerprint);
        }
        self.unchanged(Finding::UnstableFingerprint)?;
        self.made(Check::Fingerprint);
        Ok(())
    }

    fn steps(&mut self) -> Outcome<Option<Steps>, S> {
        let mut losses = Vec::new();
        for lr in [0.0].into_iter().chain(self.lrs()) {
            let Some(loss) = self.subject.loss_after_step(lr)? else {
                let skip = (Check::Step, Skip::NotGiven("Subject::loss_after_step"));
                self.report.not_given.push(skip);
                return Ok(None);
            };
            self.unchanged(|change| Finding::StepHookChangesState { lr, change })?;
            losses.push(loss);
        }
        let still = losses.remove(0);
        Ok(Some(Steps { still, losses }))
    }

    /// The first probe, whose losses the others are compared with.
    fn first(&mut self, steps: Option<&Steps>) -> Outcome<Vec<f64>, S> {
        let lrs = self.lrs();
        let losses = self.attempt(&lrs, UNWRITTEN)??;
        if let Some(i) = losses.iter().position(|loss| !loss.is_finite()) {
            let (lr, loss) = (lrs[i], losses[i].to_string());
            let finding = missing(&losses).unwrap_or(Finding::NotFinite { lr, loss });
            // A sum with NaN is NaN, and may have the same bits: only another start tells.
            let from_zero = self.attempt(&lrs, 0.0)??;
            let summed = from_zero
                .iter()
                .all(|&loss| loss.is_finite() && loss != 0.0);
            self.found(if summed {
                Finding::AddsToLosses
            } else {
                finding
            });
            self.unchanged_at_ordinary_rates()?;
            return Err(Stop::Found);
        }
        self.made(Check::Losses);
        self.made(Check::Rate);
        if losses.iter().all(|&loss| self.agree(loss, losses[0])) {
            match self.unsuitable(losses[0], steps)? {
                Some(finding) => self.found(finding),
                None => self.rate_ignored(&losses, steps.map(|steps| steps.still)),
            }
        }
        self.unchanged_at_ordinary_rates()?;
        self.made(Check::State);
        Ok(losses)
    }

    /// Whether it is the suite's rate that makes no difference, as one of 1e-300 does: by the optimiser's own steps, or if
    /// they are not given by rates far from it.
    fn unsuitable(&mut self, loss: f64, steps: Option<&Steps>) -> Outcome<Option<Finding>, S> {
        let [highest, .., lowest] = self.lrs();
        let finding = |other| {
            Some(Finding::UnsuitableRate {
                loss,
                lowest,
                highest,
                other,
            })
        };
        if let Some(steps) = steps {
            let mut all = steps.losses.iter();
            let level = all.all(|&other| self.agree(other, steps.losses[0]));
            return Ok(finding(None).filter(|_| level));
        }
        for other in FAR.into_iter().filter(|lr| *lr < lowest || *lr > highest) {
            let found = self.attempt(&[other], UNWRITTEN)?;
            if found.is_ok_and(|found| found[0].is_finite() && !self.agree(found[0], loss)) {
                return Ok(finding(Some(other)));
            }
        }
        Ok(None)
    }

    /// The rate has no influence: the loss may be that before the step.
    fn rate_ignored(&mut self, losses: &[f64], still: Option<f64>) {
        // Another kernel may round the same loss otherwise.
        let tolerance = self.tolerance.max(1e-6);
        let before = losses
            .iter()
            .find(|&&loss| still.is_some_and(|still| near(loss, still, tolerance)));
        let [highest, .., lowest] = self.lrs();
        let finding = match before {
            Some(&loss) => Finding::LossBeforeStep { loss },
            None => Finding::IgnoresRate {
                loss: losses[0],
                lowest,
                highest,
            },
        };
        self.found(finding);
    }

    /// Probes of one rate and of many.
    fn numbers(&mut self) -> Outcome<(), S> {
        self.probe(&[self.lr])?;
        self.probe(&spread(self.lr, 31)).map(drop)
    }

    fn agreement(&mut self, losses: &[f64], steps: &[f64]) {
        let lrs = self.lrs();
        let off = (0..lrs.len()).find(|&i| !self.agree(losses[i], steps[i]));
        self.made(Check::Step);
        let Some(i) = off else { return };
        let (lr, trial, step) = (lrs[i], losses[i], steps[i]);
        // The rates fall: those above the clamp come first.
        let clamped = i == 0 && self.agree(losses[0], losses[1]) && !self.agree(step, steps[1]);
        self.found(if clamped {
            Finding::ClampedRate { lr, trial, step }
        } else if let Some(count) = multiple(losses, steps) {
            Finding::SumNotMean {
                lr,
                trial,
                step,
                count,
            }
        } else if is_single(losses, steps) {
            Finding::SinglePrecision { lr, trial, step }
        } else {
            Finding::DisagreesWithStep { lr, trial, step }
        });
    }

    /// A failure in the first trial and in one in the middle; then a probe that goes well, with the same `losses` as
    /// ever if those are `comparable` from probe to probe.
    fn errors(&mut self, losses: &[f64], comparable: bool) -> Outcome<(), S> {
        let lrs = self.lrs();
        for trial in [0, 2] {
            let mut arranged = true;
            let outcome = self.guarded(&lrs, UNWRITTEN, |subject, losses| {
                let outcome = subject.failing_probe(trial, aview1(&lrs), losses);
                arranged = outcome.is_some();
                outcome.unwrap_or(Ok(()))
            })?;
            if !arranged && trial == 0 {
                let skip = (Check::Errors, Skip::NotGiven("Subject::failing_probe"));
                self.report.not_given.push(skip);
                return Ok(());
            }
            let swallowed = outcome.ok().filter(|_| arranged);
            if let Some(written) = &swallowed {
                let loss = written[trial];
                self.found(Finding::SwallowsError {
                    trial,
                    candidates: lrs.len(),
                    loss: (!is_unwritten(loss)).then_some(loss),
                });
            }
            self.unchanged(|change| Finding::NotRestoredAfterError { trial, change })?;
            if swallowed.is_some() {
                break;
            }
        }
        self.made(Check::Errors);
        let Ok(after) = self.attempt(&lrs, UNWRITTEN)? else {
            return self.stop(Finding::DifferentAfterError {
                lr: lrs[0],
                before: losses[0],
                after: None,
            });
        };
        let off = (0..lrs.len()).find(|&i| !self.agree(losses[i], after[i]));
        if let (Some(i), true) = (off, comparable) {
            self.found(Finding::DifferentAfterError {
                lr: lrs[i],
                before: losses[i],
                after: Some(after[i]),
            });
        }
        Ok(())
    }

    fn memory(&mut self) -> Outcome<(), S> {
        let (few, many) = (spread(self.lr, 7), spread(self.lr, 31));
        let peak = |suite: &mut Self, lrs: &[f64]| suite.subject.peak_memory(ArrayView1::from(lrs));
        let (Some(few_bytes), Some(many_bytes)) = (peak(self, &few)?, peak(self, &many)?) else {
            let skip = (Check::Memory, Skip::NotGiven("Subject::peak_memory"));
            self.report.not_given.push(skip);
            return Ok(());
        };
        self.unchanged_at_ordinary_rates()?;
        self.made(Check::Memory);
        if grows((few.len(), few_bytes), (many.len(), many_bytes)) {
            self.found(Finding::MemoryGrows {
                few: few.len(),
                few_bytes,
                many: many.len(),
                many_bytes,
            });
        }
        Ok(())
    }

    fn cost(&mut self) {
        for candidates in [1, 5, 31] {
            let Some(cost) = self.subject.backend().cost(candidates) else {
                let skip = (Check::Cost, Skip::NotGiven("ProbeBackend::cost"));
                self.report.not_given.push(skip);
                return;
            };
            let (forwards, backwards) = (cost.forwards, cost.backwards);
            if is_absurd(forwards, backwards, candidates) {
                self.found(Finding::AbsurdCost {
                    candidates,
                    forwards,
                    backwards,
                });
                return;
            }
        }
        self.made(Check::Cost);
    }

    /// A step of training, and whether trials are the optimiser's steps from there, too.
    fn advance(&mut self, has_steps: bool) -> Outcome<(), S> {
        let not_given = |method| (Check::Advance, Skip::NotGiven(method));
        if !has_steps {
            let skip = not_given("Subject::loss_after_step");
            self.report.not_given.push(skip);
            return Ok(());
        }
        if !self.report.conforms() {
            return Ok(());
        }
        if !self.subject.advance()? {
            self.report.not_given.push(not_given("Subject::advance"));
            return Ok(());
        }
        let before = std::mem::replace(&mut self.origin, self.subject.fingerprint()?);
        self.made(Check::Advance);
        if before == self.origin {
            self.found(Finding::AdvanceStandsStill);
            return Ok(());
        }
        let lrs = self.lrs();
        let losses = self.probe(&lrs)?;
        for (lr, trial) in lrs.into_iter().zip(losses) {
            let step = self.subject.loss_after_step(lr)?;
            self.unchanged(|change| Finding::StepHookChangesState { lr, change })?;
            if let Some(step) = step.filter(|&step| !self.agree(trial, step)) {
                self.found(Finding::Stale { lr, trial, step });
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether a probe of many candidates takes more than the allowance for each beyond what one of few does: numbers and
/// bytes.
fn grows((few, few_bytes): (usize, u64), (many, many_bytes): (usize, u64)) -> bool {
    many_bytes > few_bytes + ALLOWANCE * (many - few) as u64
}

/// Whether no probe of so many candidates costs that.
fn is_absurd(forwards: u64, backwards: u64, candidates: usize) -> bool {
    forwards < candidates as u64 || forwards.max(backwards) > MOST_PASSES * candidates as u64
}

/// By how much every loss of `a` is a multiple of that of `b`, or the other way round, if that is a whole number above 1.
fn multiple(a: &[f64], b: &[f64]) -> Option<u64> {
    let count = (a[0] / b[0]).max(b[0] / a[0]).round();
    let times = |a: &[f64], b: &[f64]| {
        let mut pairs = a.iter().zip(b);
        pairs.all(|(&a, &b)| near(a, count * b, SINGLE))
    };
    let found = (2.0..1e15).contains(&count) && (times(a, b) || times(b, a));
    found.then_some(count as u64)
}

/// Whether the losses are the same but for the rounding of one of the two to single precision.
fn is_single(a: &[f64], b: &[f64]) -> bool {
    let single = |losses: &[f64]| losses.iter().all(|&loss| f64::from(loss as f32) == loss);
    let close = a.iter().zip(b).all(|(&a, &b)| near(a, b, SINGLE));
    close && single(a) != single(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_allowed() {
        assert!(!grows((7, 1000), (31, 1000 + 24 * ALLOWANCE)));
        assert!(grows((7, 1000), (31, 1001 + 24 * ALLOWANCE)));
        let most = 5 * MOST_PASSES;
        assert!(!is_absurd(most, most, 5) && !is_absurd(5, 0, 5));
        assert!(is_absurd(most + 1, 0, 5) && is_absurd(5, most + 1, 5) && is_absurd(4, 1, 5));
    }

    #[test]
    fn a_sum_is_a_whole_multiple_at_every_rate() {
        let (mean, sum) = ([0.5, 0.25, 0.125], [4.0, 2.0, 1.0]);
        assert_eq!(multiple(&sum, &mean), Some(8));
        assert_eq!(multiple(&mean, &sum), Some(8));
        assert_eq!(multiple(&[4.0, 2.0, 1.1], &mean), None);
        assert_eq!(multiple(&mean, &mean), None);
        assert_eq!(multiple(&[0.75, 0.375, 0.1875], &mean), None);
        assert_eq!(multiple(&mean, &[0.0, 0.25, 0.125]), None);
    }

    #[test]
    fn single_precision_is_told_from_another_loss() {
        let exact = [0.1, 0.3, 1.7];
        let single = exact.map(|loss| f64::from(loss as f32));
        assert!(is_single(&single, &exact) && is_single(&exact, &single));
        assert!(!is_single(&single, &single));
        assert!(!is_single(&single, &[0.1, 0.3, 1.8]));
        assert!(!is_single(&exact, &[0.1, 0.3, 1.700_000_1]));
    }
}
