//! What a back end's author tells the conformance suite.

use ndarray::{ArrayView1, ArrayViewMut1};

use super::Fingerprint;
use crate::ProbeBackend;

/// A training run in miniature, whose back end is to be checked: it owns the model, and lends a back end for a probe.
///
/// Two methods are required. The others have defaults that say "not given"; the checks that need them are then
/// skipped, and the [`Report`](super::Report) says so.
///
/// ```
/// use autolr_core::testkit::{Fingerprint, Subject, conformance};
/// use autolr_core::{InPlace, Trial};
/// use std::convert::Infallible;
///
/// /// The loss (w − 3)²/2, and the gradient that the trials share.
/// struct Model { w: f64, gradient: f64 }
///
/// impl Trial for Model {
///     type Snapshot = f64;
///     type Error = Infallible;
///     fn snapshot(&mut self) -> Result<f64, Infallible> { Ok(self.w) }
///     fn prepare(&mut self) -> Result<(), Infallible> { self.gradient = self.w - 3.0; Ok(()) }
///     fn trial(&mut self, lr: f64) -> Result<f64, Infallible> {
///         self.w -= lr * self.gradient;
///         Ok((self.w - 3.0).powi(2) / 2.0)
///     }
///     fn restore(&mut self, origin: &f64) -> Result<(), Infallible> { self.w = *origin; Ok(()) }
/// }
///
/// impl Subject for Model {
///     type Error = Infallible;
///     type Backend<'a> = InPlace<&'a mut Model>;
///     fn backend(&mut self) -> InPlace<&mut Model> { InPlace(self) }
///     fn fingerprint(&mut self) -> Result<Fingerprint, Infallible> {
///         Ok(Fingerprint::new().f64s("weights", [self.w]))
///     }
/// }
///
/// let report = conformance(&mut Model { w: 0.5, gradient: 0.0 }, 0.1, 0.0)?;
/// assert!(report.conforms(), "{report}");
/// # Ok::<(), Infallible>(())
/// ```
pub trait Subject {
    /// The back end's error.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static;

    /// The back end: [`InPlace<&'a mut Self>`](crate::InPlace) for one made of a [`Trial`](crate::Trial),
    /// `&'a mut Self` for one that implements [`ProbeBackend`] itself.
    type Backend<'a>: ProbeBackend<Error = Self::Error>
    where
        Self: 'a;

    /// The back end for one probe; called before each.
    ///
    /// Every probe of the suite has to see the same batches: if the training's loader moves on from probe to probe,
    /// rewind it here.
    fn backend(&mut self) -> Self::Backend<'_>;

    /// Everything that a probe must leave alone, in named parts: weights, optimiser state, running statistics,
    /// random state; the gradients too, if the training lets them accumulate instead of clearing them before each step.
    ///
    /// # Errors
    /// When the machinery fails.
    fn fingerprint(&mut self) -> Result<Fingerprint, Self::Error>;

    /// The loss, on the batch by which the probe scores, after a step of the training's own optimiser at `lr` (which
    /// may be 0, huge or infinite), everything being put back afterwards.
    ///
    /// `None`, the default, if it is not given, or if a trial is not meant to be the optimiser's step.
    ///
    /// # Errors
    /// When the machinery fails.
    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, Self::Error> {
        let _ = lr;
        Ok(None)
    }

    /// A probe of the rates `lrs`, shape `[n]`, in which trial number `trial` (from 0) fails with an error after it
    /// has stepped: arranges that, probes as usual, and returns what the probe returned.
    ///
    /// What makes it fail is gone afterwards. `None`, the default, if it cannot be arranged; a subject that can only
    /// make all trials fail does so for `trial` 0 and returns `None` for others.
    fn failing_probe(
        &mut self,
        trial: usize,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Option<Result<(), Self::Error>> {
        let _ = (trial, lrs, losses);
        None
    }

    /// How many parameter groups [`ProbeBackend::probe_groups`] takes rates for. With 1, the default, it is not called.
    fn groups(&self) -> usize {
        1
    }

    /// As [`loss_after_step`](Self::loss_after_step), with a rate for each parameter group, shape `[g]`.
    ///
    /// `None`, the default, if it is not given; groups are then checked without it.
    ///
    /// # Errors
    /// When the machinery fails.
    fn loss_after_group_step(&mut self, lrs: &[f64]) -> Result<Option<f64>, Self::Error> {
        let _ = lrs;
        Ok(None)
    }

    /// One step of the training, at a rate of the subject's choice, which is not put back: afterwards a trial has to be
    /// the optimiser's step from the new state. Called once at most, last of all, and only if
    /// [`loss_after_step`](Self::loss_after_step) is given.
    ///
    /// Whether it was made; `false`, the default, if it is not given.
    ///
    /// # Errors
    /// When the machinery fails.
    fn advance(&mut self) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// A training of a few steps, at rates of the subject's choice, with `before_step` called before each of them; then
    /// what it came to, in numbers: the loss in evaluation at least, since running statistics show nowhere else.
    ///
    /// The suite has a probe made in `before_step`, or nothing, and compares. So each call begins from the same state, of
    /// which it trains a copy (or a model built anew from a seed), and hands that copy to `before_step`; the subject
    /// itself stays as it is.
    ///
    /// It is the one check that sees what the author has forgotten altogether: state that a probe changes, that neither
    /// snapshot nor [`fingerprint`](Self::fingerprint) holds, and that no loss of a probe depends on. `None`, the
    /// default, if it is not given.
    ///
    /// # Errors
    /// When the machinery fails, and as `before_step`.
    fn training(
        &mut self,
        before_step: &mut dyn FnMut(&mut Self) -> Result<(), Self::Error>,
    ) -> Result<Option<Vec<f64>>, Self::Error> {
        let _ = before_step;
        Ok(None)
    }

    /// Peak memory, in bytes beyond what is held before, during a probe of these rates, shape `[n]`.
    ///
    /// `None`, the default, if it cannot be measured.
    ///
    /// # Errors
    /// When the machinery fails.
    fn peak_memory(&mut self, lrs: ArrayView1<'_, f64>) -> Result<Option<u64>, Self::Error> {
        let _ = lrs;
        Ok(None)
    }
}
