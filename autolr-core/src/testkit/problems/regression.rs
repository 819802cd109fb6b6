//! A regression with all the state that a probe can spoil.

use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, Axis};

use super::super::{Fingerprint, Subject};
use crate::{InPlace, ProbeBackend, Trial};

/// Linear regression on noisy batches, trained as a network is: with momentum, running statistics and dropout.
///
/// The loss of weights w on a batch of n rows is `Σⱼ (x̃ⱼ · w − yⱼ)² / 2n`. In training, x̃ are the inputs less the
/// batch's own mean, each dropped with probability 1/4 by the random stream, and the running mean moves by a tenth
/// towards the batch's; in evaluation, they are the inputs less the running mean. Training is stable to a rate of
/// about 1.
///
/// Its probe takes the gradient of one batch and scores on another, in evaluation.
#[derive(Debug, Clone)]
pub struct NoisyRegression {
    /// Weights, shape `[4]`.
    pub weights: Array1<f64>,
    /// The optimiser's state, shape `[4]`.
    pub velocity: Array1<f64>,
    /// Running mean of the inputs, shape `[4]`.
    pub running_mean: Array1<f64>,
    /// State of the random stream that dropout draws from.
    pub random: u64,
    /// Number of the batch that gives a probe its gradient.
    pub gradient_batch: u64,
    /// Number of the batch that scores its trials.
    pub scoring_batch: u64,
    /// How many more trials go well before they fail; none for no failure.
    pub failing: Option<usize>,
    gradient: Array1<f64>,
}

/// The error of a [`NoisyRegression`] that was told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the trial was told to fail")]
pub struct TrialFailed;

impl NoisyRegression {
    /// Momentum of the optimiser: `v ← 0.9 v + g`, `w ← w − lr v`.
    pub const MOMENTUM: f64 = 0.9;

    const ROWS: usize = 8;
    const FEATURES: usize = 4;

    /// Weights after a few steps of training at a rate of 0.05; `seed` gives the random stream.
    pub fn new(seed: u64) -> Self {
        let mut new = Self {
            weights: Array1::zeros(Self::FEATURES),
            velocity: Array1::zeros(Self::FEATURES),
            running_mean: Array1::zeros(Self::FEATURES),
            random: seed,
            gradient_batch: 100,
            scoring_batch: 101,
            gradient: Array1::zeros(Self::FEATURES),
            failing: None,
        };
        for batch in 0..3 {
            new.train(batch, 0.05);
        }
        new
    }

    /// Batch number `index`: inputs of shape `[8, 4]` around (1, 2, 3, 4), targets of shape `[8]`.
    pub fn batch(index: u64) -> (Array2<f64>, Array1<f64>) {
        let mut state = index;
        let shape = (Self::ROWS, Self::FEATURES);
        let x = Array2::from_shape_simple_fn(shape, || 2.0 * uniform(&mut state) - 1.0);
        let y = x.map_axis(Axis(1), |row| row.sum() + 0.2 * (uniform(&mut state) - 0.5));
        let centre = Array1::from_iter((1..=Self::FEATURES).map(|i| i as f64));
        (x + centre, y)
    }

    /// Loss and gradient on a batch, in training: moves the running mean and the random stream on.
    pub fn gradient(&mut self, batch: u64) -> (f64, Array1<f64>) {
        let (mut x, y) = Self::batch(batch);
        let mean = x.sum_axis(Axis(0)) / Self::ROWS as f64;
        x -= &mean;
        x.mapv_inplace(|x| {
            let kept = uniform(&mut self.random) >= 0.25;
            if kept { x / 0.75 } else { 0.0 }
        });
        self.running_mean = 0.9 * &self.running_mean + 0.1 * mean;
        let residual = x.dot(&self.weights) - y;
        (
            half_mean_square(&residual),
            residual.dot(&x) / Self::ROWS as f64,
        )
    }

    /// One step of the optimiser along `gradient`.
    pub fn step(&mut self, gradient: &Array1<f64>, lr: f64) {
        self.velocity = Self::MOMENTUM * &self.velocity + gradient;
        self.weights.scaled_add(-lr, &self.velocity);
    }

    /// One step of training on a batch.
    pub fn train(&mut self, batch: u64, lr: f64) {
        let (_, gradient) = self.gradient(batch);
        self.step(&gradient, lr);
    }

    /// The loss on a batch, in evaluation: changes nothing.
    pub fn loss(&self, batch: u64) -> f64 {
        let (x, y) = Self::batch(batch);
        half_mean_square(&((x - &self.running_mean).dot(&self.weights) - y))
    }
}

fn half_mean_square(residual: &Array1<f64>) -> f64 {
    residual.mapv(|r| r * r).sum() / (2 * residual.len()) as f64
}

/// The next number in [0, 1) of a stream (SplitMix64).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

impl Trial for NoisyRegression {
    /// Weights and velocity: what a step changes.
    type Snapshot = [Array1<f64>; 2];
    type Error = TrialFailed;

    fn snapshot(&mut self) -> Result<Self::Snapshot, TrialFailed> {
        Ok([self.weights.clone(), self.velocity.clone()])
    }

    fn prepare(&mut self) -> Result<(), TrialFailed> {
        let (running_mean, random) = (self.running_mean.clone(), self.random);
        (_, self.gradient) = self.gradient(self.gradient_batch);
        (self.running_mean, self.random) = (running_mean, random);
        Ok(())
    }

    fn trial(&mut self, lr: f64) -> Result<f64, TrialFailed> {
        let gradient = self.gradient.clone();
        self.step(&gradient, lr);
        if self.failing == Some(0) {
            return Err(TrialFailed);
        }
        self.failing = self.failing.map(|trials| trials - 1);
        Ok(self.loss(self.scoring_batch))
    }

    fn restore(&mut self, [weights, velocity]: &Self::Snapshot) -> Result<(), TrialFailed> {
        self.weights.assign(weights);
        self.velocity.assign(velocity);
        Ok(())
    }
}

impl Subject for NoisyRegression {
    type Error = TrialFailed;
    type Backend<'a> = InPlace<&'a mut Self>;

    fn backend(&mut self) -> InPlace<&mut Self> {
        InPlace(self)
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, TrialFailed> {
        Ok(Fingerprint::new()
            .f64s("weights", &self.weights)
            .f64s("velocity", &self.velocity)
            .f64s("running mean", &self.running_mean)
            .bytes("random state", self.random.to_le_bytes()))
    }

    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, TrialFailed> {
        let mut copy = self.clone();
        copy.train(copy.gradient_batch, lr);
        // A probe scores with the running mean that it found.
        copy.running_mean.assign(&self.running_mean);
        Ok(Some(copy.loss(copy.scoring_batch)))
    }

    fn advance(&mut self) -> Result<bool, TrialFailed> {
        self.train(3, 0.05);
        Ok(true)
    }

    fn training(
        &mut self,
        before_step: &mut dyn FnMut(&mut Self) -> Result<(), TrialFailed>,
    ) -> Result<Option<Vec<f64>>, TrialFailed> {
        let mut copy = self.clone();
        for batch in 3..6 {
            before_step(&mut copy)?;
            copy.train(batch, 0.05);
        }
        Ok(Some(vec![copy.loss(copy.scoring_batch)]))
    }

    fn failing_probe(
        &mut self,
        trial: usize,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Option<Result<(), TrialFailed>> {
        self.failing = Some(trial);
        let outcome = InPlace(&mut *self).probe(lrs, losses);
        self.failing = None;
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_lowers_the_loss_and_a_rate_too_high_blows_it_up() {
        let after = |lr: f64| {
            let mut model = NoisyRegression::new(1);
            (0..200).for_each(|batch| model.train(batch, lr));
            model.loss(1000)
        };
        let before = NoisyRegression::new(1).loss(1000);
        assert!(after(0.02) < before / 2.0, "{before} → {}", after(0.02));
        assert!(after(4.0) > 1e6, "{}", after(4.0));
    }

    #[test]
    fn the_gradient_is_that_of_the_training_loss() {
        let model = NoisyRegression::new(1);
        let (_, gradient) = model.clone().gradient(7);
        let slope = |i: usize| {
            // A clone draws the same dropout mask; central differences of a quadratic are exact.
            let loss = |h: f64| {
                let mut moved = model.clone();
                moved.weights[i] += h;
                moved.gradient(7).0
            };
            loss(0.5) - loss(-0.5)
        };
        for i in 0..4 {
            approx::assert_relative_eq!(slope(i), gradient[i], max_relative = 1e-12);
        }
    }
}
