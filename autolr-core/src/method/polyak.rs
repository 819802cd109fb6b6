use serde::{Deserialize, Serialize};

use super::config::{Config, MethodConfig};
use super::kind::KeyDefault::{Core, Rate};
use super::kind::ValueKind::Number;
use super::kind::{Key, Kind, Range};
use super::registry::Entry;
use super::{Budget, Event, Method, MethodError, MethodState, Needs, Turn};
use crate::error::{ConfigError, StateError};
use crate::schedule::range::positive;
use crate::value::Table;
use crate::value::difference::differences;

const KIND: &str = "polyak";
const VERSION: u32 = 1;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::new(
        KIND,
        &[
            Key::new("max_lr", Number, Rate).within(Range::POSITIVE).about("no step is longer"),
            Key::new("c", Number, Core("0.5")).within(Range::POSITIVE).about("the greater, the shorter the steps"),
            Key::new("f_star", Number, Core("0")).within(Range::FINITE).about("lower bound of the loss of a batch"),
        ],
        "Polyak's step size for each batch",
    ),
    read: |table| table.settings::<RawConfig, PolyakConfig>().map(MethodConfig::of),
    of_state: |state| Ok(MethodConfig::of(saved(state)?.config)),
};

/// The settings of a [`PolyakStep`]. In files: `max_lr` (required), `c` (0.5), `f_star` (0).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct PolyakConfig {
    max_lr: f64,
    c: f64,
    f_star: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    max_lr: f64,
    #[serde(default = "half")]
    c: f64,
    #[serde(default)]
    f_star: f64,
}

fn half() -> f64 {
    0.5
}

impl TryFrom<RawConfig> for PolyakConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            max_lr: positive("max_lr", raw.max_lr)?,
            c: positive("c", raw.c)?,
            f_star: Range::FINITE.check("f_star", raw.f_star)?,
        })
    }
}

impl PolyakConfig {
    /// No step above `max_lr`; `c` = 1/2, `f_star` = 0.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `max_lr` is positive and finite.
    pub fn new(max_lr: f64) -> Result<Self, ConfigError> {
        RawConfig {
            max_lr,
            c: half(),
            f_star: 0.0,
        }
        .try_into()
    }

    /// The rate for a batch of loss f and squared gradient norm ‖g‖².
    fn rate(&self, loss: f64, squared_norm: f64) -> f64 {
        let rate = (loss - self.f_star).max(0.0) / (self.c * squared_norm);
        // `min` takes the bound where the quotient is 0/0, and the rate has no influence.
        rate.min(self.max_lr)
    }
}

impl Config for PolyakConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keys(&self) -> Table {
        Table::of(self)
    }

    fn build(&self) -> Box<dyn Method> {
        Box::new(PolyakStep::new(*self))
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

fn saved(state: &MethodState) -> Result<PolyakStep, StateError> {
    state.read(KIND, VERSION..=VERSION)
}

/// Polyak's step size on the batch at hand (SPS_max): `min((f − f*) / (c ‖g‖²), max_lr)`, f and g being loss and
/// gradient of the batch, f* a lower bound of its loss. Before the first gradient the rate is `max_lr`. It is for steps of
/// plain SGD, and reads loss and gradient norm at every step.
///
/// # References
/// N. Loizou, S. Vaswani, I. Laradji, S. Lacoste-Julien: Stochastic Polyak Step-size for SGD: An Adaptive Learning Rate
/// for Fast Convergence, AISTATS 2021, arXiv:2002.10542, equation 3; c = 1/2 is its choice for non-convex problems. Its
/// smoothing of the bound, γ_b, is left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolyakStep {
    config: PolyakConfig,
    #[serde(with = "crate::float_serde")]
    lr: f64,
}

impl PolyakStep {
    /// At its bound.
    pub fn new(config: PolyakConfig) -> Self {
        Self {
            config,
            lr: config.max_lr,
        }
    }
}

impl Method for PolyakStep {
    fn lrs(&self) -> &[f64] {
        std::slice::from_ref(&self.lr)
    }

    fn needs(&self) -> Needs {
        Needs {
            gradient: true,
            plain_gradient: true,
            ..Needs::default()
        }
    }

    fn next(&mut self, event: &Event<'_>, _: &Budget) -> Result<Turn, MethodError> {
        match *event {
            Event::Gradient { loss, squared_norm } => {
                self.lr = self.config.rate(loss, squared_norm);
            }
            Event::Start(_) | Event::Step { .. } | Event::Epoch { .. } => {}
            _ => return Err(MethodError::unasked(event)),
        }
        Ok(Turn::CONTINUE)
    }

    fn state(&self) -> MethodState {
        MethodState::new(KIND, VERSION, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_by_hand() {
        let mut method = PolyakStep::new(PolyakConfig::new(2.0).unwrap());
        assert_eq!(method.lr(), 2.0);
        for (loss, squared_norm, lr) in [
            (0.5, 4.0, 0.25), // 0.5 / (½ · 4)
            (8.0, 1.0, 2.0),  // cut
            (0.0, 0.0, 2.0),  // no gradient: no step
            (-1.0, 1.0, 0.0), // below the bound of the loss
        ] {
            let event = Event::Gradient { loss, squared_norm };
            let turn = method.next(&event, &Budget::default()).unwrap();
            assert_eq!((turn, method.lr()), (Turn::CONTINUE, lr));
        }
    }

    #[test]
    fn on_a_quadratic_it_is_the_inverse_of_the_curvature() {
        // f = h x²/2, g = h x: (h x²/2) / (½ h² x²) = 1/h, which is exact in one step.
        let (h, mut x) = (8.0, 3.0);
        let mut method = PolyakStep::new(PolyakConfig::new(1.0).unwrap());
        let (loss, squared_norm) = (h * x * x / 2.0, (h * x) * (h * x));
        let event = Event::Gradient { loss, squared_norm };
        method.next(&event, &Budget::default()).unwrap();
        x -= method.lr() * h * x;
        assert_eq!(x, 0.0);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (text, expected) in [
            (r#"{"kind": "polyak"}"#, "missing field `max_lr`"),
            (r#"{"kind": "polyak", "max_lr": 0}"#, "max_lr = 0: "),
            (r#"{"kind": "polyak", "max_lr": 1, "c": -1}"#, "c = -1: "),
        ] {
            let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
