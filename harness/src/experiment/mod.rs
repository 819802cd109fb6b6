//! What is to be run: specifications, experiment files, scales, and the paper's registry.

mod file;
mod keys;
mod registry;
mod spec;

pub use file::{ExperimentFile, SeriesSpec};
pub use registry::{Protocol, Scale, experiment_file};
pub use spec::{
    BatchNormAfterValidation, DataSpec, DeviceName, GradientBatch, NetworkSpec, OptimizerSpec,
    ProbeSpec, RunSpec, SchedulerSpec, ScoringBatch, TestedCheckpoint, TrainingSpec, TrialLoss,
};
