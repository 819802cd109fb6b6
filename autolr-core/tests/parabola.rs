//! A probe that reads losses off a parabola: on a quadratic problem it decides as one that evaluates all; on another it
//! evaluates all; it leaves no trace; its cost is that of the passes it took.

use std::convert::Infallible;

use approx::assert_relative_eq;
use autolr_core::optimizer::{
    Evaluation, Objective, Optimizer, OptimizerConfig, ScoringBatches, StepProbe, TrialLoss,
};
use autolr_core::{AutoLr, AutoLrConfig, Factors, ProbeBackend, ProbeCost, ScaleUpdate};
use ndarray::{Array1, ArrayView1, ArrayViewMut1, array};
use proptest::prelude::*;

/// `floor + Σ cᵢ xᵢ²/2`, or what `bend` makes of it.
#[derive(Clone)]
struct Problem {
    curvature: Array1<f64>,
    floor: f64,
    bend: fn(f64) -> f64,
    weights: Array1<f64>,
    gradient: Array1<f64>,
    forwards: u64,
    /// State of what a forward pass draws.
    random: u64,
}

impl Problem {
    fn new(curvature: Array1<f64>, bend: fn(f64) -> f64) -> Self {
        Self {
            weights: Array1::ones(curvature.len()),
            gradient: Array1::zeros(curvature.len()),
            curvature,
            floor: 0.1,
            bend,
            forwards: 0,
            random: 0,
        }
    }
}

impl Objective for Problem {
    type Vector = Array1<f64>;
    type Batch = ();
    type Random = u64;
    type Error = Infallible;

    fn vectors(&mut self) -> (&mut Array1<f64>, &mut Array1<f64>) {
        (&mut self.weights, &mut self.gradient)
    }

    fn set_gradient(&mut self, _: &[()]) -> Result<(), Infallible> {
        self.gradient = &self.curvature * &self.weights;
        Ok(())
    }

    fn loss(&mut self, (): &()) -> Result<f64, Infallible> {
        assert_eq!(self.random, 0, "each trial draws the same");
        self.forwards += 1;
        self.random += 1;
        let squares = self.weights.mapv(|x| x * x / 2.0);
        Ok((self.bend)(self.floor + (&self.curvature * &squares).sum()))
    }

    fn random(&self) -> Result<u64, Infallible> {
        Ok(self.random)
    }

    fn set_random(&mut self, random: &u64) -> Result<(), Infallible> {
        self.random = *random;
        Ok(())
    }
}

fn probe(evaluate: Evaluation) -> StepProbe<()> {
    StepProbe {
        gradient: None,
        scoring: ScoringBatches::Shared(vec![()]),
        loss: TrialLoss::AfterStep,
        evaluate,
    }
}

struct Backend {
    problem: Problem,
    optimizer: Optimizer<Array1<f64>>,
    probe: StepProbe<()>,
}

impl Backend {
    fn new(problem: Problem, evaluate: Evaluation) -> Self {
        Self {
            optimizer: Optimizer::new(OptimizerConfig::PLAIN_SGD, &problem.weights).unwrap(),
            problem,
            probe: probe(evaluate),
        }
    }

    fn losses(&mut self, lrs: &[f64]) -> Vec<f64> {
        let mut losses = vec![f64::NAN; lrs.len()];
        let Ok(()) = self
            .probe
            .run(&mut self.problem, &self.optimizer, lrs, &mut losses);
        losses
    }
}

impl ProbeBackend for Backend {
    type Error = Infallible;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Infallible> {
        let found = self.losses(&lrs.to_vec());
        losses.assign(&Array1::from_vec(found));
        Ok(())
    }

    fn cost(&self, candidates: usize) -> Option<ProbeCost> {
        Some(self.probe.cost(candidates))
    }

    fn cost_of(&self, lrs: ArrayView1<'_, f64>, losses: ArrayView1<'_, f64>) -> Option<ProbeCost> {
        Some(self.probe.cost_of(&lrs.to_vec(), &losses.to_vec()))
    }
}

const LRS: [f64; 7] = [0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125];

fn quadratic() -> Problem {
    Problem::new(array![1.0, 2.0, 0.5], |loss| loss)
}

/// A wall between the middle rates and the highest.
fn walled() -> Problem {
    let wall = |loss| if loss < 1.5 { 100.0 } else { loss };
    Problem::new(array![1.0, 2.0, 0.5], wall)
}

#[test]
fn four_forwards_where_the_loss_is_quadratic() {
    let mut all = Backend::new(quadratic(), Evaluation::All);
    let mut four = Backend::new(quadratic(), Evaluation::Parabola);
    let (expected, found) = (all.losses(&LRS), four.losses(&LRS));
    for (a, b) in found.iter().zip(&expected) {
        // A few roundings.
        assert_relative_eq!(a, b, max_relative = 1e-14);
    }
    assert_eq!((all.problem.forwards, four.problem.forwards), (7, 4));
    assert_eq!(all.probe.cost_of(&LRS, &expected), ProbeCost::new(8, 1));
    assert_eq!(four.probe.cost_of(&LRS, &found), ProbeCost::new(5, 1));
    assert_eq!(four.probe.cost(7), ProbeCost::new(8, 1));
}

#[test]
fn what_is_no_parabola_is_evaluated_in_full_to_the_bit() {
    for lrs in [&LRS[..], &[0.0125, 0.8, 0.1, 0.4, 0.2]] {
        let mut all = Backend::new(walled(), Evaluation::All);
        let mut four = Backend::new(walled(), Evaluation::Parabola);
        let (expected, found) = (all.losses(lrs), four.losses(lrs));
        assert_eq!(found, expected);
        assert_eq!(four.problem.forwards, lrs.len() as u64);
        assert_eq!(
            four.probe.cost_of(lrs, &found),
            ProbeCost::new(lrs.len() as u64 + 1, 1)
        );
    }
}

#[test]
fn rates_at_which_the_loss_is_not_finite_have_all_evaluated() {
    let explodes = |loss| if loss > 10.0 { f64::INFINITY } else { loss };
    let lrs = [16.0, 1.0, 0.5, 0.25, 0.125];
    let mut all = Backend::new(Problem::new(array![1.0, 2.0], explodes), Evaluation::All);
    let mut four = Backend::new(
        Problem::new(array![1.0, 2.0], explodes),
        Evaluation::Parabola,
    );
    let expected = all.losses(&lrs);
    assert_eq!(expected[0], f64::INFINITY);
    assert_eq!(four.losses(&lrs), expected);
    assert_eq!(four.problem.forwards, 5);
}

#[test]
fn a_probe_leaves_no_trace() {
    for problem in [quadratic(), walled()] {
        let mut backend = Backend::new(problem.clone(), Evaluation::Parabola);
        backend.losses(&LRS);
        assert_eq!(backend.problem.weights, problem.weights);
        assert_eq!(backend.problem.random, problem.random);
    }
}

#[test]
fn all_are_evaluated_where_a_parabola_makes_no_sense() {
    let own = || ScoringBatches::PerCandidate(vec![(); 7]);
    let shared = || ScoringBatches::Shared(vec![()]);
    for (scoring, loss) in [
        (own(), TrialLoss::AfterStep),
        (own(), TrialLoss::BeforeStep),
        (shared(), TrialLoss::BeforeStep),
    ] {
        let mut backend = Backend::new(quadratic(), Evaluation::Parabola);
        backend.probe = StepProbe {
            scoring,
            loss,
            ..probe(Evaluation::Parabola)
        };
        let losses = backend.losses(&LRS);
        assert_eq!(backend.problem.forwards, 7);
        let cost = backend.probe.cost_of(&LRS, &losses);
        assert_eq!(cost, backend.probe.cost(7));
    }
}

#[test]
fn the_longer_of_the_two_slices_is_left_alone() {
    let mut backend = Backend::new(quadratic(), Evaluation::Parabola);
    let mut losses = [9.0; 9];
    let (problem, optimizer) = (&mut backend.problem, &backend.optimizer);
    let Ok(()) = backend.probe.run(problem, optimizer, &LRS, &mut losses);
    assert!(losses[..7].iter().all(|loss| *loss < 9.0));
    assert_eq!(losses[7..], [9.0, 9.0]);
}

proptest! {
    /// Decision after decision, with steps in between.
    #[test]
    fn on_a_quadratic_problem_the_decisions_are_those_of_all(
        curvature in prop::collection::vec(0.1..10.0_f64, 1..6),
        n in prop::sample::select(vec![5_usize, 7, 9]),
        lr in 0.01..0.3_f64,
    ) {
        let rule = ScaleUpdate::new(Factors::powers_of_two(n).unwrap());
        let config = AutoLrConfig::new(lr, rule).unwrap();
        let problem = Problem::new(Array1::from_vec(curvature), |loss| loss);
        let mut all = Backend::new(problem.clone(), Evaluation::All);
        let mut four = Backend::new(problem, Evaluation::Parabola);
        let mut scheduler = AutoLr::new(config);
        for _ in 0..4 {
            let expected = scheduler.clone().step(&mut all).unwrap();
            let found = scheduler.step(&mut four).unwrap();
            prop_assert_eq!(found.cost, Some(ProbeCost::new(5, 1)));
            prop_assert_eq!(expected.cost, Some(ProbeCost::new(n as u64 + 1, 1)));
            // Roundings of the losses, as parts of their spread, which is above a millionth of them.
            assert_relative_eq!(found.factor, expected.factor, max_relative = 1e-9);
            prop_assert_eq!(found.verdict, expected.verdict);
            // At most half of the way to the minimum: at it the floor is all that a loss has.
            let lr = found.lr.min(0.05);
            for backend in [&mut all, &mut four] {
                let Ok(()) = backend.problem.set_gradient(&[]);
                let gradient = backend.problem.gradient.clone();
                backend.problem.weights.scaled_add(-lr, &gradient);
            }
        }
    }
}
