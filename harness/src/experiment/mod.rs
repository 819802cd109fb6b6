//! What is to be run: specifications, experiment files, scales, and the paper's registry.

mod budget;
mod check;
pub(crate) mod cost;
mod file;
pub mod keys;
mod length;
mod lines;
mod named;
mod registry;
pub(crate) mod schedulers;
mod seeds;
pub mod sizes;
mod spec;
mod spec_error;
pub mod sweep;
pub(crate) mod value_kind;

pub use budget::BudgetSpec;
pub use cost::Cost;
pub(crate) use file::SPEC_BYTES;
pub use file::{ExperimentFile, SeriesSpec};
pub(crate) use named::{check_named, is_digest, own_name};
pub use registry::{ExperimentName, Protocol, Scale, experiment_file};
pub use seeds::seeds;
pub use spec::{
    BatchNormAfterValidation, DataSpec, GradientBatch, GroupSpec, ProbeSpec, RunSpec,
    SchedulerSpec, ScoringBatch, TestedCheckpoint, TrainingSpec,
};
pub use spec_error::SpecError;
