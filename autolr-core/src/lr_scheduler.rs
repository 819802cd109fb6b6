//! What open and closed loop have in common, so that a trainer takes any of them.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::clock::{Tick, Unit};
use crate::leaves;
use crate::schedule::read::Table;
use crate::schedule::{Schedule, ScheduleConfig};
use crate::state::{KINDS, SchedulerState, version};
use crate::{
    AutoLr, AutoLrConfig, Decision, FieldDifference, ProbeBackend, ProbeError, ReduceOnPlateau,
    ReduceOnPlateauConfig, StateError,
};

/// A learning rate that moves when an epoch or a step is over: by a plan, by a metric, or by probing.
///
/// `E` is the error of the trainer's back end. A trainer asks for the rate, trains, and says what is over:
///
/// ```
/// use autolr_core::{LrScheduler, ProbeBackend, ProbeError, SchedulerConfig, Tick};
/// use autolr_core::testkit::Quadratic;
///
/// /// Any scheduler, any back end.
/// fn train<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static>(
///     scheduler: &mut dyn LrScheduler<E>,
///     model: &mut (impl ProbeBackend<Error = E> + Train),
/// ) -> Result<(), ProbeError> {
///     for _epoch in 0..30 {
///         let validation_loss = model.train_epoch(scheduler.lr());
///         if let Some(decision) = scheduler.advance(Tick::epoch(validation_loss), model)? {
///             println!("{decision}");
///         }
///     }
///     Ok(())
/// }
/// # trait Train { fn train_epoch(&mut self, lr: f64) -> f64; }
/// # impl Train for Quadratic { fn train_epoch(&mut self, lr: f64) -> f64 { self.step(lr); self.loss() } }
///
/// for text in [
///     r#"{"kind": "autolr", "lr": 0.01, "factors": "factor_5"}"#,
///     r#"{"kind": "open-loop", "schedule": {"kind": "cosine", "lr": 0.5, "t_max": 30}}"#,
/// ] {
///     let config: SchedulerConfig = serde_json::from_str(text)?;
///     train(config.build().as_mut(), &mut Quadratic::new(3))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait LrScheduler<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static> {
    /// The rates in force, one a parameter group; at least one.
    fn lrs(&self) -> &[f64];

    /// The rate in force; with several parameter groups, that of the first.
    fn lr(&self) -> f64 {
        self.lrs()[0]
    }

    /// An epoch or a step is over: moves on if this scheduler counts such, and if a decision is due, probes `backend`.
    ///
    /// # Errors
    /// [`ProbeError`] if a probe fails, or a metric is needed and not there. The scheduler is then as before.
    fn advance(
        &mut self,
        tick: Tick,
        backend: &mut dyn ProbeBackend<Error = E>,
    ) -> Result<Option<Decision>, ProbeError>;

    /// The state to be saved; [`SchedulerConfig::resume`] goes on from it.
    fn state(&self) -> SchedulerState;
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static> LrScheduler<E> for AutoLr {
    fn lrs(&self) -> &[f64] {
        Self::lrs(self)
    }

    fn advance(
        &mut self,
        tick: Tick,
        backend: &mut dyn ProbeBackend<Error = E>,
    ) -> Result<Option<Decision>, ProbeError> {
        if tick.unit != self.config().cadence().unit() {
            Ok(None)
        } else if self.is_due() {
            self.step(backend).map(Some)
        } else {
            self.skip();
            Ok(None)
        }
    }

    fn state(&self) -> SchedulerState {
        Self::state(self)
    }
}

/// An open-loop schedule that counts for itself.
///
/// ```
/// use autolr_core::schedule::StepLr;
/// use autolr_core::{OpenLoop, Unit};
/// let mut scheduler = OpenLoop::new(StepLr::new(0.1, 30, 0.1)?, Unit::Epoch);
/// for _ in 0..30 {
///     assert_eq!(scheduler.lr(), 0.1);
///     scheduler.tick();
/// }
/// assert!((scheduler.lr() - 0.01).abs() < 1e-15);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OpenLoop {
    schedule: ScheduleConfig,
    unit: Unit,
    tick: u64,
    lr: f64,
}

/// The state of an [`OpenLoop`]: its schedule, and how far it has counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenLoopState {
    // First, so that a state of another version is told by its version, not by its other fields.
    #[serde(deserialize_with = "version::<_, { OpenLoopState::VERSION }>")]
    version: u32,
    schedule: ScheduleConfig,
    unit: Unit,
    tick: u64,
}

impl OpenLoopState {
    /// The version that this build writes and reads.
    pub const VERSION: u32 = 1;
}

impl OpenLoop {
    /// At the schedule's beginning; it counts `unit`s.
    pub fn new(schedule: impl Into<ScheduleConfig>, unit: Unit) -> Self {
        let schedule = schedule.into();
        Self {
            lr: schedule.lr(0),
            schedule,
            unit,
            tick: 0,
        }
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// [`StateError`] for a state of another kind, or of another schedule or unit.
    pub fn with_state(
        schedule: impl Into<ScheduleConfig>,
        unit: Unit,
        state: &SchedulerState,
    ) -> Result<Self, StateError> {
        let SchedulerState::OpenLoop(state) = state else {
            return Err(state.not_of_kind("open-loop"));
        };
        let mut scheduler = Self::new(schedule, unit);
        let mut differences = leaves::differences("schedule", &state.schedule, &scheduler.schedule);
        if state.unit != unit {
            differences.push(FieldDifference {
                field: "unit".into(),
                saved: state.unit.name().to_owned(),
                configured: unit.name().to_owned(),
            });
        }
        if !differences.is_empty() {
            return Err(StateError::Config { differences });
        }
        scheduler.tick = state.tick;
        scheduler.lr = scheduler.schedule.lr(state.tick);
        Ok(scheduler)
    }

    /// The rate in force.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// The next epoch or step begins.
    pub fn tick(&mut self) {
        self.tick = self.tick.saturating_add(1);
        self.lr = self.schedule.lr(self.tick);
    }

    /// The state to be saved.
    pub fn state(&self) -> SchedulerState {
        SchedulerState::OpenLoop(OpenLoopState {
            version: OpenLoopState::VERSION,
            schedule: self.schedule.clone(),
            unit: self.unit,
            tick: self.tick,
        })
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static> LrScheduler<E> for OpenLoop {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn advance(
        &mut self,
        tick: Tick,
        _backend: &mut dyn ProbeBackend<Error = E>,
    ) -> Result<Option<Decision>, ProbeError> {
        if tick.unit == self.unit {
            self.tick();
        }
        Ok(None)
    }

    fn state(&self) -> SchedulerState {
        Self::state(self)
    }
}

/// Counts epochs: its metric is measured at the end of one.
impl<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static> LrScheduler<E>
    for ReduceOnPlateau
{
    fn lrs(&self) -> &[f64] {
        self.rates()
    }

    fn advance(
        &mut self,
        tick: Tick,
        _backend: &mut dyn ProbeBackend<Error = E>,
    ) -> Result<Option<Decision>, ProbeError> {
        if tick.unit == Unit::Epoch {
            self.observe(tick.metric.ok_or(ProbeError::NoMetric)?);
        }
        Ok(None)
    }

    fn state(&self) -> SchedulerState {
        SchedulerState::ReduceOnPlateau(Self::state(self))
    }
}

/// Any scheduler, as a file names it by its `kind`: `autolr`, `open-loop`, `reduce-on-plateau`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SchedulerConfig {
    /// The closed loop.
    #[serde(rename = "autolr")]
    AutoLr(AutoLrConfig),
    /// A plan.
    OpenLoop(OpenLoopConfig),
    /// A metric.
    ReduceOnPlateau(ReduceOnPlateauConfig),
}

/// What is wrong is said with the path to its key, such as `schedule: lr = -1: …`.
impl<'de> Deserialize<'de> for SchedulerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Table::read(deserializer, "a scheduler")?;
        let config = table
            .take_text("kind")
            .and_then(|kind| match kind.as_str() {
                "autolr" => AutoLrConfig::deserialize(table).map(Self::AutoLr),
                "open-loop" => OpenLoopConfig::deserialize(table).map(Self::OpenLoop),
                "reduce-on-plateau" => {
                    ReduceOnPlateauConfig::deserialize(table).map(Self::ReduceOnPlateau)
                }
                other => Err(de::Error::unknown_variant(other, KINDS)),
            });
        config.map_err(de::Error::custom)
    }
}

/// An open-loop schedule and what it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenLoopConfig {
    /// What it counts; epochs if nothing is said.
    #[serde(default)]
    pub unit: Unit,
    /// The schedule.
    pub schedule: ScheduleConfig,
}

impl SchedulerConfig {
    /// The scheduler at its beginning.
    pub fn build<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static>(
        &self,
    ) -> Box<dyn LrScheduler<E>> {
        match self {
            Self::AutoLr(config) => Box::new(AutoLr::new(config.clone())),
            Self::OpenLoop(config) => Box::new(OpenLoop::new(config.schedule.clone(), config.unit)),
            Self::ReduceOnPlateau(config) => Box::new(ReduceOnPlateau::new(*config)),
        }
    }

    /// The scheduler where it was saved.
    ///
    /// # Errors
    /// [`StateError`] for a state of another kind, version or configuration, with the fields that differ.
    pub fn resume<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static>(
        &self,
        state: &SchedulerState,
    ) -> Result<Box<dyn LrScheduler<E>>, StateError> {
        Ok(match self {
            Self::AutoLr(config) => Box::new(AutoLr::with_state(config.clone(), state)?),
            Self::OpenLoop(config) => {
                let schedule = config.schedule.clone();
                Box::new(OpenLoop::with_state(schedule, config.unit, state)?)
            }
            Self::ReduceOnPlateau(config) => match state {
                SchedulerState::ReduceOnPlateau(state) => {
                    Box::new(ReduceOnPlateau::with_state(*config, state)?)
                }
                _ => return Err(state.not_of_kind("reduce-on-plateau")),
            },
        })
    }
}

#[cfg(test)]
mod tests;
