//! What a trainer counts, and how often the closed loop decides.

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::method::kind::Range;

/// What a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Passes over the training set, as in the paper.
    #[default]
    Epoch,
    /// Steps of the optimiser.
    Step,
}

impl Unit {
    /// Name as in files: `epoch`, `step`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Step => "step",
        }
    }
}

/// A decision at the end of every `every`-th epoch or step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    every: u64,
    unit: Unit,
}

impl Default for Cadence {
    /// Every epoch, as in the paper's code.
    fn default() -> Self {
        Self {
            every: 1,
            unit: Unit::Epoch,
        }
    }
}

impl Cadence {
    /// Every `every`-th `unit`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `every` is zero.
    pub fn new(every: u64, unit: Unit) -> Result<Self, ConfigError> {
        Range::AT_LEAST_ONE.check("every", every as f64)?;
        Ok(Self { every, unit })
    }

    /// How many units lie between two decisions.
    pub fn every(self) -> u64 {
        self.every
    }

    /// What is counted.
    pub fn unit(self) -> Unit {
        self.unit
    }

    /// Whether a decision is due at the end of unit number `t`, from 0.
    pub fn is_due(self, t: u64) -> bool {
        // t + 1 would overflow at the end of time.
        t % self.every == self.every - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_is_due_from_the_third_on() -> Result<(), ConfigError> {
        let cadence = Cadence::new(3, Unit::Step)?;
        let due: Vec<u64> = (0..10).filter(|&t| cadence.is_due(t)).collect();
        assert_eq!(due, [2, 5, 8]);
        assert!((0..4).all(|t| Cadence::default().is_due(t)));
        assert!(Cadence::new(u64::MAX, Unit::Step)?.is_due(u64::MAX - 1));
        assert!(!Cadence::new(u64::MAX, Unit::Step)?.is_due(u64::MAX));
        let error = Cadence::new(0, Unit::Epoch).unwrap_err().to_string();
        assert_eq!(error, "every = 0: must be at least 1");
        Ok(())
    }
}
