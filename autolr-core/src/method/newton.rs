use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::Core;
use super::kind::ValueKind::Number;
use super::kind::{Key, Kind, LR, Range};
use super::registry::Entry;
use super::{Budget, Event, Line, Method, MethodError, MethodState, Needs, Request, Turn};
use crate::error::{ConfigError, StateError};
use crate::schedule::range::positive;
use crate::value::Table;
use crate::value::difference::differences;

const KIND: &str = "newton";
const VERSION: u32 = 1;

const SHARE: Range = Range::new(0.0, 1.0, "must be above 0, up to 1").without_least();

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            LR,
            Key::new("meta_gamma", Number, Core("0.2"))
                .within(SHARE)
                .about("how much of Newton's step is taken"),
            Key::new("meta_update", Number, Core("0.3333333333333333"))
                .within(SHARE)
                .about("the rate moves after so much of an epoch"),
        ],
        "Newton's method on the rate itself",
    ),
    read: |table| {
        table
            .settings::<RawConfig, NewtonConfig>()
            .map(MethodConfig::of)
    },
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

/// The settings of a [`Newton`], with the names and defaults of the authors' code. In files: `lr` is required.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct NewtonConfig {
    lr: f64,
    meta_gamma: f64,
    meta_update: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    lr: f64,
    meta_gamma: Option<f64>,
    meta_update: Option<f64>,
}

impl TryFrom<RawConfig> for NewtonConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: positive("lr", raw.lr)?,
            meta_gamma: SHARE.check("meta_gamma", raw.meta_gamma.unwrap_or(0.2))?,
            meta_update: SHARE.check("meta_update", raw.meta_update.unwrap_or(1.0 / 3.0))?,
        })
    }
}

impl NewtonConfig {
    /// The rate after one whose step took the slope from `before` to `after`: the same where the slopes point to no
    /// minimum, or to none that is a number.
    fn rate(&self, lr: f64, before: f64, after: f64) -> f64 {
        let bend = after - before;
        let new = lr * (1.0 - self.meta_gamma * after / bend);
        if bend > 0.0 && new.is_finite() && new > 0.0 {
            new
        } else {
            lr
        }
    }
}

impl Config for NewtonConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(Newton::new(*self))
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

fn saved(state: &MethodState) -> Result<Newton, StateError> {
    state.read(KIND, VERSION..=VERSION)
}

/// Newton-based trainable learning rate: the rate α is itself a parameter, of φ(α) = f(θ − α u), and moves by a part γ of
/// Newton's step, `α ← α − γ φ′(α) / φ″(α)`.
///
/// φ″ is the difference of two slopes, `(φ′(α) − φ′(0)) / α`, as in the authors' code: one more gradient, and no product
/// with the Hessian. What differs from that code: its slopes are products of the whole ways that a third of an epoch has
/// gone, here they are those of one step on its own batch, once in a third of an epoch; and where the curvature is not
/// positive, or a slope is not finite, the rate stays, while there it may change its sign.
///
/// # References
/// G. Retsinas, G. Sfikas, P. P. Filntisis, P. Maragos: Newton-Based Trainable Learning Rate, ICASSP 2023;
/// `tlr_src/tlr_wrapper.py` of georgeretsi/NTLR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newton {
    config: NewtonConfig,
    /// Steps from one move of the rate to the next.
    every: u64,
    steps: u64,
    #[serde(with = "crate::float_serde")]
    lr: f64,
    /// The rate after the step at hand.
    #[serde(with = "crate::float_serde")]
    next: f64,
    waits: bool,
}

impl Newton {
    /// At its initial rate.
    pub fn new(config: NewtonConfig) -> Self {
        Self {
            config,
            every: 1,
            steps: 0,
            lr: config.lr,
            next: config.lr,
            waits: false,
        }
    }
}

impl Method for Newton {
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
            (Event::Start(plan), false) => {
                let every = self.config.meta_update * plan.steps_per_epoch as f64;
                self.every = (every as u64).max(1);
            }
            (Event::Gradient { .. }, false) => {
                self.waits = self.steps.saturating_add(1) % self.every.max(1) == 0;
            }
            (Event::Line(reading), true) => {
                let &[after] = reading.slopes.as_slice() else {
                    return Err(MethodError::unread(1, reading.slopes.len()));
                };
                self.next = self.config.rate(self.lr, reading.slope, after);
                self.waits = false;
            }
            (Event::Step { .. }, false) => {
                self.steps = self.steps.saturating_add(1);
                self.lr = self.next;
            }
            (Event::Epoch { .. }, false) => {}
            _ => return Err(MethodError::unasked(event)),
        }
        Ok(self.pending().map_or(Turn::CONTINUE, Turn::from))
    }

    fn pending(&self) -> Option<Request> {
        let line = Line {
            lrs: Vec::new(),
            slopes: vec![self.lr],
        };
        self.waits.then_some(Request::Line(line))
    }

    fn state(&self) -> MethodState {
        MethodState::new(KIND, VERSION, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::along_a_line::{Bowl, trained};
    use crate::optimizer::OptimizerConfig;

    /// A second, plain implementation of the paper's update, on plain vectors.
    #[test]
    fn steps_are_those_of_a_plain_second_implementation() {
        let text = r#"{"kind": "newton", "lr": 0.01, "meta_update": 0.5}"#;
        let (rates, x) = trained(text, OptimizerConfig::PLAIN_SGD, 14);
        let (mut bowl, mut alpha) = (Bowl::new(), 0.01);
        for (step, &rate) in rates.iter().enumerate() {
            assert!(
                (rate - alpha).abs() <= 1e-10 * alpha,
                "{step}: {rate} {alpha}"
            );
            let before = bowl.gradient();
            bowl = bowl.after(alpha, &before);
            // Half of an epoch of five steps.
            if (step + 1) % 2 == 0 {
                let product = |a: &[f64]| a.iter().zip(&before).map(|(a, b)| a * b).sum::<f64>();
                let (first, second) = (product(&before), product(&bowl.gradient()));
                assert!(first > second);
                alpha *= 1.0 + 0.2 * second / (first - second);
            }
        }
        assert!(alpha > 0.012, "{alpha}");
        for (a, b) in x.iter().zip(bowl.x) {
            assert!((a - b).abs() <= 1e-10, "{a} {b}");
        }
    }

    #[test]
    fn slopes_that_point_to_no_minimum_leave_the_rate() {
        let config: NewtonConfig = serde_json::from_str(r#"{"lr": 1, "meta_gamma": 0.5}"#).unwrap();
        for (before, after, rate) in [
            (-2.0, -1.0, 1.5),
            (-2.0, 2.0, 0.75),
            (-2.0, 0.0, 1.0),
            (-1.0, -2.0, 1.0),
            (-1.0, -1.0, 1.0),
            (f64::NAN, 1.0, 1.0),
            (-1.0, f64::NAN, 1.0),
            (f64::NEG_INFINITY, 1.0, 1.0),
            (-1.0, f64::INFINITY, 1.0),
        ] {
            assert_eq!(config.rate(1.0, before, after), rate, "{before} {after}");
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (text, expected) in [
            (r#"{"kind": "newton"}"#, "missing field `lr`"),
            (
                r#"{"kind": "newton", "lr": 1, "meta_update": 0}"#,
                "meta_update = 0: ",
            ),
        ] {
            let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
