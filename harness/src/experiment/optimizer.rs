//! `[optimizer]` of a specification.

use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::{Number, Switch};
use autolr_core::{Key, Kind, Range};
use serde::{Deserialize, Serialize};

use super::spec_error::SpecError;

const fn weight_decay(default: &'static str) -> Key {
    Key::new("weight_decay", Number, Core(default))
        .within(Range::NOT_NEGATIVE)
        .about("share of a weight that a step at rate 1 takes off")
}

/// The kinds of optimisers, with their keys.
pub(super) const KINDS: &[Kind] = &[
    Kind::new(
        "sgd",
        &[
            Key::new("momentum", Number, Core("0"))
                .within(Range::SHARE)
                .about("share of the last step's direction that is kept"),
            Key::new("nesterov", Switch, Core("false"))
                .about("whether momentum is Nesterov's; wants a momentum above 0"),
            weight_decay("0"),
        ],
        "PyTorch's SGD",
    ),
    Kind::new(
        "adamw",
        &[
            Key::new("beta1", Number, Core("0.9"))
                .within(Range::SHARE)
                .about("share of the mean gradient that is kept"),
            Key::new("beta2", Number, Core("0.999"))
                .within(Range::SHARE)
                .about("share of the mean squared gradient that is kept"),
            Key::new("eps", Number, Core("1e-8"))
                .within(Range::NOT_NEGATIVE)
                .about("added to the root of the mean squared gradient"),
            weight_decay("0.01"),
        ],
        "PyTorch's AdamW",
    ),
];

/// `[optimizer]`: PyTorch's SGD or AdamW; the rate is the scheduler's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerSpec {
    /// SGD.
    Sgd {
        /// In \[0, 1).
        #[serde(default)]
        momentum: f64,
        /// Wants a momentum.
        #[serde(default)]
        nesterov: bool,
        /// Not negative.
        #[serde(default)]
        weight_decay: f64,
    },
    /// AdamW.
    AdamW {
        /// In \[0, 1).
        #[serde(default = "beta1")]
        beta1: f64,
        /// In \[0, 1).
        #[serde(default = "beta2")]
        beta2: f64,
        /// Not negative.
        #[serde(default = "eps")]
        eps: f64,
        /// Not negative.
        #[serde(default = "decay")]
        weight_decay: f64,
    },
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.999
}

fn eps() -> f64 {
    1e-8
}

fn decay() -> f64 {
    0.01
}

impl Default for OptimizerSpec {
    fn default() -> Self {
        Self::Sgd {
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }
    }
}

impl OptimizerSpec {
    /// What no key says alone.
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        match *self {
            Self::Sgd {
                momentum: 0.0,
                nesterov: true,
                ..
            } => {
                let rule = "wants a momentum above 0";
                Err(SpecError::set("optimizer.nesterov", true, rule))
            }
            _ => Ok(()),
        }
    }
}
