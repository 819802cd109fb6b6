//! How the conformance suite probes: every probe is guarded against panics, missing losses and changed state.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{Array1, Array2, ArrayViewMut1, aview1};

use super::{Change, Check, Finding, Fingerprint, Report, Subject};
use crate::{GroupsError, ProbeBackend};

/// Stands in `losses` before a probe: a NaN that no arithmetic on other numbers gives.
pub(super) const UNWRITTEN: f64 = f64::from_bits(0x7ff8_0a17_0109_0516);

pub(super) struct Suite<'s, S> {
    pub(super) subject: &'s mut S,
    pub(super) lr: f64,
    pub(super) tolerance: f64,
    pub(super) origin: Fingerprint,
    pub(super) report: Report,
}

/// Why the suite does not go on.
pub(super) enum Stop<E> {
    /// Findings on record that make all further checks meaningless.
    Found,
    Machinery(E),
}

impl<E> From<E> for Stop<E> {
    fn from(error: E) -> Self {
        Self::Machinery(error)
    }
}

pub(super) type Outcome<T, S> = Result<T, Stop<<S as Subject>::Error>>;

impl<S: Subject> Suite<'_, S> {
    /// Rates at which training is stable, the middle one `lr`.
    pub(super) fn lrs(&self) -> [f64; 5] {
        [4.0, 2.0, 1.0, 0.5, 0.25].map(|factor| factor * self.lr)
    }

    pub(super) fn made(&mut self, check: Check) {
        self.report.made.push(check);
    }

    pub(super) fn found(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    pub(super) fn stop<T>(&mut self, finding: Finding) -> Outcome<T, S> {
        self.found(finding);
        Err(Stop::Found)
    }

    pub(super) fn agree(&self, a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits() || near(a, b, self.tolerance)
    }

    pub(super) fn all_agree<'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a f64, &'a f64)>,
    ) -> bool {
        pairs.into_iter().all(|(&a, &b)| self.agree(a, b))
    }

    fn changes(&mut self) -> Result<Vec<Change>, S::Error> {
        Ok(self.origin.changes(&self.subject.fingerprint()?))
    }

    /// Stops if the state is not what it was, with one finding for each part.
    pub(super) fn unchanged(&mut self, finding: impl Fn(Change) -> Finding) -> Outcome<(), S> {
        let changes = self.changes()?;
        if changes.is_empty() {
            return Ok(());
        }
        self.report
            .findings
            .extend(changes.into_iter().map(finding));
        Err(Stop::Found)
    }

    pub(super) fn unchanged_at_ordinary_rates(&mut self) -> Outcome<(), S> {
        let [highest, ..] = self.lrs();
        self.unchanged(|change| {
            if change.rounding {
                let lr = highest;
                Finding::StepsAndUndoes { lr, change }
            } else {
                Finding::ChangesState(change)
            }
        })
    }

    /// The losses of a probe, or its error; stops if it panics. `losses` hold `fill` before.
    pub(super) fn attempt(
        &mut self,
        lrs: &[f64],
        fill: f64,
    ) -> Outcome<Result<Vec<f64>, S::Error>, S> {
        self.guarded(lrs, fill, |subject, losses| {
            subject.backend().probe(aview1(lrs), losses)
        })
    }

    /// The losses of a probe with a rate for each group, a row a trial; none if the back end takes one rate for all.
    /// Stops if a loss is missing or the state has changed.
    pub(super) fn probe_groups(&mut self, lrs: &Array2<f64>) -> Outcome<Option<Vec<f64>>, S> {
        let mut supported = true;
        let of_first = lrs.column(0).to_vec();
        let losses = self.guarded(&of_first, UNWRITTEN, |subject, losses| {
            match subject.backend().probe_groups(lrs.view(), losses) {
                Ok(()) => Ok(()),
                Err(GroupsError::Unsupported { .. }) => {
                    supported = false;
                    Ok(())
                }
                Err(GroupsError::Backend(error)) => Err(error),
            }
        })??;
        let missing = missing(&losses).filter(|_| supported);
        let whole = missing.is_none();
        self.report.findings.extend(missing);
        self.unchanged_at_ordinary_rates()?;
        if whole {
            Ok(supported.then_some(losses))
        } else {
            Err(Stop::Found)
        }
    }

    /// The same of any probe, which gets `losses` to write to.
    pub(super) fn guarded(
        &mut self,
        lrs: &[f64],
        fill: f64,
        probe: impl FnOnce(&mut S, ArrayViewMut1<'_, f64>) -> Result<(), S::Error>,
    ) -> Outcome<Result<Vec<f64>, S::Error>, S> {
        let mut losses = Array1::from_elem(lrs.len(), fill);
        let subject = &mut *self.subject;
        match catch_unwind(AssertUnwindSafe(|| probe(subject, losses.view_mut()))) {
            Ok(outcome) => Ok(outcome.map(|()| losses.to_vec())),
            Err(panic) => self.stop(Finding::Panics {
                lrs: lrs.to_vec(),
                message: message(panic.as_ref()),
            }),
        }
    }

    /// The losses of a probe at ordinary rates; stops if one is missing or the state has changed.
    pub(super) fn probe(&mut self, lrs: &[f64]) -> Outcome<Vec<f64>, S> {
        let losses = self.attempt(lrs, UNWRITTEN)??;
        let missing = missing(&losses);
        let whole = missing.is_none();
        self.report.findings.extend(missing);
        self.unchanged_at_ordinary_rates()?;
        if whole { Ok(losses) } else { Err(Stop::Found) }
    }
}

/// Whether two losses are the same but for a share of the larger.
pub(super) fn near(a: f64, b: f64, share: f64) -> bool {
    (a - b).abs() <= share * a.abs().max(b.abs())
}

/// `n` rates from `lr` to below twice that.
pub(super) fn spread(lr: f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| lr * (1.0 + i as f64 / n as f64)).collect()
}

pub(super) fn is_unwritten(loss: f64) -> bool {
    loss.to_bits() == UNWRITTEN.to_bits()
}

pub(super) fn unwritten(losses: &[f64]) -> Vec<usize> {
    let missing = |&i: &usize| is_unwritten(losses[i]);
    (0..losses.len()).filter(missing).collect()
}

/// A finding if not all losses were written: some and then none, or here and there.
pub(super) fn missing(losses: &[f64]) -> Option<Finding> {
    let (candidates, indices) = (losses.len(), unwritten(losses));
    let written = candidates - indices.len();
    match indices.first() {
        None => None,
        Some(&first) if first == written && written > 0 => Some(Finding::WrongNumber {
            candidates,
            written,
        }),
        Some(_) => Some(Finding::Unwritten {
            candidates,
            indices,
        }),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_a_share() {
        for size in [1e-3, 1.0, 1e3] {
            assert!(near(1.01 * size, size, 0.02));
            assert!(!near(1.03 * size, size, 0.02));
        }
    }

    #[test]
    fn rates_are_spread_evenly() {
        assert_eq!(spread(0.5, 4), [0.5, 0.625, 0.75, 0.875]);
    }

    #[test]
    fn a_panics_words_are_kept() {
        assert_eq!(message(&"a text"), "a text");
        assert_eq!(message(&"made at run time".to_owned()), "made at run time");
        assert_eq!(message(&17), "without a word");
    }
}
