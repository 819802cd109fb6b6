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
//! use autolr_core::schedule::CosineAnnealingLr;
//! use autolr_core::{AutoLr, AutoLrConfig, Factors, InPlace, ScaleUpdate, Trial};
//!
//! /// A line through points: the mean of (w x − y)²/2 over a batch.
//! struct Model {
//!     w: f64,
//!     gradient: f64,
//!     gradient_batch: [(f64, f64); 2],
//!     scoring_batch: [(f64, f64); 2],
//! }
//!
//! impl Model {
//!     fn loss(&self, batch: &[(f64, f64); 2]) -> f64 {
//!         batch.iter().map(|(x, y)| (self.w * x - y).powi(2) / 4.0).sum()
//!     }
//!     fn gradient(&self, batch: &[(f64, f64); 2]) -> f64 {
//!         batch.iter().map(|(x, y)| (self.w * x - y) * x / 2.0).sum()
//!     }
//! }
//!
//! impl Trial for Model {
//!     type Snapshot = f64;
//!     type Error = std::convert::Infallible;
//!     fn snapshot(&mut self) -> Result<f64, Self::Error> { Ok(self.w) }
//!     fn prepare(&mut self) -> Result<(), Self::Error> {
//!         self.gradient = self.gradient(&self.gradient_batch);
//!         Ok(())
//!     }
//!     fn trial(&mut self, lr: f64) -> Result<f64, Self::Error> {
//!         self.w -= lr * self.gradient;
//!         Ok(self.loss(&self.scoring_batch))
//!     }
//!     fn restore(&mut self, origin: &f64) -> Result<(), Self::Error> { self.w = *origin; Ok(()) }
//! }
//!
//! let batches = [[(1.0, 3.1), (2.0, 5.8)], [(0.5, 1.6), (1.5, 4.4)], [(2.5, 7.4), (1.0, 3.0)]];
//! let mut model = Model { w: 0.0, gradient: 0.0, gradient_batch: batches[0], scoring_batch: batches[1] };
//!
//! let base = CosineAnnealingLr::new(0.01, 30, 0.0)?;              // what the closed loop scales
//! let update = ScaleUpdate::new(Factors::powers_of_two(5)?);
//! let config = AutoLrConfig::over(base, update).with_bounds(1e-4, 0.5)?;
//! let mut scheduler = AutoLr::new(config);
//! for epoch in 0..30 {
//!     for batch in &batches {
//!         model.w -= scheduler.lr() * model.gradient(batch);         // the training's own step
//!     }
//!     // The batch that scores is not the one that gives the gradient.
//!     (model.gradient_batch, model.scoring_batch) = (batches[epoch % 3], batches[(epoch + 1) % 3]);
//!     let decision = scheduler.step(&mut InPlace(&mut model))?;      // try factors × lr, move the rate
//!     println!("{decision}");
//! }
//! assert!((model.w - 3.0).abs() < 0.1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Base, bounds and the second batch are what makes the loop work where a network fits its data, or its noise: without
//! them, noise moves the rate, and can ruin a training that went well. The paper has none of them: [`AutoLrConfig::new`]
//! at an initial rate, and one batch for gradient and score. The example `settings` measures what each is worth.
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
pub use method::robust::{Robust, RobustConfig};
pub use method::{
    Anneal, Branch, Budget, Change, Course, Details, Event, Forecast, Keep, Key, KeyDefault, Kind,
    Line, LineReading, Method, MethodConfig, MethodError, MethodState, Needs, Plan, Probe, Range,
    Record, Request, Scheduled, ScheduledConfig, SearchForecast, Slot, Turn, ValueKind, kinds,
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
