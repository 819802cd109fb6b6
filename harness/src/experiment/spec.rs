//! The specification of one training run. A run is a pure function of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use autolr_core::optimizer::{Evaluation, OptimizerConfig, TrialLoss};
use autolr_core::{AutoLrConfig, MethodConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::check::{check, check_scheduler};
use super::keys::{SCHEDULER, fill_in_kinds, fill_in_scheduler};
use super::spec_error::SpecError;
use super::{BudgetSpec, sizes};
use crate::data::{DataSetName, Input, SplitKind};
use crate::device::DeviceName;
use crate::exit::BadInput;
use crate::task::{LayerKind, NetworkSpec};
use crate::visible::typed;

/// A training run: `[data]`, `[network]`, `[optimizer]`, `[scheduler]`, `[probe]`, `[training]` of a TOML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// What is trained on.
    pub data: DataSpec,
    /// What is trained.
    pub network: NetworkSpec,
    /// By which steps.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// At which rate.
    pub scheduler: SchedulerSpec,
    /// How the closed loop probes; not looked at by open-loop schedules.
    #[serde(default)]
    pub probe: ProbeSpec,
    /// How long, in which batches, where.
    pub training: TrainingSpec,
    /// What some of the parameters have of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupSpec>,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// Which.
    pub set: DataSetName,
    /// The file, where the set is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// `disjoint`, or `independent`: three separate random splits, so that validation images are trained on.
    #[serde(default = "disjoint")]
    pub split: SplitKind,
    /// Share of the training images that validates.
    #[serde(default = "validation_fraction")]
    pub validation_fraction: f64,
    /// Take only so many of the training images (before the split).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_images: Option<usize>,
    /// Take only so many of the test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_images: Option<usize>,
    /// Random flip and rotation of training and scoring images.
    #[serde(default = "yes")]
    pub augment: bool,
    /// Halve images in height and width, to 16 × 16: means of 2 × 2 pixels.
    #[serde(default, skip_serializing_if = "is_off")]
    pub downsample: bool,
    /// Leave out the incomplete last batch, in validation and test too.
    #[serde(default = "yes")]
    pub drop_last: bool,
}

fn disjoint() -> SplitKind {
    SplitKind::Disjoint
}

fn validation_fraction() -> f64 {
    0.2
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_off(switch: &bool) -> bool {
    !switch
}

fn yes() -> bool {
    true
}

/// `[scheduler]`: the settings of any method of autolr-core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table", into = "toml::Table")]
pub struct SchedulerSpec(MethodConfig);

impl SchedulerSpec {
    /// The settings of a table.
    fn read(table: toml::Table) -> Result<Self, SpecError> {
        check_scheduler(&table)?;
        Ok(Self(MethodConfig::read(table)?))
    }

    /// The settings.
    pub fn method(&self) -> &MethodConfig {
        &self.0
    }

    /// What the key `kind` says.
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// The settings of the paper's scheduler, if it is that.
    pub fn autolr(&self) -> Option<&AutoLrConfig> {
        self.0.downcast()
    }

    /// The rate of the first step.
    pub fn initial_lr(&self) -> f64 {
        self.0.build().lr()
    }
}

impl TryFrom<toml::Table> for SchedulerSpec {
    type Error = String;

    fn try_from(table: toml::Table) -> Result<Self, String> {
        Self::read(table).map_err(|error| error.to_string())
    }
}

impl From<SchedulerSpec> for toml::Table {
    fn from(SchedulerSpec(method): SchedulerSpec) -> Self {
        // Numbers, names, lists and tables: nothing that TOML could refuse.
        Self::try_from(&method).unwrap_or_default()
    }
}

/// `[probe]`: what a trial is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeSpec {
    /// Images of a scoring batch.
    pub batch_size: usize,
    /// Where along a trial its loss is taken.
    pub loss: TrialLoss,
    /// One scoring batch for all candidates, or one each.
    pub batches: ScoringBatch,
    /// Which batch gives the gradient.
    pub gradient: GradientBatch,
    /// All candidates, or those that a parabola needs.
    #[serde(skip_serializing_if = "is_all")]
    pub evaluate: Evaluation,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_all(evaluate: &Evaluation) -> bool {
    *evaluate == Evaluation::All
}

impl ProbeSpec {
    /// Which losses of a probe were read off rather than evaluated: indices, rising. None of what is no probe.
    pub(crate) fn read_off<'a>(
        &self,
        lrs: impl IntoIterator<Item = &'a f64>,
        losses: impl IntoIterator<Item = &'a f64>,
    ) -> Vec<usize> {
        let lrs: Vec<f64> = lrs.into_iter().copied().collect();
        let mut losses: Vec<f64> = losses.into_iter().copied().collect();
        if lrs.len() != losses.len() {
            return Vec::new();
        }
        self.evaluate.read_off(&lrs, &mut losses)
    }
}

impl Default for ProbeSpec {
    fn default() -> Self {
        Self {
            batch_size: 32,
            loss: TrialLoss::AfterStep,
            batches: ScoringBatch::Shared,
            gradient: GradientBatch::Scoring,
            evaluate: Evaluation::All,
        }
    }
}

/// One scoring batch for all candidates, or one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoringBatch {
    /// The same for all: Algorithm 1.
    Shared,
    /// Another for each: the released code.
    PerCandidate,
}

/// Which batch gives the gradient of the trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GradientBatch {
    /// The scoring batch itself: Algorithm 1.
    Scoring,
    /// A batch of its own, as large as a training batch.
    Own,
}

/// `[[groups]]`: what the parameters of a layer kind have of their own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    /// Which parameters.
    pub kind: LayerKind,
    /// Their rate is the scheduler's times this.
    #[serde(default = "one")]
    pub multiplier: f64,
    /// Their weight decay, if it is not the optimiser's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// `[training]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSpec {
    /// Epochs.
    pub epochs: u64,
    /// What the run may cost, if it is to end before all epochs are trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSpec>,
    /// Images of a training batch.
    #[serde(default = "paper_batch")]
    pub batch_size: usize,
    /// Everything random is derived from it.
    #[serde(default)]
    pub seed: u64,
    /// `cpu`, `cuda` or `auto`.
    #[serde(default)]
    pub device: DeviceName,
    /// What BatchNorm does in training and probing after the first validation.
    #[serde(default)]
    pub batch_norm_after_validation: BatchNormAfterValidation,
    /// Which weights' test accuracy is reported.
    #[serde(default)]
    pub tested_checkpoint: TestedCheckpoint,
}

fn paper_batch() -> usize {
    32
}

/// What BatchNorm does in training and probing after the first validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNormAfterValidation {
    /// It goes on with the statistics of each batch.
    #[default]
    BatchStatistics,
    /// It uses the running statistics of the first epoch from then on: the released code.
    Frozen,
}

/// Which weights' test accuracy is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestedCheckpoint {
    /// Those with the lowest validation loss.
    #[default]
    BestValidation,
    /// Those at the end.
    Last,
}

impl TestedCheckpoint {
    /// Name as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::BestValidation => "best-validation",
            Self::Last => "last",
        }
    }
}

impl RunSpec {
    /// A specification from its tables, validated.
    ///
    /// # Errors
    /// [`BadInput`] that names the key and the value, for the first key that is unknown or value out of range.
    pub fn from_table(table: toml::Table) -> Result<Self, BadInput> {
        Ok(Self::read(table)?)
    }

    /// As [`RunSpec::from_table`], with the key apart.
    pub(super) fn read(mut table: toml::Table) -> Result<Self, SpecError> {
        fill_in_kinds(&mut table);
        fill_in_scheduler(&mut table);
        check(&table)?;
        // What has rules between its keys says so with the key; the rest of the form is what was checked.
        if let Some(toml::Value::Table(scheduler)) = table.get(SCHEDULER) {
            let read = MethodConfig::read(scheduler.clone());
            read.map_err(|error| SpecError::from(error).within(SCHEDULER))?;
        }
        if let Some(value) = table.get("training").and_then(|table| table.get("budget")) {
            let read: Result<BudgetSpec, String> = value.as_str().unwrap_or_default().parse();
            read.map_err(|rule| SpecError::value("training.budget", value, rule))?;
        }
        let spec: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| SpecError::whole(error.message()))?;
        spec.validate()?;
        Ok(spec)
    }

    /// What no key says alone.
    fn validate(&self) -> Result<(), SpecError> {
        let (data, size) = (&self.data, self.training.batch_size);
        for (key, value) in [
            ("data.train_images", data.train_images),
            ("data.test_images", data.test_images),
        ] {
            if let Some(value) = value.filter(|value| *value < size) {
                let rule = format!("must be at least training.batch_size, which is {size}");
                return Err(SpecError::set(key, value, rule));
            }
        }
        let optimizer = self.optimizer.check().map_err(SpecError::from);
        optimizer.map_err(|error| error.within("optimizer"))?;
        self.check_method()?;
        self.check_parabola()?;
        for (index, group) in self.groups.iter().enumerate() {
            let there = self.network.layer_kinds();
            if !there.contains(&group.kind) {
                let there: Vec<&str> = there.iter().map(|kind| kind.name()).collect();
                let (kind, network) = (group.kind.name(), self.network.kind());
                let there = there.join(", ");
                let rest = format!(
                    " = \"{kind}\": this network.kind = \"{network}\" has no such parameters ({there})"
                );
                let error = SpecError::new("kind", rest);
                return Err(error.at(&format!("groups[{index}]"), "groups"));
            }
            let before = &self.groups[..index];
            if before.iter().any(|other| other.kind == group.kind) {
                let rest = format!(" = \"{}\": given twice", group.kind.name());
                let error = SpecError::new("kind", rest);
                return Err(error.at(&format!("groups[{index}]"), "groups"));
            }
        }
        let network = self.network.check().map_err(SpecError::from);
        network.map_err(|error| error.within("network"))?;
        let fits = self.network.check_data(data.set);
        let set = format!("\"{}\"", data.set.key());
        fits.map_err(|rule| SpecError::set("data.set", set, rule))?;
        match (&data.file, data.set.is_named_file()) {
            (None, true) => {
                let rest = format!(": set = \"{}\" needs it", data.set.key());
                return Err(SpecError::missing("file", rest).within("data"));
            }
            (Some(file), named) if !named || file == Path::new("") => {
                let rule = if named {
                    "the path of a file is needed".to_owned()
                } else {
                    format!("set = \"{}\" is no file of one's own", data.set.key())
                };
                let file = format!("\"{}\"", typed(&file.display().to_string()));
                return Err(SpecError::set("data.file", file, rule));
            }
            _ => {}
        }
        let switches = [("augment", data.augment), ("downsample", data.downsample)];
        for (key, on) in switches {
            if on && self.network.takes() != Input::Images {
                let kind = self.network.kind();
                let rule = format!("network.kind = \"{kind}\" takes no images: data.{key} = false");
                return Err(SpecError::set(format!("data.{key}"), true, rule));
            }
        }
        Ok(())
    }

    /// What the scheduler needs and a run cannot give, and a budget that allows no step.
    fn check_method(&self) -> Result<(), SpecError> {
        let (kind, needs) = (
            self.scheduler.kind(),
            self.scheduler.method().build().needs(),
        );
        let plain = self.optimizer == OptimizerConfig::default() && self.groups.is_empty();
        if needs.plain_gradient && !plain {
            let rule = "needs steps of plain SGD, without momentum, weight decay or [[groups]]";
            return Err(SpecError::set("scheduler.kind", kind, rule));
        }
        if needs.probe && self.optimizer.needs_loss() {
            let kind = self.optimizer.kind();
            let rule = format!(
                "needs the loss of each step's batch, which the trials of scheduler.kind = \"{}\" have not",
                self.scheduler.kind()
            );
            return Err(SpecError::set(
                "optimizer.kind",
                format!("\"{kind}\""),
                rule,
            ));
        }
        if needs.line && !self.optimizer.is_proportional() {
            let rule = format!(
                "needs an optimiser whose step is proportional to its rate: \"{}\" finds its own",
                self.optimizer.kind()
            );
            return Err(SpecError::set("scheduler.kind", kind, rule));
        }
        if !self.groups.is_empty() && !self.optimizer.is_proportional() {
            let kind = self.optimizer.kind();
            let rule = "finds one step size for all parameters, so it takes no [[groups]]";
            return Err(SpecError::set(
                "optimizer.kind",
                format!("\"{kind}\""),
                rule,
            ));
        }
        if needs.groups > 1 {
            let rest = format!(" has {} groups: a run has one", needs.groups);
            return Err(SpecError::new("scheduler.groups", rest));
        }
        if let Some(budget @ BudgetSpec::Epochs(_)) = self.training.budget {
            let of_epoch = sizes::steps_per_epoch(self)?;
            if budget.steps(of_epoch) == 0 {
                let rule = format!("less than one of the {of_epoch} steps of an epoch");
                return Err(SpecError::set(
                    "training.budget",
                    format!("\"{}\"", typed(&budget.to_string())),
                    rule,
                ));
            }
        }
        Ok(())
    }

    /// A parabola needs losses along one line.
    fn check_parabola(&self) -> Result<(), SpecError> {
        if self.probe.evaluate == Evaluation::All {
            return Ok(());
        }
        let rule = match (self.probe.loss, self.probe.batches) {
            _ if !self.optimizer.is_proportional() => {
                "the losses have to lie along one line: optimizer.kind whose step is proportional to its rate, such as \"sgd\""
            }
            (TrialLoss::BeforeStep, _) => {
                "the losses have to depend on the rate: probe.loss = \"after-step\""
            }
            (_, ScoringBatch::PerCandidate) => {
                "the losses have to be those of one batch: probe.batches = \"shared\""
            }
            _ => return Ok(()),
        };
        Err(SpecError::set("probe.evaluate", "\"parabola\"", rule))
    }

    /// The specification as canonical TOML: what `spec.toml` holds and the digest is taken of.
    ///
    /// # Errors
    /// None in practice; TOML's own.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// Every key with its value, by its whole name: `scheduler.lr`.
    ///
    /// # Errors
    /// As [`RunSpec::to_toml`].
    pub(crate) fn keys(&self) -> anyhow::Result<BTreeMap<String, toml::Value>> {
        fn flatten(above: &str, table: toml::Table, keys: &mut BTreeMap<String, toml::Value>) {
            for (key, value) in table {
                match value {
                    toml::Value::Table(table) => flatten(&format!("{above}{key}."), table, keys),
                    value => {
                        keys.insert(format!("{above}{key}"), value);
                    }
                }
            }
        }
        let mut keys = BTreeMap::new();
        flatten("", toml::Table::try_from(self)?, &mut keys);
        Ok(keys)
    }

    /// SHA-256 of the canonical TOML, in hex.
    ///
    /// # Errors
    /// As [`RunSpec::to_toml`].
    pub fn digest(&self) -> anyhow::Result<String> {
        Ok(hex::encode(Sha256::digest(self.to_toml()?)))
    }

    /// Name of the run's folder: the first 16 hex digits of the digest.
    ///
    /// # Errors
    /// As [`RunSpec::to_toml`].
    pub fn run_name(&self) -> anyhow::Result<String> {
        let mut digest = self.digest()?;
        digest.truncate(16);
        Ok(digest)
    }

    /// Classes to tell apart.
    pub fn classes(&self) -> usize {
        self.data.set.classes()
    }
}
