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
/// fn train<E: std::error::Error + Send + Sync + 'static>(
///     scheduler: &mut dyn LrScheduler<E>,
///     model: &mut (impl ProbeBackend<Error = E> + Train),
/// ) -> Result<(), ProbeError<E>> {
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
pub trait LrScheduler<E: std::error::Error + Send + Sync + 'static> {
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
    ) -> Result<Option<Decision>, ProbeError<E>>;

    /// The state to be saved; [`SchedulerConfig::resume`] goes on from it.
    fn state(&self) -> SchedulerState;
}

impl<E: std::error::Error + Send + Sync + 'static> LrScheduler<E> for AutoLr {
    fn lrs(&self) -> &[f64] {
        Self::lrs(self)
    }

    fn advance(
        &mut self,
        tick: Tick,
        backend: &mut dyn ProbeBackend<Error = E>,
    ) -> Result<Option<Decision>, ProbeError<E>> {
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

impl<E: std::error::Error + Send + Sync + 'static> LrScheduler<E> for OpenLoop {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn advance(
        &mut self,
        tick: Tick,
        _backend: &mut dyn ProbeBackend<Error = E>,
    ) -> Result<Option<Decision>, ProbeError<E>> {
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
impl<E: std::error::Error + Send + Sync + 'static> LrScheduler<E> for ReduceOnPlateau {
    fn lrs(&self) -> &[f64] {
        self.rates()
    }

    fn advance(
        &mut self,
        tick: Tick,
        _backend: &mut dyn ProbeBackend<Error = E>,
    ) -> Result<Option<Decision>, ProbeError<E>> {
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
    pub fn build<E: std::error::Error + Send + Sync + 'static>(&self) -> Box<dyn LrScheduler<E>> {
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
    pub fn resume<E: std::error::Error + Send + Sync + 'static>(
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
mod tests {
    use super::*;
    use crate::schedule::StepLr;
    use crate::testkit::Quadratic;
    use std::convert::Infallible;

    const CONFIGS: [&str; 4] = [
        r#"{"kind": "autolr", "lr": 0.01, "factors": "factor_5", "every": 2}"#,
        r#"{"kind": "open-loop", "schedule": {"kind": "cosine", "lr": 0.5, "t_max": 7}}"#,
        r#"{"kind": "open-loop", "unit": "step", "schedule": {"kind": "step", "lr": 0.5, "step_size": 3}}"#,
        r#"{"kind": "reduce-on-plateau", "lr": 0.5, "patience": 1, "threshold": 9, "threshold_mode": "abs"}"#,
    ];

    fn configs() -> [SchedulerConfig; 4] {
        CONFIGS.map(|text| serde_json::from_str(text).unwrap())
    }

    /// One epoch of three steps.
    fn epoch(scheduler: &mut dyn LrScheduler<Infallible>, model: &mut Quadratic) {
        for _ in 0..3 {
            model.step(scheduler.lr());
            scheduler.advance(Tick::step(), model).unwrap();
        }
        let loss = model.loss();
        scheduler.advance(Tick::epoch(loss), model).unwrap();
    }

    #[test]
    fn a_trainer_takes_any_and_each_goes_on_from_its_state() {
        for config in configs() {
            let (mut whole, mut model) = (config.build(), Quadratic::new(3));
            let (mut parts, mut again) = (config.build(), Quadratic::new(3));
            for _ in 0..12 {
                epoch(whole.as_mut(), &mut model);
                epoch(parts.as_mut(), &mut again);
                let text = serde_json::to_string(&parts.state()).unwrap();
                parts = config
                    .resume(&serde_json::from_str(&text).unwrap())
                    .unwrap();
                assert_eq!(whole.lr().to_bits(), parts.lr().to_bits(), "{config:?}");
            }
            assert_ne!(whole.lr(), config.build::<Infallible>().lr(), "{config:?}");
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(
                serde_json::from_str::<SchedulerConfig>(&text).unwrap(),
                config
            );
        }
    }

    #[test]
    fn a_state_of_another_kind_or_configuration_is_refused() {
        let configs = configs();
        for (i, config) in configs.iter().enumerate() {
            for (k, other) in configs.iter().enumerate() {
                let state = other.build::<Infallible>().state();
                let resumed = config.resume::<Infallible>(&state);
                assert_eq!(resumed.is_ok(), i == k, "{config:?} from {state:?}");
            }
        }
        let state = configs[0].build::<Infallible>().state();
        let error = configs[3].resume::<Infallible>(&state).err().unwrap();
        assert_eq!(
            error.to_string(),
            "scheduler state of kind `autolr`: the configuration is of kind `reduce-on-plateau`"
        );
        let state = configs[1].build::<Infallible>().state();
        let error = configs[2]
            .resume::<Infallible>(&state)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("schedule.kind was cosine and is step; ")
                && error.contains("unit was epoch and is step"),
            "{error}"
        );
    }

    #[test]
    fn a_state_of_another_version_says_so() {
        for config in configs() {
            let mut json = serde_json::to_value(config.build::<Infallible>().state()).unwrap();
            json["version"] = 99.into();
            let error = serde_json::from_value::<SchedulerState>(json)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("scheduler state version 99: this build reads version "),
                "{error}"
            );
        }
    }

    /// The keys of `serde_json`'s maps are sorted: `version` comes last.
    #[test]
    fn a_state_of_another_version_says_so_whatever_else_is_in_it() {
        for config in configs() {
            let mut json = serde_json::to_value(config.build::<Infallible>().state()).unwrap();
            for (key, unknown) in json.as_object_mut().unwrap() {
                if key == "config" || key == "schedule" {
                    unknown["of_a_later_version"] = true.into();
                }
            }
            json["later"] = true.into();
            let read = |json: &serde_json::Value| {
                serde_json::from_str::<SchedulerState>(&json.to_string())
                    .unwrap_err()
                    .to_string()
            };
            let error = read(&json);
            assert!(error.contains("unknown field"), "{error}");
            json["version"] = 99.into();
            let error = read(&json);
            let expected = "scheduler state version 99: this build reads version ";
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        for (text, expected) in [
            (
                r#"{"kind": "autolr", "lr": "x", "factors": [1]}"#,
                "lr: invalid type: string \"x\", expected f64",
            ),
            (
                r#"{"kind": "autolr", "lr": 1, "factors": [1, -2]}"#,
                "factors[1] = -2: a factor must be",
            ),
            (
                r#"{"kind": "autolr", "lr": 1, "factors": [1, "x"]}"#,
                "factors[1]: invalid type: string \"x\"",
            ),
            (
                r#"{"kind": "autolr", "factors": [1], "base": {"kind": "fixed", "lr": -1}}"#,
                "base: lr = -1: must be positive",
            ),
            (
                r#"{"kind": "autolr", "lr": 0, "factors": [1]}"#,
                "lr = 0: a learning rate must be",
            ),
            (
                r#"{"kind": "autolr", "lr": 1, "factors": [1], "unit": "hour"}"#,
                "unit: unknown variant `hour`",
            ),
            (
                r#"{"kind": "autolr", "lr": 1, "factors": [1], "gama": 2}"#,
                "unknown field `gama`",
            ),
            (
                r#"{"kind": "open-loop", "schedule": {"kind": "step", "lr": 1}}"#,
                "schedule: missing field `step_size`",
            ),
            (
                r#"{"kind": "reduce-on-plateau", "lr": 1, "patience": 0.5}"#,
                "patience: invalid type: floating point `0.5`, expected u64",
            ),
            (
                r#"{"kind": "autolrr"}"#,
                "unknown variant `autolrr`, expected one of `autolr`, `open-loop`",
            ),
            (r#"{"lr": 1}"#, "missing field `kind`"),
            ("3", "invalid type: integer `3`, expected a scheduler"),
        ] {
            let error = serde_json::from_str::<SchedulerConfig>(text)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        // Nothing and null are the same for an optional key, and numbers may be whole.
        let text =
            r#"{"kind": "autolr", "lr": 1, "min_lr": null, "max_lr": 2, "factors": "factor_3"}"#;
        let config: SchedulerConfig = serde_json::from_str(text).unwrap();
        let SchedulerConfig::AutoLr(config) = config else {
            panic!("{config:?}")
        };
        assert_eq!(
            (config.lr(), config.bounds()),
            (1.0, (f64::MIN_POSITIVE, 2.0))
        );
        let mut state = serde_json::to_value(AutoLr::new(config).state()).unwrap();
        state["config"]["lr"] = "x".into();
        let error = serde_json::from_value::<SchedulerState>(state)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("config.lr: invalid type"), "{error}");
    }

    #[test]
    fn a_plateau_needs_its_metric() {
        let config: SchedulerConfig = serde_json::from_str(CONFIGS[3]).unwrap();
        let mut scheduler = config.build::<Infallible>();
        let tick = Tick {
            unit: Unit::Epoch,
            metric: None,
        };
        let error = scheduler.advance(tick, &mut Quadratic::new(1)).unwrap_err();
        assert!(matches!(error, ProbeError::NoMetric));
    }

    #[test]
    fn an_open_loop_has_the_rates_of_its_schedule() {
        let schedule = StepLr::new(0.5, 2, 0.1).unwrap();
        let mut scheduler = OpenLoop::new(schedule, Unit::Epoch);
        for t in 0..7 {
            assert_eq!(scheduler.lr(), schedule.lr(t));
            scheduler.tick();
        }
    }
}
