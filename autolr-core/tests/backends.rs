//! What a back end may be made of: any error type, a box, trials of several steps.

use std::error::Error;

use autolr_core::ndarray::{Array1, Array2, array};
use autolr_core::{
    AutoLr, AutoLrConfig, Factors, InPlace, ProbeBackend, ProbeError, ScaleUpdate, StepsError,
    Trial,
};

type Boxed = Box<dyn Error + Send + Sync>;

/// What breaks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the device is gone")]
struct Gone;

/// The loss w²/2, whose trials fail from number `fails` on with an error of type `E`.
struct Model<E> {
    w: f64,
    gradient: f64,
    fails: usize,
    trials: usize,
    fail: fn() -> E,
}

impl<E> Model<E> {
    fn new(fails: usize, fail: fn() -> E) -> Self {
        let (w, gradient, trials) = (1.0, 0.0, 0);
        Self {
            w,
            gradient,
            fails,
            trials,
            fail,
        }
    }

    fn loss(&self) -> f64 {
        self.w * self.w / 2.0
    }
}

impl<E: Into<Boxed> + 'static> Trial for Model<E> {
    type Snapshot = f64;
    type Error = E;

    fn snapshot(&mut self) -> Result<f64, E> {
        Ok(self.w)
    }

    fn prepare(&mut self) -> Result<(), E> {
        self.gradient = self.w;
        Ok(())
    }

    fn trial(&mut self, lr: f64) -> Result<f64, E> {
        self.w -= lr * self.gradient;
        self.trials += 1;
        if self.trials > self.fails {
            return Err((self.fail)());
        }
        Ok(self.loss())
    }

    fn restore(&mut self, origin: &f64) -> Result<(), E> {
        self.w = *origin;
        Ok(())
    }
}

/// The same, with trials of any number of steps.
struct Stepping(Model<Gone>);

impl Trial for Stepping {
    type Snapshot = f64;
    type Error = Gone;

    fn snapshot(&mut self) -> Result<f64, Gone> {
        self.0.snapshot()
    }

    fn prepare(&mut self) -> Result<(), Gone> {
        self.0.prepare()
    }

    fn trial(&mut self, lr: f64) -> Result<f64, Gone> {
        self.0.trial(lr)
    }

    fn trial_steps(&mut self, lrs: &[f64]) -> Result<f64, StepsError<Gone>> {
        for &lr in lrs {
            self.0.w -= lr * self.0.w;
        }
        self.0.trials += 1;
        if self.0.trials > self.0.fails {
            return Err(Gone.into());
        }
        Ok(self.0.loss())
    }

    fn restore(&mut self, origin: &f64) -> Result<(), Gone> {
        self.0.restore(origin)
    }
}

fn scheduler() -> AutoLr {
    let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
    AutoLr::new(AutoLrConfig::new(0.1, rule).unwrap())
}

/// What a decision over a model that fails in its second trial says.
fn failure<E: Into<Boxed> + 'static>(fail: fn() -> E) -> ProbeError {
    let mut model = Model::new(1, fail);
    let error = scheduler().step(&mut InPlace(&mut model)).unwrap_err();
    assert_eq!(model.w, 1.0, "restored after the error");
    error
}

#[test]
fn a_back_ends_error_may_be_of_any_type() {
    for error in [failure(|| Gone), failure(|| -> Boxed { Box::new(Gone) })] {
        let text = "the probe of 3 candidate rates around 0.1 failed";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.source().unwrap().to_string(), "the device is gone");
        let ProbeError::Backend { source, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(source.downcast_ref(), Some(&Gone));
    }
    // Of anyhow's, the words and what is below them. Its outermost error is of a type of its own.
    let error = failure(|| anyhow::Error::new(Gone));
    assert_eq!(error.source().unwrap().to_string(), "the device is gone");
    let error = failure(|| anyhow::Error::new(Gone).context("batch 3"));
    let above = error.source().unwrap();
    assert_eq!(above.to_string(), "batch 3");
    assert_eq!(above.source().unwrap().downcast_ref(), Some(&Gone));
    // A text is one, too.
    let error = failure(|| "no memory".to_owned());
    assert_eq!(error.source().unwrap().to_string(), "no memory");
}

#[test]
fn a_boxed_trial_is_a_trial() {
    let plain = scheduler()
        .step(&mut InPlace(Model::new(9, || Gone)))
        .unwrap();
    let boxed: Box<dyn Trial<Snapshot = f64, Error = Gone>> = Box::new(Model::new(9, || Gone));
    let mut backend = InPlace(boxed);
    assert_eq!(scheduler().step(&mut backend).unwrap(), plain);
    let boxed: Box<dyn Trial<Snapshot = f64, Error = Gone>> =
        Box::new(Stepping(Model::new(9, || Gone)));
    let mut losses = array![f64::NAN];
    InPlace(boxed)
        .probe_steps(array![[0.5, 0.5]].view(), losses.view_mut())
        .unwrap();
    assert_eq!(losses, array![0.03125]);
}

#[test]
fn a_trial_takes_one_step_unless_it_says_otherwise() {
    let mut model = Model::new(9, || Gone);
    let mut one = array![f64::NAN, f64::NAN];
    let mut backend = InPlace(&mut model);
    let lrs = array![[0.5], [1.0]];
    backend.probe_steps(lrs.view(), one.view_mut()).unwrap();
    assert_eq!(one, array![0.125, 0.0]);
    let lrs = Array2::from_elem((2, 16), 0.5);
    let error = backend.probe_steps(lrs.view(), one.view_mut()).unwrap_err();
    let text = "the back end takes one step a trial, not 16: \
                it has no `trial_steps` or `probe_steps` of its own";
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, StepsError::Unsupported { steps: 16 }));
    let none = Array2::zeros((2, 0));
    let error = backend.probe_steps(none.view(), one.view_mut());
    assert!(matches!(error, Err(StepsError::NoSteps)));
    assert!(matches!(model.trial_steps(&[]), Err(StepsError::NoSteps)));
    assert_eq!((model.w, model.trials), (1.0, 2), "no further trial");
}

/// A back end that probes by itself, one step a trial.
struct Whole;

impl ProbeBackend for Whole {
    type Error = Boxed;

    fn probe(
        &mut self,
        lrs: autolr_core::ndarray::ArrayView1<'_, f64>,
        mut losses: autolr_core::ndarray::ArrayViewMut1<'_, f64>,
    ) -> Result<(), Boxed> {
        losses.assign(&lrs);
        Ok(())
    }
}

#[test]
fn a_probe_takes_one_step_unless_it_says_otherwise() {
    let mut losses = array![f64::NAN, f64::NAN];
    let lrs = array![[0.5], [0.25]];
    Whole.probe_steps(lrs.view(), losses.view_mut()).unwrap();
    assert_eq!(losses, array![0.5, 0.25]);
    for (steps, said) in [(0, false), (2, true)] {
        let lrs = Array2::zeros((2, steps));
        let error = Whole.probe_steps(lrs.view(), losses.view_mut());
        let unsupported = matches!(error, Err(StepsError::Unsupported { steps: 2 }));
        let none = matches!(error, Err(StepsError::NoSteps));
        assert_eq!((unsupported, none), (said, !said));
    }
}

#[test]
fn steps_are_taken_in_a_row_and_restored_on_every_return() {
    let mut backend = InPlace(Stepping(Model::new(3, || Gone)));
    let lrs = array![[0.5, 0.5], [1.0, 0.0], [0.0, 0.5]];
    let mut losses = Array1::from_elem(3, f64::NAN);
    backend.probe_steps(lrs.view(), losses.view_mut()).unwrap();
    assert_eq!(losses, array![0.03125, 0.0, 0.125]);
    assert_eq!(backend.0.0.w, 1.0);
    let failed = backend.probe_steps(lrs.view(), losses.view_mut());
    assert!(matches!(failed, Err(StepsError::Backend(Gone))));
    assert_eq!(backend.0.0.w, 1.0);
}

#[test]
fn losses_are_told_as_they_are_held() {
    let held = [1.0, 2.0, 4.0];
    let (vec, array) = (held.to_vec(), Array1::from_iter(held));
    let expected = scheduler().tell(&held).unwrap();
    for told in [
        scheduler().tell(&held[..]),
        scheduler().tell(&vec),
        scheduler().tell(&array),
        scheduler().tell(array.view()),
    ] {
        assert_eq!(told.as_ref(), Ok(&expected));
    }
}
