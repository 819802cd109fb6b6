//! The probe of a libtorch model.

use autolr_core::{ProbeBackend, ProbeCost};
use ndarray::{ArrayView1, ArrayViewMut1};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::{Error, Result};
use crate::ffi;
use crate::model::{Batch, Model};
use crate::network::{Mode, Network};
use crate::optimizer::Optimizer;

/// Where along a trial its loss is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialLoss {
    /// After the trial step (Algorithm 1, line 5).
    #[default]
    AfterStep,
    /// Before it: then the rate has no influence. What the paper's released code did.
    BeforeStep,
}

/// The batches that score the trials.
#[derive(Debug)]
pub enum ScoringBatches {
    /// The same for every candidate; the score is the mean loss over them.
    Shared(Vec<Batch>),
    /// The i-th for the i-th candidate. What the paper's released code did.
    PerCandidate(Vec<Batch>),
}

/// A probe of the present state of a training run: trial steps along the optimiser's own direction, momentum and
/// weight decay included, in place, with one copy of the weights whatever the number of candidates.
///
/// On return weights, optimiser state, running statistics and libtorch's random state are bit-identical.
/// The gradient's buffer is work space of training step and probe alike and not kept.
#[derive(Debug)]
pub struct ModelProbe<'a, N> {
    /// What is trained.
    pub model: &'a mut Model<N>,
    /// Its optimiser.
    pub optimizer: &'a Optimizer,
    /// The batch that gives the gradient; none for that of the scoring batches themselves (Algorithm 1).
    pub gradient: Option<Batch>,
    /// The batches that score.
    pub scoring: ScoringBatches,
    /// Before or after the trial step.
    pub loss: TrialLoss,
    /// [`Mode::Probe`], or [`Mode::Eval`] where BatchNorm is frozen.
    pub mode: Mode,
}

impl<N: Network> ModelProbe<'_, N> {
    /// The direction for trials scored on `scoring`.
    fn direction(&self, scoring: &[Batch]) -> Result<Tensor> {
        let batches = self.gradient.as_ref().map_or(scoring, std::slice::from_ref);
        let share = 1.0 / batches.len() as f64;
        self.model.parameters().zero_grad()?;
        for batch in batches {
            let _ = self
                .model
                .accumulate_gradient(batch, self.mode, share, None)?;
        }
        self.optimizer.direction(self.model.parameters())
    }

    fn score(&self, scoring: &[Batch]) -> Result<f64> {
        let mut sum = 0.0;
        for batch in scoring {
            sum += self.model.loss(batch, self.mode)?;
        }
        Ok(sum / scoring.len() as f64)
    }

    /// All trials; weights and random state are the caller's to restore.
    fn trials(
        &self,
        origin: &Tensor,
        random: &Tensor,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<()> {
        let theta = self.model.parameters().flat();
        let device = self.model.device();
        let mut shared = None;
        for (index, (&lr, loss)) in lrs.iter().zip(&mut losses).enumerate() {
            let scoring = match &self.scoring {
                ScoringBatches::Shared(batches) => batches.as_slice(),
                ScoringBatches::PerCandidate(batches) => std::slice::from_ref(&batches[index]),
            };
            if self.loss == TrialLoss::AfterStep {
                let reusable =
                    matches!(self.scoring, ScoringBatches::Shared(_)) || self.gradient.is_some();
                if !reusable || shared.is_none() {
                    // The old direction goes before the new one comes: no more memory for more candidates.
                    drop(shared.take());
                    theta.shallow_clone().f_copy_(origin)?;
                    ffi::set_rng_state(device, random)?;
                    shared = Some(self.direction(scoring)?);
                }
                if let Some(direction) = &shared {
                    ffi::add_scaled_out(theta, origin, direction, -lr)?;
                }
            }
            ffi::set_rng_state(device, random)?;
            *loss = self.score(scoring)?;
        }
        Ok(())
    }
}

impl<N: Network> ProbeBackend for ModelProbe<'_, N> {
    type Error = Error;

    fn probe(&mut self, lrs: ArrayView1<'_, f64>, losses: ArrayViewMut1<'_, f64>) -> Result<()> {
        let (batches, wanted) = match &self.scoring {
            ScoringBatches::Shared(batches) => (batches.len(), batches.len().max(1)),
            ScoringBatches::PerCandidate(batches) => (batches.len(), lrs.len()),
        };
        if batches != wanted {
            return Err(Error::Batches {
                batches,
                candidates: lrs.len(),
            });
        }
        let device = self.model.device();
        let random = ffi::rng_state(device)?;
        let mut origin = self.model.parameters().flat().f_empty_like()?;
        origin.f_copy_(self.model.parameters().flat())?;
        let outcome = self.trials(&origin, &random, lrs, losses);
        // Also when a trial failed.
        let mut theta = self.model.parameters().flat().shallow_clone();
        let weights = theta.f_copy_(&origin).map_err(Error::from);
        let random = ffi::set_rng_state(device, &random);
        outcome.and(weights).and(random)
    }

    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        let (candidates, own) = (candidates as u64, self.gradient.is_some());
        let (scored, gradients) = match &self.scoring {
            ScoringBatches::Shared(batches) => {
                (candidates * batches.len() as u64, batches.len() as u64)
            }
            ScoringBatches::PerCandidate(_) => (candidates, candidates),
        };
        let backwards = match self.loss {
            TrialLoss::BeforeStep => 0,
            TrialLoss::AfterStep if own => 1,
            TrialLoss::AfterStep => gradients,
        };
        Some(ProbeCost::new(scored + backwards, backwards))
    }
}
