//! The conformance suite passes what conforms, and names what does not.

use autolr_core::testkit::{Quadratic, Subject, conformance};
use autolr_core::{InPlace, ProbeBackend, Trial};
use ndarray::{Array1, ArrayView1, ArrayViewMut1};
use std::convert::Infallible;

/// The quadratic through the four methods of `Trial`.
#[derive(Clone)]
struct Stepper {
    problem: Quadratic,
    restores: bool,
}

impl Trial for Stepper {
    type Snapshot = Array1<f64>;
    type Error = Infallible;
    fn snapshot(&mut self) -> Result<Array1<f64>, Infallible> {
        Ok(self.problem.x.clone())
    }
    fn prepare(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
    fn trial(&mut self, lr: f64) -> Result<f64, Infallible> {
        self.problem.step(lr);
        Ok(self.problem.loss())
    }
    fn restore(&mut self, origin: &Array1<f64>) -> Result<(), Infallible> {
        if self.restores {
            self.problem.x.assign(origin);
        }
        Ok(())
    }
}

struct Wrapped(InPlace<Stepper>);

impl ProbeBackend for Wrapped {
    type Error = Infallible;
    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Infallible> {
        self.0.probe(lrs, losses)
    }
}

impl Subject for Wrapped {
    fn fingerprint(&mut self) -> Result<Vec<u8>, Infallible> {
        self.0.0.problem.fingerprint()
    }
    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, Infallible> {
        self.0.0.problem.loss_after_step(lr)
    }
}

fn wrapped(restores: bool) -> Wrapped {
    Wrapped(InPlace(Stepper {
        problem: Quadratic::new(5),
        restores,
    }))
}

#[test]
fn what_conforms_passes() {
    assert_eq!(
        conformance(&mut Quadratic::new(5), 0.1, 0.0).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(
        conformance(&mut wrapped(true), 0.1, 0.0).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn a_backend_that_does_not_restore_is_named() {
    let wrong = conformance(&mut wrapped(false), 0.1, 0.0).unwrap();
    assert!(
        wrong[0].starts_with("a probe changes the state it must leave alone"),
        "{wrong:?}"
    );
}

/// Takes the loss before the step.
struct Before(Quadratic);

impl ProbeBackend for Before {
    type Error = Infallible;
    fn probe(
        &mut self,
        _: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Infallible> {
        losses.fill(self.0.loss());
        Ok(())
    }
}

impl Subject for Before {
    fn fingerprint(&mut self) -> Result<Vec<u8>, Infallible> {
        self.0.fingerprint()
    }
    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, Infallible> {
        self.0.loss_after_step(lr)
    }
}

#[test]
fn a_loss_from_before_the_step_is_named() {
    let wrong = conformance(&mut Before(Quadratic::new(5)), 0.1, 1e-12).unwrap();
    assert!(
        wrong.iter().any(|w| w.contains("before the step")),
        "{wrong:?}"
    );
    assert!(
        wrong.iter().any(|w| w.contains("optimiser's own step")),
        "{wrong:?}"
    );
}
