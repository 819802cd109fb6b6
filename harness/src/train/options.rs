//! How a run is carried out, and who is told of it.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use autolr_core::{Method, MethodState, StateError};

use crate::record::EpochRecord;

/// Told of what happens, for a progress bar.
pub trait Observer {
    /// Before the first step: what is done already, and what is to be done.
    fn begin(&mut self, _size: RunSize) {}
    /// After each optimiser step.
    fn step(&mut self) {}
    /// After each step of a trial or branch, which is none of the training.
    fn trial_step(&mut self) {}
    /// After each epoch's validation.
    fn epoch(&mut self, _record: &EpochRecord) {}
    /// What is out of the ordinary, in a sentence, such as a damaged checkpoint.
    fn note(&mut self, _text: &str) {}
}

/// Says nothing.
impl Observer for () {}

/// What there is to do, and what of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSize {
    /// Epochs done.
    pub epochs_done: u64,
    /// Optimiser steps done of the next.
    pub steps_done: u64,
    /// All epochs.
    pub epochs: u64,
    /// Optimiser steps of each.
    pub steps_per_epoch: u64,
}

/// The time between two checkpoints within an epoch: so much training a crash may cost, and the validation and decision
/// that follow.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(600);

/// How a run is carried out; nothing here changes its result but `threads`.
pub struct RunOptions<'a> {
    /// Set when the run is to stop.
    pub interrupted: &'a AtomicBool,
    /// Threads within an operation of libtorch, for the record.
    pub threads: usize,
    /// Time after which a checkpoint is written within an epoch; [`CHECKPOINT_EVERY`] outside of tests.
    pub checkpoint_every: Duration,
    /// Told of what happens.
    pub observer: &'a mut dyn Observer,
    /// Makes the method, at its beginning or from a state, in place of the specification's: for methods of one's own.
    pub method: Option<&'a MakeMethod>,
}

/// Makes a method, at its beginning or from a state.
pub type MakeMethod = dyn Fn(Option<&MethodState>) -> Result<Box<dyn Method>, StateError>;

impl<'a> RunOptions<'a> {
    /// With checkpoints within an epoch every [`CHECKPOINT_EVERY`].
    pub fn new(
        interrupted: &'a AtomicBool,
        threads: usize,
        observer: &'a mut dyn Observer,
    ) -> Self {
        Self {
            interrupted,
            threads,
            checkpoint_every: CHECKPOINT_EVERY,
            observer,
            method: None,
        }
    }
}
