//! Whether a loss depends on its own rate alone.

use super::super::suite::{Outcome, Suite};
use super::super::{Check, Finding, Subject};

impl<S: Subject> Suite<'_, S> {
    /// Whether a loss depends on its own rate alone, and is the same from probe to probe.
    pub(super) fn independence(&mut self, losses: &[f64], still: Option<f64>) -> Outcome<(), S> {
        let lrs = self.lrs();
        // Two in a row, since a loader that goes round may be back where it was after the probes since the first.
        let (again, once_more) = (self.probe(&lrs)?, self.probe(&lrs)?);
        let mut backwards = lrs;
        backwards.reverse();
        let turned = self.probe(&backwards)?;
        if let Some(shifted) = self.shifted(losses, &turned) {
            self.found(shifted);
            return Ok(());
        }
        let equal = self.probe(&[self.lr; 4])?;
        let even = equal.iter().all(|&loss| self.agree(loss, equal[0]));
        let moved = (0..lrs.len()).find_map(|i| {
            let later = [again[i], once_more[i]];
            let other = later
                .into_iter()
                .find(|&other| !self.agree(losses[i], other));
            other.map(|other| (i, other))
        });
        let finding = match moved {
            Some((i, second)) if even => Some(Finding::Unrepeatable {
                lr: lrs[i],
                first: losses[i],
                second,
            }),
            Some(_) => Some(Finding::BatchPerCandidate {
                lr: self.lr,
                losses: equal,
            }),
            None => {
                self.made(Check::Repeat);
                self.interference(losses, turned, &equal, even, still)?
            }
        };
        if finding.is_none() {
            self.made(Check::Independence);
        }
        self.report.findings.extend(finding);
        Ok(())
    }

    /// Whether each loss is that of the trial before it: then two probes in opposite orders have those of the inner
    /// rates in common, each a place late.
    fn shifted(&self, losses: &[f64], turned: &[f64]) -> Option<Finding> {
        let lrs = self.lrs();
        is_late(losses, turned, |a, b| self.agree(a, b)).then_some(Finding::ShiftedLosses {
            lr: lrs[2],
            before: lrs[1],
            loss: losses[2],
        })
    }

    /// What a candidate has to do with the others, in a back end whose probes repeat: `turned` are the losses of the
    /// rates in the opposite order, `equal` those of equal rates, `even` says that they are the same.
    fn interference(
        &mut self,
        losses: &[f64],
        mut turned: Vec<f64>,
        equal: &[f64],
        even: bool,
        still: Option<f64>,
    ) -> Outcome<Option<Finding>, S> {
        let (lr, lrs) = (self.lr, self.lrs());
        let by_place = self.all_agree(turned.iter().zip(losses));
        if !even {
            if by_place {
                self.rate_ignored(losses, still);
            }
            let by_place_at_lr = self.agree(equal[2], losses[2]);
            let differs = |loss: &&f64| !self.agree(**loss, equal[0]);
            let found = equal.iter().find(differs).copied().unwrap_or(f64::NAN);
            return Ok(Some(if !by_place_at_lr {
                Finding::CarriesOver {
                    lr,
                    after: lr,
                    alone: equal[0],
                    found,
                }
            } else if equal[1..].iter().all(|&loss| self.agree(loss, found)) {
                Finding::FirstTrialDiffers {
                    lr,
                    first: equal[0],
                    others: found,
                }
            } else {
                Finding::BatchPerCandidate {
                    lr,
                    losses: equal.to_vec(),
                }
            }));
        }
        let mut alone = Vec::new();
        for lr in lrs {
            alone.push(self.probe(&[lr])?[0]);
        }
        turned.reverse();
        for i in 0..lrs.len() {
            for among in [losses[i], turned[i]] {
                if !self.agree(alone[i], among) {
                    let elsewhere = self.all_agree(sorted(&alone).iter().zip(&sorted(losses)));
                    return Ok(Some(if elsewhere {
                        Finding::Misplaced { lrs: lrs.to_vec() }
                    } else {
                        let (lr, alone) = (lrs[i], alone[i]);
                        Finding::DependsOnOthers { lr, alone, among }
                    }));
                }
            }
        }
        Ok(None)
    }
}

/// Whether `losses`, and those of the same rates turned round, are each a place late, and not right as they are.
fn is_late(losses: &[f64], turned: &[f64], agree: impl Fn(f64, f64) -> bool) -> bool {
    let inner = || 1..losses.len().saturating_sub(1);
    let late = inner().all(|i| agree(losses[i + 1], turned[losses.len() - i]));
    let right = inner().all(|i| agree(losses[i], turned[losses.len() - 1 - i]));
    late && !right
}

fn sorted(losses: &[f64]) -> Vec<f64> {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_as_it_is_is_not_late() {
        let late = |losses: [f64; 5], turned: [f64; 5]| is_late(&losses, &turned, |a, b| a == b);
        let right = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!(!late(right, [5.0, 4.0, 3.0, 2.0, 1.0]));
        // 9 and 8 are what was there before.
        assert!(late([9.0, 1.0, 2.0, 3.0, 4.0], [8.0, 5.0, 4.0, 3.0, 2.0]));
        assert!(!late([9.0, 1.0, 2.0, 3.0, 4.0], [8.0, 5.0, 4.0, 3.0, 7.0]));
        // Late or right, who knows.
        assert!(!late([9.0, 2.0, 1.0, 2.0, 1.0], [8.0, 2.0, 1.0, 2.0, 1.0]));
        assert!(!late([2.0; 5], [2.0; 5]));
    }
}
