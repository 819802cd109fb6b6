//! Closed-loop learning-rate scheduling, for any framework.
//!
//! Now and then, a training run tries N candidate learning rates from its present weights, looks at the losses that
//! follow, and scales its rate by the weighted geometric mean of the candidates' factors:
//!
//! factors × lr → candidate rates → [`ProbeBackend::probe`] → losses → [`Normalization`] → [`ExponentialScore`] →
//! weights → [`weighted_geometric_mean`] → [`Decision`] → next rate.
//!
//! The method is that of "Automated learning rate scheduling with in-training information" (Algorithm 1).
//! This crate is pure: no I/O, no randomness, no framework, no `unsafe`. A framework joins in with one trait,
//! [`ProbeBackend`], or with the four small methods of [`Trial`]:
//!
//! ```
//! use autolr_core::{AutoLr, AutoLrConfig, Factors, InPlace, ScaleUpdate, Trial};
//!
//! /// Least squares in one weight: loss (w − 3)²/2.
//! struct Model { w: f64, gradient: f64 }
//!
//! impl Trial for Model {
//!     type Snapshot = f64;
//!     type Error = std::convert::Infallible;
//!     fn snapshot(&mut self) -> Result<f64, Self::Error> { Ok(self.w) }
//!     fn prepare(&mut self) -> Result<(), Self::Error> { self.gradient = self.w - 3.0; Ok(()) }
//!     fn trial(&mut self, lr: f64) -> Result<f64, Self::Error> {
//!         self.w -= lr * self.gradient;
//!         Ok((self.w - 3.0).powi(2) / 2.0)
//!     }
//!     fn restore(&mut self, origin: &f64) -> Result<(), Self::Error> { self.w = *origin; Ok(()) }
//! }
//!
//! let update = ScaleUpdate::new(Factors::powers_of_two(5)?);
//! let config = AutoLrConfig::new(0.01, update)?.with_bounds(1e-4, 1.0)?;
//! let mut scheduler = AutoLr::new(config);
//! let mut model = Model { w: 0.0, gradient: 0.0 };
//! for _epoch in 0..30 {
//!     model.w -= scheduler.lr() * (model.w - 3.0);               // the training's own step
//!     let decision = scheduler.step(&mut InPlace(&mut model))?;  // try factors × lr, move the rate
//!     println!("{decision}");
//! }
//! assert!((model.w - 3.0).abs() < 1e-3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Give every training an upper bound: once a network fits its data, noise moves the rate, and without one it can ruin a
//! training that went well.
//!
//! Rates that follow a plan instead are in [`schedule`], one that follows a metric is [`ReduceOnPlateau`]. All of them
//! are a [`Method`]: a state machine that is told what happened and answers with what it wants next, so that a trainer
//! takes any, through [`drive`]. Recorded runs are replayed with [`RecordedProbe`]; back ends are checked with the
//! conformance suite of the feature `testkit`.

mod clock;
mod drive;
mod error;
pub mod float_serde;
pub mod method;
pub mod optimizer;
mod probe;
mod replay;
mod same;
pub mod schedule;
#[cfg(feature = "schema")]
mod schema;
mod short;
#[cfg(feature = "testkit")]
pub mod testkit;
mod update;
mod value;

/// The arrays of this crate's interface, of the version that fits it.
pub use ndarray;

pub use clock::{Cadence, Unit};
pub use drive::{Answer, DriveError, ProbeError, Probing, Training, drive, resume};
pub use error::{ConfigError, FieldDifference, LengthError, StateError, TellError};
pub use method::autolr::{
    AllNonFinite, AutoLr, AutoLrConfig, Decision, GroupProbing, Probed, Told, Verdict,
};
pub use method::reduce_on_plateau::{
    PlateauMode, ReduceOnPlateau, ReduceOnPlateauConfig, ThresholdMode,
};
pub use method::{
    Anneal, Branch, Budget, Change, Course, Details, Event, Forecast, Keep, Key, KeyDefault, Kind,
    Method, MethodConfig, MethodError, MethodState, Needs, Plan, Probe, Range, Record, Request,
    Scheduled, ScheduledConfig, Slot, Turn, ValueKind, kinds,
};
pub use probe::{GroupsError, InPlace, ProbeBackend, ProbeCost, StepsError, Trial};
pub use replay::{RecordedProbe, ReplayError};
pub use update::{
    ExponentialScore, Factors, NonFinite, Normalization, ScaleUpdate, Update,
    weighted_geometric_mean,
};
pub use value::read::SettingsError;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The programs of the guide are compiled and run.
#[cfg(all(doctest, feature = "testkit"))]
#[doc = include_str!("../ADDING-A-BACKEND.md")]
struct AddingABackend;
