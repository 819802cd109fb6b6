//! What a framework has to offer: losses of trial steps at candidate rates.

use std::ops::AddAssign;

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1};
use serde::{Deserialize, Serialize};

/// What a probe costs, in passes of one batch through the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProbeCost {
    /// Forward passes.
    pub forwards: u64,
    /// Backward passes.
    pub backwards: u64,
}

impl AddAssign for ProbeCost {
    fn add_assign(&mut self, other: Self) {
        self.forwards = self.forwards.saturating_add(other.forwards);
        self.backwards = self.backwards.saturating_add(other.backwards);
    }
}

/// Why a probe of rates by parameter group failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupsError<E: std::error::Error + 'static> {
    /// The back end takes one rate for all parameters.
    #[error(
        "the back end takes one rate for all parameters, not {groups}: it has no `probe_groups`"
    )]
    Unsupported {
        /// How many rates it was given.
        groups: usize,
    },
    /// What the back end said.
    #[error(transparent)]
    Backend(#[from] E),
}

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

    /// The same where each parameter group has a rate of its own: in trial i group g steps at `lrs[[i, g]]`.
    /// `lrs` has shape `[n, g]`, `losses` `[n]`.
    ///
    /// Called only by a scheduler whose configuration has several groups; without a method of its own a back end
    /// serves one group.
    ///
    /// # Errors
    /// [`GroupsError::Unsupported`] if there are several groups and the back end has no method of its own;
    /// [`GroupsError::Backend`] as [`ProbeBackend::probe`].
    fn probe_groups(
        &mut self,
        lrs: ArrayView2<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), GroupsError<Self::Error>> {
        match lrs.ncols() {
            1 => Ok(self.probe(lrs.column(0), losses)?),
            groups => Err(GroupsError::Unsupported { groups }),
        }
    }

    /// What a probe of so many candidates costs; none if the back end does not say.
    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        let _ = candidates;
        None
    }
}

/// All methods passed on to what a pointer points to.
macro_rules! forward_probe_backend {
    ($pointer:ty) => {
        impl<B: ProbeBackend + ?Sized> ProbeBackend for $pointer {
            type Error = B::Error;

            fn probe(
                &mut self,
                lrs: ArrayView1<'_, f64>,
                losses: ArrayViewMut1<'_, f64>,
            ) -> Result<(), Self::Error> {
                (**self).probe(lrs, losses)
            }

            fn probe_groups(
                &mut self,
                lrs: ArrayView2<'_, f64>,
                losses: ArrayViewMut1<'_, f64>,
            ) -> Result<(), GroupsError<Self::Error>> {
                (**self).probe_groups(lrs, losses)
            }

            fn cost(&self, candidates: usize) -> Option<ProbeCost> {
                (**self).cost(candidates)
            }
        }
    };
}

forward_probe_backend!(&mut B);
forward_probe_backend!(Box<B>);

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

    /// What preparing and so many trials cost: by default one gradient (a forward and a backward pass) for all, and a
    /// forward pass a trial.
    fn cost(&self, trials: usize) -> ProbeCost {
        ProbeCost {
            forwards: (trials as u64).saturating_add(1),
            backwards: 1,
        }
    }
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

    fn cost(&self, trials: usize) -> ProbeCost {
        (**self).cost(trials)
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

    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        Some(self.0.cost(candidates))
    }
}
