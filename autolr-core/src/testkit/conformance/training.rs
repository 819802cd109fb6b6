//! Whether a training goes on as if it had never been probed.

use ndarray::{Array1, aview1};

use super::super::suite::{Outcome, Suite};
use super::super::{Check, Finding, Skip, Subject};
use crate::ProbeBackend;

impl<S: Subject> Suite<'_, S> {
    /// Twice without a probe, and once with one before each step.
    pub(super) fn training(&mut self) -> Outcome<(), S> {
        if !self.report.conforms() {
            return Ok(());
        }
        let Some(without) = self.subject.training(&mut |_| Ok(()))? else {
            let skip = (Check::Training, Skip::NotGiven("Subject::training"));
            self.report.not_given.push(skip);
            return Ok(());
        };
        self.made(Check::Training);
        let again = self.subject.training(&mut |_| Ok(()))?.unwrap_or_default();
        if !self.all_same(&without, &again) {
            let (first, second) = (without, again);
            return self.stop(Finding::TrainingDiffers { first, second });
        }
        let lr = self.lr;
        self.unchanged(|change| Finding::StepHookChangesState { lr, change })?;
        let lrs = self.lrs();
        let mut losses = Array1::zeros(lrs.len());
        let probed = self
            .subject
            .training(&mut |subject| subject.backend().probe(aview1(&lrs), losses.view_mut()))?;
        let with = probed.unwrap_or_default();
        if !self.all_same(&without, &with) {
            self.found(Finding::ChangesTraining { without, with });
        }
        Ok(())
    }

    fn all_same(&self, a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && self.all_agree(a.iter().zip(b))
    }
}
