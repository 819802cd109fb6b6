mod config;

pub use config::{PlateauMode, ReduceOnPlateauConfig, ThresholdMode};

use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::{Core, Rate};
use super::kind::ValueKind::{Number, OneOf, Whole};
use super::kind::{Key, Kind, Range};
use super::record::{Change, Record};
use super::registry::Entry;
use super::{Budget, Event, Method, MethodError, MethodState, Needs, Turn};
use crate::error::StateError;
use crate::short::Short;
use crate::value::Table;

const KIND: &str = "reduce-on-plateau";
/// Version 1 had plain numbers.
const VERSION: u32 = 2;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            Key::new("lr", Number, Rate).within(Range::POSITIVE).about("the rate to begin with"),
            Key::new("mode", OneOf(&["min", "max"]), Core("min")).about("whether lower or higher losses are better"),
            Key::new("factor", Number, Core("0.1")).within(Range::SHARE).about("what the rate is multiplied by"),
            Key::new("patience", Whole, Core("10")).about("bad epochs in a row that are put up with"),
            Key::new("threshold", Number, Core("1e-4")).within(Range::NOT_NEGATIVE).about("least change that counts as better; below 1 if it is relative"),
            Key::new("threshold_mode", OneOf(&["rel", "abs"]), Core("rel")).about("whether the threshold is a share of the best loss"),
            Key::new("cooldown", Whole, Core("0")).about("epochs after a fall that do not count as bad"),
            Key::new("min_lr", Number, Core("0")).within(Range::NOT_NEGATIVE).about("the rate does not fall below; at most `lr`"),
            Key::new("eps", Number, Core("1e-8")).within(Range::NOT_NEGATIVE).about("a smaller fall is not done"),
        ],
        "PyTorch's ReduceLROnPlateau, on the validation loss",
    ),
    read: |table| {
        ReduceOnPlateauConfig::read(table).map(MethodConfig::of)
    },
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

fn saved(state: &MethodState) -> Result<PlateauState, StateError> {
    state.read(KIND, 1..=VERSION)
}

impl From<ReduceOnPlateauConfig> for MethodConfig {
    fn from(config: ReduceOnPlateauConfig) -> Self {
        Self::of(config)
    }
}

impl Config for ReduceOnPlateauConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(ReduceOnPlateau::new(*self))
    }

    fn resume(&self, state: &MethodState) -> Result<Box<dyn Method>, StateError> {
        Ok(Box::new(ReduceOnPlateau::with_state(*self, state)?))
    }
}

/// What a [`ReduceOnPlateau`] needs to go on where it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlateauState {
    config: ReduceOnPlateauConfig,
    #[serde(with = "crate::float_serde")]
    lr: f64,
    /// The best metric so far; infinite before the first that counts.
    #[serde(with = "crate::float_serde")]
    best: f64,
    /// How many metrics in a row have been bad.
    num_bad_epochs: u64,
    /// How many metrics more do not count as bad.
    cooldown_counter: u64,
}

/// PyTorch's `ReduceLROnPlateau`: the rate is multiplied by `factor` when more than `patience`
/// metrics in a row have not been better than the best one.
///
/// A metric m is better than the best one b if
///
/// | `mode` | `threshold_mode` rel | abs |
/// |---|---|---|
/// | min | m < b · (1 − `threshold`) | m < b − `threshold` |
/// | max | m > b · (1 + `threshold`) | m > b + `threshold` |
///
/// The next rate is `max(lr · factor, min_lr)`, or `lr` still where the two differ by at most
/// `eps`. The `cooldown` metrics after a fall do not count as bad. A NaN is never better: it counts
/// as bad. All this is PyTorch's, also that a relative threshold counts the other way round for
/// metrics below zero.
///
/// ```
/// use autolr_core::{ReduceOnPlateau, ReduceOnPlateauConfig};
///
/// let config = ReduceOnPlateauConfig::new(0.8)?.with_factor(0.5)?.with_patience(1);
/// let mut scheduler = ReduceOnPlateau::new(config);
/// let rates = [1.0, 0.9, 0.95, f64::NAN, 0.92].map(|loss| scheduler.observe(loss));
/// assert_eq!(rates, [0.8, 0.8, 0.8, 0.4, 0.4]);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
///
/// # References
/// `torch.optim.lr_scheduler.ReduceLROnPlateau` of PyTorch 2.11. K. He et al.: Deep Residual
/// Learning for Image Recognition, arXiv:1512.03385, section 3.4, divides by 10 on a plateau.
#[derive(Debug, Clone, PartialEq)]
pub struct ReduceOnPlateau {
    state: PlateauState,
}

impl ReduceOnPlateau {
    /// A scheduler at its initial rate.
    pub fn new(config: ReduceOnPlateauConfig) -> Self {
        Self {
            state: PlateauState {
                config,
                lr: config.lr(),
                best: config.worst(),
                num_bad_epochs: 0,
                cooldown_counter: 0,
            },
        }
    }

    /// A scheduler that goes on from a saved state, bit-identically.
    ///
    /// # Errors
    /// [`StateError::Version`] for a state of another version, [`StateError::Config`] for one of
    /// another configuration, with the fields that differ, and [`StateError::Value`] for a number
    /// that no scheduler of this configuration comes to.
    pub fn with_state(
        config: ReduceOnPlateauConfig,
        state: &MethodState,
    ) -> Result<Self, StateError> {
        let state = saved(state)?;
        let differences = config.differences(&state.config);
        if !differences.is_empty() {
            return Err(StateError::Config { differences });
        }
        for (key, value, good, rule) in [
            (
                "lr",
                state.lr,
                (config.min_lr()..=config.lr()).contains(&state.lr),
                "must lie between min_lr and the initial rate",
            ),
            (
                "best",
                state.best,
                !state.best.is_nan(),
                "a NaN is never the best metric",
            ),
            (
                "num_bad_epochs",
                state.num_bad_epochs as f64,
                state.num_bad_epochs <= config.patience(),
                "must not exceed patience",
            ),
            (
                "cooldown_counter",
                state.cooldown_counter as f64,
                state.cooldown_counter <= config.cooldown(),
                "must not exceed cooldown",
            ),
        ] {
            if !good {
                return Err(StateError::Value {
                    field: key,
                    value: Short(value).to_string(),
                    rule,
                });
            }
        }
        Ok(Self { state })
    }

    /// The present learning rate: finite and not negative.
    pub fn lr(&self) -> f64 {
        self.state.lr
    }

    /// The settings.
    pub fn config(&self) -> &ReduceOnPlateauConfig {
        &self.state.config
    }

    /// The best metric so far; infinite before the first that counts.
    pub fn best(&self) -> f64 {
        self.state.best
    }

    /// Takes the metric of one more epoch, any number or NaN, and returns the next rate.
    pub fn observe(&mut self, metric: f64) -> f64 {
        let state = &mut self.state;
        let config = state.config;
        if config.is_better(metric, state.best) {
            state.best = metric;
            state.num_bad_epochs = 0;
        } else {
            // A patience of u64::MAX is never at its end.
            state.num_bad_epochs = state.num_bad_epochs.saturating_add(1);
        }
        if state.cooldown_counter > 0 {
            state.cooldown_counter -= 1;
            state.num_bad_epochs = 0;
        }
        if state.num_bad_epochs > config.patience() {
            let reduced = (state.lr * config.factor()).max(config.min_lr());
            if state.lr - reduced > config.eps() {
                state.lr = reduced;
            }
            state.cooldown_counter = config.cooldown();
            state.num_bad_epochs = 0;
        }
        state.lr
    }
}

/// What a fall of the rate came from, for the log.
#[derive(Serialize)]
struct Fall {
    #[serde(with = "crate::float_serde")]
    metric: f64,
    #[serde(with = "crate::float_serde")]
    best: f64,
}

/// Counts epochs: its metric is the validation loss at the end of one. Each fall of the rate is recorded.
impl Method for ReduceOnPlateau {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.state.lr)
    }

    fn needs(&self) -> Needs {
        Needs {
            validation: true,
            ..Needs::default()
        }
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        match *event {
            Event::Epoch {
                validation_loss, ..
            } => {
                let metric = validation_loss.ok_or(MethodError::NoMetric)?;
                let lr = self.lr();
                let new_lr = self.observe(metric);
                if new_lr == lr {
                    return Ok(Turn::CONTINUE);
                }
                let best = self.best();
                let change = Change::new(lr, new_lr, &Fall { metric, best });
                Ok(Turn::recorded(Record::Change(change)))
            }
            Event::Start(_) | Event::Gradient { .. } | Event::Step { .. } => Ok(Turn::CONTINUE),
            _ => Err(MethodError::unasked(event)),
        }
    }

    fn state(&self) -> MethodState {
        MethodState::new(KIND, VERSION, &self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigError, FieldDifference};

    fn halving(patience: u64) -> ReduceOnPlateauConfig {
        ReduceOnPlateauConfig::new(0.8)
            .and_then(|config| config.with_factor(0.5))
            .expect("valid")
            .with_patience(patience)
    }

    fn rates(config: ReduceOnPlateauConfig, metrics: &[f64]) -> Vec<f64> {
        let mut scheduler = ReduceOnPlateau::new(config);
        metrics
            .iter()
            .map(|&metric| scheduler.observe(metric))
            .collect()
    }

    #[test]
    fn the_rate_falls_with_the_bad_metric_after_the_patience() {
        assert_eq!(rates(halving(0), &[1.0, 1.0]), [0.8, 0.4]);
        assert_eq!(
            rates(halving(2), &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2]
        );
        // A better one in between starts the count anew.
        assert_eq!(
            rates(halving(1), &[1.0, 1.0, 0.5, 0.5, 0.5]),
            [0.8, 0.8, 0.8, 0.8, 0.4]
        );
    }

    #[test]
    fn the_cooldown_does_not_count() {
        let config = halving(0).with_cooldown(2);
        assert_eq!(
            rates(config, &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            [0.8, 0.4, 0.4, 0.4, 0.2, 0.2]
        );
    }

    #[test]
    fn the_rate_stops_at_min_lr_and_leaves_out_falls_up_to_eps() -> Result<(), ConfigError> {
        let config = halving(0).with_min_lr(0.3)?;
        assert_eq!(rates(config, &[f64::NAN; 3]), [0.4, 0.3, 0.3]);
        // Steps of 0.4 and 0.2 exactly.
        let config = halving(0).with_eps(0.2)?;
        assert_eq!(rates(config, &[f64::NAN; 3]), [0.4, 0.4, 0.4]);
        let config = halving(0).with_factor(0.0)?.with_eps(0.0)?;
        assert_eq!(rates(config, &[f64::NAN; 3]), [0.0; 3]);
        Ok(())
    }

    #[test]
    fn metrics_without_end_are_metrics() {
        assert_eq!(
            rates(halving(0), &[f64::INFINITY, 1.0, f64::NEG_INFINITY, -1e308]),
            [0.4, 0.4, 0.4, 0.2]
        );
    }

    #[test]
    fn a_patience_without_end_is_never_at_its_end() -> Result<(), StateError> {
        let config = halving(u64::MAX);
        let state = PlateauState {
            num_bad_epochs: u64::MAX,
            ..ReduceOnPlateau::new(config).state
        };
        let state = MethodState::new(KIND, VERSION, &state);
        let mut scheduler = ReduceOnPlateau::with_state(config, &state)?;
        assert_eq!(scheduler.observe(f64::NAN), 0.8);
        assert_eq!(scheduler.state.num_bad_epochs, u64::MAX);
        Ok(())
    }

    #[test]
    fn a_saved_state_goes_on_bit_identically() -> Result<(), Box<dyn std::error::Error>> {
        let config = halving(1)
            .with_cooldown(2)
            .with_mode(PlateauMode::Max)
            .with_min_lr(0.01)?;
        let mut whole = ReduceOnPlateau::new(config);
        let mut parts = whole.clone();
        let metrics = (0..60).map(|i| {
            if i % 7 == 3 {
                f64::NAN
            } else {
                f64::from(i * i % 11)
            }
        });
        for metric in metrics {
            let text = serde_json::to_string(&parts.state())?;
            parts = ReduceOnPlateau::with_state(config, &serde_json::from_str(&text)?)?;
            assert_eq!(parts, whole);
            assert_eq!(
                whole.observe(metric).to_bits(),
                parts.observe(metric).to_bits()
            );
        }
        assert_eq!(whole.lr(), 0.01);
        Ok(())
    }

    #[test]
    fn a_state_of_another_configuration_says_what_differs() -> Result<(), ConfigError> {
        let state = ReduceOnPlateau::new(halving(3)).state();
        let other = ReduceOnPlateauConfig::new(0.1)?
            .with_mode(PlateauMode::Max)
            .with_patience(4)
            .with_threshold(1.0, ThresholdMode::Abs)?
            .with_cooldown(5)
            .with_min_lr(0.05)?
            .with_eps(0.0)?;
        let error = ReduceOnPlateau::with_state(other, &state).unwrap_err();
        assert_eq!(
            error.to_string(),
            "scheduler state of another configuration: lr was 0.8 and is 0.1; mode was min and is \
             max; factor was 0.5 and is 0.1; patience was 3 and is 4; threshold was 0.0001 and is 1; \
             threshold_mode was rel and is abs; cooldown was 0 and is 5; min_lr was 0 and is 0.05; \
             eps was 1e-8 and is 0"
        );
        let error = ReduceOnPlateau::with_state(halving(4), &state).unwrap_err();
        let StateError::Config { differences } = error else {
            panic!("{error}");
        };
        assert_eq!(
            differences,
            [FieldDifference {
                field: "patience".into(),
                saved: "3".into(),
                configured: "4".into()
            }]
        );
        Ok(())
    }

    #[test]
    fn a_state_that_cannot_be_is_refused() -> Result<(), ConfigError> {
        let config = halving(3).with_cooldown(2).with_min_lr(0.1)?;
        let good = ReduceOnPlateau::new(config).state;
        let with = |change: &dyn Fn(&mut PlateauState)| {
            let mut state = good;
            change(&mut state);
            let state = MethodState::new(KIND, VERSION, &state);
            ReduceOnPlateau::with_state(config, &state).map_err(|error| error.to_string())
        };
        for lr in [0.1, 0.8] {
            assert!(with(&|state| state.lr = lr).is_ok());
        }
        assert!(with(&|state| state.num_bad_epochs = 3).is_ok());
        assert!(with(&|state| state.cooldown_counter = 2).is_ok());
        for lr in [0.1 - 1e-9, 0.8 + 1e-9, f64::NAN] {
            assert_eq!(
                with(&|state| state.lr = lr),
                Err(format!(
                    "scheduler state lr = {lr}: must lie between min_lr and the initial rate"
                ))
            );
        }
        for (change, expected) in [
            (
                &(|state: &mut PlateauState| state.best = f64::NAN) as &dyn Fn(&mut PlateauState),
                "scheduler state best = NaN: a NaN is never the best metric",
            ),
            (
                &|state| state.num_bad_epochs = 4,
                "scheduler state num_bad_epochs = 4: must not exceed patience",
            ),
            (
                &|state| state.cooldown_counter = 3,
                "scheduler state cooldown_counter = 3: must not exceed cooldown",
            ),
        ] {
            assert_eq!(with(change), Err(expected.to_owned()));
        }
        Ok(())
    }

    #[test]
    fn a_scheduler_says_what_it_was_given_and_has_seen() -> Result<(), ConfigError> {
        let config = ReduceOnPlateauConfig::new(0.1)?
            .with_mode(PlateauMode::Max)
            .with_factor(0.2)?
            .with_patience(3)
            .with_threshold(0.4, ThresholdMode::Abs)?
            .with_cooldown(5)
            .with_min_lr(0.06)?
            .with_eps(0.07)?;
        assert_eq!((config.lr(), config.mode()), (0.1, PlateauMode::Max));
        assert_eq!((config.factor(), config.patience()), (0.2, 3));
        assert_eq!(config.threshold(), 0.4);
        assert_eq!(config.threshold_mode(), ThresholdMode::Abs);
        assert_eq!(
            (config.cooldown(), config.min_lr(), config.eps()),
            (5, 0.06, 0.07)
        );
        let mut scheduler = ReduceOnPlateau::new(config);
        assert_eq!(scheduler.best(), f64::NEG_INFINITY);
        scheduler.observe(2.0);
        scheduler.observe(1.0);
        assert_eq!((scheduler.best(), scheduler.lr()), (2.0, 0.1));
        assert_eq!(scheduler.config(), &config);
        Ok(())
    }
}
