//! The back end conforms, and the training learns.

use autolr_core::testkit::{Fingerprint, Subject, conformance};
use autolr_core::{InPlace, ProbeBackend};
use candle_core::{Error, Result};
use candle_nn::Optimizer;

use crate::backend::Probe;
use crate::closed_loop;
use crate::training::Training;

impl Subject for Training {
    type Error = Error;
    type Backend<'a> = InPlace<Probe<'a>>;

    fn backend(&mut self) -> InPlace<Probe<'_>> {
        InPlace(Probe::new(self))
    }

    /// Every variable, the rate in the optimiser and the step, of which batches and dropout masks are functions.
    fn fingerprint(&mut self) -> Result<Fingerprint> {
        let mut fingerprint = Fingerprint::new()
            .f64s("rate", [self.sgd.learning_rate()])
            .bytes("step", self.step.to_le_bytes());
        for var in &self.vars {
            fingerprint = fingerprint.f32s("weights", var.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(fingerprint)
    }

    /// A step of another training that has come just as far.
    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>> {
        let mut twin = training(self.step)?;
        twin.sgd.set_learning_rate(lr);
        twin.train_step()?;
        Ok(Some(twin.scoring_loss()?))
    }
}

/// A training after some steps.
fn training(steps: u64) -> Result<Training> {
    let mut training = Training::new(500, 0.1, 1)?;
    for _ in 0..steps {
        training.train_step()?;
    }
    Ok(training)
}

/// Tolerance 0: a trial and a step are the same arithmetic.
#[test]
fn the_back_end_conforms() {
    for steps in [0, 9] {
        let report = conformance(&mut training(steps).unwrap(), 0.1, 0.0).unwrap();
        assert!(report.conforms(), "after {steps} steps, {report}");
    }
}

/// A training that probes takes the same steps, bit for bit, as one that does not.
#[test]
fn a_probed_training_goes_on_as_if_nothing_had_happened() {
    let mut probed = training(9).unwrap();
    for lrs in [vec![10.0, 1.0, 0.01], vec![]] {
        let mut losses = vec![0.0; lrs.len()];
        let mut backend = probed.backend();
        backend.probe((&lrs).into(), (&mut losses).into()).unwrap();
    }
    probed.train_step().unwrap();
    let mut alone = training(10).unwrap();
    assert_eq!(probed.fingerprint().unwrap(), alone.fingerprint().unwrap());
}

/// From a rate at which the training stands nearly still, the closed loop finds one at which it learns.
#[test]
fn the_loss_falls() {
    let start = || Training::new(500, 0.001, 1).unwrap();
    let losses = closed_loop(&mut start(), 30).unwrap();
    let (first, last) = (losses[0], losses[29]);
    assert!(last < 0.6 * first, "the loss goes from {first} to {last}");
    let mut fixed = start();
    let held = (0..30).map(|_| fixed.epoch().unwrap()).last().unwrap();
    assert!(
        last < 0.8 * held,
        "{last} in the closed loop, {held} at the fixed rate"
    );
}
