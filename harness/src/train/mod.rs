//! The training loop: epochs, decisions, divergence, checkpoints.

mod checkpoint;
mod run;

pub(crate) use checkpoint::write_arrays;
pub use checkpoint::{Best, Checkpoint, Generations, Progress, Within};
pub(crate) use run::scheduler;
pub use run::{CHECKPOINT_EVERY, Observer, RunOptions, RunSize, RunStatus, at_chance, run, run_on};
