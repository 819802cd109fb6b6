use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::Core;
use super::kind::ValueKind::{Number, Whole};
use super::kind::{Key, Kind, LR, Range};
use super::registry::Entry;
use super::{Budget, Event, Line, Method, MethodError, MethodState, Needs, Request, Turn};
use crate::error::{ConfigError, StateError};
use crate::schedule::range::positive;
use crate::value::Table;
use crate::value::difference::differences;

const KIND: &str = "les";
const VERSION: u32 = 1;

const LOW: Range = Range::new(0.0, 1.0, "must be above 0 and below 1")
    .without_least()
    .without_most();
const HIGH: Range = Range::new(1.0, f64::MAX, "must be finite and above 1").without_least();
/// Each is a forward pass of every step.
const MOST: u64 = 1000;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            LR,
            Key::new("low", Number, Core("0.5"))
                .within(LOW)
                .about("the lowest rate that a step tries, over the last one"),
            Key::new("high", Number, Core("1.5"))
                .within(HIGH)
                .about("the highest"),
            Key::new("num", Whole, Core("5"))
                .within(Range::AT_LEAST_ONE)
                .about("rates that a step tries, evenly spaced; at most 1000"),
        ],
        "LES: in each step the best of some rates around the last",
    ),
    read: |table| {
        table
            .settings::<RawConfig, LesConfig>()
            .map(MethodConfig::of)
    },
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

/// The settings of a [`Les`]; the defaults are version 1 of the authors' code. In files: `lr` is required.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct LesConfig {
    lr: f64,
    low: f64,
    high: f64,
    num: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    lr: f64,
    low: Option<f64>,
    high: Option<f64>,
    num: Option<u64>,
}

impl TryFrom<RawConfig> for LesConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let num = raw.num.unwrap_or(5);
        Range::AT_LEAST_ONE.check("num", num as f64)?;
        let most = Range::new(1.0, MOST as f64, "must be at most 1000");
        most.check("num", num as f64)?;
        Ok(Self {
            lr: positive("lr", raw.lr)?,
            low: LOW.check("low", raw.low.unwrap_or(0.5))?,
            high: HIGH.check("high", raw.high.unwrap_or(1.5))?,
            num,
        })
    }
}

impl LesConfig {
    /// The rates that a step tries after one at `lr`, upwards.
    fn rates(&self, lr: f64) -> Vec<f64> {
        let spaces = (self.num - 1).max(1) as f64;
        let factor = |k: u64| self.low + (self.high - self.low) * (k as f64 / spaces);
        let rate = |k| (lr * factor(k)).clamp(f64::MIN_POSITIVE, f64::MAX);
        (0..self.num).map(rate).collect()
    }
}

impl Config for LesConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(Les::new(*self))
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

fn saved(state: &MethodState) -> Result<Les, StateError> {
    state.read(KIND, VERSION..=VERSION)
}

/// Linearly explored learning rate scheduler (LES): each step tries `num` rates from `low` to `high` times the last one
/// along the optimiser's direction, and is taken at that with the lowest loss on its own batch, the lowest of equal ones.
///
/// Versions 1, 3, 4 and 5 of the authors' code are (`low`, `high`, `num`) = (1/2, 3/2, 5), (1/2, 2, 10), (1/3, 3, 10) and
/// (1/10, 10, 20). Left out: that they round rates to six digits after the point, which keeps a rate at 0 once it is there,
/// their versions with a given list of rates or with rates around the mean of the last ten, and a second batch. A rate whose
/// loss is not finite is not taken; where none is finite the lowest is.
///
/// # References
/// `pycls/core/optimizer.py` of RolandGao/Linearly-Explored-Learning-Rate-Scheduler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Les {
    config: LesConfig,
    #[serde(with = "crate::float_serde")]
    lr: f64,
    waits: bool,
}

impl Les {
    /// At its initial rate.
    pub fn new(config: LesConfig) -> Self {
        Self {
            config,
            lr: config.lr,
            waits: false,
        }
    }
}

impl Method for Les {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        Needs {
            gradient: true,
            line: true,
            ..Needs::default()
        }
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        match (*event, self.waits) {
            (Event::Gradient { .. }, false) => self.waits = true,
            (Event::Line(reading), true) => {
                let (rates, losses) = (self.config.rates(self.lr), &reading.losses);
                if losses.len() != rates.len() {
                    return Err(MethodError::unread(rates.len(), losses.len()));
                }
                let tried = rates.iter().zip(losses);
                let finite = tried.filter(|(_, loss)| loss.is_finite());
                let best = finite.min_by(|(_, a), (_, b)| a.total_cmp(b));
                self.lr = best.map_or(rates[0], |(&rate, _)| rate);
                self.waits = false;
            }
            (Event::Start(_) | Event::Step { .. } | Event::Epoch { .. }, false) => {}
            _ => return Err(MethodError::unasked(event)),
        }
        Ok(self.pending().map_or(Turn::CONTINUE, Turn::from))
    }

    fn pending(&self) -> Option<Request> {
        let line = || Line::losses(self.config.rates(self.lr));
        self.waits.then(|| Request::Line(line()))
    }

    fn state(&self) -> MethodState {
        MethodState::new(KIND, VERSION, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::along_a_line::{Bowl, trained};
    use crate::optimizer::{OptimizerConfig, Sgd};

    /// A second, plain implementation of the authors' version 1.
    #[test]
    fn steps_are_those_of_a_plain_second_implementation() {
        let momentum = Sgd {
            momentum: 0.9,
            ..Sgd::default()
        };
        let text = r#"{"kind": "les", "lr": 0.01}"#;
        let (rates, x) = trained(text, OptimizerConfig::Sgd(momentum), 50);
        let (mut bowl, mut direction, mut lr) = (Bowl::new(), vec![0.0; 3], 0.01);
        for (step, &rate) in rates.iter().enumerate() {
            for (d, g) in direction.iter_mut().zip(bowl.gradient()) {
                *d = 0.9 * *d + g;
            }
            let tried = [0.5, 0.75, 1.0, 1.25, 1.5].map(|factor| factor * lr);
            let mut best = 0;
            for k in 1..5 {
                let loss = |k: usize| bowl.after(tried[k], &direction).loss();
                if loss(k) < loss(best) {
                    best = k;
                }
            }
            lr = tried[best];
            assert!((rate - lr).abs() <= 1e-10 * lr, "{step}: {rate} {lr}");
            bowl = bowl.after(lr, &direction);
        }
        for (a, b) in x.iter().zip(bowl.x) {
            assert!((a - b).abs() <= 1e-10, "{a} {b}");
        }
    }

    #[test]
    fn what_is_not_finite_is_not_taken() {
        let config = r#"{"lr": 1, "low": 0.5, "high": 2, "num": 4}"#;
        for (losses, lr) in [
            ([3.0, 2.0, 1.0, f64::NAN], 1.5),
            ([f64::NEG_INFINITY, 2.0, 2.0, f64::INFINITY], 1.0),
            ([f64::NAN; 4], 0.5),
        ] {
            let mut method = Les::new(serde_json::from_str(config).unwrap());
            let gradient = Event::Gradient {
                loss: 1.0,
                squared_norm: 1.0,
            };
            method.next(&gradient, &Budget::default()).unwrap();
            let reading = crate::LineReading {
                losses: losses.to_vec(),
                ..Default::default()
            };
            method
                .next(&Event::Line(&reading), &Budget::default())
                .unwrap();
            assert_eq!(method.lr(), lr, "{losses:?}");
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (text, expected) in [
            (r#"{"kind": "les"}"#, "missing field `lr`"),
            (r#"{"kind": "les", "lr": 1, "low": 1}"#, "low = 1: "),
            (r#"{"kind": "les", "lr": 1, "high": 1}"#, "high = 1: "),
            (
                r#"{"kind": "les", "lr": 1, "num": 1001}"#,
                "num = 1001: must be at most 1000",
            ),
        ] {
            let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
