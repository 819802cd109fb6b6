use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::Core;
use super::kind::ValueKind::{Number, OneOf, Switch, Whole};
use super::kind::{Key, Kind, LR, Range, UNIT};
use super::reduce_on_plateau::ThresholdMode;
use super::registry::Entry;
use super::{Budget, Change, Event, Method, MethodError, MethodState, Needs, Record, Turn};
use crate::clock::Unit;
use crate::error::{ConfigError, StateError};
use crate::schedule::range::{checked, not_negative, positive};
use crate::value::Table;
use crate::value::difference::differences;

const KIND: &str = "greedy";
const VERSION: u32 = 1;

const FACTOR: Range = Range::new(0.0, 1.0, "must be above 0 and below 1")
    .without_least()
    .without_most();

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            LR,
            Key::new("factor", Number, Core("0.95")).within(FACTOR).about("a fall multiplies the rate by it, a rise divides by it"),
            Key::new("patience", Whole, Core("10")).about("good losses in a row before a rise, and bad ones before a fall, that are waited for"),
            Key::new("threshold", Number, Core("1e-6")).within(Range::NOT_NEGATIVE).about("least change that counts as better"),
            Key::new("threshold_mode", OneOf(&["rel", "abs"]), Core("abs")).about("whether the threshold is a share of the best loss"),
            Key::new("cooldown", Whole, Core("0")).about("losses after a fall that are passed over"),
            Key::new("warmup", Whole, Core("0")).about("losses after a rise that are passed over"),
            Key::new("min_lr", Number, Core("1e-3")).within(Range::NOT_NEGATIVE).about("the rate does not fall below"),
            Key::new("max_lr", Number, Core("1")).within(Range::POSITIVE).about("the rate does not rise above; at least `min_lr`"),
            Key::new("eps", Number, Core("1e-8")).within(Range::NOT_NEGATIVE).about("a smaller change is not made"),
            Key::new("smooth", Switch, Core("false")).about("whether the mean of the last losses stands for the loss"),
            Key::new("window_size", Whole, Core("50")).within(Range::AT_LEAST_ONE).about("how many losses that mean is of"),
            Key::new("reset_start", Whole, Core("500")).within(Range::AT_LEAST_ONE).about("falls at `min_lr` before all begins again at `lr`"),
            UNIT,
        ],
        "GreedyLR: up while the loss falls, down while it does not",
    ),
    read: |table| table.settings::<RawConfig, GreedyConfig>().map(MethodConfig::of),
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

/// The settings of a [`GreedyLr`], with the names and defaults of transformers. In files: `lr` is required.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct GreedyConfig {
    lr: f64,
    factor: f64,
    patience: u64,
    threshold: f64,
    threshold_mode: ThresholdMode,
    cooldown: u64,
    warmup: u64,
    min_lr: f64,
    max_lr: f64,
    eps: f64,
    smooth: bool,
    window_size: u64,
    reset_start: u64,
    unit: Unit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    lr: f64,
    factor: Option<f64>,
    patience: Option<u64>,
    threshold: Option<f64>,
    threshold_mode: Option<ThresholdMode>,
    cooldown: Option<u64>,
    warmup: Option<u64>,
    min_lr: Option<f64>,
    max_lr: Option<f64>,
    eps: Option<f64>,
    smooth: Option<bool>,
    window_size: Option<u64>,
    reset_start: Option<u64>,
    unit: Option<Unit>,
}

impl TryFrom<RawConfig> for GreedyConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let default = Self::new(raw.lr)?;
        let window_size = raw.window_size.unwrap_or(default.window_size);
        let reset_start = raw.reset_start.unwrap_or(default.reset_start);
        Range::AT_LEAST_ONE.check("window_size", window_size as f64)?;
        Range::AT_LEAST_ONE.check("reset_start", reset_start as f64)?;
        let min_lr = not_negative("min_lr", raw.min_lr.unwrap_or(default.min_lr))?;
        let max_lr = positive("max_lr", raw.max_lr.unwrap_or(default.max_lr))?;
        checked(
            "max_lr",
            max_lr,
            min_lr <= max_lr,
            "must not be below min_lr",
        )?;
        Ok(Self {
            factor: FACTOR.check("factor", raw.factor.unwrap_or(default.factor))?,
            patience: raw.patience.unwrap_or(default.patience),
            threshold: not_negative("threshold", raw.threshold.unwrap_or(default.threshold))?,
            threshold_mode: raw.threshold_mode.unwrap_or(default.threshold_mode),
            cooldown: raw.cooldown.unwrap_or(default.cooldown),
            warmup: raw.warmup.unwrap_or(default.warmup),
            min_lr,
            max_lr,
            eps: not_negative("eps", raw.eps.unwrap_or(default.eps))?,
            smooth: raw.smooth.unwrap_or(default.smooth),
            window_size,
            reset_start,
            unit: raw.unit.unwrap_or(default.unit),
            ..default
        })
    }
}

impl GreedyConfig {
    /// At first `lr`; the defaults for the rest.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite.
    pub fn new(lr: f64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: positive("lr", lr)?,
            factor: 0.95,
            patience: 10,
            threshold: 1e-6,
            threshold_mode: ThresholdMode::Abs,
            cooldown: 0,
            warmup: 0,
            min_lr: 1e-3,
            max_lr: 1.0,
            eps: 1e-8,
            smooth: false,
            window_size: 50,
            reset_start: 500,
            unit: Unit::Epoch,
        })
    }

    fn is_better(&self, loss: f64, best: f64) -> bool {
        match self.threshold_mode {
            ThresholdMode::Rel => loss < best * (1.0 - self.threshold),
            ThresholdMode::Abs => loss < best - self.threshold,
        }
    }
}

impl Config for GreedyConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(GreedyLr::new(*self))
    }

    fn resume(&self, state: &MethodState) -> Result<Box<dyn Method>, StateError> {
        let saved = saved(state)?;
        let differences = differences("", &saved.config, self);
        if !differences.is_empty() {
            return Err(StateError::Config { differences });
        }
        Ok(Box::new(saved))
    }
}

fn saved(state: &MethodState) -> Result<GreedyLr, StateError> {
    state.read(KIND, VERSION..=VERSION)
}

/// GreedyLR: after more than `patience` losses in a row that each were better than the best so far, the rate is divided by
/// `factor`; after as many that were not, it is multiplied by it. It stays within `min_lr` and `max_lr`, where it has come
/// within. After `reset_start` falls at `min_lr` all begins again.
///
/// The loss is the validation loss of each epoch, as in transformers, or with `unit` = `step` the training loss of each
/// batch, as in the paper's own experiments. Its mode `max` is left out. A loss that is not finite counts as bad; it does
/// not enter the mean of `smooth`, which in transformers it would spoil for good.
///
/// # References
/// GreedyLR: A Novel Adaptive Learning Rate Scheduler, arXiv:2512.14527; `transformers.optimization.GreedyLR` 5.24.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GreedyLr {
    config: GreedyConfig,
    #[serde(with = "crate::float_serde")]
    lr: f64,
    #[serde(with = "crate::float_serde")]
    best: f64,
    good: u64,
    bad: u64,
    cooldown_left: u64,
    warmup_left: u64,
    /// Falls at `min_lr` before the next beginning.
    reset_left: u64,
    /// The last losses, and their sum as it has come about.
    window: VecDeque<f64>,
    #[serde(with = "crate::float_serde")]
    sum: f64,
}

/// What a change came from, for the log.
#[derive(Serialize)]
struct Why {
    #[serde(with = "crate::float_serde")]
    loss: f64,
    #[serde(with = "crate::float_serde")]
    best: f64,
}

impl GreedyLr {
    /// At its initial rate.
    pub fn new(config: GreedyConfig) -> Self {
        Self {
            config,
            lr: config.lr,
            best: f64::INFINITY,
            good: 0,
            bad: 0,
            cooldown_left: 0,
            warmup_left: 0,
            reset_left: config.reset_start,
            window: VecDeque::new(),
            sum: 0.0,
        }
    }

    /// The loss that counts: itself, or the mean of the last ones.
    fn smoothed(&mut self, loss: f64) -> f64 {
        if !self.config.smooth || !loss.is_finite() {
            return loss;
        }
        self.window.push_back(loss);
        self.sum += loss;
        if self.window.len() as u64 > self.config.window_size {
            self.sum -= self.window.pop_front().unwrap_or(0.0);
        }
        self.sum / self.window.len() as f64
    }

    /// Takes one more loss, any number or NaN; what it counted as.
    fn observe(&mut self, loss: f64) -> Why {
        let loss = self.smoothed(loss);
        let why = Why {
            loss,
            best: self.best,
        };
        if self.cooldown_left > 0 || self.warmup_left > 0 {
            let left = match self.cooldown_left {
                0 => &mut self.warmup_left,
                _ => &mut self.cooldown_left,
            };
            *left -= 1;
            (self.good, self.bad) = (0, 0);
            return why;
        }
        if self.config.is_better(loss, self.best) {
            self.best = loss;
            (self.good, self.bad) = (self.good.saturating_add(1), 0);
        } else {
            (self.good, self.bad) = (0, self.bad.saturating_add(1));
        }
        if self.good > self.config.patience {
            let raised = (self.lr / self.config.factor).min(self.config.max_lr);
            if raised - self.lr > self.config.eps {
                self.lr = raised;
            }
            (self.good, self.warmup_left) = (0, self.config.warmup);
            self.reset_left = self.config.reset_start;
        } else if self.bad > self.config.patience {
            let reduced = (self.lr * self.config.factor).max(self.config.min_lr);
            if self.lr - reduced > self.config.eps {
                self.lr = reduced;
            }
            let at_min = self.lr <= self.config.min_lr;
            self.reset_left = self.reset_left.saturating_sub(u64::from(at_min));
            if self.reset_left == 0 {
                *self = Self::new(self.config);
            }
            // Also after a new beginning, as in transformers.
            (self.bad, self.cooldown_left) = (0, self.config.cooldown);
        }
        why
    }
}

impl Method for GreedyLr {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        Needs {
            loss: self.config.unit == Unit::Step,
            validation: self.config.unit == Unit::Epoch,
            ..Needs::default()
        }
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        let loss = match (*event, self.config.unit) {
            (Event::Step { loss }, Unit::Step) => loss,
            (
                Event::Epoch {
                    validation_loss, ..
                },
                Unit::Epoch,
            ) => validation_loss,
            (
                Event::Start(_) | Event::Gradient { .. } | Event::Step { .. } | Event::Epoch { .. },
                _,
            ) => {
                return Ok(Turn::CONTINUE);
            }
            _ => return Err(MethodError::unasked(event)),
        };
        let lr = self.lr;
        let why = self.observe(loss.ok_or(MethodError::NoMetric)?);
        if self.lr == lr {
            return Ok(Turn::CONTINUE);
        }
        let change = Change::new(lr, self.lr, &why);
        Ok(Turn::recorded(Record::Change(change)))
    }

    fn state(&self) -> MethodState {
        MethodState::new(KIND, VERSION, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float_serde::Float;

    #[derive(Deserialize)]
    struct Recorded {
        greedy: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        config: MethodConfig,
        metrics: Vec<Float>,
        rates: Vec<f64>,
    }

    /// The rates of transformers' own code: `fixtures/reference/transformers/`.
    #[test]
    fn rates_are_those_of_transformers() {
        let text = include_str!("../../../fixtures/reference/transformers/values.json");
        let recorded: Recorded = serde_json::from_str(text).unwrap();
        let (mut changes, mut up) = (0, 0);
        for Case {
            config,
            metrics,
            rates,
        } in recorded.greedy
        {
            let mut method = config.build();
            for (&Float(metric), &expected) in metrics.iter().zip(&rates) {
                let event = Event::Epoch {
                    train_loss: 0.0,
                    validation_loss: Some(metric),
                };
                let lr = method.lr();
                method.next(&event, &Budget::default()).unwrap();
                assert_eq!(method.lr(), expected, "{config:?}");
                changes += usize::from(method.lr() != lr);
                up += usize::from(method.lr() > lr);
            }
        }
        assert!(changes > 100 && up > 50, "{changes} {up}");
    }

    #[test]
    fn a_smoothed_loss_that_is_no_number_is_bad_and_forgotten() {
        let text = r#"{"kind": "greedy", "lr": 0.1, "smooth": true, "window_size": 2, "patience": 1, "unit": "step"}"#;
        let config: MethodConfig = serde_json::from_str(text).unwrap();
        assert!(config.build().needs().loss && !config.build().needs().validation);
        let mut method = config.build();
        let mut lrs = |losses: &[f64]| {
            for &loss in losses {
                let event = Event::Step { loss: Some(loss) };
                method.next(&event, &Budget::default()).unwrap();
            }
            method.lr()
        };
        let fallen = lrs(&[3.0, f64::NAN, f64::INFINITY]);
        assert_eq!(fallen, 0.1 * 0.95);
        assert_eq!(lrs(&[2.0, 1.0]), fallen / 0.95);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (text, expected) in [
            (r#"{"kind": "greedy"}"#, "missing field `lr`"),
            (
                r#"{"kind": "greedy", "lr": 1, "factor": 1}"#,
                "factor = 1: must be above 0 and below 1",
            ),
            (
                r#"{"kind": "greedy", "lr": 1, "max_lr": 1e-4}"#,
                "max_lr = 0.0001: must not be below min_lr",
            ),
            (
                r#"{"kind": "greedy", "lr": 1, "reset_start": 0}"#,
                "reset_start = 0: ",
            ),
        ] {
            let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn it_needs_the_loss_it_counts() {
        let config: MethodConfig = serde_json::from_str(r#"{"kind": "greedy", "lr": 1}"#).unwrap();
        let event = Event::Epoch {
            train_loss: 1.0,
            validation_loss: None,
        };
        let error = config.build().next(&event, &Budget::default());
        assert_eq!(error.unwrap_err(), MethodError::NoMetric);
    }
}
