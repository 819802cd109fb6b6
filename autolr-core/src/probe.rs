//! What a framework has to offer: losses of trial steps at candidate rates.

use ndarray::{ArrayView1, ArrayViewMut1};

/// Tries candidate learning rates from the present state of a training run and leaves no trace.
///
/// A back end implements this one method, or the easier [`Trial`] behind the adapter [`InPlace`]. What a trial is
/// (which batches give the gradient and the score, how many steps) belongs to the back end's own options.
pub trait ProbeBackend {
    /// Broken machinery: a device, I/O. A loss that is NaN or infinite is data, not an error.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Writes into `losses[i]` the mean loss after a trial at learning rate `lrs[i]`; both have shape `[n]`.
    ///
    /// Every trial starts from the same weights, optimiser state and random state.
    /// On return, Ok or Err, all of those are bit-identical to what they were on entry.
    ///
    /// Paper: Algorithm 1, lines 1 to 6.
    ///
    /// # Errors
    /// When the machinery fails; what `losses` then holds is unspecified.
    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Self::Error>;
}

impl<B: ProbeBackend + ?Sized> ProbeBackend for &mut B {
    type Error = B::Error;
    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Self::Error> {
        (**self).probe(lrs, losses)
    }
}

impl<B: ProbeBackend + ?Sized> ProbeBackend for Box<B> {
    type Error = B::Error;
    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Self::Error> {
        (**self).probe(lrs, losses)
    }
}

/// The four small methods that make a back end through [`InPlace`].
pub trait Trial {
    /// What [`Trial::restore`] needs to bring the state back.
    type Snapshot;
    /// As [`ProbeBackend::Error`].
    type Error: std::error::Error + Send + Sync + 'static;

    /// A copy of everything that a trial changes.
    ///
    /// # Errors
    /// When the machinery fails; the state must then be as before.
    fn snapshot(&mut self) -> Result<Self::Snapshot, Self::Error>;

    /// What all trials share and changes no state that the training sees: the batches, the gradient.
    ///
    /// # Errors
    /// When the machinery fails.
    fn prepare(&mut self) -> Result<(), Self::Error>;

    /// Steps at learning rate `lr` from the snapshot's state, which holds on entry, and returns the mean loss there.
    ///
    /// # Errors
    /// When the machinery fails.
    fn trial(&mut self, lr: f64) -> Result<f64, Self::Error>;

    /// Puts the snapshot's state back, bit for bit: by writing it, not by undoing the step.
    ///
    /// # Errors
    /// When the machinery fails.
    fn restore(&mut self, origin: &Self::Snapshot) -> Result<(), Self::Error>;
}

impl<T: Trial + ?Sized> Trial for &mut T {
    type Snapshot = T::Snapshot;
    type Error = T::Error;

    fn snapshot(&mut self) -> Result<Self::Snapshot, Self::Error> {
        (**self).snapshot()
    }

    fn prepare(&mut self) -> Result<(), Self::Error> {
        (**self).prepare()
    }

    fn trial(&mut self, lr: f64) -> Result<f64, Self::Error> {
        (**self).trial(lr)
    }

    fn restore(&mut self, origin: &Self::Snapshot) -> Result<(), Self::Error> {
        (**self).restore(origin)
    }
}

/// Makes a [`ProbeBackend`] of a [`Trial`]: one snapshot whatever the number of candidates, restored after each
/// trial and on every way out.
#[derive(Debug, Clone)]
pub struct InPlace<T>(pub T);

impl<T: Trial> ProbeBackend for InPlace<T> {
    type Error = T::Error;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Self::Error> {
        let origin = self.0.snapshot()?;
        if let Err(error) = self.0.prepare() {
            return self.0.restore(&origin).and(Err(error));
        }
        for (&lr, loss) in lrs.iter().zip(&mut losses) {
            let outcome = self.0.trial(lr).map(|value| *loss = value);
            // Also when the trial failed: it may have stepped before it did.
            self.0.restore(&origin)?;
            outcome?;
        }
        Ok(())
    }
}
