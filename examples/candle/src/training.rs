//! An ordinary training by SGD; autolr has no part in it.

use candle_core::{D, Result, Tensor, Var};
use candle_nn::loss::cross_entropy;
use candle_nn::{Optimizer, SGD};

use crate::digits::Digits;
use crate::network::Network;
use crate::stream::Stream;

const BATCH: usize = 50;
const NOISE: f32 = 0.2;

/// The batch and the dropout mask are functions of (`seed`, `step`), so that `step` is all there is of random state.
pub struct Training {
    network: Network,
    pub vars: Vec<Var>,
    pub sgd: SGD,
    train: Digits,
    scoring: Digits,
    test: Digits,
    seed: u64,
    pub step: u64,
}

impl Training {
    pub fn new(images: usize, lr: f64, seed: u64) -> Result<Self> {
        let (network, vars) = Network::new(seed)?;
        let train = Digits::draw(images, NOISE, &mut Stream::new(seed, "training images", 0))?;
        let test = Digits::draw(1000, NOISE, &mut Stream::new(seed, "test images", 0))?;
        Ok(Self {
            network,
            sgd: SGD::new(vars.clone(), lr)?,
            vars,
            scoring: train.select(&(0..500.min(images)).collect::<Vec<_>>())?,
            train,
            test,
            seed,
            step: 0,
        })
    }

    /// Trains once on every image; returns the mean loss over the epoch.
    pub fn epoch(&mut self) -> Result<f64> {
        let steps = self.train.len()? / BATCH;
        let mut sum = 0.0;
        for _ in 0..steps {
            sum += self.train_step()?;
        }
        Ok(sum / steps as f64)
    }

    /// One step; returns the loss before it.
    pub fn train_step(&mut self) -> Result<f64> {
        let loss = self.loss_of_step()?;
        self.sgd.backward_step(&loss)?;
        self.step += 1;
        number(&loss)
    }

    /// The loss of the present step, with its batch and its dropout mask.
    pub fn loss_of_step(&self) -> Result<Tensor> {
        let batch = self.batch(self.step)?;
        let dropout = Stream::new(self.seed, "dropout", self.step);
        let logits = self.network.forward(&batch.images, Some(dropout))?;
        cross_entropy(&logits, &batch.labels)
    }

    /// The loss on a fixed part of the training images, with nothing dropped.
    pub fn scoring_loss(&self) -> Result<f64> {
        let logits = self.network.forward(&self.scoring.images, None)?;
        number(&cross_entropy(&logits, &self.scoring.labels)?)
    }

    /// The share of test images that are recognised.
    pub fn test_accuracy(&self) -> Result<f64> {
        let logits = self.network.forward(&self.test.images, None)?;
        let right = logits.argmax(D::Minus1)?.eq(&self.test.labels)?;
        let right = right.to_dtype(candle_core::DType::F32)?.mean_all()?;
        number(&right)
    }

    /// The images of a step: every epoch goes through all of them in an order of its own.
    fn batch(&self, step: u64) -> Result<Digits> {
        let images = self.train.len()?;
        let steps = (images / BATCH) as u64;
        let order = Stream::new(self.seed, "order", step / steps).permutation(images);
        let from = (step % steps) as usize * BATCH;
        self.train.select(&order[from..from + BATCH])
    }
}

fn number(scalar: &Tensor) -> Result<f64> {
    Ok(f64::from(scalar.to_scalar::<f32>()?))
}
