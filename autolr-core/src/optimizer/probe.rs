//! A probe of any model: trial steps along the optimiser's own direction, in place.

use serde::{Deserialize, Serialize};

use super::{Evaluation, Flat, Optimizer, Step};
use crate::ProbeCost;

/// A model with its gradient: what an optimiser trains and [`StepProbe`] tries rates on.
pub trait Objective {
    /// Where its weights live.
    type Vector: Flat;
    /// Examples to look at.
    type Batch;
    /// State of whatever is drawn in a forward pass, such as dropout; `()` if nothing is.
    type Random;
    /// What can go wrong.
    type Error: From<<Self::Vector as Flat>::Error>;

    /// Weights and gradient, shape `[n]` each.
    fn vectors(&mut self) -> (&mut Self::Vector, &mut Self::Vector);

    /// Sets the gradient to that of the mean over the batches of their mean losses. Nothing else changes: running
    /// statistics stay as they are.
    ///
    /// # Errors
    /// When the machinery fails; so for the others.
    fn set_gradient(&mut self, batches: &[Self::Batch]) -> Result<(), Self::Error>;

    /// Mean loss over a batch, without a trace.
    ///
    /// # Errors
    /// When the machinery fails.
    fn loss(&mut self, batch: &Self::Batch) -> Result<f64, Self::Error>;

    /// The random state.
    ///
    /// # Errors
    /// When the machinery fails.
    fn random(&self) -> Result<Self::Random, Self::Error>;

    /// Goes back to a random state.
    ///
    /// # Errors
    /// When the machinery fails.
    fn set_random(&mut self, random: &Self::Random) -> Result<(), Self::Error>;
}

/// Where along a trial its loss is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialLoss {
    /// After the trial step: Algorithm 1, line 5.
    #[default]
    AfterStep,
    /// Before it, so that the rate has no influence: the paper's released code.
    BeforeStep,
}

/// The batches that score the trials.
#[derive(Debug)]
pub enum ScoringBatches<B> {
    /// The same for every candidate; the score is the mean loss over them.
    Shared(Vec<B>),
    /// The i-th for the i-th candidate: the paper's released code.
    PerCandidate(Vec<B>),
}

/// What a probe of one step looks at.
#[derive(Debug)]
pub struct StepProbe<B> {
    /// The batch that gives the gradient; none for that of the scoring batches themselves (Algorithm 1).
    pub gradient: Option<B>,
    /// The batches that score: as many as candidates, or at least one for all.
    pub scoring: ScoringBatches<B>,
    /// Before or after the trial step.
    pub loss: TrialLoss,
    /// All candidates, or those that a parabola needs. All are evaluated where a parabola makes no sense: where each has
    /// a batch of its own, or the loss is taken before the step.
    pub evaluate: Evaluation,
}

impl<B> StepProbe<B> {
    /// Whether there are scoring batches for so many candidates.
    pub fn fits(&self, candidates: usize) -> bool {
        match &self.scoring {
            ScoringBatches::Shared(batches) => !batches.is_empty(),
            ScoringBatches::PerCandidate(batches) => batches.len() == candidates,
        }
    }

    /// Writes into `losses[i]` the loss of a trial step at `lrs[i]`, NaN if there is no batch for it (see
    /// [`StepProbe::fits`]); further entries of the longer slice are left alone.
    ///
    /// Weights and random state are afterwards as they were, also on errors; the gradient's vector is work space. Beside it,
    /// there is one copy of the weights, and one of the optimiser's state while the direction is computed, whatever the
    /// number of candidates; and one of the gradient, where a step is not proportional to its rate.
    ///
    /// A trial has no loss before its step: an optimiser that needs it goes to NaN.
    ///
    /// # Errors
    /// Those of the model.
    pub fn run<M: Objective<Batch = B>>(
        &self,
        model: &mut M,
        optimizer: &Optimizer<M::Vector>,
        lrs: &[f64],
        losses: &mut [f64],
    ) -> Result<(), M::Error> {
        let random = model.random()?;
        let weights = &*model.vectors().0;
        let mut origin = weights.zeros_like()?;
        origin.copy(weights)?;
        let outcome = self.trials(model, optimizer, (&origin, &random), lrs, losses);
        // Also when a trial failed.
        let weights = model.vectors().0.copy(&origin).map_err(M::Error::from);
        let random = model.set_random(&random);
        outcome.and(weights).and(random)
    }

    fn trials<M: Objective<Batch = B>>(
        &self,
        model: &mut M,
        optimizer: &Optimizer<M::Vector>,
        (origin, random): (&M::Vector, &M::Random),
        lrs: &[f64],
        losses: &mut [f64],
    ) -> Result<(), M::Error> {
        let one_gradient =
            self.gradient.is_some() || matches!(self.scoring, ScoringBatches::Shared(_));
        let proportional = optimizer.config().is_proportional();
        let mut has_gradient = false;
        // Where each candidate has a direction of its own.
        let mut kept = None;
        let mut trial = |index: usize, lr: f64| -> Result<f64, M::Error> {
            let scoring = match &self.scoring {
                ScoringBatches::Shared(batches) => batches.as_slice(),
                ScoringBatches::PerCandidate(batches) => batches.get(index..=index).unwrap_or(&[]),
            };
            if self.loss == TrialLoss::AfterStep {
                if !has_gradient || !one_gradient {
                    model.vectors().0.copy(origin)?;
                    model.set_random(random)?;
                    let batches = self.gradient.as_ref().map_or(scoring, std::slice::from_ref);
                    model.set_gradient(batches)?;
                    let (_, gradient) = model.vectors();
                    if proportional {
                        optimizer.direction(origin, gradient, lr)?;
                    } else {
                        kept = Some(Step::copy_of(gradient)?);
                    }
                    has_gradient = true;
                }
                let (weights, direction) = model.vectors();
                let mut factor = lr;
                if let Some(gradient) = &kept {
                    direction.copy(gradient)?;
                    factor = optimizer.direction(origin, direction, lr)?;
                }
                weights.set_sum(origin, -factor, direction)?;
            }
            model.set_random(random)?;
            let mut sum = 0.0;
            for batch in scoring {
                sum += model.loss(batch)?;
            }
            Ok(sum / scoring.len() as f64)
        };
        let n = lrs.len().min(losses.len());
        let (lrs, losses) = (&lrs[..n], &mut losses[..n]);
        let first = self.evaluation().first(lrs);
        for index in first.into_iter().flatten() {
            losses[index] = trial(index, lrs[index])?;
        }
        if self.evaluation().read_off(lrs, losses).is_empty() {
            let is_left = |index: &usize| first.is_none_or(|first| !first.contains(index));
            for index in (0..n).filter(is_left) {
                losses[index] = trial(index, lrs[index])?;
            }
        }
        Ok(())
    }

    /// Which candidates are evaluated: all, where a parabola makes no sense.
    fn evaluation(&self) -> Evaluation {
        match (self.loss, &self.scoring) {
            (TrialLoss::AfterStep, ScoringBatches::Shared(_)) => self.evaluate,
            _ => Evaluation::All,
        }
    }

    /// What the probe costs, in passes of a batch, that gave `losses[i]` at `lrs[i]`: less than
    /// [`StepProbe::cost`] if some of them were read off.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn cost_of(&self, lrs: &[f64], losses: &[f64]) -> ProbeCost {
        let read = self.evaluation().read_off(lrs, &mut losses.to_vec());
        self.cost(lrs.len() - read.len())
    }

    /// What a probe of so many candidates costs, in passes of a batch, if all are evaluated: at most.
    pub fn cost(&self, candidates: usize) -> ProbeCost {
        let candidates = candidates as u64;
        let (scored, gradients) = match &self.scoring {
            ScoringBatches::Shared(batches) => {
                (candidates * batches.len() as u64, batches.len() as u64)
            }
            ScoringBatches::PerCandidate(_) => (candidates, candidates),
        };
        let backwards = match self.loss {
            TrialLoss::BeforeStep => 0,
            TrialLoss::AfterStep if self.gradient.is_some() => 1,
            TrialLoss::AfterStep => gradients,
        };
        ProbeCost::new(scored + backwards, backwards)
    }
}
