//! How a training with burn joins autolr-core: the four methods of [`Trial`]. Nothing else here knows of autolr.

use std::convert::Infallible;

use autolr_core::Trial;
use burn::module::{ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::prelude::*;

use crate::network::Network;
use crate::training::Training;

/// What tries rates: a training, and the gradient that all candidates of one probe share.
pub struct Probe<'a> {
    training: &'a mut Training,
    gradient: GradientsParams,
}

impl<'a> Probe<'a> {
    pub fn new(training: &'a mut Training) -> Self {
        let gradient = GradientsParams::new();
        Self { training, gradient }
    }
}

impl Trial for Probe<'_> {
    type Snapshot = (Network, ModuleOptimizer);
    type Error = Infallible; // burn panics where other frameworks return an error

    /// What a trial changes: the network and the optimiser with its velocities. It takes `Module::valid`, since a `clone`
    /// shares BatchNorm's running statistics with the original, and a forward pass moves them in both.
    fn snapshot(&mut self) -> Result<Self::Snapshot, Infallible> {
        Ok((
            self.training.network.valid(),
            self.training.optimizer.clone(),
        ))
    }

    /// The gradient of the step that training takes next, by a network whose running statistics are its own.
    fn prepare(&mut self) -> Result<(), Infallible> {
        let network = self.training.network.valid().train();
        let loss = self.training.loss_of_step(&network);
        self.gradient = GradientsParams::from_grads(loss.backward(), &network);
        Ok(())
    }

    /// The optimiser's own step, momentum included, then the loss on many points, normalised by their own statistics.
    fn trial(&mut self, lr: f64) -> Result<f64, Infallible> {
        let mut gradient = Copy {
            from: &self.gradient,
            to: GradientsParams::new(),
        };
        self.training.network.visit(&mut gradient);
        self.training.apply(lr, gradient.to);
        Ok(self.training.scoring_loss())
    }

    /// Puts the copies back. `Module::train` undoes `valid`, and the running statistics that it makes are shared with
    /// nothing, so that the copies serve again.
    fn restore(&mut self, (network, optimizer): &Self::Snapshot) -> Result<(), Infallible> {
        self.training.network = network.clone().train();
        self.training.optimizer = optimizer.clone();
        Ok(())
    }
}

/// Copies gradients parameter by parameter: a step uses them up, and burn has no `clone` for them.
struct Copy<'a> {
    from: &'a GradientsParams,
    to: GradientsParams,
}

impl ModuleVisitor for Copy<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.get::<D>(param.id) {
            self.to.register(param.id, gradient);
        }
    }
}
