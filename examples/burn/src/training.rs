//! An ordinary training by SGD with momentum; autolr has no part in it.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::prelude::*;

use crate::network::Network;
use crate::spirals::Spirals;
use crate::stream::Stream;

const BATCH: usize = 50;

/// The batch is a function of (`seed`, `step`), so that `step` is all there is of random state.
///
/// burn's own generator, one for the whole process, draws the first weights and nothing after them. It can be seeded,
/// but not read: with `Dropout` in the network, call `device.seed` with a function of the step before each forward pass.
pub struct Training {
    pub network: Network,
    pub optimizer: ModuleOptimizer,
    pub lr: f64,
    train: Spirals,
    test: Spirals,
    device: Device,
    seed: u64,
    pub step: u64,
}

impl Training {
    pub fn new(points: usize, lr: f64, seed: u64) -> Self {
        let device = Device::flex().autodiff();
        let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
        Self {
            network: Network::new(seed, &device),
            optimizer: SgdConfig::new().with_momentum(Some(momentum)).init(),
            lr,
            train: Spirals::draw(points, &mut Stream::new(seed, "training points", 0)),
            test: Spirals::draw(1000, &mut Stream::new(seed, "test points", 0)),
            device,
            seed,
            step: 0,
        }
    }

    /// Trains once on every point; returns the mean loss over the epoch.
    pub fn epoch(&mut self) -> f64 {
        let steps = self.train.len() / BATCH;
        (0..steps).map(|_| self.train_step()).sum::<f64>() / steps as f64
    }

    /// One step; returns the loss before it.
    pub fn train_step(&mut self) -> f64 {
        let loss = self.loss_of_step(&self.network);
        let gradient = GradientsParams::from_grads(loss.backward(), &self.network);
        self.apply(self.lr, gradient);
        self.step += 1;
        loss.into_scalar::<f64>()
    }

    /// The optimiser's step at rate `lr`.
    pub fn apply(&mut self, lr: f64, gradient: GradientsParams) {
        self.network = self.optimizer.step(lr, self.network.clone(), gradient);
    }

    /// The loss of `network` on the batch of the present step.
    pub fn loss_of_step(&self, network: &Network) -> Tensor<1> {
        let points = self.train.len();
        let steps = (points / BATCH) as u64;
        // Every epoch goes through all points in an order of its own.
        let order = Stream::new(self.seed, "order", self.step / steps).permutation(points);
        let from = (self.step % steps) as usize * BATCH;
        self.loss(network, &order[from..from + BATCH])
    }

    /// The loss on a fixed part of the training points.
    pub fn scoring_loss(&self) -> f64 {
        let places: Vec<usize> = (0..500.min(self.train.len())).collect();
        self.loss(&self.network, &places).into_scalar::<f64>()
    }

    /// BatchNorm normalises by the statistics of these very points, and moves the running ones of `network`.
    fn loss(&self, network: &Network, places: &[usize]) -> Tensor<1> {
        let (points, arms) = self.train.select(places, &self.device);
        let cross_entropy = CrossEntropyLossConfig::new().init(&self.device);
        cross_entropy.forward(network.forward(points), arms)
    }

    /// The share of test points whose arm is recognised.
    pub fn test_accuracy(&self) -> f64 {
        let device = Device::flex();
        let all: Vec<usize> = (0..self.test.len()).collect();
        let (points, arms) = self.test.select(&all, &device);
        let guess = self
            .network
            .valid()
            .forward(points)
            .argmax(1)
            .squeeze_dim::<1>(1);
        guess.equal(arms).float().mean().into_scalar::<f64>()
    }
}
