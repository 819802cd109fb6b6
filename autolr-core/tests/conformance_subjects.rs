//! What an author can tell the conformance suite wrongly or not at all, and how the report reads.

use std::convert::Infallible;

use autolr_core::testkit::{Check, Finding, Fingerprint, Quadratic, Skip, Subject, conformance};
use autolr_core::{InPlace, ProbeBackend, Trial};
use ndarray::{Array1, ArrayView1, ArrayViewMut1};

/// What is told about a back end that is right, or steps and undoes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Rightly,
    NoFingerprint,
    FingerprintWithAClock,
    FingerprintThatTouches,
    StepNotPutBack,
    StepPutBackIfFinite,
    NoStep,
    AdvanceThatStandsStill,
    TrainingThatGoesOn,
    TrainingOfTheSubject,
}

struct Author {
    problem: Quadratic,
    told: Told,
    undoes: bool,
    before: bool,
    clock: u8,
}

impl Author {
    fn new(told: Told) -> Self {
        Self {
            problem: Quadratic::new(5),
            told,
            undoes: false,
            before: false,
            clock: 0,
        }
    }
}

impl ProbeBackend for Author {
    type Error = Infallible;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Infallible> {
        if self.before {
            losses.fill(self.problem.loss());
            return Ok(());
        }
        if !self.undoes {
            return self.problem.probe(lrs, losses);
        }
        for (&lr, loss) in lrs.iter().zip(&mut losses) {
            let gradient = &self.problem.curvature * &self.problem.x;
            self.problem.x.scaled_add(-lr, &gradient);
            *loss = self.problem.loss();
            self.problem.x.scaled_add(lr, &gradient);
        }
        Ok(())
    }
}

impl Subject for Author {
    type Error = Infallible;
    type Backend<'a> = &'a mut Self;

    fn backend(&mut self) -> &mut Self {
        self
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, Infallible> {
        self.clock += 1;
        if self.told == Told::FingerprintThatTouches {
            self.problem.x[2] *= 0.5;
        }
        let empty = Fingerprint::new().f64s("weights", [0.0; 0]);
        let whole = Fingerprint::new().f64s("weights", &self.problem.x);
        Ok(match self.told {
            Told::NoFingerprint => empty,
            Told::FingerprintWithAClock => whole.bytes("clock", [self.clock]),
            _ => whole,
        })
    }

    fn loss_after_step(&mut self, lr: f64) -> Result<Option<f64>, Infallible> {
        if self.told == Told::NoStep {
            return Ok(None);
        }
        let origin = self.problem.x.clone();
        self.problem.step(lr);
        let loss = self.problem.loss();
        let keeps = match self.told {
            Told::StepNotPutBack => lr > 0.0,
            Told::StepPutBackIfFinite => !loss.is_finite(),
            _ => false,
        };
        if !keeps {
            self.problem.x = origin;
        }
        Ok(Some(loss))
    }

    fn advance(&mut self) -> Result<bool, Infallible> {
        Ok(self.told == Told::AdvanceThatStandsStill)
    }

    fn training(
        &mut self,
        before_step: &mut dyn FnMut(&mut Self) -> Result<(), Infallible>,
    ) -> Result<Option<Vec<f64>>, Infallible> {
        match self.told {
            Told::TrainingThatGoesOn => (),
            Told::TrainingOfTheSubject => self.problem = Quadratic::new(5),
            _ => return Ok(None),
        }
        before_step(self)?;
        self.problem.step(0.1);
        Ok(Some(vec![self.problem.loss()]))
    }
}

fn names(author: &mut Author, lr: f64) -> Vec<&'static str> {
    let report = conformance(author, lr, 0.0).unwrap();
    report.findings().iter().map(Finding::name).collect()
}

#[test]
fn what_the_author_tells_wrongly_is_named_too() {
    for (told, expected) in [
        (Told::Rightly, &[] as &[&str]),
        (Told::NoStep, &[]),
        (Told::NoFingerprint, &["EmptyFingerprint"]),
        (Told::FingerprintWithAClock, &["UnstableFingerprint"]),
        (Told::FingerprintThatTouches, &["UnstableFingerprint"]),
        (Told::StepNotPutBack, &["StepHookChangesState"]),
        (Told::StepPutBackIfFinite, &["StepHookChangesState"]),
        (Told::AdvanceThatStandsStill, &["AdvanceStandsStill"]),
        (Told::TrainingThatGoesOn, &["TrainingDiffers"]),
        (Told::TrainingOfTheSubject, &["StepHookChangesState"]),
    ] {
        assert_eq!(names(&mut Author::new(told), 0.1), expected, "{told:?}");
    }
}

#[test]
fn a_rate_that_makes_no_difference_is_not_the_back_ends_fault() {
    for told in [Told::Rightly, Told::NoStep] {
        for lr in [1e-300, 1e-30] {
            assert_eq!(
                names(&mut Author::new(told), lr),
                ["UnsuitableRate"],
                "{told:?}"
            );
        }
    }
    // With the optimiser's step it is known; without, another rate is named.
    let text = |told| {
        conformance(&mut Author::new(told), 1e-300, 0.0)
            .unwrap()
            .to_string()
    };
    let (known, found) = (text(Told::Rightly), text(Told::NoStep));
    assert!(
        known.contains("and so does the optimiser's own step; call it with a rate"),
        "{known}"
    );
    assert!(
        found.contains(", and 1e-6 gives another; call it"),
        "{found}"
    );
    // A back end that ignores any rate is still named for it.
    let mut author = Author::new(Told::NoStep);
    author.before = true;
    assert_eq!(names(&mut author, 1e-300), ["IgnoresRate"]);
}

/// One weight behind a normalisation, whose running mean and random stream the author has forgotten: in the snapshot, in
/// the fingerprint, or nowhere.
#[derive(Clone)]
struct Normed {
    weight: f64,
    gradient: f64,
    running_mean: f64,
    stream: u64,
    forgets_mean: bool,
    forgets_stream: bool,
}

impl Normed {
    fn new(forgets_mean: bool, forgets_stream: bool) -> Self {
        Self {
            weight: 2.0,
            gradient: 0.0,
            running_mean: 0.0,
            stream: 1,
            forgets_mean,
            forgets_stream,
        }
    }

    /// The loss in training, by the batch's own mean; moves the running one.
    fn loss(&mut self) -> f64 {
        self.running_mean = 0.9 * self.running_mean + 0.1 * self.weight;
        (self.weight - 1.0).powi(2)
    }

    /// The loss in evaluation.
    fn evaluated(&self) -> f64 {
        (self.weight - self.running_mean).powi(2)
    }

    fn draw(&mut self) -> f64 {
        self.stream = self.stream.wrapping_mul(6_364_136_223_846_793_005) + 1;
        (self.stream >> 32) as f64 / f64::from(u32::MAX)
    }
}

impl Trial for Normed {
    type Snapshot = (f64, f64);
    type Error = Infallible;
    fn snapshot(&mut self) -> Result<(f64, f64), Infallible> {
        Ok((self.weight, self.running_mean))
    }
    fn prepare(&mut self) -> Result<(), Infallible> {
        let stream = self.stream;
        // Which batch it is does not matter here: there is one.
        self.draw();
        if !self.forgets_stream {
            self.stream = stream;
        }
        self.gradient = 2.0 * (self.weight - 1.0);
        Ok(())
    }
    fn trial(&mut self, lr: f64) -> Result<f64, Infallible> {
        self.weight -= lr * self.gradient;
        Ok(self.loss())
    }
    fn restore(&mut self, origin: &(f64, f64)) -> Result<(), Infallible> {
        self.weight = origin.0;
        if !self.forgets_mean {
            self.running_mean = origin.1;
        }
        Ok(())
    }
}

impl Subject for Normed {
    type Error = Infallible;
    type Backend<'a> = InPlace<&'a mut Self>;
    fn backend(&mut self) -> InPlace<&mut Self> {
        InPlace(self)
    }
    fn fingerprint(&mut self) -> Result<Fingerprint, Infallible> {
        let whole = Fingerprint::new().f64s("weight", [self.weight]);
        Ok(match (self.forgets_mean, self.forgets_stream) {
            (false, false) => whole
                .f64s("running mean", [self.running_mean])
                .bytes("stream", self.stream.to_le_bytes()),
            _ => whole,
        })
    }
    fn training(
        &mut self,
        before_step: &mut dyn FnMut(&mut Self) -> Result<(), Infallible>,
    ) -> Result<Option<Vec<f64>>, Infallible> {
        let mut copy = self.clone();
        for _ in 0..3 {
            before_step(&mut copy)?;
            let noise = copy.draw() - 0.5;
            copy.loss();
            copy.weight -= 0.1 * (copy.weight - 1.0 + noise);
        }
        Ok(Some(vec![copy.evaluated()]))
    }
}

#[test]
fn what_snapshot_and_fingerprint_both_forget_shows_in_the_training() {
    let report = conformance(&mut Normed::new(false, false), 0.1, 0.0).unwrap();
    assert!(report.conforms(), "{report}");
    for (mean, stream) in [(true, false), (false, true)] {
        let report = conformance(&mut Normed::new(mean, stream), 0.1, 0.0).unwrap();
        let names: Vec<&str> = report.findings().iter().map(Finding::name).collect();
        assert_eq!(names, ["ChangesTraining"], "{report}");
        let Some(Finding::ChangesTraining { without, with }) = report.findings().first() else {
            panic!("{report}");
        };
        assert!(without.len() == 1 && without != with, "{report}");
    }
}

#[test]
fn a_loss_before_the_step_is_told_from_an_ignored_rate_by_the_optimisers_step() {
    for (told, expected) in [
        (Told::Rightly, "LossBeforeStep"),
        (Told::NoStep, "IgnoresRate"),
    ] {
        let mut author = Author::new(told);
        author.before = true;
        assert_eq!(names(&mut author, 0.1), [expected]);
    }
}

#[test]
fn a_step_undone_is_named_also_where_ordinary_rates_do_not_show_it() {
    // With few bits in curvature, weights and rate, stepping and undoing is exact at ordinary rates.
    let mut author = Author::new(Told::Rightly);
    author.undoes = true;
    author.problem.curvature = Array1::from_vec(vec![1.0, 0.5, 0.25, 0.125, 0.0625]);
    let report = conformance(&mut author, 0.125, 0.0).unwrap();
    let [Finding::StepsAndUndoes { lr, change }] = report.findings() else {
        panic!("{report}");
    };
    assert_eq!((*lr, change.changed), (1e30, 5));
    // At rates with many bits it is not.
    let mut author = Author::new(Told::Rightly);
    author.undoes = true;
    author.problem.x = Array1::from_iter((1..=5).map(|i| -0.3 * f64::from(i)));
    let report = conformance(&mut author, 0.37, 0.0).unwrap();
    let [Finding::StepsAndUndoes { lr, change }] = report.findings() else {
        panic!("{report}");
    };
    assert!(*lr == 4.0 * 0.37 && change.rounding, "{report}");
}

#[test]
fn the_report_is_a_list_to_be_read() {
    let mut author = Author::new(Told::NoStep);
    author.before = true;
    author.problem.curvature.fill(1.0);
    let report = conformance(&mut author, 0.25, 0.0).unwrap();
    assert_eq!(
        report.to_string(),
        "does not conform: 1 finding, checks passed: 6\n\
         1. IgnoresRate: the rates from 0.0625 to 1 all give the loss 2.5: the trial has to step at the rate that it \
         is given, and the loss to be taken after the step\n\
         not checked, for want of Subject::loss_after_step: a trial is the optimiser's step\n\
         not checked, for want of Subject::failing_probe: a trial that fails\n\
         not checked, for want of Subject::peak_memory: memory does not grow with the candidates\n\
         not checked, for want of ProbeBackend::cost: a cost that can be\n\
         not checked, for want of Subject::groups: parameter groups\n\
         not checked, for want of Subject::loss_after_step: a trial is the optimiser's step after training has gone on\n\
         not checked until that is mended: training goes on as without a probe"
    );
    author.told = Told::FingerprintWithAClock;
    let report = conformance(&mut author, 0.25, 0.0).unwrap();
    assert_eq!(report.passed().count(), 0);
    let reasons: Vec<(Check, Skip)> = report.skipped().collect();
    assert_eq!(reasons.len(), Check::ALL.len() - 1);
    assert!(reasons.iter().all(|(_, skip)| *skip == Skip::Findings));
    assert!(
        report.to_string().contains(
            "\nnot checked until that is mended: one loss a rate; losses follow the rate; the state"
        ),
        "{report}"
    );
}

/// The quadratic through `Trial`, in single precision, whose kernel is a little off from call to call.
struct Noisy {
    x: f32,
    calls: u32,
    noise: f32,
}

impl Trial for Noisy {
    type Snapshot = f32;
    type Error = Infallible;
    fn snapshot(&mut self) -> Result<f32, Infallible> {
        Ok(self.x)
    }
    fn prepare(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
    fn trial(&mut self, lr: f64) -> Result<f64, Infallible> {
        self.x -= lr as f32 * self.x;
        self.calls += 1;
        let noise = 1.0 + self.noise * (self.calls % 3) as f32;
        Ok(f64::from(noise * self.x * self.x))
    }
    fn restore(&mut self, origin: &f32) -> Result<(), Infallible> {
        self.x = *origin;
        Ok(())
    }
}

impl Subject for Noisy {
    type Error = Infallible;
    type Backend<'a> = InPlace<&'a mut Self>;
    fn backend(&mut self) -> InPlace<&mut Self> {
        InPlace(self)
    }
    fn fingerprint(&mut self) -> Result<Fingerprint, Infallible> {
        Ok(Fingerprint::new().f32s("weights", [self.x]))
    }
}

#[test]
fn kernels_that_are_not_deterministic_are_allowed_their_tolerance() {
    let noisy = || Noisy {
        x: 1.5,
        calls: 0,
        noise: 4.0 * f32::EPSILON,
    };
    let exact = conformance(&mut noisy(), 0.1, 0.0).unwrap();
    assert!(!exact.conforms(), "{exact}");
    let near = conformance(&mut noisy(), 0.1, 1e-5).unwrap();
    assert!(near.conforms(), "{near}");
}

#[test]
fn what_an_author_does_not_give_is_not_made_up() {
    let mut noisy = Noisy {
        x: 1.5,
        calls: 0,
        noise: 0.0,
    };
    let mut losses = Array1::zeros(1);
    let lrs = ndarray::array![0.1];
    assert!(
        noisy
            .failing_probe(0, lrs.view(), losses.view_mut())
            .is_none()
    );
    assert_eq!(noisy.groups(), 1);
    let nothing: (Option<f64>, Option<f64>) = (
        noisy.loss_after_step(0.1).unwrap(),
        noisy.loss_after_group_step(&[0.1]).unwrap(),
    );
    assert_eq!(nothing, (None, None));
    assert!(!noisy.advance().unwrap());
    assert_eq!(noisy.training(&mut |_| Ok(())).unwrap(), None);
    assert_eq!(noisy.peak_memory(lrs.view()).unwrap(), None);
}

/// Two weights, each a parameter group of its own; remembers the rates by group that it was asked for.
struct TwoGroups {
    weights: [f64; 2],
    asked: Vec<Vec<f64>>,
    /// Whether a failure can be arranged in the first trial; in others it never can.
    fails: bool,
}

/// The error of a trial that was made to fail.
#[derive(Debug, thiserror::Error)]
#[error("as arranged")]
struct Arranged;

impl TwoGroups {
    fn loss(&self, lrs: [f64; 2]) -> f64 {
        let after = |i: usize| self.weights[i] - lrs[i] * (i as f64 + 1.0) * self.weights[i];
        after(0).powi(2) + 2.0 * after(1).powi(2)
    }
}

impl ProbeBackend for TwoGroups {
    type Error = Arranged;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Arranged> {
        losses.assign(&lrs.mapv(|lr| self.loss([lr, lr])));
        Ok(())
    }

    fn probe_groups(
        &mut self,
        lrs: ndarray::ArrayView2<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), autolr_core::GroupsError<Arranged>> {
        for (row, loss) in lrs.rows().into_iter().zip(&mut losses) {
            *loss = self.loss([row[0], row[1]]);
            self.asked.push(row.to_vec());
        }
        Ok(())
    }
}

impl Subject for TwoGroups {
    type Error = Arranged;
    type Backend<'a> = &'a mut Self;
    fn backend(&mut self) -> &mut Self {
        self
    }
    fn fingerprint(&mut self) -> Result<Fingerprint, Arranged> {
        Ok(Fingerprint::new().f64s("weights", self.weights))
    }
    fn groups(&self) -> usize {
        2
    }
    fn failing_probe(
        &mut self,
        trial: usize,
        _: ArrayView1<'_, f64>,
        _: ArrayViewMut1<'_, f64>,
    ) -> Option<Result<(), Arranged>> {
        (self.fails && trial == 0).then_some(Err(Arranged))
    }
}

#[test]
fn groups_are_moved_one_by_one_and_a_first_failure_is_enough() {
    for fails in [false, true] {
        let mut subject = TwoGroups {
            weights: [1.5, -0.5],
            asked: Vec::new(),
            fails,
        };
        let report = conformance(&mut subject, 0.1, 0.0).unwrap();
        assert!(report.conforms(), "{report}");
        // All at the ordinary rate, then each at twice that.
        let apart = [vec![0.1, 0.1], vec![0.2, 0.1], vec![0.1, 0.2]];
        assert!(subject.asked.ends_with(&apart), "{:?}", subject.asked);
        let passed: Vec<Check> = report.passed().collect();
        assert!(passed.contains(&Check::Groups));
        assert_eq!(passed.contains(&Check::Errors), fails, "{report}");
    }
}
