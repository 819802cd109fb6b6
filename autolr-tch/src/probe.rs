//! The probe of a libtorch model.

use autolr_core::optimizer::{Objective, StepProbe};
use autolr_core::{ProbeBackend, ProbeCost};
use ndarray::{ArrayView1, ArrayViewMut1};
use tch::Tensor;

use crate::error::{Error, Result};
use crate::ffi;
use crate::flat::FlatTensor;
use crate::model::{Batch, Model};
use crate::network::{Mode, Network};
use crate::optimizer::Optimizer;

/// The batches that score the trials.
pub type ScoringBatches = autolr_core::optimizer::ScoringBatches<Batch>;

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
    /// The gradient's batch, the scoring batches, and where the loss is taken.
    pub probe: StepProbe<Batch>,
    /// [`Mode::Probe`], or [`Mode::Eval`] where BatchNorm is frozen.
    pub mode: Mode,
}

/// A model whose BatchNorm behaves in one way.
#[derive(Debug)]
pub struct InMode<'a, N> {
    /// The model.
    pub model: &'a mut Model<N>,
    /// How BatchNorm behaves.
    pub mode: Mode,
}

/// Images or sequences of one pass where a batch can be split without changing its loss: with a gradient, and without.
const GRADIENT_PART: i64 = 32;
const FORWARD_PART: i64 = 64;

impl<N: Network> InMode<'_, N> {
    /// A batch in parts, each with its share of the examples, to limit memory. A batch whose statistics BatchNorm takes is
    /// not split, since that would change them.
    fn parts(&self, batch: &Batch, size: i64) -> Result<Vec<(Batch, f64)>> {
        let apart = self.mode == Mode::Eval || !self.model.takes_batch_statistics();
        let count = batch.images.size().first().copied().unwrap_or(0);
        // If the labels do not fit, the pass itself says so.
        let fits = batch.labels.numel().is_multiple_of(count.max(1) as usize);
        if !apart || !fits || count <= size {
            return Ok(vec![(batch.handle(), 1.0)]);
        }
        let starts = (0..count).step_by(size as usize);
        let parts = starts.map(|start| {
            let length = size.min(count - start);
            Ok((batch.narrow(start, length)?, length as f64 / count as f64))
        });
        parts.collect()
    }
}

impl<N: Network> Objective for InMode<'_, N> {
    type Vector = FlatTensor;
    type Batch = Batch;
    type Random = Tensor;
    type Error = Error;

    fn vectors(&mut self) -> (&mut FlatTensor, &mut FlatTensor) {
        self.model.vectors()
    }

    fn set_gradient(&mut self, batches: &[Batch]) -> Result<()> {
        let share = 1.0 / batches.len() as f64;
        self.model.parameters().zero_grad()?;
        for batch in batches {
            for (part, of_batch) in self.parts(batch, GRADIENT_PART)? {
                let share = share * of_batch;
                let _ = self
                    .model
                    .accumulate_gradient(&part, self.mode, share, None)?;
            }
        }
        Ok(())
    }

    fn loss(&mut self, batch: &Batch) -> Result<f64> {
        let mut sum = 0.0;
        for (part, of_batch) in self.parts(batch, FORWARD_PART)? {
            sum += of_batch * self.model.loss(&part, self.mode)?;
        }
        Ok(sum)
    }

    fn random(&self) -> Result<Tensor> {
        ffi::rng_state(self.model.device())
    }

    fn set_random(&mut self, random: &Tensor) -> Result<()> {
        ffi::set_rng_state(self.model.device(), random)
    }
}

impl<N: Network> ProbeBackend for ModelProbe<'_, N> {
    type Error = Error;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<()> {
        if !self.probe.fits(lrs.len()) {
            let (autolr_core::optimizer::ScoringBatches::Shared(batches)
            | autolr_core::optimizer::ScoringBatches::PerCandidate(batches)) = &self.probe.scoring;
            return Err(Error::Batches {
                batches: batches.len(),
                candidates: lrs.len(),
            });
        }
        let mut found = vec![f64::NAN; lrs.len()];
        let mut model = InMode {
            model: &mut *self.model,
            mode: self.mode,
        };
        let outcome = self.probe.run(
            &mut model,
            self.optimizer.inner(),
            &lrs.to_vec(),
            &mut found,
        );
        losses
            .iter_mut()
            .zip(found)
            .for_each(|(to, loss)| *to = loss);
        outcome
    }

    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        Some(self.probe.cost(candidates))
    }

    fn cost_of(&self, lrs: ArrayView1<'_, f64>, losses: ArrayView1<'_, f64>) -> Option<ProbeCost> {
        Some(self.probe.cost_of(&lrs.to_vec(), &losses.to_vec()))
    }
}
