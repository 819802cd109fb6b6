//! What a back end can do wrong, each in a sentence with its numbers and what to do about it.

use std::fmt;

use super::{Change, Check};
use crate::short::{List, Short};

/// One thing that is wrong with a back end, or with what its author told the suite.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The subject's fingerprint holds nothing.
    #[error(
        "the fingerprint is empty, so that no change could be seen: give it the weights, the optimiser's state, the \
         running statistics and the random state"
    )]
    EmptyFingerprint,

    /// Two fingerprints differ though nothing happened between them.
    #[error(
        "two fingerprints in a row differ in {0}: leave out what moves by itself, and take the fingerprint without \
         touching the state"
    )]
    UnstableFingerprint(Change),

    /// `Subject::loss_after_step` does not put everything back.
    #[error(
        "Subject::loss_after_step({}) changes {change}: this is the subject's fault, not the back end's; copy \
         that state before the step and write it back", Short(*.lr)
    )]
    StepHookChangesState {
        /// The rate at which it was called.
        lr: f64,
        /// What changed.
        change: Change,
    },

    /// The back end panicked.
    #[error(
        "a probe of the rates {} panicked ({message}): any rates, in any number, have to be taken; what cannot go on \
         is an error", List(.lrs)
    )]
    Panics {
        /// The rates of the probe.
        lrs: Vec<f64>,
        /// What it said.
        message: String,
    },

    /// Losses that the back end did not write.
    #[error(
        "a probe of {candidates} rates returned Ok and left losses{indices:?} unwritten: write every loss, NaN or \
         infinite ones too"
    )]
    Unwritten {
        /// How many rates were asked for.
        candidates: usize,
        /// Which losses are missing, from 0.
        indices: Vec<usize>,
    },

    /// The first losses were written, the others not.
    #[error(
        "a probe of {candidates} rates wrote {written} losses: write one a rate; their number is lrs.len(), whatever \
         it was before"
    )]
    WrongNumber {
        /// How many rates were asked for.
        candidates: usize,
        /// How many losses were written.
        written: usize,
    },

    /// The loss is added to what `losses` held.
    #[error(
        "losses come out finite only where losses[i] held 0 before the probe: write with = instead of adding with +="
    )]
    AddsToLosses,

    /// The loss at an ordinary rate is not finite.
    #[error(
        "the loss at rate {} is {loss}: check the suite at a rate where training is stable; if it is stable there, \
         the trial's step or loss is wrong", Short(*.lr)
    )]
    NotFinite {
        /// The rate.
        lr: f64,
        /// Its loss.
        loss: String,
    },

    /// A probe at ordinary rates leaves the state changed.
    #[error(
        "a probe changes {0}: copy that part before the trials and write the copy back after each, on every \
         way out"
    )]
    ChangesState(Change),

    /// A probe leaves the state changed by rounding, or at large rates only, though the loss is finite.
    #[error(
        "a probe of rates up to {} changes {change}, by rounding: a step that is undone (w -= lr g; w += lr g) does \
         not give back the same bits, and NaN after an infinite one; write back a copy instead", Short(*.lr)
    )]
    StepsAndUndoes {
        /// The highest rate of the probe.
        lr: f64,
        /// What changed.
        change: Change,
    },

    /// A probe leaves the state changed where the loss is not finite, and nowhere else.
    #[error(
        "a probe at rate {} changes {change}, where the loss is not finite, at others it does not: every way out of a \
         trial must restore, by writing back a copy (a step that is undone gives inf − inf)", Short(*.lr)
    )]
    NotRestoredWhenNotFinite {
        /// The rate.
        lr: f64,
        /// What changed.
        change: Change,
    },

    /// The loss is the same at all rates.
    #[error(
        "the rates from {} to {} all give the loss {loss}: the trial has to step at the rate that it is given, and \
         the loss to be taken after the step", Short(*.lowest), Short(*.highest)
    )]
    IgnoresRate {
        /// The loss.
        loss: f64,
        /// The lowest rate.
        lowest: f64,
        /// The highest rate.
        highest: f64,
    },

    /// The loss is the same at all rates: that of the weights before the step.
    #[error(
        "the rate has no influence, and the loss {loss} is that before any step: take the loss again after the trial's step, instead of \
         that which came with the gradient"
    )]
    LossBeforeStep {
        /// The loss.
        loss: f64,
    },

    /// The same probe gives other losses the second time, though the fingerprint is the same.
    #[error(
        "the same probe twice gives {first} and then {second} at rate {}: the batch moves on from probe to probe \
         (rewind it in Subject::backend), some state is missing from the fingerprint, or a kernel is not \
         deterministic (allow it a tolerance)", Short(*.lr)
    )]
    Unrepeatable {
        /// The rate.
        lr: f64,
        /// Its loss in the first probe.
        first: f64,
        /// Its loss in the second.
        second: f64,
    },

    /// Equal rates in one probe get different losses, by their place alone.
    #[error(
        "one rate, {}, tried {} times in one probe gives {}: every candidate has another batch, dropout mask or \
         momentum; draw the batch once a probe, and start every trial from the same random and optimiser state",
        Short(*.lr), .losses.len(), List(.losses)
    )]
    BatchPerCandidate {
        /// The rate.
        lr: f64,
        /// Its losses, in order.
        losses: Vec<f64>,
    },

    /// Equal rates in one probe get different losses: the first one, and all the others.
    #[error(
        "one rate, {}, tried several times in one probe gives {first} first and {others} ever after: what is done \
         once before the trials (Trial::prepare) changes state that restoring puts back; put it back there, too",
        Short(*.lr)
    )]
    FirstTrialDiffers {
        /// The rate.
        lr: f64,
        /// The loss of the first trial.
        first: f64,
        /// The loss of the others.
        others: f64,
    },

    /// A trial's loss depends on the trial before it.
    #[error(
        "rate {} gives {alone} first, and {found} after a trial at {}: losses depend on the order of the candidates; \
         restore everything after each trial, also when its loss is not finite", Short(*.lr), Short(*.after)
    )]
    CarriesOver {
        /// The rate.
        lr: f64,
        /// The rate tried before it.
        after: f64,
        /// Its loss when no trial went before.
        alone: f64,
        /// Its loss after the other.
        found: f64,
    },

    /// The losses are right, but not in the order of the rates.
    #[error(
        "the losses of the rates {} come in another order than the rates: losses[i] belongs to lrs[i], which need not \
         be sorted", List(.lrs)
    )]
    Misplaced {
        /// The rates of the probe.
        lrs: Vec<f64>,
    },

    /// A candidate's loss depends on which others are in the probe.
    #[error(
        "rate {} gives {alone} alone and {among} among others: a loss must be the mean loss after its own trial, and \
         not be normalised by the others", Short(*.lr)
    )]
    DependsOnOthers {
        /// The rate.
        lr: f64,
        /// Its loss alone.
        alone: f64,
        /// Its loss in a probe of several.
        among: f64,
    },

    /// A trial is not the optimiser's step.
    #[error(
        "a trial at rate {} gives {trial}, the optimiser's own step {step}: the trial leaves something out (momentum, \
         weight decay), takes another gradient, or is scored in another mode or on another batch", Short(*.lr)
    )]
    DisagreesWithStep {
        /// The rate.
        lr: f64,
        /// The loss by the probe.
        trial: f64,
        /// The loss by `Subject::loss_after_step`.
        step: f64,
    },

    /// A rate that blows up the weights is answered with an error.
    #[error(
        "a probe at rate {} is an error ({message}): a loss that is NaN or infinite is data; write it, and keep \
         errors for broken machinery", Short(*.lr)
    )]
    ErrorForRate {
        /// The rate.
        lr: f64,
        /// The error.
        message: String,
    },

    /// A loss that is not finite is replaced by a number.
    #[error(
        "at rate {} the optimiser's own step gives a loss that is not finite, the probe {loss}: write NaN and infinity \
         as they are; a number in their place has a vote", Short(*.lr)
    )]
    HidesNonFinite {
        /// The rate.
        lr: f64,
        /// The loss by the probe.
        loss: f64,
    },

    /// A trial failed, and the probe returned Ok.
    #[error(
        "trial {trial} of {candidates} failed, and the probe returned Ok with {}: hand the error on with ?; an error \
         is not a loss", Written(*.loss)
    )]
    SwallowsError {
        /// Which trial failed, from 0.
        trial: usize,
        /// How many there were.
        candidates: usize,
        /// What stands in its place, if anything was written.
        loss: Option<f64>,
    },

    /// A probe that failed leaves the state changed.
    #[error(
        "after an error in trial {trial} the state stays changed in {change}: restore before the error is handed on; a \
         bare ? after the step skips it"
    )]
    NotRestoredAfterError {
        /// Which trial failed, from 0.
        trial: usize,
        /// What changed.
        change: Change,
    },

    /// After a probe that failed, the next one is not what it was.
    #[error(
        "after a probe that failed, the next gives {} at rate {}, before it {before}: something that the fingerprint \
         does not hold stays behind", Written(*.after), Short(*.lr)
    )]
    DifferentAfterError {
        /// The rate.
        lr: f64,
        /// Its loss before.
        before: f64,
        /// Its loss after; none if that probe failed too.
        after: Option<f64>,
    },

    /// Memory grows with the number of candidates.
    #[error(
        "a probe of {few} rates takes {few_bytes} bytes, one of {many} takes {many_bytes}: let go of each trial's \
         weights before the next; one copy serves all"
    )]
    MemoryGrows {
        /// The smaller number of rates.
        few: usize,
        /// Its peak.
        few_bytes: u64,
        /// The larger number of rates.
        many: usize,
        /// Its peak.
        many_bytes: u64,
    },
}

impl Finding {
    /// The names of all findings.
    pub const NAMES: &[&str] = &[
        "EmptyFingerprint",
        "UnstableFingerprint",
        "StepHookChangesState",
        "Panics",
        "Unwritten",
        "WrongNumber",
        "AddsToLosses",
        "NotFinite",
        "ChangesState",
        "StepsAndUndoes",
        "NotRestoredWhenNotFinite",
        "IgnoresRate",
        "LossBeforeStep",
        "Unrepeatable",
        "BatchPerCandidate",
        "FirstTrialDiffers",
        "CarriesOver",
        "Misplaced",
        "DependsOnOthers",
        "DisagreesWithStep",
        "ErrorForRate",
        "HidesNonFinite",
        "SwallowsError",
        "NotRestoredAfterError",
        "DifferentAfterError",
        "MemoryGrows",
    ];

    /// The finding's name, as in the guide's table.
    pub fn name(&self) -> &'static str {
        self.name_and_check().0
    }

    /// The check that it belongs to.
    pub fn check(&self) -> Check {
        self.name_and_check().1
    }

    fn name_and_check(&self) -> (&'static str, Check) {
        match self {
            Self::EmptyFingerprint => ("EmptyFingerprint", Check::Fingerprint),
            Self::UnstableFingerprint(_) => ("UnstableFingerprint", Check::Fingerprint),
            Self::StepHookChangesState { .. } => ("StepHookChangesState", Check::Step),
            Self::Panics { .. } => ("Panics", Check::Losses),
            Self::Unwritten { .. } => ("Unwritten", Check::Losses),
            Self::WrongNumber { .. } => ("WrongNumber", Check::Losses),
            Self::AddsToLosses => ("AddsToLosses", Check::Losses),
            Self::NotFinite { .. } => ("NotFinite", Check::Losses),
            Self::ChangesState(_) => ("ChangesState", Check::State),
            Self::StepsAndUndoes { .. } => ("StepsAndUndoes", Check::State),
            Self::NotRestoredWhenNotFinite { .. } => ("NotRestoredWhenNotFinite", Check::Extremes),
            Self::IgnoresRate { .. } => ("IgnoresRate", Check::Rate),
            Self::LossBeforeStep { .. } => ("LossBeforeStep", Check::Rate),
            Self::Unrepeatable { .. } => ("Unrepeatable", Check::Repeat),
            Self::BatchPerCandidate { .. } => ("BatchPerCandidate", Check::Independence),
            Self::FirstTrialDiffers { .. } => ("FirstTrialDiffers", Check::Independence),
            Self::CarriesOver { .. } => ("CarriesOver", Check::Independence),
            Self::Misplaced { .. } => ("Misplaced", Check::Independence),
            Self::DependsOnOthers { .. } => ("DependsOnOthers", Check::Independence),
            Self::DisagreesWithStep { .. } => ("DisagreesWithStep", Check::Step),
            Self::ErrorForRate { .. } => ("ErrorForRate", Check::Extremes),
            Self::HidesNonFinite { .. } => ("HidesNonFinite", Check::Extremes),
            Self::SwallowsError { .. } => ("SwallowsError", Check::Errors),
            Self::NotRestoredAfterError { .. } => ("NotRestoredAfterError", Check::Errors),
            Self::DifferentAfterError { .. } => ("DifferentAfterError", Check::Errors),
            Self::MemoryGrows { .. } => ("MemoryGrows", Check::Memory),
        }
    }
}

/// A loss, or that there is none.
struct Written(Option<f64>);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(loss) => write!(f, "the loss {}", Short(loss)),
            None => f.write_str("no loss"),
        }
    }
}
