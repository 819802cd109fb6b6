//! The training loop: epochs, decisions, divergence, checkpoints.

mod agreement;
mod checkpoint;
mod lock;
mod options;
mod run;
mod slots;
mod trainer;

pub(crate) use checkpoint::write_arrays;
pub use checkpoint::{Checkpoint, Generations, PartialEpoch, Progress};
pub use options::{CHECKPOINT_EVERY, MakeMethod, Observer, RunOptions, RunSize};
pub use run::{RunStatus, at_chance, run, run_on};
pub use slots::{Best, Rates, SlotMark, SlotState, Slots};
