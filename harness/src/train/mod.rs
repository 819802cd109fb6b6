//! The training loop: epochs, decisions, divergence, checkpoints.

mod checkpoint;
mod lock;
mod options;
mod run;

pub(crate) use checkpoint::write_arrays;
pub use checkpoint::{Best, Checkpoint, Generations, PartialEpoch, Progress};
pub use options::{CHECKPOINT_EVERY, Observer, RunOptions, RunSize};
pub(crate) use run::scheduler;
pub use run::{RunStatus, at_chance, run, run_on};
