//! The back end conforms, and the training learns.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};

use autolr_core::testkit::{Fingerprint, Subject, conformance};
use autolr_core::{InPlace, ProbeBackend};
use burn::prelude::*;
use burn::tensor::Distribution;

use crate::backend::Probe;
use crate::closed_loop;
use crate::training::Training;

/// burn's generator is one for the process, and tests run side by side: each holds it for itself.
fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subject for Training {
    type Error = Infallible;
    type Backend<'a> = InPlace<Probe<'a>>;

    fn backend(&mut self) -> InPlace<Probe<'_>> {
        InPlace(Probe::new(self))
    }

    /// The network and the optimiser as burn saves them, the rate, and the step, of which the batches are a function.
    fn fingerprint(&mut self) -> Result<Fingerprint, Infallible> {
        let network = self.network.valid().into_record().into_bytes().unwrap();
        let optimizer = self.optimizer.to_record().into_bytes().unwrap();
        Ok(Fingerprint::new()
            .bytes("weights and running statistics", network.to_vec())
            .bytes("velocities", optimizer.to_vec())
            .f64s("rate", [self.lr])
            .bytes("step", self.step.to_le_bytes()))
    }

    /// A step of another training that has come just as far.
    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, Infallible> {
        let mut twin = training(self.step);
        twin.lr = lr;
        twin.train_step();
        Ok(Some(twin.scoring_loss()))
    }
}

/// A training after some steps.
fn training(steps: u64) -> Training {
    let mut training = Training::new(500, 0.05, 1);
    for _ in 0..steps {
        training.train_step();
    }
    training
}

/// Tolerance 0: a trial and a step are the same arithmetic.
#[test]
fn the_back_end_conforms() {
    let _alone = generator();
    for steps in [0, 9] {
        let report = conformance(&mut training(steps), 0.05, 0.0).unwrap();
        assert!(report.conforms(), "after {steps} steps, {report}");
    }
}

/// A training that probes takes the same steps, bit for bit, as one that does not, and draws nothing from burn's
/// generator.
#[test]
fn a_probed_training_goes_on_as_if_nothing_had_happened() {
    let _alone = generator();
    let traces = [false, true].map(|probes| {
        let mut tested = training(9);
        let device = Device::flex();
        device.seed(2);
        let rates = [vec![10.0, 1.0, 0.01], vec![]];
        for lrs in rates.into_iter().filter(|_| probes) {
            let mut losses = vec![0.0; lrs.len()];
            let mut backend = tested.backend();
            backend.probe((&lrs).into(), (&mut losses).into()).unwrap();
        }
        let drawn = Tensor::<2>::random([4, 2], Distribution::Default, &device);
        let before = tested.network.valid().forward(drawn.clone());
        let loss = tested.train_step();
        let after = tested.network.valid().forward(drawn.clone());
        (loss, [drawn, before, after].map(Tensor::into_data))
    });
    assert_eq!(traces[0], traces[1]);
}

/// From a rate at which the training stands nearly still, the closed loop finds one at which it learns.
#[test]
fn the_loss_falls() {
    let _alone = generator();
    let start = || Training::new(500, 0.0005, 1);
    let losses = closed_loop(&mut start(), 30).unwrap();
    let (first, last) = (losses[0], losses[29]);
    assert!(last < 0.6 * first, "the loss goes from {first} to {last}");
    let mut fixed = start();
    let held = (0..30).map(|_| fixed.epoch()).last().unwrap();
    assert!(
        last < 0.8 * held,
        "{last} in the closed loop, {held} at the fixed rate"
    );
}
