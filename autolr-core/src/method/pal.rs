use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::Core;
use super::kind::ValueKind::Number;
use super::kind::{Key, Kind, Range};
use super::registry::Entry;
use super::{Budget, Event, Line, Method, MethodError, MethodState, Needs, Request, Turn};
use crate::error::{ConfigError, StateError};
use crate::schedule::range::positive;
use crate::value::Table;
use crate::value::difference::differences;

const KIND: &str = "pal";
const VERSION: u32 = 1;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            Key::new("measuring_step_size", Number, Core("1"))
                .within(Range::POSITIVE)
                .about("how far along the line the second loss is taken"),
            Key::new("max_step_size", Number, Core("3.16"))
                .within(Range::POSITIVE)
                .about("no step is longer"),
            Key::new("update_step_adaptation", Number, Core("1.6666666666666667"))
                .within(Range::POSITIVE)
                .about("what the way to the parabola's bottom is multiplied by"),
        ],
        "PAL: each step to the bottom of a parabola",
    ),
    read: |table| {
        table
            .settings::<RawConfig, PalConfig>()
            .map(MethodConfig::of)
    },
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

/// The settings of a [`Pal`], with the names and defaults of the authors' PyTorch code. All have defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct PalConfig {
    measuring_step_size: f64,
    max_step_size: f64,
    update_step_adaptation: f64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    measuring_step_size: Option<f64>,
    max_step_size: Option<f64>,
    update_step_adaptation: Option<f64>,
}

impl TryFrom<RawConfig> for PalConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let adaptation = raw.update_step_adaptation.unwrap_or(1.0 / 0.6);
        Ok(Self {
            measuring_step_size: positive(
                "measuring_step_size",
                raw.measuring_step_size.unwrap_or(1.0),
            )?,
            max_step_size: positive("max_step_size", raw.max_step_size.unwrap_or(3.16))?,
            update_step_adaptation: positive("update_step_adaptation", adaptation)?,
        })
    }
}

impl PalConfig {
    /// How far to go, where the slope is `b` and `a` half the curvature; none where either is not finite.
    fn step(&self, a: f64, b: f64) -> Option<f64> {
        if !(a.is_finite() && b.is_finite()) {
            return None;
        }
        let step = if b >= 0.0 {
            0.0
        } else if a > 0.0 {
            -b / (2.0 * a) * self.update_step_adaptation
        } else {
            self.measuring_step_size
        };
        Some(step.min(self.max_step_size))
    }
}

impl Config for PalConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(Pal::new(*self))
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

fn saved(state: &MethodState) -> Result<Pal, StateError> {
    state.read(KIND, VERSION..=VERSION)
}

/// What stands for the length of a direction that has none.
const EPSILON: f64 = 1e-10;

/// Parabolic approximation line search (PAL): along the optimiser's direction u, made a unit vector, the batch's loss has
/// the value f₀ and the slope b = −gᵀu/‖u‖ here, and the value f_μ at the distance μ. The parabola through them has
/// `a = (f_μ − f₀ − b μ) / μ²`, and the step goes `−b / (2a) · update_step_adaptation` far, `max_step_size` at most; where
/// the parabola has no bottom it goes μ far, and nowhere up a slope. The rate is that way over ‖u‖.
///
/// The authors' direction is that of SGD with momentum 0.4 (`direction_adaptation_factor`), a setting of the optimiser
/// here; any other will do. Where a reading is not finite they leave the weights at the distance μ: here such a step has
/// rate 0.
///
/// # References
/// M. Mutschler, A. Zell: Parabolic Approximation Line Search for DNNs, NeurIPS 2020, arXiv:1903.11991, algorithm 1;
/// `PyTorch/pal_optimizer.py` 1.1 of cogsys-tuebingen/PAL, with its exact directional derivative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pal {
    config: PalConfig,
    #[serde(with = "crate::float_serde")]
    lr: f64,
    stage: Stage,
    /// Of the batch at hand: its loss, the length of the direction, the slope along it.
    #[serde(with = "crate::float_serde")]
    loss: f64,
    #[serde(with = "crate::float_serde")]
    norm: f64,
    #[serde(with = "crate::float_serde")]
    slope: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Training,
    /// Waits for the slope and the length of the direction.
    Slope,
    /// Waits for the second loss.
    Measuring,
}

impl Pal {
    /// Before the first step, which has a rate of its own.
    pub fn new(config: PalConfig) -> Self {
        Self {
            config,
            lr: config.measuring_step_size,
            stage: Stage::Training,
            loss: f64::NAN,
            norm: f64::NAN,
            slope: f64::NAN,
        }
    }
}

impl Method for Pal {
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
        match (*event, self.stage) {
            (Event::Gradient { loss, .. }, Stage::Training) => {
                self.loss = loss;
                self.stage = Stage::Slope;
            }
            (Event::Line(reading), Stage::Slope) => {
                let norm = reading.squared_norm.sqrt();
                self.norm = if norm == 0.0 { EPSILON } else { norm };
                self.slope = reading.slope / self.norm;
                self.lr = 0.0;
                let finite =
                    self.loss.is_finite() && self.slope.is_finite() && self.norm.is_finite();
                self.stage = if finite {
                    Stage::Measuring
                } else {
                    Stage::Training
                };
            }
            (Event::Line(reading), Stage::Measuring) => {
                let &[loss] = reading.losses.as_slice() else {
                    return Err(MethodError::unread(1, reading.losses.len()));
                };
                let mu = self.config.measuring_step_size;
                let a = (loss - self.loss - self.slope * mu) / (mu * mu);
                let step = self.config.step(a, self.slope);
                self.lr = step.map_or(0.0, |step| step / self.norm);
                self.stage = Stage::Training;
            }
            (Event::Start(_) | Event::Step { .. } | Event::Epoch { .. }, Stage::Training) => {}
            _ => return Err(MethodError::unasked(event)),
        }
        Ok(self.pending().map_or(Turn::CONTINUE, Turn::from))
    }

    fn pending(&self) -> Option<Request> {
        let lrs = match self.stage {
            Stage::Training => return None,
            Stage::Slope => Vec::new(),
            Stage::Measuring => vec![self.config.measuring_step_size / self.norm],
        };
        Some(Request::Line(Line::losses(lrs)))
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

    /// A second, plain implementation of the paper's algorithm 1 with the conjugate-like direction, on plain vectors.
    #[test]
    fn steps_are_those_of_a_plain_second_implementation() {
        let momentum = Sgd {
            momentum: 0.4,
            ..Sgd::default()
        };
        let text = r#"{"kind": "pal", "measuring_step_size": 0.1, "max_step_size": 0.5}"#;
        let (rates, x) = trained(text, OptimizerConfig::Sgd(momentum), 50);
        let (mu, most, alpha) = (0.1, 0.5, 1.0 / 0.6);
        let (mut bowl, mut direction) = (Bowl::new(), vec![0.0; 3]);
        for &rate in &rates {
            let gradient = bowl.gradient();
            for (d, g) in direction.iter_mut().zip(&gradient) {
                *d = 0.4 * *d + g;
            }
            let norm = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
            let unit: Vec<f64> = direction.iter().map(|d| d / norm).collect();
            let b: f64 = -unit.iter().zip(&gradient).map(|(u, g)| u * g).sum::<f64>();
            let a = (bowl.after(mu, &unit).loss() - bowl.loss() - b * mu) / mu.powi(2);
            let step = match (a > 0.0, b < 0.0) {
                (true, true) => (-alpha * b / (2.0 * a)).min(most),
                (false, true) => mu,
                _ => 0.0,
            };
            assert!(
                (rate - step / norm).abs() <= 1e-7 * rate.max(1e-3),
                "{rate} {}",
                step / norm
            );
            bowl = bowl.after(step, &unit);
        }
        for (a, b) in x.iter().zip(bowl.x) {
            assert!((a - b).abs() <= 1e-8, "{a} {b}");
        }
    }

    #[test]
    fn a_parabola_without_a_bottom_has_an_answer() {
        let config: PalConfig = serde_json::from_str("{}").unwrap();
        for (a, b, step) in [
            (1.0, -0.6, Some(0.5)),
            (1e-9, -1.0, Some(3.16)),
            (0.0, -1.0, Some(1.0)),
            (-1.0, -1.0, Some(1.0)),
            (1.0, 1.0, Some(0.0)),
            (f64::NAN, -1.0, None),
            (f64::INFINITY, -1.0, None),
        ] {
            assert_eq!(config.step(a, b), step, "{a} {b}");
        }
    }

    #[test]
    fn a_loss_that_is_not_finite_is_a_step_of_rate_0() {
        let mut method = Pal::new(serde_json::from_str("{}").unwrap());
        let mut next = |event: Event<'_>| {
            let turn = method.next(&event, &Budget::default()).unwrap();
            (turn.request, method.lr())
        };
        let reading = |losses: Vec<f64>| crate::LineReading {
            losses,
            slope: -4.0,
            squared_norm: 4.0,
            ..Default::default()
        };
        let gradient = |loss| Event::Gradient {
            loss,
            squared_norm: 4.0,
        };
        assert_eq!(next(gradient(f64::NAN)).0.name(), "line");
        assert_eq!(
            next(Event::Line(&reading(vec![]))),
            (Request::Continue, 0.0)
        );
        next(gradient(1.0));
        let (request, _) = next(Event::Line(&reading(vec![])));
        assert_eq!(request, Request::Line(Line::losses(vec![0.5])));
        assert_eq!(
            next(Event::Line(&reading(vec![f64::NAN]))),
            (Request::Continue, 0.0)
        );
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let text = r#"{"kind": "pal", "max_step_size": 0}"#;
        let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
        assert!(
            error.to_string().starts_with("max_step_size = 0: "),
            "{error}"
        );
    }
}
