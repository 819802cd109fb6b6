use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::Core;
use super::kind::ValueKind::{Number, OneOf, Switch, Whole};
use super::kind::{Key, Kind, LR, Range};
use super::registry::Entry;
use super::{Budget, Event, Line, Method, MethodError, MethodState, Needs, Plan, Request, Turn};
use crate::error::{ConfigError, StateError};
use crate::schedule::range::positive;
use crate::value::Table;
use crate::value::difference::differences;

const KIND: &str = "gen";
const VERSION: u32 = 1;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            LR,
            Key::new("lazy_freq", Whole, Core("8"))
                .within(Range::AT_LEAST_ONE)
                .about("a parabola every so many steps"),
            Key::new("smooth", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("how much of the rate is kept"),
            Key::new("bounded", Switch, Core("true"))
                .about("whether the rate of the parabola counts for half to twice the present one"),
            Key::new("scale", OneOf(&["constant", "linear"]), Core("constant"))
                .about("what that rate is multiplied by: 1, or the share of the run that is left"),
        ],
        "GeN: now and then towards the bottom of a parabola",
    ),
    read: |table| {
        table
            .settings::<RawConfig, GenConfig>()
            .map(MethodConfig::of)
    },
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

/// What the rate of a parabola is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scale {
    /// 1.
    #[default]
    Constant,
    /// The share of the run that is left.
    Linear,
}

/// The settings of a [`Gen`]. In files: `lr` is required.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct GenConfig {
    lr: f64,
    lazy_freq: u64,
    smooth: f64,
    bounded: bool,
    scale: Scale,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    lr: f64,
    lazy_freq: Option<u64>,
    smooth: Option<f64>,
    bounded: Option<bool>,
    #[serde(default)]
    scale: Scale,
}

impl TryFrom<RawConfig> for GenConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let lazy_freq = raw.lazy_freq.unwrap_or(8);
        Range::AT_LEAST_ONE.check("lazy_freq", lazy_freq as f64)?;
        Ok(Self {
            lr: positive("lr", raw.lr)?,
            lazy_freq,
            smooth: Range::SHARE.check("smooth", raw.smooth.unwrap_or(0.9))?,
            bounded: raw.bounded.unwrap_or(true),
            scale: raw.scale,
        })
    }
}

impl Config for GenConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(Gen::new(*self))
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

fn saved(state: &MethodState) -> Result<Gen, StateError> {
    state.read(KIND, VERSION..=VERSION)
}

/// Generalised Newton's method (GeN): every `lazy_freq` steps the batch's loss is taken at θ ± η u too, u being the
/// optimiser's direction and η the rate. The parabola through the three has its bottom at
/// `η* = η / 2 · (L₋ − L₊) / (L₊ − 2 L₀ + L₋)`, L₊ being the loss at θ − η u, where slope and curvature point to one; then
/// the rate is `smooth · η + (1 − smooth) · scale · η*`, from this step on.
///
/// The authors' code bounds η* by η/2 and 2η (`bounded`), which their paper does not; it takes the losses on the batch that
/// its caller hands it, here it is the one that gave the gradient, as in the paper. Of the code's fit over more than three
/// points, and its test of that fit, three points need none. Where a loss is not finite the rate is halved, as in the code.
///
/// # References
/// Z. Bu, S. Xu: Gradient descent with generalized Newton's method, ICLR 2025, arXiv:2407.02772, equations 3.3 to 3.5 and
/// algorithm 1; `lr_parabola` of gen-optim 0.1.1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gen {
    config: GenConfig,
    plan: Plan,
    steps: u64,
    #[serde(with = "crate::float_serde")]
    lr: f64,
    /// The batch's loss, while it waits for the others.
    #[serde(with = "crate::float_serde::option")]
    loss: Option<f64>,
}

impl Gen {
    /// At its initial rate.
    pub fn new(config: GenConfig) -> Self {
        Self {
            config,
            plan: Plan {
                steps: 0,
                steps_per_epoch: 0,
            },
            steps: 0,
            lr: config.lr,
            loss: None,
        }
    }

    /// The rate after losses behind (at θ + η u), here and ahead.
    fn rate(&self, behind: f64, here: f64, ahead: f64, budget: &Budget) -> f64 {
        let lr = self.lr;
        if ![behind, here, ahead].iter().all(|loss| loss.is_finite()) {
            return lr / 2.0;
        }
        let (slope, curvature) = (behind - ahead, ahead - 2.0 * here + behind);
        let bottom = lr / 2.0 * slope / curvature;
        if slope <= 0.0 || curvature <= 0.0 || !bottom.is_finite() {
            return lr;
        }
        let bottom = if self.config.bounded {
            bottom.min(2.0 * lr).max(lr / 2.0)
        } else {
            bottom
        };
        let scale = match self.config.scale {
            Scale::Constant => 1.0,
            Scale::Linear => 1.0 - self.plan.gone((0, 0), self.steps, budget),
        };
        let smooth = self.config.smooth;
        smooth * lr + (1.0 - smooth) * scale * bottom
    }
}

impl Method for Gen {
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

    fn next(&mut self, event: &Event<'_>, budget: &Budget) -> Result<Turn, MethodError> {
        match (*event, self.loss) {
            (Event::Start(plan), None) => self.plan = plan,
            (Event::Gradient { loss, .. }, None) => {
                let due = self.steps.saturating_add(1) % self.config.lazy_freq == 0;
                self.loss = due.then_some(loss);
            }
            (Event::Line(reading), Some(here)) => {
                let &[behind, ahead] = reading.losses.as_slice() else {
                    return Err(MethodError::unread(2, reading.losses.len()));
                };
                self.lr = self.rate(behind, here, ahead, budget);
                self.loss = None;
            }
            (Event::Step { .. }, None) => self.steps = self.steps.saturating_add(1),
            (Event::Epoch { .. }, None) => {}
            _ => return Err(MethodError::unasked(event)),
        }
        Ok(self.pending().map_or(Turn::CONTINUE, Turn::from))
    }

    fn pending(&self) -> Option<Request> {
        self.loss?;
        Some(Request::Line(Line::losses(vec![-self.lr, self.lr])))
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

    /// A second, plain implementation of the paper's algorithm 1, with a slope and a curvature by differences.
    #[test]
    fn steps_are_those_of_a_plain_second_implementation() {
        for (text, bounded) in [
            (
                r#"{"kind": "gen", "lr": 0.01, "lazy_freq": 4, "bounded": false}"#,
                false,
            ),
            (r#"{"kind": "gen", "lr": 0.01, "lazy_freq": 4}"#, true),
        ] {
            let momentum = Sgd {
                momentum: 0.9,
                ..Sgd::default()
            };
            let (rates, x) = trained(text, OptimizerConfig::Sgd(momentum), 50);
            let (mut bowl, mut direction, mut eta) = (Bowl::new(), vec![0.0; 3], 0.01);
            for (step, &rate) in rates.iter().enumerate() {
                for (d, g) in direction.iter_mut().zip(bowl.gradient()) {
                    *d = 0.9 * *d + g;
                }
                if (step + 1) % 4 == 0 {
                    let at = |eta: f64| bowl.after(eta, &direction).loss();
                    let slope = (at(-eta) - at(eta)) / (2.0 * eta);
                    let curvature = (at(eta) - 2.0 * at(0.0) + at(-eta)) / (eta * eta);
                    if slope > 0.0 && curvature > 0.0 {
                        let best = slope / curvature;
                        let best = if bounded {
                            best.clamp(eta / 2.0, eta * 2.0)
                        } else {
                            best
                        };
                        eta = 0.9 * eta + 0.1 * best;
                    }
                }
                assert!((rate - eta).abs() <= 1e-8 * eta, "{step}: {rate} {eta}");
                bowl = bowl.after(eta, &direction);
            }
            assert!(eta != 0.01);
            for (a, b) in x.iter().zip(bowl.x) {
                assert!((a - b).abs() <= 1e-8, "{a} {b}");
            }
        }
    }

    #[test]
    fn the_rate_by_hand() {
        let text = r#"{"lr": 0.5, "smooth": 0.5, "bounded": false}"#;
        let method = Gen::new(serde_json::from_str(text).unwrap());
        let rate = |behind, here, ahead| method.rate(behind, here, ahead, &Budget::default());
        // ½ (x − 2)² from 0, along the slope: 2, ½ · 2.5², ½ · 1.5².
        assert_eq!(rate(3.125, 2.0, 1.125), 0.25 + 0.5 * 2.0);
        // Uphill, no bottom, flat: as before.
        assert_eq!(rate(1.125, 2.0, 3.125), 0.5);
        assert_eq!(rate(3.0, 2.0, 0.5), 0.5);
        assert_eq!(rate(2.0, 2.0, 2.0), 0.5);
        for loss in [f64::NAN, f64::INFINITY] {
            assert_eq!(rate(3.125, 2.0, loss), 0.25);
        }
        let bounded = Gen::new(serde_json::from_str(r#"{"lr": 0.5, "smooth": 0.5}"#).unwrap());
        assert_eq!(
            bounded.rate(3.125, 2.0, 1.125, &Budget::default()),
            0.25 + 0.5
        );
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (text, expected) in [
            (r#"{"kind": "gen"}"#, "missing field `lr`"),
            (r#"{"kind": "gen", "lr": 1, "smooth": 1}"#, "smooth = 1: "),
            (
                r#"{"kind": "gen", "lr": 1, "lazy_freq": 0}"#,
                "lazy_freq = 0: ",
            ),
        ] {
            let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
