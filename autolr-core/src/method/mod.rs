//! Methods: state machines that set the learning rate. A trainer tells them what happened, they answer with what they want
//! next. They know no back end, no tensor and no clock, and do no I/O.

mod config;
mod event;
pub(crate) mod kind;
mod record;
mod registry;
mod request;
mod scheduled;
mod state;

use std::fmt;

pub use config::{Forecast, MethodConfig, SearchForecast};
pub use event::{Budget, Event, LineReading, Needs, Plan};
pub use kind::{Key, KeyDefault, Kind, Range, ValueKind};
pub use record::{Change, Details, Record};
pub use registry::kinds;
pub use request::{Anneal, Branch, Course, Keep, Line, Probe, Request, Slot, Turn};
pub use scheduled::{Scheduled, ScheduledConfig};
pub use state::MethodState;

use crate::TellError;

/// The modules and the list of the methods.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        $($(#[$doc])* pub mod $name;)+

        /// The methods that are no open-loop schedules; those come from [`schedule`](crate::schedule).
        const METHODS: &[registry::Entry] = &[$($name::ENTRY),+];
    };
}

// A new method is a file beside this, and a line here.
methods! {
    /// The paper's scheduler.
    autolr,
    /// A rate that falls when a metric stops getting better.
    reduce_on_plateau,
    /// A rate from each batch's own loss and gradient.
    polyak,
    /// The first rate that lowers the batch's loss by enough.
    armijo,
    /// To the bottom of a parabola, in each step.
    pal,
    /// Towards the bottom of a parabola, now and then.
    generalized_newton,
    /// Newton's method on the rate.
    newton,
    /// The best of some rates, in each step.
    les,
    /// A rate that rises while the loss falls, and falls while it does not.
    greedy,
    /// A range test, then a schedule at the rate it suggests.
    range_test,
    /// No rate to set: a search, then a decay.
    robust,
}

/// A learning rate that follows a plan, a metric, probes, or whatever else a trainer can be asked for.
///
/// A trainer tells it each [`Event`] through [`drive`](crate::drive), which has every answer carried out until the
/// training is to go on, and takes each step at the rates then in force:
///
/// ```
/// use autolr_core::testkit::Quadratic;
/// use autolr_core::{Event, Method, MethodConfig, Plan, ProbeError, Probing, drive};
///
/// /// Any method over any back end that can probe.
/// fn train(method: &mut dyn Method, model: &mut Quadratic) -> Result<(), Box<dyn std::error::Error>> {
///     let plan = Plan { steps: 90, steps_per_epoch: 3 };
///     drive(method, &Event::Start(plan), &mut Probing::new(&mut *model))?;
///     for _epoch in 0..30 {
///         let mut sum = 0.0;
///         for _step in 0..3 {
///             sum += model.loss();
///             model.step(method.lr());
///             drive(method, &Event::Step { loss: None }, &mut Probing::new(&mut *model))?;
///         }
///         let event = Event::Epoch { train_loss: sum / 3.0, validation_loss: Some(model.loss()) };
///         let mut probing = Probing::new(&mut *model);
///         drive(method, &event, &mut probing)?;
///         for decision in probing.into_records().into_iter().filter_map(|record| record.decision()) {
///             println!("{decision}");
///         }
///     }
///     Ok(())
/// }
///
/// for text in [
///     r#"{"kind": "autolr", "lr": 0.01, "factors": "factor_5"}"#,
///     r#"{"kind": "cosine", "lr": 0.5, "t_max": 90, "unit": "step"}"#,
///     r#"{"kind": "reduce-on-plateau", "lr": 0.5, "patience": 2}"#,
/// ] {
///     let config: MethodConfig = serde_json::from_str(text)?;
///     train(config.build().as_mut(), &mut Quadratic::new(3))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Method: fmt::Debug + Send {
    /// The rates in force, one a parameter group; at least one.
    fn lrs(&self) -> &[f64];

    /// The rate in force; with several parameter groups, that of the first.
    fn lr(&self) -> f64 {
        self.lrs()[0]
    }

    /// What it wants to be told, and able to ask for.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Takes an event, and says what it wants next. `budget` is what is spent and left as it happens.
    ///
    /// # Errors
    /// [`MethodError`] for an event that it cannot take. The state is then as before.
    fn next(&mut self, event: &Event<'_>, budget: &Budget) -> Result<Turn, MethodError>;

    /// The request that it waits for an answer to, if it does: after a stop it is carried out again.
    fn pending(&self) -> Option<Request> {
        None
    }

    /// The state to be saved, with the settings in it: [`MethodConfig::resume`] goes on from it, and so does
    /// [`MethodConfig::of_state`].
    fn state(&self) -> MethodState;
}

/// An event that a method cannot take. The method is as before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// The losses cannot be used.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// The method watches a metric, and was told none.
    #[error("the scheduler watches a metric, but the epoch has none")]
    NoMetric,
    /// An answer to nothing, or not to what was asked.
    #[error("`{event}` answers nothing that the method asked for")]
    Unasked {
        /// Name of the event.
        event: &'static str,
    },
    /// The training went on before the answer came.
    #[error("`{event}` came before the answer to `{request}`")]
    Waiting {
        /// Name of the event.
        event: &'static str,
        /// Name of the request.
        request: &'static str,
    },
    /// Whatever else a method of one's own has to say.
    #[error("{0}")]
    Other(String),
}

impl MethodError {
    /// That `event` answers nothing that was asked.
    pub fn unasked(event: &Event<'_>) -> Self {
        Self::Unasked {
            event: event.name(),
        }
    }

    /// That a reading along a line has not as many numbers as were asked for.
    pub fn unread(wanted: usize, found: usize) -> Self {
        Self::Other(format!(
            "a reading along the line has {found} numbers, {wanted} were asked for"
        ))
    }
}

#[cfg(test)]
mod along_a_line;
#[cfg(test)]
mod tests;
