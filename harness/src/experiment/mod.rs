//! What is to be run: specifications, experiment files, scales, and the paper's registry.

mod file;
mod holds;
pub(crate) mod keys;
mod lines;
mod optimizer;
mod registry;
pub(crate) mod schedulers;
mod seeds;
mod spec;
pub mod sweep;

pub use file::{ExperimentFile, SeriesSpec};
pub use optimizer::OptimizerSpec;
pub use registry::{Protocol, Scale, experiment_file};
pub use seeds::seeds;
pub use spec::{
    BatchNormAfterValidation, DataSpec, DeviceName, GradientBatch, NetworkSpec, ProbeSpec, RunSpec,
    SchedulerSpec, ScoringBatch, TestedCheckpoint, TrainingSpec, TrialLoss,
};
