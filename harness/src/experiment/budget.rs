//! `training.budget`: when a run ends, whatever its epochs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::typed_number;
use crate::visible::typed;

/// A limit of compute, in optimiser steps or epochs of training: of each example a forward pass costs 1 and a backward
/// pass 2, so that a step costs 3 times its batch. Probing and search count too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BudgetSpec {
    /// `"500 steps"`
    Steps(u64),
    /// `"2.5 epochs"`
    Epochs(f64),
}

const RULE: &str = "must be a number of steps or epochs, such as \"500 steps\" or \"2.5 epochs\"";

impl BudgetSpec {
    /// In steps, rounded down.
    pub fn steps(self, steps_per_epoch: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            // 0.29 epochs of 100 steps are 29, though the product is less than that.
            Self::Epochs(epochs) => (epochs * steps_per_epoch as f64 + 1e-9) as u64,
        }
    }

    /// In forward passes of an example, for epochs of `images` and steps of `batch`.
    pub fn compute(self, images: u64, batch: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps.saturating_mul(3 * batch),
            Self::Epochs(epochs) => (epochs * (3 * images) as f64 + 1e-9) as u64,
        }
    }

    /// The same with another length of epochs and run: `epochs` times as many epochs, `steps` times as many steps.
    #[must_use]
    pub(super) fn stretched(self, epochs: f64, steps: f64) -> Self {
        match self {
            Self::Steps(count) => Self::Steps(((count as f64 * steps).round() as u64).max(1)),
            Self::Epochs(count) => Self::Epochs(count * epochs),
        }
    }
}

impl FromStr for BudgetSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (Some(number), Some(unit), None) = (words.next(), words.next(), words.next()) else {
            return Err(RULE.to_owned());
        };
        match unit {
            "step" | "steps" => match typed_number::whole(number) {
                Ok(0) => Err("must be at least one step".to_owned()),
                Ok(steps) => Ok(Self::Steps(steps)),
                Err(_) => Err(RULE.to_owned()),
            },
            "epoch" | "epochs" => match epochs(number) {
                Ok(epochs) if epochs > 0.0 && epochs.is_finite() => Ok(Self::Epochs(epochs)),
                Ok(_) => Err("must be positive and finite".to_owned()),
                Err(_) => Err(RULE.to_owned()),
            },
            _ => Err(RULE.to_owned()),
        }
    }
}

/// A number of epochs. As a budget is written, all its digits are there, which may be too many for a whole number of
/// TOML.
fn epochs(word: &str) -> Result<f64, String> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    typed_number::number(word).or_else(|rule| match word.parse() {
        Ok(epochs) if digits && !word.starts_with('0') => Ok(epochs),
        _ => Err(rule),
    })
}

impl fmt::Display for BudgetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps} steps"),
            Self::Epochs(epochs) => write!(f, "{epochs} epochs"),
        }
    }
}

impl TryFrom<String> for BudgetSpec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map_err(|rule| format!("training.budget = \"{}\": {rule}", typed(&text)))
    }
}

impl From<BudgetSpec> for String {
    fn from(budget: BudgetSpec) -> Self {
        budget.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_of_steps_or_epochs() {
        for (text, budget, written) in [
            ("500 steps", BudgetSpec::Steps(500), "500 steps"),
            (" 1  step ", BudgetSpec::Steps(1), "1 steps"),
            ("2.5 epochs", BudgetSpec::Epochs(2.5), "2.5 epochs"),
            ("1e-3 epochs", BudgetSpec::Epochs(1e-3), "0.001 epochs"),
            ("1_000 steps", BudgetSpec::Steps(1000), "1000 steps"),
        ] {
            assert_eq!(text.parse(), Ok(budget));
            assert_eq!(budget.to_string(), written);
            assert_eq!(written.parse(), Ok(budget));
        }
        let long = BudgetSpec::Epochs(1e300);
        assert_eq!(long.to_string().parse(), Ok(long));
        for text in [
            "",
            "500",
            "steps",
            "0 steps",
            "1.5 steps",
            "-1 steps",
            "0 epochs",
            "inf epochs",
            "nan epochs",
            "3 hours",
            "3 steps more",
            ".5 epochs",
            "1. epochs",
            "05 epochs",
        ] {
            assert!(text.parse::<BudgetSpec>().is_err(), "{text}");
        }
    }

    #[test]
    fn part_of_a_step_is_none() {
        assert_eq!(BudgetSpec::Epochs(2.5).steps(3), 7);
        assert_eq!(BudgetSpec::Epochs(0.3).steps(3), 0);
        assert_eq!(BudgetSpec::Epochs(0.29).steps(100), 29);
        assert_eq!(BudgetSpec::Epochs(1e300).compute(130, 64), u64::MAX);
        assert_eq!(BudgetSpec::Epochs(2.0).compute(130, 64), 780);
        assert_eq!(BudgetSpec::Steps(2).compute(130, 64), 384);
        assert_eq!(BudgetSpec::Steps(9).steps(3), 9);
        assert_eq!(
            BudgetSpec::Steps(9).stretched(2.0, 0.5),
            BudgetSpec::Steps(5)
        );
        assert_eq!(
            BudgetSpec::Steps(1).stretched(2.0, 0.1),
            BudgetSpec::Steps(1)
        );
        let half = BudgetSpec::Epochs(9.0).stretched(0.5, 0.1);
        assert_eq!(half, BudgetSpec::Epochs(4.5));
    }
}
