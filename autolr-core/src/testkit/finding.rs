//! What a back end can do wrong, each in a sentence with its numbers and what to do about it.

use crate::same::same_in_debug;
use std::fmt;

use super::{Change, Check};
use crate::short::{List, Short};

/// One thing that is wrong with a back end, or with what its author told the suite.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The suite was called with a rate or a tolerance that are none.
    #[error(
        "conformance was called with the rate {} and the tolerance {}, which is no fault of the back end's: the rate \
         has to be positive and finite, the tolerance at least 0 and below 1", Short(*.lr), Short(*.tolerance)
    )]
    Arguments {
        /// The rate given.
        lr: f64,
        /// The tolerance given.
        tolerance: f64,
    },

    /// The subject's fingerprint holds nothing.
    #[error(
        "the fingerprint is empty, so that no change could be seen: give it the weights, the optimiser's state, the \
         running statistics, the random state, and the gradients if the training lets them accumulate"
    )]
    EmptyFingerprint,

    /// Two fingerprints differ though nothing happened between them.
    #[error(
        "two fingerprints in a row differ in {0}: leave out what moves by itself, and take the fingerprint without \
         touching the state"
    )]
    UnstableFingerprint(Change),

    /// `Subject::loss_after_step`, or `Subject::training`, does not leave the state as it was.
    #[error(
        "Subject::loss_after_step (or loss_after_group_step, or training) at rate {} changes {change}: this is the \
         subject's fault, not the back end's; copy that state before the step and write it back", Short(*.lr)
    )]
    StepHookChangesState {
        /// The rate at which it was called, of several groups that of the first, for `training` the suite's.
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

    /// The loss is the same at all rates, and another at a rate far from them: the suite's rate is no ordinary one.
    #[error(
        "conformance was called with a rate that makes no difference, which is no fault of the back end's: the rates \
         from {} to {} all give the loss {loss}{}; call it with a rate at which a step moves the loss", Short(*.lowest),
        Short(*.highest), Elsewhere(*.other)
    )]
    UnsuitableRate {
        /// The loss.
        loss: f64,
        /// The lowest rate.
        lowest: f64,
        /// The highest rate.
        highest: f64,
        /// A rate that gives another loss, if one was found.
        other: Option<f64>,
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
         momentum, or state that neither snapshot nor fingerprint holds; draw the batch once a probe, and start every \
         trial from the same random and optimiser state",
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

    /// Each loss is that of the trial before it.
    #[error(
        "rate {} is given the loss {loss}, which is the loss of the trial before, at rate {}: take the loss after the \
         step of its own trial, and wait for the device before it is read", Short(*.lr), Short(*.before)
    )]
    ShiftedLosses {
        /// The rate.
        lr: f64,
        /// The rate tried before it.
        before: f64,
        /// The loss.
        loss: f64,
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
         weight decay), takes another gradient, or is scored in another mode, on another batch or with another dropout \
         mask; or `loss_after_step` is the one that differs", Short(*.lr)
    )]
    DisagreesWithStep {
        /// The rate.
        lr: f64,
        /// The loss by the probe.
        trial: f64,
        /// The loss by `Subject::loss_after_step`.
        step: f64,
    },

    /// A trial's loss is the step's times the number of examples, or the other way round.
    #[error(
        "a trial at rate {} gives {trial}, the optimiser's own step {step}: at every rate the one is {count} times the \
         other; one of them is a sum over the batch, and both have to be the mean", Short(*.lr)
    )]
    SumNotMean {
        /// The rate.
        lr: f64,
        /// The loss by the probe.
        trial: f64,
        /// The loss by `Subject::loss_after_step`.
        step: f64,
        /// How many times larger the larger one is.
        count: u64,
    },

    /// A trial's loss is the step's but for rounding to single precision.
    #[error(
        "a trial at rate {} gives {trial}, the optimiser's own step {step}: the same but for rounding to single \
         precision; one of them is computed in f32: compute both alike, or allow a tolerance such as 1e-5", Short(*.lr)
    )]
    SinglePrecision {
        /// The rate.
        lr: f64,
        /// The loss by the probe.
        trial: f64,
        /// The loss by `Subject::loss_after_step`.
        step: f64,
    },

    /// High rates all give the same loss, where the optimiser's step does not.
    #[error(
        "rates from {} on give the loss {trial}, the optimiser's own step at that rate {step}: the rate was clamped \
         before the step; step at the rate that is given, AutoLrConfig::with_bounds is for bounds", Short(*.lr)
    )]
    ClampedRate {
        /// A rate that was not stepped at.
        lr: f64,
        /// The loss by the probe.
        trial: f64,
        /// The loss by `Subject::loss_after_step`.
        step: f64,
    },

    /// A trial is the optimiser's step, but no longer after a step of training.
    #[error(
        "after Subject::advance a trial at rate {} gives {trial}, the optimiser's own step {step}, where before they \
         agreed: the gradient, the weights or the batch of an earlier probe are used again (stale), or what the first \
         steps of a training build up, such as momentum, is left out; take them anew in every probe, and step as the \
         optimiser does", Short(*.lr)
    )]
    Stale {
        /// The rate.
        lr: f64,
        /// The loss by the probe.
        trial: f64,
        /// The loss by `Subject::loss_after_step`.
        step: f64,
    },

    /// `Subject::advance` says that it made a step, and nothing has changed.
    #[error(
        "Subject::advance returned true, and the fingerprint is what it was: make a step of the training there, or \
         return false; if a step was made, the fingerprint lacks what it changes"
    )]
    AdvanceStandsStill,

    /// `Subject::training` comes to something else the second time.
    #[error(
        "Subject::training without a probe comes to {} and then to {}: this is the subject's fault, not the back end's; \
         begin each from the same weights, running statistics, random state and batches", List(.first), List(.second)
    )]
    TrainingDiffers {
        /// What the first came to.
        first: Vec<f64>,
        /// What the second came to.
        second: Vec<f64>,
    },

    /// A training that is probed comes to something else than one that is not.
    #[error(
        "a training with a probe before each step comes to {}, without to {}: a probe changes something that neither \
         snapshot nor fingerprint holds, such as running statistics, a random stream or the position of a loader; put \
         it into both", List(.with), List(.without)
    )]
    ChangesTraining {
        /// What it comes to without a probe.
        without: Vec<f64>,
        /// What it comes to with one before each step.
        with: Vec<f64>,
    },

    /// The back end takes one rate for all, the subject has several groups.
    #[error(
        "Subject::groups is {groups}, and the back end has no probe_groups: implement it, or leave Subject::groups at 1"
    )]
    GroupsUnsupported {
        /// How many groups the subject has.
        groups: usize,
    },

    /// The same rate in every group gives another loss than the rate for all.
    #[error(
        "rate {} in each of {groups} groups gives {found} by probe_groups, and {alone} by probe: both have to make the \
         same step", Short(*.lr)
    )]
    GroupsDisagree {
        /// The rate.
        lr: f64,
        /// How many groups there are.
        groups: usize,
        /// The loss by `probe`.
        alone: f64,
        /// The loss by `probe_groups`.
        found: f64,
    },

    /// The rate of a group has no influence.
    #[error(
        "the rate of group {group} has no influence: {} and {} in it, the others as they were, give the loss {loss}; \
         in trial i group g steps at lrs[[i, g]]", Short(*.lr), Short(*.other)
    )]
    IgnoresGroup {
        /// Which group, from 0.
        group: usize,
        /// A rate.
        lr: f64,
        /// Another rate.
        other: f64,
        /// The loss at either.
        loss: f64,
    },

    /// A trial with a rate for each group is not the optimiser's step.
    #[error(
        "a trial at the rates {} by group gives {trial}, the optimiser's own step {step}: the groups are in another \
         order or of other parameters; or `loss_after_group_step` is the one that differs", List(.lrs)
    )]
    GroupsDisagreeWithStep {
        /// The rates, one a group.
        lrs: Vec<f64>,
        /// The loss by the probe.
        trial: f64,
        /// The loss by `Subject::loss_after_group_step`.
        step: f64,
    },

    /// What the back end says that a probe costs cannot be.
    #[error(
        "cost says that a probe of {candidates} rates takes {forwards} forward and {backwards} backward passes: it \
         takes at least a forward pass a rate, and not more than a million; count them (Trial::cost counts one gradient \
         and a forward pass a trial unless you write another), or leave ProbeBackend::cost out"
    )]
    AbsurdCost {
        /// How many rates.
        candidates: usize,
        /// Forward passes.
        forwards: u64,
        /// Backward passes.
        backwards: u64,
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

    /// The loss at the rate NaN is a number.
    #[error(
        "at the rate NaN, at which a step makes every weight NaN, the probe gives the loss {loss}: it was replaced by a \
         number, which has a vote; or the rate was clamped before the step (f64::min and max pass NaN over), or NaN is \
         lost in the network (x.max(0.0) makes 0 of it)"
    )]
    FiniteLossAtNaN {
        /// The loss by the probe.
        loss: f64,
    },

    /// A loss that is not finite is replaced by a number.
    #[error(
        "at rate {} the optimiser's own step gives a loss that is not finite, the probe {loss}: write NaN and infinity \
         as they are; a number in their place has a vote; or the rate was clamped before the step", Short(*.lr)
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

/// A clone is equal, with a NaN loss too.
impl PartialEq for Finding {
    fn eq(&self, other: &Self) -> bool {
        same_in_debug(self, other)
    }
}

impl Finding {
    /// The names of all findings.
    pub const NAMES: &[&str] = &[
        "Arguments",
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
        "UnsuitableRate",
        "IgnoresRate",
        "LossBeforeStep",
        "Unrepeatable",
        "BatchPerCandidate",
        "FirstTrialDiffers",
        "CarriesOver",
        "ShiftedLosses",
        "Misplaced",
        "DependsOnOthers",
        "DisagreesWithStep",
        "SumNotMean",
        "SinglePrecision",
        "ClampedRate",
        "Stale",
        "AdvanceStandsStill",
        "TrainingDiffers",
        "ChangesTraining",
        "GroupsUnsupported",
        "GroupsDisagree",
        "IgnoresGroup",
        "GroupsDisagreeWithStep",
        "AbsurdCost",
        "ErrorForRate",
        "FiniteLossAtNaN",
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
            Self::Arguments { .. } => ("Arguments", Check::Fingerprint),
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
            Self::UnsuitableRate { .. } => ("UnsuitableRate", Check::Rate),
            Self::IgnoresRate { .. } => ("IgnoresRate", Check::Rate),
            Self::LossBeforeStep { .. } => ("LossBeforeStep", Check::Rate),
            Self::Unrepeatable { .. } => ("Unrepeatable", Check::Repeat),
            Self::BatchPerCandidate { .. } => ("BatchPerCandidate", Check::Independence),
            Self::FirstTrialDiffers { .. } => ("FirstTrialDiffers", Check::Independence),
            Self::CarriesOver { .. } => ("CarriesOver", Check::Independence),
            Self::ShiftedLosses { .. } => ("ShiftedLosses", Check::Independence),
            Self::Misplaced { .. } => ("Misplaced", Check::Independence),
            Self::DependsOnOthers { .. } => ("DependsOnOthers", Check::Independence),
            Self::DisagreesWithStep { .. } => ("DisagreesWithStep", Check::Step),
            Self::SumNotMean { .. } => ("SumNotMean", Check::Step),
            Self::SinglePrecision { .. } => ("SinglePrecision", Check::Step),
            Self::ClampedRate { .. } => ("ClampedRate", Check::Step),
            Self::Stale { .. } => ("Stale", Check::Advance),
            Self::AdvanceStandsStill => ("AdvanceStandsStill", Check::Advance),
            Self::TrainingDiffers { .. } => ("TrainingDiffers", Check::Training),
            Self::ChangesTraining { .. } => ("ChangesTraining", Check::Training),
            Self::GroupsUnsupported { .. } => ("GroupsUnsupported", Check::Groups),
            Self::GroupsDisagree { .. } => ("GroupsDisagree", Check::Groups),
            Self::IgnoresGroup { .. } => ("IgnoresGroup", Check::Groups),
            Self::GroupsDisagreeWithStep { .. } => ("GroupsDisagreeWithStep", Check::Groups),
            Self::AbsurdCost { .. } => ("AbsurdCost", Check::Cost),
            Self::ErrorForRate { .. } => ("ErrorForRate", Check::Extremes),
            Self::FiniteLossAtNaN { .. } => ("FiniteLossAtNaN", Check::Extremes),
            Self::HidesNonFinite { .. } => ("HidesNonFinite", Check::Extremes),
            Self::SwallowsError { .. } => ("SwallowsError", Check::Errors),
            Self::NotRestoredAfterError { .. } => ("NotRestoredAfterError", Check::Errors),
            Self::DifferentAfterError { .. } => ("DifferentAfterError", Check::Errors),
            Self::MemoryGrows { .. } => ("MemoryGrows", Check::Memory),
        }
    }
}

/// Another rate that does make a difference, if there is one.
struct Elsewhere(Option<f64>);

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(lr) => write!(f, ", and {} gives another", Short(lr)),
            None => f.write_str(", and so does the optimiser's own step"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swallowed_error_is_told_with_what_stands_in_its_place() {
        let text = |loss| {
            let (trial, candidates) = (2, 5);
            Finding::SwallowsError {
                trial,
                candidates,
                loss,
            }
            .to_string()
        };
        assert!(
            text(Some(0.25)).contains("the loss 0.25"),
            "{}",
            text(Some(0.25))
        );
        assert!(text(None).contains("no loss"), "{}", text(None));
    }
}
