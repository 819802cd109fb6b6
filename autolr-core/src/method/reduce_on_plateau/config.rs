//! The settings of the rate that falls on a plateau.

use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, FieldDifference};
use crate::method::kind::Range;
use crate::schedule::range::{checked, lowest_rate, not_negative, positive};
use crate::value::Table;
use crate::value::difference::differences;
use crate::value::read::SettingsError;

/// Which metrics are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlateauMode {
    /// Lower ones, as of a loss.
    #[default]
    Min,
    /// Higher ones, as of an accuracy.
    Max,
}

/// What the threshold is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdMode {
    /// Shares of the best metric.
    #[default]
    Rel,
    /// The metric's own unit.
    Abs,
}

/// The validated settings of a [`ReduceOnPlateau`](crate::ReduceOnPlateau).
///
/// In files: `lr` (initial rate), and with PyTorch's defaults `mode` (`"min"`, or `"max"`),
/// `factor` (0.1), `patience` (10), `threshold` (1e-4), `threshold_mode` (`"rel"`, or `"abs"`),
/// `cooldown` (0), `min_lr` (0), `eps` (1e-8).
///
/// ```
/// let json = r#"{ "lr": 0.1, "mode": "max", "patience": 3 }"#;
/// let config: autolr_core::ReduceOnPlateauConfig = serde_json::from_str(json)?;
/// assert_eq!((config.patience(), config.factor()), (3, 0.1));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct ReduceOnPlateauConfig {
    lr: f64,
    mode: PlateauMode,
    factor: f64,
    patience: u64,
    threshold: f64,
    threshold_mode: ThresholdMode,
    cooldown: u64,
    min_lr: f64,
    eps: f64,
}

impl ReduceOnPlateauConfig {
    /// PyTorch's default of `factor`.
    pub const DEFAULT_FACTOR: f64 = 0.1;
    /// PyTorch's default of `patience`.
    pub const DEFAULT_PATIENCE: u64 = 10;
    /// PyTorch's default of `threshold`.
    pub const DEFAULT_THRESHOLD: f64 = 1e-4;
    /// PyTorch's default of `eps`.
    pub const DEFAULT_EPS: f64 = 1e-8;

    /// Start at `lr`, with PyTorch's defaults for the rest.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `lr` is positive and finite.
    pub fn new(lr: f64) -> Result<Self, ConfigError> {
        Ok(Self {
            lr: positive("lr", lr)?,
            mode: PlateauMode::default(),
            factor: Self::DEFAULT_FACTOR,
            patience: Self::DEFAULT_PATIENCE,
            threshold: Self::DEFAULT_THRESHOLD,
            threshold_mode: ThresholdMode::default(),
            cooldown: 0,
            min_lr: 0.0,
            eps: Self::DEFAULT_EPS,
        })
    }

    /// The same with lower or with higher metrics being better.
    #[must_use]
    pub fn with_mode(self, mode: PlateauMode) -> Self {
        Self { mode, ..self }
    }

    /// The same with another factor (dimensionless) on the rate.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `factor` lies in [0, 1). PyTorch takes negative ones too.
    pub fn with_factor(self, factor: f64) -> Result<Self, ConfigError> {
        let factor = Range::SHARE.check("factor", factor)?;
        Ok(Self { factor, ..self })
    }

    /// The same with another number of bad metrics in a row that are put up with.
    #[must_use]
    pub fn with_patience(self, patience: u64) -> Self {
        Self { patience, ..self }
    }

    /// The same with another least change of the metric that counts as better.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `threshold` is finite and not negative, and below 1 if it is
    /// relative. PyTorch checks neither; no loss is better than the best one less 100 %.
    pub fn with_threshold(self, threshold: f64, mode: ThresholdMode) -> Result<Self, ConfigError> {
        let threshold = not_negative("threshold", threshold)?;
        let good = mode == ThresholdMode::Abs || threshold < 1.0;
        checked(
            "threshold",
            threshold,
            good,
            "must be below 1 where it is relative",
        )?;
        Ok(Self {
            threshold,
            threshold_mode: mode,
            ..self
        })
    }

    /// The same with another number of metrics, after a fall of the rate, that do not count as bad.
    #[must_use]
    pub fn with_cooldown(self, cooldown: u64) -> Self {
        Self { cooldown, ..self }
    }

    /// The same with another lowest rate.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `min_lr` lies in [0, `lr`], which PyTorch does not check.
    pub fn with_min_lr(self, min_lr: f64) -> Result<Self, ConfigError> {
        let min_lr = lowest_rate("min_lr", min_lr, self.lr)?;
        Ok(Self { min_lr, ..self })
    }

    /// The same with another fall of the rate, in its own unit, that is still too small to be done.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `eps` is finite and not negative.
    pub fn with_eps(self, eps: f64) -> Result<Self, ConfigError> {
        let eps = not_negative("eps", eps)?;
        Ok(Self { eps, ..self })
    }

    /// The initial rate.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Which metrics are better.
    pub fn mode(&self) -> PlateauMode {
        self.mode
    }

    /// The factor on the rate.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// How many bad metrics in a row are put up with.
    pub fn patience(&self) -> u64 {
        self.patience
    }

    /// The least change of the metric that counts as better.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// What the threshold is measured in.
    pub fn threshold_mode(&self) -> ThresholdMode {
        self.threshold_mode
    }

    /// How many metrics, after a fall of the rate, do not count as bad.
    pub fn cooldown(&self) -> u64 {
        self.cooldown
    }

    /// The lowest rate.
    pub fn min_lr(&self) -> f64 {
        self.min_lr
    }

    /// The fall of the rate that is still too small to be done.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// The metric that every other one is better than.
    pub(super) fn worst(&self) -> f64 {
        match self.mode {
            PlateauMode::Min => f64::INFINITY,
            PlateauMode::Max => f64::NEG_INFINITY,
        }
    }

    pub(super) fn is_better(&self, metric: f64, best: f64) -> bool {
        // In PyTorch's order of operations; each comparison with NaN is false.
        match (self.mode, self.threshold_mode) {
            (PlateauMode::Min, ThresholdMode::Rel) => metric < best * (1.0 - self.threshold),
            (PlateauMode::Min, ThresholdMode::Abs) => metric < best - self.threshold,
            (PlateauMode::Max, ThresholdMode::Rel) => metric > best * (1.0 + self.threshold),
            (PlateauMode::Max, ThresholdMode::Abs) => metric > best + self.threshold,
        }
    }

    /// The fields in which `saved` is another configuration.
    pub(super) fn differences(&self, saved: &Self) -> Vec<FieldDifference> {
        differences("", saved, self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    lr: f64,
    #[serde(default)]
    mode: PlateauMode,
    #[serde(default = "default_factor")]
    factor: f64,
    #[serde(default = "default_patience")]
    patience: u64,
    #[serde(default = "default_threshold")]
    threshold: f64,
    #[serde(default)]
    threshold_mode: ThresholdMode,
    #[serde(default)]
    cooldown: u64,
    #[serde(default)]
    min_lr: f64,
    #[serde(default = "default_eps")]
    eps: f64,
}

fn default_factor() -> f64 {
    ReduceOnPlateauConfig::DEFAULT_FACTOR
}

fn default_patience() -> u64 {
    ReduceOnPlateauConfig::DEFAULT_PATIENCE
}

fn default_threshold() -> f64 {
    ReduceOnPlateauConfig::DEFAULT_THRESHOLD
}

fn default_eps() -> f64 {
    ReduceOnPlateauConfig::DEFAULT_EPS
}

impl ReduceOnPlateauConfig {
    /// The settings of a file's keys.
    pub(super) fn read(table: Table) -> Result<Self, SettingsError> {
        table.settings::<RawConfig, _>()
    }
}

impl TryFrom<RawConfig> for ReduceOnPlateauConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        Self::new(raw.lr)?
            .with_mode(raw.mode)
            .with_factor(raw.factor)?
            .with_patience(raw.patience)
            .with_threshold(raw.threshold, raw.threshold_mode)?
            .with_cooldown(raw.cooldown)
            .with_min_lr(raw.min_lr)?
            .with_eps(raw.eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_beyond_the_threshold_on_its_boundary() -> Result<(), ConfigError> {
        use PlateauMode::{Max, Min};
        use ThresholdMode::{Abs, Rel};
        for (mode, threshold_mode, best, boundary) in [
            (Min, Rel, 4.0, 3.0),
            (Min, Abs, 4.0, 3.75),
            (Max, Rel, 4.0, 5.0),
            (Max, Abs, 4.0, 4.25),
            // As in PyTorch: below zero a relative threshold counts the other way round.
            (Min, Rel, -4.0, -3.0),
        ] {
            let config = ReduceOnPlateauConfig::new(0.8)?
                .with_mode(mode)
                .with_threshold(0.25, threshold_mode)?;
            let step = if mode == Min { -1e-9 } else { 1e-9 };
            assert!(
                !config.is_better(boundary, best),
                "{mode:?} {threshold_mode:?}"
            );
            assert!(
                config.is_better(boundary + step, best),
                "{mode:?} {threshold_mode:?}"
            );
            assert!(config.is_better(best, config.worst()));
            assert!(!config.is_better(f64::NAN, config.worst()));
            assert!(!config.is_better(config.worst(), config.worst()));
        }
        Ok(())
    }

    #[test]
    fn configurations_are_validated_when_read() -> Result<(), serde_json::Error> {
        let read = |text: &str| serde_json::from_str::<ReduceOnPlateauConfig>(text);
        let config = read(r#"{"lr": 0.1}"#)?;
        assert_eq!(Ok(config), ReduceOnPlateauConfig::new(0.1));
        let full = r#"{"lr":0.1,"mode":"max","factor":0.0,"patience":0,"threshold":2.0,"threshold_mode":"abs","cooldown":3,"min_lr":0.1,"eps":0.0}"#;
        assert_eq!(serde_json::to_string(&read(full)?)?, full);
        for (text, expected) in [
            (r#"{}"#, "missing field `lr`"),
            (r#"{"lr": 0}"#, "lr = 0: must be positive and finite"),
            (
                r#"{"lr": 1, "factor": 1}"#,
                "factor = 1: must be from 0 to below 1",
            ),
            (r#"{"lr": 1, "factor": -0.1}"#, "factor = -0.1: must be from 0"),
            (
                r#"{"lr": 1, "patience": -1}"#,
                "invalid value: integer `-1`",
            ),
            (
                r#"{"lr": 1, "threshold": -1}"#,
                "threshold = -1: must be finite and not negative",
            ),
            (
                r#"{"lr": 1, "threshold": 1}"#,
                "threshold = 1: must be below 1 where it is relative",
            ),
            (
                r#"{"lr": 1, "min_lr": 1.5}"#,
                "min_lr = 1.5: must not exceed lr",
            ),
            (
                r#"{"lr": 1, "eps": -1}"#,
                "eps = -1: must be finite and not",
            ),
            (r#"{"lr": 1, "mode": "mean"}"#, "unknown variant `mean`"),
            (r#"{"lr": 1, "verbose": true}"#, "unknown field `verbose`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        Ok(())
    }
}
