//! Rates that are far from the ordinary ones.

use super::super::suite::{Outcome, Suite, UNWRITTEN, near, unwritten};
use super::super::{Check, Finding, Subject};

/// Rates, in units of the ordinary one, at which a step that is undone loses bits and the loss is finite yet.
const LARGE: [f64; 2] = [64.0, 4096.0];

/// Rates that a probe may meet and that no training is run at. NaN comes from `NonFinite::Propagate`.
const EXTREMES: [f64; 5] = [1e30, f64::MAX, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE];

/// By how much a loss at a [`LARGE`] rate may be off, relatively, or a hundred times the tolerance: such a step makes
/// much of a rounding.
const LARGE_TOLERANCE: f64 = 1e-6;

impl<S: Subject> Suite<'_, S> {
    /// Each extreme rate, and `lr` after it, whose loss has to be `reference`.
    pub(super) fn extremes(&mut self, reference: Option<f64>) -> Outcome<(), S> {
        let earlier = self.report.findings.len();
        for lr in LARGE
            .map(|factor| factor * self.lr)
            .into_iter()
            .chain(EXTREMES)
        {
            let outcome = self.attempt(&[lr, self.lr], UNWRITTEN)?;
            let finite = matches!(&outcome, Ok(losses) if losses[0].is_finite());
            self.unchanged(|change| {
                if finite {
                    Finding::StepsAndUndoes { lr, change }
                } else {
                    Finding::NotRestoredWhenNotFinite { lr, change }
                }
            })?;
            let finding = match outcome {
                Err(error) => Some(Finding::ErrorForRate {
                    lr,
                    message: Into::<Box<dyn std::error::Error + Send + Sync>>::into(error)
                        .to_string(),
                }),
                Ok(losses) => self.extreme(lr, &losses, reference)?,
            };
            let Some(finding) = finding else { continue };
            let known = &self.report.findings[earlier..];
            if known.iter().all(|other| other.name() != finding.name()) {
                self.found(finding);
            }
        }
        self.made(Check::Extremes);
        Ok(())
    }

    /// What is wrong with the losses of an extreme rate and of `lr` after it.
    fn extreme(
        &mut self,
        extreme: f64,
        losses: &[f64],
        reference: Option<f64>,
    ) -> Outcome<Option<Finding>, S> {
        let indices = unwritten(losses);
        if !indices.is_empty() {
            let candidates = losses.len();
            return Ok(Some(Finding::Unwritten {
                candidates,
                indices,
            }));
        }
        let Some(alone) = reference else {
            return Ok(None);
        };
        if !self.agree(losses[1], alone) {
            return Ok(Some(Finding::CarriesOver {
                lr: self.lr,
                after: extreme,
                alone,
                found: losses[1],
            }));
        }
        // An error here is the subject's, whose step need not take such rates.
        let step = self.subject.loss_after_step(extreme).unwrap_or(None);
        self.unchanged(|change| Finding::StepHookChangesState {
            lr: extreme,
            change,
        })?;
        let trial = losses[0];
        let Some(step) = step else {
            let hides = extreme.is_nan() && trial.is_finite();
            return Ok(hides.then_some(Finding::FiniteLossAtNaN { loss: trial }));
        };
        let clamped = |finding: &Finding| matches!(finding, Finding::ClampedRate { .. });
        if !trial.is_finite() || self.report.findings.iter().any(clamped) {
            return Ok(None);
        }
        if !step.is_finite() {
            return Ok(Some(Finding::HidesNonFinite {
                lr: extreme,
                loss: trial,
            }));
        }
        self.large(extreme, trial, step)
    }

    /// Whether a trial at a large rate is the optimiser's step, where both losses are finite.
    fn large(&mut self, lr: f64, trial: f64, step: f64) -> Outcome<Option<Finding>, S> {
        let allowed = LARGE_TOLERANCE.max(100.0 * self.tolerance);
        let known = !self.report.conforms();
        if known
            || near(trial, step, allowed)
            || !LARGE.map(|factor| factor * self.lr).contains(&lr)
        {
            return Ok(None);
        }
        let beyond = self.attempt(&[2.0 * lr], UNWRITTEN)??;
        self.unchanged(|change| Finding::StepsAndUndoes { lr, change })?;
        Ok(Some(if self.agree(beyond[0], trial) {
            Finding::ClampedRate { lr, trial, step }
        } else {
            Finding::DisagreesWithStep { lr, trial, step }
        }))
    }
}
