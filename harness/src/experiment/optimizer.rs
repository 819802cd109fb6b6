//! `[optimizer]` of a specification.

use serde::{Deserialize, Serialize};

use super::spec_error::SpecError;

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
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        let check = |good: bool, key: &str, value: f64, rule: &str| {
            let key = format!("optimizer.{key}");
            good.then_some(())
                .ok_or_else(|| SpecError::new(&key, format!("{key} = {value}: {rule}")))
        };
        let share = |key: &str, value: f64| {
            let good = (0.0..1.0).contains(&value);
            check(good, key, value, "must be from 0 to below 1")
        };
        let size = |key: &str, value: f64| {
            let good = value >= 0.0 && value.is_finite();
            check(good, key, value, "must be finite and not negative")
        };
        match *self {
            Self::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                share("momentum", momentum)?;
                if nesterov && momentum == 0.0 {
                    let text = "optimizer.nesterov = true: wants a momentum above 0";
                    return Err(SpecError::new("optimizer.nesterov", text));
                }
                size("weight_decay", weight_decay)
            }
            Self::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                size("eps", eps)?;
                size("weight_decay", weight_decay)
            }
        }
    }
}
