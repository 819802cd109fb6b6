//! How a training with candle joins autolr-core: the four methods of [`Trial`]. Nothing else here knows of autolr.

use autolr_core::Trial;
use candle_core::backprop::GradStore;
use candle_core::{Error, Result, Tensor};
use candle_nn::Optimizer;

use crate::training::Training;

/// What tries rates: a training, and the gradient that all candidates of one probe share.
pub struct Probe<'a> {
    training: &'a mut Training,
    gradient: Option<GradStore>,
}

impl<'a> Probe<'a> {
    pub fn new(training: &'a mut Training) -> Self {
        let gradient = None;
        Self { training, gradient }
    }
}

impl Trial for Probe<'_> {
    type Snapshot = (Vec<Tensor>, f64);
    type Error = Error;

    /// What a trial changes: the variables, and the rate that the optimiser holds. It takes `Tensor::copy`, since a
    /// `Tensor::clone` shares the memory that the optimiser's step writes into.
    fn snapshot(&mut self) -> Result<Self::Snapshot> {
        let weights: Result<_> = self.training.vars.iter().map(|var| var.copy()).collect();
        Ok((weights?, self.training.sgd.learning_rate()))
    }

    /// The gradient of the step that training takes next, dropout mask included. Forward and backward change nothing.
    fn prepare(&mut self) -> Result<()> {
        self.gradient = Some(self.training.loss_of_step()?.backward()?);
        Ok(())
    }

    /// The optimiser's own step, then the loss on many images, with nothing dropped. candle's `SGD` keeps no state.
    /// `AdamW` keeps moments that can be neither read nor put back: there, subtract `lr` times the gradient instead.
    fn trial(&mut self, lr: f64) -> Result<f64> {
        let Some(gradient) = &self.gradient else {
            candle_core::bail!("a trial needs the gradient that `prepare` takes");
        };
        self.training.sgd.set_learning_rate(lr);
        self.training.sgd.step(gradient)?;
        self.training.scoring_loss()
    }

    /// Writes the copies back.
    fn restore(&mut self, (weights, lr): &Self::Snapshot) -> Result<()> {
        for (var, weight) in self.training.vars.iter().zip(weights) {
            var.set(weight)?;
        }
        self.training.sgd.set_learning_rate(*lr);
        Ok(())
    }
}
