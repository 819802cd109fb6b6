use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::Core;
use super::kind::ValueKind::{Number, OneOf};
use super::kind::{Key, Kind, Range};
use super::registry::Entry;
use super::{Budget, Event, Line, Method, MethodError, MethodState, Needs, Request, Turn};
use crate::error::{ConfigError, StateError};
use crate::schedule::range::positive;
use crate::value::Table;
use crate::value::difference::differences;

const KIND: &str = "armijo";
const VERSION: u32 = 1;

const SHARE: Range = Range::new(0.0, 1.0, "must be above 0 and below 1")
    .without_least()
    .without_most();
const GROWTH: Range = Range::new(1.0, f64::MAX, "must be finite and at least 1");

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            Key::new("init_step_size", Number, Core("1")).within(Range::POSITIVE).about("the rate that the first search begins at"),
            Key::new("c", Number, Core("0.1")).within(SHARE).about("share of the fall promised by the gradient that a step has to bring"),
            Key::new("beta_b", Number, Core("0.9")).within(SHARE).about("what the rate is multiplied by where it does not"),
            Key::new("gamma", Number, Core("2")).within(GROWTH).about("how many times higher searches begin after an epoch of steps"),
            Key::new("reset_option", OneOf(&["last", "grow", "initial"]), Core("grow")).about("whether a search begins at the last rate, somewhat above it, or at the initial one"),
            Key::new("eta_max", Number, Core("none")).within(Range::POSITIVE).about("no search begins above"),
        ],
        "SLS: an Armijo line search on each batch",
    ),
    read: |table| table.settings::<RawConfig, ArmijoConfig>().map(MethodConfig::of),
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

/// Where a search begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reset {
    /// At the last rate: option 0 of the authors' code.
    Last,
    /// Above it by `gamma` to the power of one over the steps of an epoch: option 1.
    #[default]
    Grow,
    /// At the initial rate: option 2.
    Initial,
}

/// The settings of an [`Armijo`], with the names and defaults of the authors' code. All have defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct ArmijoConfig {
    init_step_size: f64,
    c: f64,
    beta_b: f64,
    gamma: f64,
    reset_option: Reset,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_max: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    init_step_size: Option<f64>,
    c: Option<f64>,
    beta_b: Option<f64>,
    gamma: Option<f64>,
    reset_option: Reset,
    eta_max: Option<f64>,
}

impl TryFrom<RawConfig> for ArmijoConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let eta_max = raw.eta_max.map(|most| positive("eta_max", most));
        Ok(Self {
            init_step_size: positive("init_step_size", raw.init_step_size.unwrap_or(1.0))?,
            c: SHARE.check("c", raw.c.unwrap_or(0.1))?,
            beta_b: SHARE.check("beta_b", raw.beta_b.unwrap_or(0.9))?,
            gamma: GROWTH.check("gamma", raw.gamma.unwrap_or(2.0))?,
            reset_option: raw.reset_option,
            eta_max: eta_max.transpose()?,
        })
    }
}

impl Config for ArmijoConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(Armijo::new(*self))
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

fn saved(state: &MethodState) -> Result<Armijo, StateError> {
    state.read(KIND, VERSION..=VERSION)
}

/// Trials of a search, at most.
const TRIALS: u64 = 100;
/// The rate of a step whose search found none.
const UNFOUND: f64 = 1e-6;
/// A gradient shorter than this is not searched along.
const SHORTEST: f64 = 1e-8;

/// Stochastic line search (SLS): the rate η of a step is the first of η₀, β η₀, β² η₀, … with
/// `f(θ − η g) ≤ f(θ) − c η ‖g‖²`, f being the loss of the batch and g its gradient.
///
/// As in the authors' code: after 100 trials the step is taken at 1e-6, along a gradient shorter than 1e-8 none is, and the
/// bound η_max of the paper, which that code does not apply here, is off by default. It is for steps of plain SGD. A trial
/// whose loss is not finite fails the test, and the rate falls; a batch whose own loss is not finite is not searched, and
/// its step has rate 0.
///
/// # References
/// S. Vaswani et al.: Painless Stochastic Gradient: Interpolation, Line-Search, and Convergence Rates, NeurIPS 2019,
/// arXiv:1905.09997, algorithm 1; `sls/sls.py` of IssamLaradji/sls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Armijo {
    config: ArmijoConfig,
    steps_per_epoch: u64,
    /// Where the last search ended.
    #[serde(with = "crate::float_serde")]
    eta: f64,
    #[serde(with = "crate::float_serde")]
    lr: f64,
    search: Option<Search>,
}

/// A search that waits for a loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    #[serde(with = "crate::float_serde")]
    loss: f64,
    #[serde(with = "crate::float_serde")]
    squared_norm: f64,
    trials: u64,
}

impl Armijo {
    /// At its initial rate.
    pub fn new(config: ArmijoConfig) -> Self {
        Self {
            config,
            steps_per_epoch: 1,
            eta: config.init_step_size,
            lr: config.init_step_size,
            search: None,
        }
    }

    /// Where the next search begins.
    fn reset(&self) -> f64 {
        let eta = match self.config.reset_option {
            Reset::Last => self.eta,
            Reset::Grow => {
                let growth = libm::pow(self.config.gamma, 1.0 / self.steps_per_epoch.max(1) as f64);
                (self.eta * growth).min(f64::MAX)
            }
            Reset::Initial => self.config.init_step_size,
        };
        self.config.eta_max.map_or(eta, |most| eta.min(most))
    }
}

impl Method for Armijo {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        Needs {
            gradient: true,
            plain_gradient: true,
            line: true,
            ..Needs::default()
        }
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        match (*event, self.search) {
            (Event::Start(plan), None) => self.steps_per_epoch = plan.steps_per_epoch,
            (Event::Gradient { loss, squared_norm }, None) => {
                self.eta = self.reset();
                if loss.is_finite() && squared_norm.sqrt() >= SHORTEST {
                    self.search = Some(Search {
                        loss,
                        squared_norm,
                        trials: 0,
                    });
                } else {
                    self.lr = 0.0;
                }
            }
            (Event::Line(reading), Some(mut search)) => {
                let &[loss] = reading.losses.as_slice() else {
                    return Err(MethodError::unread(1, reading.losses.len()));
                };
                let needed = search.loss - self.eta * self.config.c * search.squared_norm;
                search.trials = search.trials.saturating_add(1);
                self.search = None;
                if loss <= needed {
                    self.lr = self.eta;
                } else {
                    self.eta *= self.config.beta_b;
                    self.lr = UNFOUND;
                    self.search = (search.trials < TRIALS).then_some(search);
                }
            }
            (Event::Step { .. } | Event::Epoch { .. }, None) => {}
            _ => return Err(MethodError::unasked(event)),
        }
        Ok(self.pending().map_or(Turn::CONTINUE, Turn::from))
    }

    fn pending(&self) -> Option<Request> {
        self.search?;
        Some(Request::Line(Line::losses(vec![self.eta])))
    }

    fn state(&self) -> MethodState {
        MethodState::new(KIND, VERSION, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::along_a_line::{Bowl, trained};

    /// A second, plain implementation of the paper's algorithm 1, on plain vectors.
    #[test]
    fn steps_are_those_of_a_plain_second_implementation() {
        for (text, most) in [
            (r#"{"kind": "armijo"}"#, f64::INFINITY),
            (
                r#"{"kind": "armijo", "init_step_size": 40, "eta_max": 0.2}"#,
                0.2,
            ),
        ] {
            let (rates, x) = trained(text, crate::optimizer::OptimizerConfig::PLAIN_SGD, 50);
            let (c, beta, gamma) = (0.1, 0.9, 2.0_f64);
            let config: MethodConfig = serde_json::from_str(text).unwrap();
            let mut eta = config.build().lr();
            let mut bowl = Bowl::new();
            for (step, &rate) in rates.iter().enumerate() {
                let (loss, gradient) = (bowl.loss(), bowl.gradient());
                let norm: f64 = gradient.iter().map(|g| g * g).sum();
                eta = (eta * gamma.powf(1.0 / 5.0)).min(most);
                while bowl.after(eta, &gradient).loss() > loss - c * eta * norm {
                    eta *= beta;
                }
                assert!((rate - eta).abs() <= 1e-10 * eta, "{step}: {rate} {eta}");
                bowl = bowl.after(eta, &gradient);
            }
            for (a, b) in x.iter().zip(bowl.x) {
                assert!((a - b).abs() <= 1e-10, "{a} {b}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_has_an_answer() {
        let config: MethodConfig = serde_json::from_str(r#"{"kind": "armijo"}"#).unwrap();
        let mut method = config.build();
        let mut next = |event: Event<'_>| {
            let turn = method.next(&event, &Budget::default()).unwrap();
            (turn.request, method.lr())
        };
        let gradient = |loss, squared_norm| Event::Gradient { loss, squared_norm };
        assert_eq!(next(gradient(f64::NAN, 1.0)), (Request::Continue, 0.0));
        assert_eq!(next(gradient(1.0, 1e-17)), (Request::Continue, 0.0));
        let (mut request, _) = next(gradient(1.0, 1.0));
        for _ in 0..TRIALS {
            assert_eq!(request.name(), "line");
            let reading = crate::LineReading {
                losses: vec![f64::NAN],
                ..Default::default()
            };
            request = next(Event::Line(&reading)).0;
        }
        assert_eq!((request, method.lr()), (Request::Continue, UNFOUND));
        let wrong = method.next(
            &Event::Line(&crate::LineReading::default()),
            &Budget::default(),
        );
        assert!(wrong.is_err());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (text, expected) in [
            (
                r#"{"kind": "armijo", "c": 1}"#,
                "c = 1: must be above 0 and below 1",
            ),
            (
                r#"{"kind": "armijo", "gamma": 0.5}"#,
                "gamma = 0.5: must be finite and at least 1",
            ),
            (r#"{"kind": "armijo", "eta_max": 0}"#, "eta_max = 0: "),
        ] {
            let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
