//! Rates by parameter group.

use ndarray::Array2;

use super::super::suite::{Outcome, Suite};
use super::super::{Check, Finding, Skip, Subject};

impl<S: Subject> Suite<'_, S> {
    /// Rates by parameter group, compared with the `losses` of one rate for all, if those are comparable.
    pub(super) fn groups(&mut self, losses: Option<&Vec<f64>>) -> Outcome<(), S> {
        let groups = self.subject.groups();
        if groups < 2 {
            let skip = (Check::Groups, Skip::NotGiven("Subject::groups"));
            self.report.not_given.push(skip);
            return Ok(());
        }
        let Some(losses) = losses else {
            return Ok(());
        };
        let lrs = self.lrs();
        let equal = Array2::from_shape_fn((lrs.len(), groups), |(i, _)| lrs[i]);
        let Some(equal) = self.probe_groups(&equal)? else {
            self.found(Finding::GroupsUnsupported { groups });
            return Ok(());
        };
        self.made(Check::Groups);
        if let Some(i) = (0..lrs.len()).find(|&i| !self.agree(losses[i], equal[i])) {
            self.found(Finding::GroupsDisagree {
                lr: lrs[i],
                groups,
                alone: losses[i],
                found: equal[i],
            });
            return Ok(());
        }
        // The ordinary rate for all, and then another for one group after the other.
        let (lr, other) = (self.lr, 2.0 * self.lr);
        let apart = Array2::from_shape_fn((groups + 1, groups), |(i, group)| {
            if i == group + 1 { other } else { lr }
        });
        let Some(trials) = self.probe_groups(&apart)? else {
            return Ok(());
        };
        if let Some(group) = (0..groups).find(|&group| self.agree(trials[group + 1], trials[0])) {
            let loss = trials[0];
            self.found(Finding::IgnoresGroup {
                group,
                lr,
                other,
                loss,
            });
            return Ok(());
        }
        for (row, trial) in apart.rows().into_iter().zip(trials) {
            let lrs = row.to_vec();
            let Some(step) = self.subject.loss_after_group_step(&lrs)? else {
                return Ok(());
            };
            let lr = lrs[0];
            self.unchanged(|change| Finding::StepHookChangesState { lr, change })?;
            if !self.agree(trial, step) {
                self.found(Finding::GroupsDisagreeWithStep { lrs, trial, step });
                return Ok(());
            }
        }
        Ok(())
    }
}
