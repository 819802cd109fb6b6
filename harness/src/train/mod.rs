//! The training loop: epochs, decisions, divergence, checkpoints.

mod checkpoint;
mod run;

pub use checkpoint::{Best, Checkpoint, Progress};
pub(crate) use checkpoint::{write_arrays, write_whole};
pub use run::{Observer, RunOptions, RunStatus, at_chance, run};
