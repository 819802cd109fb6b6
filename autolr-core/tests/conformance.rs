//! The conformance suite passes what conforms, and tells wrong back ends apart by name.
#![allow(unsafe_code)] // a counting allocator, to measure what a probe takes

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeSet;

use autolr_core::testkit::{
    Check, Finding, Fingerprint, NoisyRegression, Quadratic, Report, Skip, Subject, TrialFailed,
    conformance,
};
use autolr_core::{GroupsError, ProbeBackend, ProbeCost, Trial};
use ndarray::{Array1, ArrayView1, ArrayView2, ArrayViewMut1};

/// Counts, thread by thread, what the system allocator gives.
struct Counting;

thread_local! {
    static HELD: Cell<u64> = const { Cell::new(0) };
    static PEAK: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands every call on to the system allocator; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get() + layout.size() as u64;
        HELD.set(held);
        PEAK.set(PEAK.get().max(held));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size() as u64));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes at the peak of `work`, beyond those held before.
fn peak_of(work: impl FnOnce()) -> u64 {
    let before = HELD.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

/// What a [`Faulty`] back end does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    TouchesWeights,
    NeverRestores,
    TouchesRunningMean,
    AdvancesRandom,
    StepsAndUndoes,
    RestoresFiniteOnly,
    OtherBatchByPlace,
    OtherBatchByCall,
    OtherBatchByProbe,
    /// A loader that is back at its beginning after so many probes, or trials.
    LoaderOfProbes(u64),
    LoaderOfTrials(u64),
    IgnoresRate,
    LossBeforeStep,
    LossBeforeStepByPlace,
    RestoresAtTheEndOnly,
    PrepareMovesTheMean,
    SortsTheRates,
    Normalises,
    LeavesOutMomentum,
    KeepsEveryTrial,
    MakesUpALoss,
    LeavesOutTheFailed,
    ReturnsBeforeRestoring,
    StaysBroken,
    LeavesOutNonFinite,
    RefusesNonFinite,
    ReplacesNonFinite,
    FiveLossesAlways,
    PanicsAtOne,
    WritesNothing,
    Adds,
    DividesByZero,
    DividesByZeroAndNeverRestores,
    WritesTheLossBefore,
    ClampsOrdinaryRates,
    ClampsLargeRates,
    RoundsLargeRates,
    LeavesOutWhatIsLarge,
    KeepsTheFirstGradient,
    SumsTheLoss,
    LosesDoublePrecision,
    CostsNothing,
    CostsLessThanItsTrials,
    CostsEverything,
    HasNoGroups,
    GroupsAtTwiceTheRate,
    GroupsByTheFirst,
    GroupsInAnotherOrder,
    GroupsTouchWeights,
}

struct Faulty {
    model: NoisyRegression,
    fault: Fault,
    calls: u64,
    probes: u64,
    broken: bool,
    /// The gradient of the first probe there was.
    first: Option<Array1<f64>>,
    /// The loss of the last trial there was.
    last: f64,
}

/// The loss after a step at a rate of each group: the first two weights, and the others.
fn group_step(model: &NoisyRegression, lrs: &[f64]) -> f64 {
    let mut stepped = model.clone();
    let (_, gradient) = model.clone().gradient(model.gradient_batch);
    stepped.velocity = NoisyRegression::MOMENTUM * &model.velocity + gradient;
    for (i, weight) in stepped.weights.iter_mut().enumerate() {
        *weight -= lrs[i / 2] * stepped.velocity[i];
    }
    stepped.loss(stepped.scoring_batch)
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            model: NoisyRegression::new(1),
            fault,
            calls: 0,
            probes: 0,
            broken: false,
            first: None,
            last: 0.5,
        }
    }

    /// Writes all of the state back.
    fn restore(&mut self, origin: &NoisyRegression) {
        self.model.weights.assign(&origin.weights);
        self.model.velocity.assign(&origin.velocity);
        self.model.running_mean.assign(&origin.running_mean);
        self.model.random = origin.random;
    }

    /// The trial at `lr` in place `i`, from whatever state there is; not restored.
    fn trial(&mut self, i: usize, lr: f64) -> Result<f64, TrialFailed> {
        self.calls += 1;
        match self.fault {
            Fault::OtherBatchByPlace => self.model.scoring_batch = 200 + i as u64,
            Fault::LoaderOfTrials(period) => self.model.scoring_batch = 200 + self.calls % period,
            Fault::SumsTheLoss => return self.model.trial(lr).map(|loss| 8.0 * loss),
            Fault::LosesDoublePrecision => {
                return self.model.trial(lr).map(|loss| f64::from(loss as f32));
            }
            Fault::OtherBatchByCall => self.model.scoring_batch = 200 + self.calls,
            Fault::IgnoresRate => return self.model.trial(0.01),
            Fault::LossBeforeStep | Fault::LossBeforeStepByPlace => {
                let by_place = u64::from(self.fault == Fault::LossBeforeStepByPlace);
                let before = self.model.loss(101 + by_place * i as u64);
                return self.model.trial(lr).map(|_| before);
            }
            Fault::LeavesOutMomentum => self.model.velocity.fill(0.0),
            Fault::ClampsOrdinaryRates => return self.model.trial(lr.min(0.1)),
            Fault::ClampsLargeRates => return self.model.trial(lr.min(10.0)),
            Fault::RoundsLargeRates if lr > 1.0 => {
                return self.model.trial(4.0 * (lr / 4.0).round());
            }
            Fault::LeavesOutWhatIsLarge if lr > 1.0 => self.model.velocity.fill(0.0),
            Fault::WritesTheLossBefore => {
                let loss = self.model.trial(lr)?;
                return Ok(std::mem::replace(&mut self.last, loss));
            }
            Fault::KeepsTheFirstGradient => {
                let batch = self.model.gradient_batch;
                let anew = || self.model.clone().gradient(batch).1;
                let gradient = self.first.get_or_insert_with(anew).clone();
                if self.model.failing.is_none() {
                    self.model.step(&gradient, lr);
                    return Ok(self.model.loss(self.model.scoring_batch));
                }
            }
            _ => (),
        }
        self.model.trial(lr)
    }
}

impl ProbeBackend for Faulty {
    type Error = TrialFailed;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), TrialFailed> {
        use Fault::*;
        let origin = self.model.clone();
        let mut kept = Vec::new();
        let mut lrs = lrs.to_vec();
        if self.fault == SortsTheRates {
            lrs.sort_by(f64::total_cmp);
        }
        if self.fault == FiveLossesAlways {
            lrs.truncate(5);
        }
        if self.fault == PanicsAtOne {
            assert!(lrs.len() > 1, "one rate is no choice");
        }
        self.probes += 1;
        if let LoaderOfProbes(period) = self.fault {
            self.model.scoring_batch = 200 + self.probes % period;
        }
        if self.fault == OtherBatchByProbe {
            self.model.scoring_batch += 1;
        }
        if self.broken {
            return Err(TrialFailed);
        }
        self.model.prepare()?;
        if self.fault == PrepareMovesTheMean {
            self.model.gradient(100);
        }
        for (i, &lr) in lrs.iter().enumerate() {
            if self.fault == StepsAndUndoes {
                let (_, gradient) = self.model.clone().gradient(self.model.gradient_batch);
                let direction = NoisyRegression::MOMENTUM * &self.model.velocity + gradient;
                self.model.weights.scaled_add(-lr, &direction);
                losses[i] = self.model.loss(self.model.scoring_batch);
                self.model.weights.scaled_add(lr, &direction);
                continue;
            }
            let outcome = self.trial(i, lr);
            if self.fault == ReturnsBeforeRestoring {
                losses[i] = outcome?;
            } else {
                let finite = outcome.is_ok_and(f64::is_finite);
                match (self.fault, outcome) {
                    (MakesUpALoss, Err(_)) => losses[i] = 1e9,
                    (LeavesOutTheFailed, Err(_)) => (),
                    (StaysBroken, Err(_)) => self.broken = true,
                    (LeavesOutNonFinite, Ok(_)) if !finite => (),
                    (RefusesNonFinite, Ok(_)) if !finite => {
                        self.restore(&origin);
                        return Err(TrialFailed);
                    }
                    (ReplacesNonFinite, Ok(_)) if !finite => losses[i] = 1e9,
                    (WritesNothing, _) => (),
                    (Adds, Ok(loss)) => losses[i] += loss,
                    (DividesByZero | DividesByZeroAndNeverRestores, Ok(loss)) => {
                        losses[i] = loss / 0.0
                    }
                    (_, Ok(loss)) => losses[i] = loss,
                    (_, Err(error)) => {
                        self.restore(&origin);
                        return Err(error);
                    }
                }
                if self.fault == RestoresFiniteOnly && !finite {
                    continue;
                }
            }
            if self.fault == KeepsEveryTrial {
                kept.push(self.model.clone());
            }
            if !matches!(
                self.fault,
                NeverRestores | RestoresAtTheEndOnly | DividesByZeroAndNeverRestores
            ) {
                self.restore(&origin);
            }
        }
        match self.fault {
            TouchesWeights => self.model.weights[1] += 0.25,
            TouchesRunningMean => self.model.running_mean *= 0.9,
            AdvancesRandom => self.model.random += 1,
            RestoresAtTheEndOnly => self.restore(&origin),
            Normalises => losses -= losses[0],
            _ => (),
        }
        if self.broken {
            Err(TrialFailed)
        } else {
            Ok(())
        }
    }

    fn probe_groups(
        &mut self,
        lrs: ArrayView2<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), GroupsError<TrialFailed>> {
        if self.fault == Fault::HasNoGroups {
            let groups = lrs.ncols();
            return Err(GroupsError::Unsupported { groups });
        }
        for (row, loss) in lrs.rows().into_iter().zip(&mut losses) {
            let mut lrs = row.to_vec();
            match self.fault {
                Fault::GroupsAtTwiceTheRate => lrs.iter_mut().for_each(|lr| *lr *= 2.0),
                Fault::GroupsByTheFirst => lrs.fill(row[0]),
                Fault::GroupsInAnotherOrder => lrs.reverse(),
                _ => (),
            }
            *loss = group_step(&self.model, &lrs);
        }
        if self.fault == Fault::GroupsTouchWeights {
            self.model.weights[3] = 0.0;
        }
        Ok(())
    }

    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        let (forwards, backwards) = match self.fault {
            Fault::CostsNothing => (0, 1),
            Fault::CostsLessThanItsTrials => (4, 1),
            Fault::CostsEverything => (u64::MAX, 1),
            _ => (1 + candidates as u64, 1),
        };
        Some(ProbeCost::new(forwards, backwards))
    }
}

impl Subject for Faulty {
    type Error = TrialFailed;
    type Backend<'a> = &'a mut Self;

    fn backend(&mut self) -> &mut Self {
        self
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, TrialFailed> {
        self.model.fingerprint()
    }

    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, TrialFailed> {
        self.model.loss_after_step(lr)
    }

    fn groups(&self) -> usize {
        2
    }

    fn loss_after_group_step(&mut self, lrs: &[f64]) -> Result<Option<f64>, TrialFailed> {
        Ok(Some(group_step(&self.model, lrs)))
    }

    fn advance(&mut self) -> Result<bool, TrialFailed> {
        self.model.advance()
    }

    fn training(
        &mut self,
        before_step: &mut dyn FnMut(&mut Self) -> Result<(), TrialFailed>,
    ) -> Result<Option<Vec<f64>>, TrialFailed> {
        let mut copy = Self::new(self.fault);
        for batch in 3..6 {
            before_step(&mut copy)?;
            copy.model.train(batch, 0.05);
        }
        Ok(Some(vec![copy.model.loss(101)]))
    }

    fn failing_probe(
        &mut self,
        trial: usize,
        lrs: ArrayView1<'_, f64>,
        losses: ArrayViewMut1<'_, f64>,
    ) -> Option<Result<(), TrialFailed>> {
        self.model.failing = Some(trial);
        let outcome = self.probe(lrs, losses);
        self.model.failing = None;
        Some(outcome)
    }

    fn peak_memory(&mut self, lrs: ArrayView1<'_, f64>) -> Result<Option<u64>, TrialFailed> {
        let mut losses = Array1::zeros(lrs.len());
        let mut outcome = Ok(());
        let peak = peak_of(|| outcome = self.probe(lrs, losses.view_mut()));
        outcome.map(|()| Some(peak))
    }
}

fn report(fault: Fault) -> Report {
    conformance(&mut Faulty::new(fault), 0.05, 0.0).unwrap()
}

/// The findings by name; where the state is changed, with the parts.
fn names(report: &Report) -> Vec<String> {
    let name = |finding: &Finding| match finding {
        Finding::ChangesState(change)
        | Finding::StepsAndUndoes { change, .. }
        | Finding::NotRestoredWhenNotFinite { change, .. }
        | Finding::NotRestoredAfterError { change, .. } => {
            format!("{}: {}", finding.name(), change.part)
        }
        _ => finding.name().to_owned(),
    };
    report.findings().iter().map(name).collect()
}

#[test]
fn every_wrong_backend_is_named_for_what_it_does_and_for_nothing_else() {
    use Fault::*;
    let table: [(Fault, &[&str]); 48] = [
        (Nothing, &[]),
        (TouchesWeights, &["ChangesState: weights"]),
        (
            NeverRestores,
            &["ChangesState: weights", "ChangesState: velocity"],
        ),
        (TouchesRunningMean, &["ChangesState: running mean"]),
        (AdvancesRandom, &["ChangesState: random state"]),
        (StepsAndUndoes, &["StepsAndUndoes: weights"]),
        (
            RestoresFiniteOnly,
            &[
                "NotRestoredWhenNotFinite: weights",
                "NotRestoredWhenNotFinite: velocity",
            ],
        ),
        (OtherBatchByPlace, &["BatchPerCandidate"]),
        (OtherBatchByCall, &["BatchPerCandidate"]),
        (OtherBatchByProbe, &["Unrepeatable"]),
        (IgnoresRate, &["IgnoresRate"]),
        (LossBeforeStep, &["LossBeforeStep"]),
        (
            LossBeforeStepByPlace,
            &["LossBeforeStep", "BatchPerCandidate"],
        ),
        (RestoresAtTheEndOnly, &["CarriesOver"]),
        (PrepareMovesTheMean, &["FirstTrialDiffers"]),
        (SortsTheRates, &["Misplaced"]),
        (Normalises, &["DependsOnOthers"]),
        (LeavesOutMomentum, &["DisagreesWithStep"]),
        (KeepsEveryTrial, &["MemoryGrows"]),
        (MakesUpALoss, &["SwallowsError"]),
        (LeavesOutTheFailed, &["SwallowsError"]),
        (
            ReturnsBeforeRestoring,
            &[
                "NotRestoredAfterError: weights",
                "NotRestoredAfterError: velocity",
            ],
        ),
        (StaysBroken, &["DifferentAfterError"]),
        (LeavesOutNonFinite, &["Unwritten"]),
        (RefusesNonFinite, &["ErrorForRate"]),
        (ReplacesNonFinite, &["HidesNonFinite"]),
        (FiveLossesAlways, &["WrongNumber"]),
        (PanicsAtOne, &["Panics"]),
        (WritesNothing, &["Unwritten"]),
        (Adds, &["AddsToLosses"]),
        (DividesByZero, &["NotFinite"]),
        (
            DividesByZeroAndNeverRestores,
            &[
                "NotFinite",
                "ChangesState: weights",
                "ChangesState: velocity",
            ],
        ),
        (WritesTheLossBefore, &["ShiftedLosses"]),
        (ClampsOrdinaryRates, &["ClampedRate"]),
        (ClampsLargeRates, &["ClampedRate"]),
        (RoundsLargeRates, &["DisagreesWithStep"]),
        (LeavesOutWhatIsLarge, &["DisagreesWithStep"]),
        (KeepsTheFirstGradient, &["Stale"]),
        (SumsTheLoss, &["SumNotMean"]),
        (LosesDoublePrecision, &["SinglePrecision"]),
        (CostsNothing, &["AbsurdCost"]),
        (CostsLessThanItsTrials, &["AbsurdCost"]),
        (CostsEverything, &["AbsurdCost"]),
        (HasNoGroups, &["GroupsUnsupported"]),
        (GroupsAtTwiceTheRate, &["GroupsDisagree"]),
        (GroupsByTheFirst, &["IgnoresGroup"]),
        (GroupsInAnotherOrder, &["GroupsDisagreeWithStep"]),
        (GroupsTouchWeights, &["ChangesState: weights"]),
    ];
    let mut known = BTreeSet::new();
    for (fault, expected) in table {
        let report = report(fault);
        assert_eq!(names(&report), expected, "{fault:?}: {report}");
        known.extend(report.findings().iter().map(Finding::name));
        assert!(
            report.passed().count() + report.skipped().count() < Check::ALL.len()
                || fault == Nothing
        );
    }
    // What is wrong with the subject rather than the back end is tried in conformance_subjects.rs.
    known.extend([
        "Arguments",
        "EmptyFingerprint",
        "UnstableFingerprint",
        "StepHookChangesState",
        "UnsuitableRate",
        "AdvanceStandsStill",
        "TrainingDiffers",
        "ChangesTraining",
        "FiniteLossAtNaN",
    ]);
    assert_eq!(known, Finding::NAMES.iter().copied().collect());
}

/// A back end of which the author gives what is required, and no more.
struct Bare(Faulty);

impl Subject for Bare {
    type Error = TrialFailed;
    type Backend<'a> = &'a mut Faulty;

    fn backend(&mut self) -> &mut Faulty {
        &mut self.0
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, TrialFailed> {
        self.0.fingerprint()
    }
}

#[test]
fn with_the_required_methods_alone_all_is_named_that_a_probe_shows() {
    use Fault::*;
    let table: [(Fault, &[&str]); 40] = [
        (Nothing, &[]),
        (TouchesWeights, &["ChangesState: weights"]),
        (
            NeverRestores,
            &["ChangesState: weights", "ChangesState: velocity"],
        ),
        (TouchesRunningMean, &["ChangesState: running mean"]),
        (AdvancesRandom, &["ChangesState: random state"]),
        (StepsAndUndoes, &["StepsAndUndoes: weights"]),
        (
            RestoresFiniteOnly,
            &[
                "NotRestoredWhenNotFinite: weights",
                "NotRestoredWhenNotFinite: velocity",
            ],
        ),
        (OtherBatchByPlace, &["BatchPerCandidate"]),
        (OtherBatchByCall, &["BatchPerCandidate"]),
        (OtherBatchByProbe, &["Unrepeatable"]),
        (IgnoresRate, &["IgnoresRate"]),
        // Without the optimiser's step nobody knows the loss before it.
        (LossBeforeStep, &["IgnoresRate"]),
        (LossBeforeStepByPlace, &["IgnoresRate", "BatchPerCandidate"]),
        (RestoresAtTheEndOnly, &["CarriesOver"]),
        (PrepareMovesTheMean, &["FirstTrialDiffers"]),
        (SortsTheRates, &["Misplaced"]),
        (Normalises, &["DependsOnOthers"]),
        (WritesTheLossBefore, &["ShiftedLosses"]),
        (LeavesOutNonFinite, &["Unwritten"]),
        (RefusesNonFinite, &["ErrorForRate"]),
        (ReplacesNonFinite, &["FiniteLossAtNaN"]),
        (ClampsOrdinaryRates, &["FiniteLossAtNaN"]),
        (ClampsLargeRates, &["FiniteLossAtNaN"]),
        (FiveLossesAlways, &["WrongNumber"]),
        (PanicsAtOne, &["Panics"]),
        (WritesNothing, &["Unwritten"]),
        (Adds, &["AddsToLosses"]),
        (DividesByZero, &["NotFinite"]),
        (CostsNothing, &["AbsurdCost"]),
        (CostsLessThanItsTrials, &["AbsurdCost"]),
        (CostsEverything, &["AbsurdCost"]),
        // A loss as good as any other, as long as there is no step of the training to compare it with.
        (LeavesOutMomentum, &[]),
        (RoundsLargeRates, &[]),
        (LeavesOutWhatIsLarge, &[]),
        (KeepsTheFirstGradient, &[]),
        (SumsTheLoss, &[]),
        (LosesDoublePrecision, &[]),
        // Only where a trial is made to fail.
        (MakesUpALoss, &[]),
        (ReturnsBeforeRestoring, &[]),
        // Only where memory is measured.
        (KeepsEveryTrial, &[]),
    ];
    for (fault, expected) in table {
        let report = conformance(&mut Bare(Faulty::new(fault)), 0.05, 0.0).unwrap();
        assert_eq!(names(&report), expected, "{fault:?}: {report}");
    }
}

#[test]
fn a_loader_that_goes_round_is_told_by_what_it_goes_by_whatever_its_length() {
    for period in 2..=40 {
        for (fault, expected) in [
            (Fault::LoaderOfProbes(period), "Unrepeatable"),
            (Fault::LoaderOfTrials(period), "BatchPerCandidate"),
        ] {
            let report = conformance(&mut Bare(Faulty::new(fault)), 0.05, 0.0).unwrap();
            assert_eq!(names(&report), [expected], "{fault:?}: {report}");
        }
    }
}

#[test]
fn a_right_backend_passes_every_check() {
    let whole = report(Fault::Nothing);
    assert!(whole.passed().eq(Check::ALL), "{whole}");
    assert_eq!(whole.to_string(), "conforms: 14 checks");
    for seed in 0..10 {
        let report = conformance(&mut NoisyRegression::new(seed), 0.05, 0.0).unwrap();
        assert_eq!(
            report.to_string(),
            "conforms: 12 checks\n\
             not checked, for want of Subject::peak_memory: memory does not grow with the candidates\n\
             not checked, for want of Subject::groups: parameter groups"
        );
    }
    let report = conformance(&mut Quadratic::new(5), 0.1, 0.0).unwrap();
    let skipped: Vec<(Check, Skip)> = report.skipped().collect();
    assert_eq!(
        skipped,
        [
            (Check::Training, Skip::NotGiven("Subject::training")),
            (Check::Errors, Skip::NotGiven("Subject::failing_probe")),
            (Check::Memory, Skip::NotGiven("Subject::peak_memory")),
            (Check::Cost, Skip::NotGiven("ProbeBackend::cost")),
            (Check::Groups, Skip::NotGiven("Subject::groups")),
        ],
        "{report}"
    );
}

#[test]
fn arguments_that_are_none_are_not_the_back_ends_fault() {
    for (lr, tolerance) in [
        (0.0, 0.0),
        (-0.1, 0.0),
        (f64::NAN, 0.0),
        (f64::INFINITY, 0.0),
        (0.1, -1e-9),
        (0.1, 1.0),
        (0.1, f64::NAN),
    ] {
        let report = conformance(&mut Quadratic::new(5), lr, tolerance).unwrap();
        assert_eq!(names(&report), ["Arguments"], "{lr} {tolerance}");
        let text = report.to_string();
        let said = format!("conformance was called with the rate {lr} and the tolerance ");
        assert!(text.contains(&said), "{text}");
    }
}

#[test]
fn a_swallowed_error_is_told_with_the_loss_that_was_made_up() {
    let loss_of = |fault| {
        let report = report(fault);
        let swallowed = |finding: &Finding| match finding {
            Finding::SwallowsError { loss, .. } => Some(*loss),
            _ => None,
        };
        report.findings().iter().find_map(swallowed)
    };
    assert!(matches!(loss_of(Fault::MakesUpALoss), Some(Some(_))));
    assert_eq!(loss_of(Fault::LeavesOutTheFailed), Some(None));
}

#[test]
fn what_is_wrong_at_large_rates_is_told_with_the_least_of_them() {
    let lr_of = |fault| {
        let report = report(fault);
        let lr = |finding: &Finding| match finding {
            Finding::ClampedRate { lr, .. } | Finding::DisagreesWithStep { lr, .. } => Some(*lr),
            _ => None,
        };
        report.findings().iter().find_map(lr)
    };
    // 64 and 4096 times the ordinary rate are tried; it clamps at 10.
    assert_eq!(lr_of(Fault::ClampsLargeRates), Some(4096.0 * 0.05));
    assert_eq!(lr_of(Fault::LeavesOutWhatIsLarge), Some(64.0 * 0.05));
}
