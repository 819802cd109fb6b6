//! What a framework has to offer: losses of trial steps at candidate rates.

use std::ops::AddAssign;

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1};
use serde::{Deserialize, Serialize};

use crate::{Line, LineReading};

/// What a probe costs, in passes of one batch through the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProbeCost {
    /// Forward passes.
    pub forwards: u64,
    /// Backward passes.
    pub backwards: u64,
}

impl ProbeCost {
    /// So many forward and so many backward passes.
    pub const fn new(forwards: u64, backwards: u64) -> Self {
        Self {
            forwards,
            backwards,
        }
    }
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
pub enum GroupsError<E> {
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

/// Why a trial of several steps failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepsError<E> {
    /// The back end takes one step a trial.
    #[error(
        "the back end takes one step a trial, not {steps}: it has no `trial_steps` or `probe_steps` of its own"
    )]
    Unsupported {
        /// How many steps it was to take.
        steps: usize,
    },
    /// A trial without a step: no rate was given.
    #[error("a trial takes at least one step, and no rate was given")]
    NoSteps,
    /// What the back end said.
    #[error(transparent)]
    Backend(#[from] E),
}

/// Tries candidate learning rates from the present state of a training run and leaves no trace.
///
/// A back end implements the one method [`probe`](Self::probe), or the easier [`Trial`] behind the adapter [`InPlace`]. What a trial is
/// (which batches give the gradient and the score, how many steps) belongs to the back end's own options.
pub trait ProbeBackend {
    /// Broken machinery: a device, I/O. A loss that is NaN or infinite is data, not an error.
    ///
    /// Any error type will do, and so will `anyhow::Error` or `Box<dyn Error + Send + Sync>`.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static;

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

    /// The same where a trial is several optimiser steps in a row: step k of trial i is taken at `lrs[[i, k]]`, and
    /// `losses[i]` is the mean loss after the last one. `lrs` has shape `[n, steps]`, `losses` `[n]`.
    ///
    /// These are real steps: each after the first has its own gradient, at the weights the one before left. Step k
    /// sees the same batch in every trial. Without a method of its own a back end takes one step a trial.
    ///
    /// # Errors
    /// [`StepsError::Unsupported`] if there are several steps and the back end has no method of its own,
    /// [`StepsError::NoSteps`] if there is none; [`StepsError::Backend`] as [`ProbeBackend::probe`].
    fn probe_steps(
        &mut self,
        lrs: ArrayView2<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), StepsError<Self::Error>> {
        match lrs.ncols() {
            0 => Err(StepsError::NoSteps),
            1 => Ok(self.probe(lrs.column(0), losses)?),
            steps => Err(StepsError::Unsupported { steps }),
        }
    }

    /// Losses and slopes along the direction of the step to come, on the batch that gave its gradient, without a trace: that
    /// gradient stands as it was. None, the default, for a back end that does not tell them.
    ///
    /// Called only by a method that [needs](crate::Needs::line) it, between a gradient and its step.
    ///
    /// # Errors
    /// As [`ProbeBackend::probe`].
    fn line(&mut self, line: &Line) -> Result<Option<LineReading>, Self::Error> {
        let _ = line;
        Ok(None)
    }

    /// What a probe of so many candidates costs, at most; none if the back end does not say.
    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        let _ = candidates;
        None
    }

    /// What the [`ProbeBackend::probe`] cost that gave `losses[i]` at `lrs[i]`, both of shape `[n]`: for a back end that
    /// does not evaluate every loss. By default, that of `n` candidates.
    fn cost_of(&self, lrs: ArrayView1<'_, f64>, losses: ArrayView1<'_, f64>) -> Option<ProbeCost> {
        let _ = losses;
        self.cost(lrs.len())
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

            fn probe_steps(
                &mut self,
                lrs: ArrayView2<'_, f64>,
                losses: ArrayViewMut1<'_, f64>,
            ) -> Result<(), StepsError<Self::Error>> {
                (**self).probe_steps(lrs, losses)
            }

            fn line(&mut self, line: &Line) -> Result<Option<LineReading>, Self::Error> {
                (**self).line(line)
            }

            fn cost(&self, candidates: usize) -> Option<ProbeCost> {
                (**self).cost(candidates)
            }

            fn cost_of(
                &self,
                lrs: ArrayView1<'_, f64>,
                losses: ArrayView1<'_, f64>,
            ) -> Option<ProbeCost> {
                (**self).cost_of(lrs, losses)
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
    type Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static;

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

    /// Takes one optimiser step for each rate, the k-th at `lrs[k]`, from the snapshot's state, which holds on entry,
    /// and returns the mean loss after the last one.
    ///
    /// These are real steps: [`Trial::prepare`] has the gradient of the first, each later one needs its own, at the
    /// weights the step before left. Draw the batches for all of them in `prepare`, so that every trial sees the same.
    /// The default takes one rate, and passes it to [`Trial::trial`].
    ///
    /// # Errors
    /// [`StepsError::Unsupported`] for several rates if the back end has no method of its own, [`StepsError::NoSteps`]
    /// for none; [`StepsError::Backend`] when the machinery fails.
    fn trial_steps(&mut self, lrs: &[f64]) -> Result<f64, StepsError<Self::Error>> {
        match *lrs {
            [] => Err(StepsError::NoSteps),
            [lr] => Ok(self.trial(lr)?),
            _ => Err(StepsError::Unsupported { steps: lrs.len() }),
        }
    }

    /// Puts the snapshot's state back, bit for bit: by writing it, not by undoing the step.
    ///
    /// # Errors
    /// When the machinery fails.
    fn restore(&mut self, origin: &Self::Snapshot) -> Result<(), Self::Error>;

    /// What preparing and so many trials cost: by default one gradient (a forward and a backward pass) for all, and a
    /// forward pass a trial.
    fn cost(&self, trials: usize) -> ProbeCost {
        ProbeCost::new((trials as u64).saturating_add(1), 1)
    }
}

/// All methods passed on to what a pointer points to.
macro_rules! forward_trial {
    ($pointer:ty) => {
        impl<T: Trial + ?Sized> Trial for $pointer {
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

            fn trial_steps(&mut self, lrs: &[f64]) -> Result<f64, StepsError<Self::Error>> {
                (**self).trial_steps(lrs)
            }

            fn restore(&mut self, origin: &Self::Snapshot) -> Result<(), Self::Error> {
                (**self).restore(origin)
            }

            fn cost(&self, trials: usize) -> ProbeCost {
                (**self).cost(trials)
            }
        }
    };
}

forward_trial!(&mut T);
forward_trial!(Box<T>);

/// Makes a [`ProbeBackend`] of a [`Trial`]: one snapshot whatever the number of candidates, restored after each trial.
///
/// It restores on every return, Ok or Err; if restoring itself fails, that is the error returned. A panic in a trial is
/// no return: the weights are then the trial's, and whoever catches the panic has to load others.
#[derive(Debug, Clone)]
pub struct InPlace<T>(pub T);

impl<T: Trial> InPlace<T> {
    /// Makes a trial for each of `rates`, and restores after each.
    fn each<R, E: From<T::Error>>(
        &mut self,
        rates: impl Iterator<Item = R>,
        losses: ArrayViewMut1<'_, f64>,
        trial: impl Fn(&mut T, R) -> Result<f64, E>,
    ) -> Result<(), E> {
        let origin = self.0.snapshot()?;
        if let Err(error) = self.0.prepare() {
            self.0.restore(&origin)?;
            return Err(E::from(error));
        }
        for (rate, loss) in rates.zip(losses) {
            let outcome = trial(&mut self.0, rate).map(|value| *loss = value);
            // Also when the trial failed: it may have stepped before it did.
            self.0.restore(&origin)?;
            outcome?;
        }
        Ok(())
    }
}

impl<T: Trial> ProbeBackend for InPlace<T> {
    type Error = T::Error;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Self::Error> {
        self.each(lrs.iter(), losses, |trial, &lr| trial.trial(lr))
    }

    fn probe_steps(
        &mut self,
        lrs: ArrayView2<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), StepsError<Self::Error>> {
        if lrs.ncols() == 0 {
            return Err(StepsError::NoSteps);
        }
        let rows = lrs.rows().into_iter();
        self.each(rows, losses, |trial, lrs| trial.trial_steps(&lrs.to_vec()))
    }

    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        Some(self.0.cost(candidates))
    }
}
