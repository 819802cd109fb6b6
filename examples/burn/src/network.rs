//! The network: two hidden layers with BatchNorm.

use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, Relu};
use burn::prelude::*;

use crate::spirals::ARMS;

const WIDTH: usize = 32;

#[derive(Module, Debug)]
pub struct Network {
    first: Linear,
    first_norm: BatchNorm,
    second: Linear,
    second_norm: BatchNorm,
    output: Linear,
    activation: Relu,
}

impl Network {
    /// A network with weights drawn from `seed`, on a device with autodiff.
    pub fn new(seed: u64, device: &Device) -> Self {
        device.seed(seed);
        let network = Self {
            first: LinearConfig::new(2, WIDTH).init(device),
            first_norm: BatchNormConfig::new(WIDTH).init(device),
            second: LinearConfig::new(WIDTH, WIDTH).init(device),
            second_norm: BatchNormConfig::new(WIDTH).init(device),
            output: LinearConfig::new(WIDTH, ARMS).init(device),
            activation: Relu::new(),
        };
        // burn draws weights when they are first used: here, before anything else draws.
        network.valid().train()
    }

    /// Logits of shape `[n, ARMS]` for points of shape `[n, 2]`.
    pub fn forward(&self, points: Tensor<2>) -> Tensor<2> {
        let x = self.first_norm.forward(self.first.forward(points));
        let x = self.activation.forward(x);
        let x = self.second_norm.forward(self.second.forward(x));
        self.output.forward(self.activation.forward(x))
    }
}
