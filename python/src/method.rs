//! A method, as Python holds it.

use std::sync::{Mutex, PoisonError};

use autolr_core::{
    AutoLr, AutoLrConfig, Budget, Change, Course, Decision, Event, Method, MethodConfig,
    MethodError, MethodState, Plan, ProbeCost, Record, Request, Turn,
};
use pyo3::prelude::*;
use serde::Serialize;

use crate::guard::{guarded, runtime_error, value_error};

/// Which method it is: the paper's can be asked whether a decision is due.
enum Held {
    Paper(Box<AutoLr>),
    Other(Box<dyn Method>),
}

impl Held {
    fn new(config: &MethodConfig) -> Self {
        match config.downcast::<AutoLrConfig>() {
            Some(config) => Self::Paper(Box::new(AutoLr::new(config.clone()))),
            None => Self::Other(config.build()),
        }
    }

    fn resume(config: &MethodConfig, state: &MethodState) -> PyResult<Self> {
        Ok(match config.downcast::<AutoLrConfig>() {
            Some(config) => {
                let method = AutoLr::with_state(config.clone(), state).map_err(value_error)?;
                Self::Paper(Box::new(method))
            }
            None => Self::Other(config.resume(state).map_err(value_error)?),
        })
    }

    fn get(&self) -> &dyn Method {
        match self {
            Self::Paper(method) => method.as_ref(),
            Self::Other(method) => method.as_ref(),
        }
    }

    fn get_mut(&mut self) -> &mut dyn Method {
        match self {
            Self::Paper(method) => method.as_mut(),
            Self::Other(method) => method.as_mut(),
        }
    }
}

/// What a method answered, in the words of `autolr update`.
#[derive(Serialize)]
struct Answer<'a> {
    request: &'a Request,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a Decision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'a Change>,
}

/// A scheduler of autolr-core with its settings.
#[pyclass(module = "autolr_torch._core")]
pub(crate) struct Scheduler {
    config: MethodConfig,
    // A method may change threads but is not made to be shared; nothing ever waits for this lock.
    held: Mutex<Held>,
    budget: Budget,
}

impl Scheduler {
    fn held(&mut self) -> &mut Held {
        self.held.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&mut self, event: &Event<'_>) -> PyResult<Option<String>> {
        guarded(|| {
            let budget = self.budget;
            let turn = self.held().get_mut().next(event, &budget);
            let turn = turn.map_err(|error| match error {
                MethodError::Tell(_) => value_error(error),
                _ => runtime_error(error),
            })?;
            answer(&turn)
        })
    }
}

/// Nothing where the training is to go on and there is nothing to record: so it is after nearly every step.
fn answer(turn: &Turn) -> PyResult<Option<String>> {
    if turn.request == Request::Continue && turn.record.is_none() {
        return Ok(None);
    }
    let (decision, change) = match &turn.record {
        Some(Record::Decision(decision)) => (Some(decision.as_ref()), None),
        Some(Record::Change(change)) => (None, Some(change)),
        _ => (None, None),
    };
    let answer = Answer {
        request: &turn.request,
        decision,
        change,
    };
    serde_json::to_string(&answer)
        .map(Some)
        .map_err(value_error)
}

#[pymethods]
impl Scheduler {
    #[new]
    fn new(config: &str) -> PyResult<Self> {
        guarded(|| {
            let config: MethodConfig = serde_json::from_str(config).map_err(value_error)?;
            Ok(Self {
                held: Mutex::new(Held::new(&config)),
                config,
                budget: Budget::default(),
            })
        })
    }

    /// Goes on from a state; as before where it cannot.
    fn resume(&mut self, state: &str) -> PyResult<()> {
        guarded(|| {
            let state: MethodState = serde_json::from_str(state).map_err(value_error)?;
            let held = Held::resume(&self.config, &state)?;
            *self.held() = held;
            Ok(())
        })
    }

    fn state(&mut self) -> PyResult<String> {
        guarded(|| serde_json::to_string(&self.held().get().state()).map_err(value_error))
    }

    #[getter]
    fn lrs(&mut self) -> Vec<f64> {
        self.held().get().lrs().to_vec()
    }

    #[getter]
    fn is_due(&mut self) -> bool {
        match self.held() {
            Held::Paper(method) => method.is_due(),
            Held::Other(_) => false,
        }
    }

    #[getter]
    fn pending(&mut self) -> PyResult<Option<String>> {
        guarded(|| match self.held().get().pending() {
            Some(request) => answer(&request.into()),
            None => Ok(None),
        })
    }

    /// The steps taken of those planned. A step costs 3: a forward pass and a backward pass.
    fn set_steps(&mut self, taken: u64, planned: u64) {
        self.budget = Budget {
            spent: taken.saturating_mul(3),
            limit: Some(planned.saturating_mul(3)),
        };
    }

    fn start(&mut self, steps: u64, steps_per_epoch: u64) -> PyResult<Option<String>> {
        self.tell(&Event::Start(Plan {
            steps,
            steps_per_epoch,
        }))
    }

    fn step(&mut self) -> PyResult<Option<String>> {
        self.tell(&Event::Step { loss: None })
    }

    #[pyo3(signature = (train_loss, validation_loss=None))]
    fn epoch(&mut self, train_loss: f64, validation_loss: Option<f64>) -> PyResult<Option<String>> {
        self.tell(&Event::Epoch {
            train_loss,
            validation_loss,
        })
    }

    #[pyo3(signature = (losses, cost=None))]
    #[allow(clippy::needless_pass_by_value, reason = "PyO3 gives lists as vectors")]
    fn losses(&mut self, losses: Vec<f64>, cost: Option<(u64, u64)>) -> PyResult<Option<String>> {
        let cost = cost.map(|(forwards, backwards)| ProbeCost::new(forwards, backwards));
        self.tell(&Event::Losses {
            losses: &losses,
            cost,
        })
    }

    #[allow(clippy::needless_pass_by_value, reason = "PyO3 gives lists as vectors")]
    fn branched(
        &mut self,
        steps: u64,
        train_loss: f64,
        scores: Vec<f64>,
    ) -> PyResult<Option<String>> {
        self.tell(&Event::Branched {
            steps,
            train_loss,
            scores: &scores,
        })
    }

    fn done(&mut self) -> PyResult<Option<String>> {
        self.tell(&Event::Done)
    }
}

/// What a rate is multiplied by in each step of a trial.
#[pyfunction]
pub(crate) fn course(course: &str) -> PyResult<Vec<f64>> {
    guarded(|| {
        let course: Course = serde_json::from_str(course).map_err(value_error)?;
        Ok((0..course.steps).map(|k| course.factor(k)).collect())
    })
}
