//! An open-loop schedule as a method.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::config::{Config, MethodConfig};
use super::{Budget, Event, Method, MethodError, MethodState, Turn};
use crate::StateError;
use crate::clock::Unit;
use crate::schedule::{Schedule, ScheduleConfig};
use crate::value::difference::differences;
use crate::value::read::SettingsError;
use crate::value::within::Within;
use crate::value::{Table, Value};

/// The kind of its state, whatever the schedule; in files, also `kind = "open-loop"` with a `schedule` of its own.
pub(super) const KIND: &str = "open-loop";
/// Version 1 had plain numbers.
const VERSION: u32 = 2;

/// The settings of a schedule of `kind`, which has those keys and `unit`.
pub(super) fn read(kind: &str, mut table: Table) -> Result<MethodConfig, SettingsError> {
    let unit = if table.has("unit") {
        table.take("unit")?
    } else {
        Unit::default()
    };
    let schedule = if kind == KIND {
        let schedule: Within<ScheduleConfig> = table.take("schedule")?;
        if let Some((key, _)) = table.0.first() {
            let known = &["schedule", "unit"];
            return Err(de::Error::unknown_field(key, known));
        }
        schedule.at("schedule")?
    } else {
        ScheduleConfig::of_kind(kind, table)?
    };
    Ok(MethodConfig::of(ScheduledConfig { unit, schedule }))
}

pub(super) fn of_state(state: &MethodState) -> Result<MethodConfig, StateError> {
    Ok(MethodConfig::of(saved(state)?.config))
}

fn saved(state: &MethodState) -> Result<Saved, StateError> {
    state.read(KIND, 1..=VERSION)
}

/// An open-loop schedule and what it counts. In files: the schedule's keys, and `unit`, `"epoch"` (the default) or
/// `"step"`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledConfig {
    unit: Unit,
    schedule: ScheduleConfig,
}

impl ScheduledConfig {
    /// A schedule over epochs or over steps.
    pub fn new(schedule: impl Into<ScheduleConfig>, unit: Unit) -> Self {
        let schedule = schedule.into();
        Self { unit, schedule }
    }

    /// What it counts.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The schedule.
    pub fn schedule(&self) -> &ScheduleConfig {
        &self.schedule
    }
}

impl From<ScheduledConfig> for MethodConfig {
    fn from(config: ScheduledConfig) -> Self {
        Self::of(config)
    }
}

impl Config for ScheduledConfig {
    fn kind(&self) -> &'static str {
        self.schedule.kind()
    }

    fn keys(&self) -> Table {
        let mut table = Table::of(&self.schedule);
        if self.unit != Unit::default() {
            let unit = Value::Text(self.unit.name().to_owned());
            table.0.push(("unit".to_owned(), unit));
        }
        table
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(Scheduled::new(self.clone()))
    }

    fn resume(&self, state: &MethodState) -> Result<Box<dyn Method>, StateError> {
        let Saved { config, tick } = saved(state)?;
        let mut found = differences("schedule", &config.schedule, &self.schedule);
        found.extend(differences("unit", &config.unit, &self.unit));
        if !found.is_empty() {
            return Err(StateError::Config { differences: found });
        }
        Ok(Box::new(Scheduled::at(config, tick)))
    }
}

/// What a state holds: the schedule, its unit, and how far it has counted.
#[derive(Debug)]
struct Saved {
    config: ScheduledConfig,
    tick: u64,
}

impl<'de> Deserialize<'de> for Saved {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields {
            schedule,
            unit,
            tick,
        } = Fields::deserialize(deserializer)?;
        let config = ScheduledConfig { unit, schedule };
        Ok(Self { config, tick })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    schedule: ScheduleConfig,
    unit: Unit,
    tick: u64,
}

/// An open-loop schedule that counts for itself.
///
/// ```
/// use autolr_core::schedule::StepLr;
/// use autolr_core::{Scheduled, ScheduledConfig, Unit};
/// let mut scheduler = Scheduled::new(ScheduledConfig::new(StepLr::new(0.1, 30, 0.1)?, Unit::Epoch));
/// for _ in 0..30 {
///     assert_eq!(scheduler.lr(), 0.1);
///     scheduler.tick();
/// }
/// assert!((scheduler.lr() - 0.01).abs() < 1e-15);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    config: ScheduledConfig,
    tick: u64,
    lr: f64,
}

impl Scheduled {
    /// At the schedule's beginning.
    pub fn new(config: ScheduledConfig) -> Self {
        Self::at(config, 0)
    }

    fn at(config: ScheduledConfig, tick: u64) -> Self {
        let lr = config.schedule.lr(tick);
        Self { config, tick, lr }
    }

    /// The rate in force.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// The next epoch or step begins.
    pub fn tick(&mut self) {
        self.tick = self.tick.saturating_add(1);
        self.lr = self.config.schedule.lr(self.tick);
    }
}

impl Method for Scheduled {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        match (event, self.config.unit) {
            (Event::Step { .. }, Unit::Step) | (Event::Epoch { .. }, Unit::Epoch) => self.tick(),
            (
                Event::Start(_) | Event::Gradient { .. } | Event::Step { .. } | Event::Epoch { .. },
                _,
            ) => {}
            _ => return Err(MethodError::unasked(event)),
        }
        Ok(Turn::CONTINUE)
    }

    fn state(&self) -> MethodState {
        let fields = Fields {
            schedule: self.config.schedule.clone(),
            unit: self.config.unit,
            tick: self.tick,
        };
        MethodState::new(KIND, VERSION, &fields)
    }
}
