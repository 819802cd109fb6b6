//! The open-loop schedules against the rates that PyTorch itself produced, and their properties.
//!
//! The rates lie in `fixtures/pytorch-schedules/values.json`, those of what PyTorch has not in
//! `fixtures/reference/transformers/values.json`; `generate.py` beside them made them.

use std::cmp::Ordering;

use approx::assert_relative_eq;
use autolr_core::ConfigError;
use autolr_core::schedule::{
    AnnealStrategy, CosineAnnealingLr, CosineWarmRestarts, ExponentialLr, LinearDecay, MultiStepLr,
    OneCycleLr, PolynomialLr, Product, Schedule, ScheduleConfig, StepLr, WarmUp,
};
use autolr_core::testkit::strategies;
use proptest::prelude::*;
use serde::Deserialize;

/// PyTorch derives each rate from the one before it, so its rounding adds up over the steps, most
/// where the cosine has come up from its minimum again and again: up to 6e-14 in these cases, whose
/// rates are at most 1.
const ABSOLUTE: f64 = 1e-12;

/// The same relative to the rate (up to 9e-14 in these cases, but see [`rounding`]): the absolute tolerance alone would
/// let small rates be wrong altogether. Rates up to [`SMALLEST`] are left out, for where this
/// project has 0 PyTorch may have 1e-17.
const RELATIVE: f64 = 1e-12;
const SMALLEST: f64 = 1e-9;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    torch: String,
    steps: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    config: ScheduleConfig,
    rates: Vec<f64>,
}

/// What Hugging Face's transformers has.
#[derive(Deserialize)]
struct FromTransformers {
    wsd: Vec<Case>,
}

fn from_transformers() -> Vec<Case> {
    let text = include_str!("../../fixtures/reference/transformers/values.json");
    let recorded: FromTransformers = serde_json::from_str(text).expect("valid as well");
    recorded.wsd
}

#[test]
fn rates_are_those_of_transformers() {
    for Case { config, rates } in from_transformers() {
        for (step, &expected) in (0..).zip(&rates) {
            // A few roundings of numbers up to the base rate, which is at most 1.
            assert_relative_eq!(config.lr(step), expected, epsilon = 4.0 * f64::EPSILON);
        }
    }
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../../fixtures/pytorch-schedules/values.json"))
        .expect("the recorded rates are valid JSON, and their configurations valid")
}

#[test]
fn rates_are_those_of_pytorch() {
    let recorded = recorded();
    for Case { config, rates } in &recorded.cases {
        assert_eq!(rates.len(), recorded.steps, "{config:?}");
        for (step, &expected) in (0..).zip(rates) {
            let lr = config.lr(step);
            let error = (lr - expected).abs();
            let message = format!(
                "{config:?}, step {step}: {lr} here, {expected} in PyTorch {}",
                recorded.torch
            );
            assert!(error <= ABSOLUTE, "{message}");
            assert!(
                expected <= SMALLEST || error <= RELATIVE * expected + rounding(config),
                "{message}"
            );
        }
    }
}

/// What PyTorch's rates are rounded to apart from their own size: those of a cycle are differences
/// of numbers as large as the highest rate, and the last are 250,000 times smaller.
fn rounding(config: &ScheduleConfig) -> f64 {
    match config {
        ScheduleConfig::OneCycle(cycle) => f64::EPSILON * cycle.max_lr() / 2.0,
        _ => 0.0,
    }
}

#[test]
fn every_kind_is_recorded_with_several_parameters() {
    let mut cases = recorded().cases;
    cases.extend(from_transformers());
    for kind in ScheduleConfig::KINDS {
        let count = cases
            .iter()
            .filter(|case| case.config.kind() == *kind)
            .count();
        // `fixed` has no parameter but the rate.
        let least = if *kind == "fixed" { 1 } else { 3 };
        assert!(count >= least, "{kind}: {count}");
    }
}

/// Any step, most of them near.
fn any_step() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..2_000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

/// Whether the rate may only fall or only rise from `step` to the next, where its schedule says so.
fn direction(schedule: &ScheduleConfig, step: u64) -> Option<Ordering> {
    use Ordering::{Greater as Rises, Less as Falls};
    let by_factor = |gamma: f64| Some(if gamma >= 1.0 { Rises } else { Falls });
    match schedule {
        ScheduleConfig::Constant(_) => Some(Rises),
        ScheduleConfig::Linear(line) => by_factor(line.end_factor() / line.start_factor()),
        ScheduleConfig::Cosine(cosine) => {
            let is_rising = step / cosine.t_max() % 2 == 1;
            Some(if is_rising { Rises } else { Falls })
        }
        ScheduleConfig::Step(step) => by_factor(step.gamma()),
        ScheduleConfig::MultiStep(steps) => by_factor(steps.gamma()),
        ScheduleConfig::Exponential(exponential) => by_factor(exponential.gamma()),
        ScheduleConfig::Fixed(_)
        | ScheduleConfig::LinearDecay(_)
        | ScheduleConfig::Polynomial(_) => Some(Falls),
        ScheduleConfig::OneCycle(cycle) => {
            let peak = cycle.pct_start() * cycle.total_steps() as f64 - 1.0;
            if (step + 1) as f64 <= peak {
                Some(Rises)
            } else if step as f64 >= peak {
                Some(Falls)
            } else {
                None
            }
        }
        ScheduleConfig::WarmupStableDecay(parts) => {
            let rises = step < parts.warmup_steps();
            Some(if rises { Rises } else { Falls })
        }
        ScheduleConfig::CosineWarmRestarts(cosine) => {
            let restarts = schedule.lr(step + 1) == cosine.base_lr();
            (!restarts).then_some(Falls)
        }
        ScheduleConfig::WarmUp(warm_up) => match step.checked_sub(warm_up.steps()) {
            Some(step) => direction(warm_up.schedule(), step),
            None => Some(Rises),
        },
        ScheduleConfig::Sequential(sequential) => {
            let (now, step_of_now) = sequential.at(step);
            let (next, _) = sequential.at(step + 1);
            std::ptr::eq(now, next)
                .then(|| direction(now, step_of_now))
                .flatten()
        }
        ScheduleConfig::Product(product) => {
            let mut all = product.schedules().iter().map(|part| direction(part, step));
            let first = all.next().flatten();
            all.all(|other| other == first).then_some(first).flatten()
        }
        other => panic!("the direction of {other:?} is not known here"),
    }
}

/// How many schedules without others in them there are: each brings its rounding.
fn leaves(schedule: &ScheduleConfig) -> usize {
    match schedule {
        ScheduleConfig::WarmUp(warm_up) => 1 + leaves(warm_up.schedule()),
        ScheduleConfig::Sequential(sequential) => sequential.schedules().iter().map(leaves).sum(),
        ScheduleConfig::Product(product) => product.schedules().iter().map(leaves).sum(),
        _ => 1,
    }
}

proptest! {
    /// A rate is a number that an optimiser can use, whatever the step.
    #[test]
    fn rates_are_finite_and_not_negative(
        schedule in strategies::schedule(),
        near in 0..2_000_u64,
        far: u64,
    ) {
        for step in [0, near, far, u64::MAX - 1, u64::MAX] {
            let lr = schedule.lr(step);
            prop_assert!(lr.is_finite() && lr >= 0.0, "step {}: {}", step, lr);
        }
    }

    /// A schedule remembers nothing: the order of the steps that are asked for does not matter.
    #[test]
    fn any_order_of_steps_gives_the_same_rates(
        schedule in strategies::schedule(),
        shuffled in Just((0..200).collect::<Vec<u64>>()).prop_shuffle(),
    ) {
        let in_order: Vec<f64> = (0..200).map(|step| schedule.lr(step)).collect();
        for step in shuffled {
            prop_assert_eq!(schedule.lr(step), in_order[step as usize]);
        }
    }

    /// What decays does not rise on the way down, and what warms up does not fall.
    #[test]
    fn rates_are_monotonic_where_their_schedule_is(
        schedule in strategies::schedule(),
        step in any_step(),
    ) {
        let step = step.min(u64::MAX - 1);
        let (now, next) = (schedule.lr(step), schedule.lr(step + 1));
        // Neighbours may differ by less than their rounding: some units in the last place for each
        // schedule, and below the normal numbers some of the smallest.
        let slack = leaves(&schedule) as f64 * 4.0 * (f64::EPSILON * now.max(next) + 5e-324);
        let as_expected = match direction(&schedule, step) {
            Some(Ordering::Greater) => next >= now - slack,
            Some(_) => next <= now + slack,
            None => true,
        };
        prop_assert!(as_expected, "{} then {}", now, next);
    }

    /// A configuration is the same after it was saved and loaded.
    #[test]
    fn a_configuration_survives_the_round_trip(schedule in strategies::schedule(), step in any_step()) {
        let text = serde_json::to_string(&schedule).expect("a configuration is JSON");
        let again: ScheduleConfig = serde_json::from_str(&text).expect("what was written is read");
        prop_assert_eq!(again.lr(step).to_bits(), schedule.lr(step).to_bits());
        prop_assert_eq!(again, schedule);
    }

    /// A warm-up goes straight up to its schedule's first rate, then the schedule has its own clock.
    #[test]
    fn a_warm_up_ends_where_its_schedule_begins(
        schedule in strategies::schedule(),
        steps in 1..1_000_u64,
        start in 0.0..=1.0,
        step in 0..1_000_u64,
    ) {
        let warm_up = WarmUp::new(steps, start, schedule.clone()).expect("valid");
        prop_assert_eq!(warm_up.lr(0), schedule.lr(0) * start);
        prop_assert_eq!(warm_up.lr(steps + step), schedule.lr(step));
        prop_assert!(warm_up.lr(step.min(steps)) <= schedule.lr(0));
    }

    /// The order of the factors of a product does not matter, and one alone is itself.
    #[test]
    fn a_product_does_not_see_the_order_of_its_factors(
        parts in proptest::collection::vec(strategies::schedule(), 1..5),
        step in any_step(),
    ) {
        let forwards = Product::new(parts.clone()).expect("valid").lr(step);
        let backwards = Product::new(parts.iter().rev().cloned().collect()).expect("valid").lr(step);
        // Half a unit in the last place a factor; below the normal numbers one of the smallest.
        let slack = 4.0 * f64::EPSILON * forwards.max(backwards) + 5e-324;
        prop_assert!((forwards - backwards).abs() <= slack, "{} and {}", forwards, backwards);
        let alone = Product::new(vec![parts[0].clone()]).expect("valid").lr(step);
        prop_assert_eq!(alone.to_bits(), parts[0].lr(step).to_bits());
    }

    /// Schedules that are special cases of others have their rates.
    #[test]
    fn special_cases_agree(
        lr in 1e-8..10.0,
        n in 1..1_000_u64,
        gamma in 1e-3..2.0,
        step in 0..2_000_u64,
    ) {
        let periods = StepLr::new(lr, n, gamma).expect("valid").lr(step);
        let milestones = (1..=2_000).map(|k| k * n).collect();
        prop_assert_eq!(MultiStepLr::new(lr, milestones, gamma).expect("valid").lr(step), periods);
        let every = StepLr::new(lr, 1, gamma).expect("valid").lr(step);
        prop_assert_eq!(ExponentialLr::new(lr, gamma).expect("valid").lr(step), every);
        // The plain line rounds 1 − t / n, to half a unit in the last place of 1.
        let line = LinearDecay::new(lr, n).expect("valid").lr(step);
        let power = PolynomialLr::new(lr, n, 1.0).expect("valid").lr(step);
        prop_assert!((power - line).abs() <= f64::EPSILON * lr, "{} and {}", power, line);
        // Within the first cycle.
        let cosine = CosineAnnealingLr::new(lr, n, lr / 3.0).expect("valid").lr(step % n);
        let restarts = CosineWarmRestarts::new(lr, n, 2, lr / 3.0).expect("valid");
        prop_assert_eq!(restarts.lr(step % n), cosine);
    }
}

#[test]
fn a_line_and_a_cosine_meet_half_way_up_the_cycle() -> Result<(), ConfigError> {
    // The rise takes steps 0 to 4: the two strategies agree at its ends and its middle alone.
    let cycle = OneCycleLr::new(0.1, 20)?.with_pct_start(0.25)?;
    let line = cycle.with_anneal_strategy(AnnealStrategy::Linear);
    for step in [0, 2, 4, 19] {
        assert_relative_eq!(cycle.lr(step), line.lr(step), max_relative = 1e-14);
    }
    assert!(cycle.lr(1) < line.lr(1) && cycle.lr(3) > line.lr(3));
    Ok(())
}

/// The rates are the same to the bit on every platform and from version to version: a change here
/// belongs into the changelog, under "Numerics".
#[test]
fn rates_are_stable_to_the_bit() {
    for (json, bits) in [
        (
            r#"{"kind": "constant", "lr": 0.7, "factor": 0.1, "total_iters": 50}"#,
            0x3fb1_eb85_1eb8_51eb,
        ),
        (
            r#"{"kind": "linear", "lr": 0.7, "start_factor": 0.1, "total_iters": 50}"#,
            0x3fe1_288c_e703_afb8,
        ),
        (
            r#"{"kind": "cosine", "lr": 0.7, "t_max": 50, "eta_min": 0.01}"#,
            0x3fbe_6bb9_85da_f962,
        ),
        (
            r#"{"kind": "step", "lr": 0.7, "step_size": 5, "gamma": 0.9}"#,
            0x3fd5_6d7d_d212_dcd2,
        ),
        (r#"{"kind": "fixed", "lr": 0.7}"#, 0x3fe6_6666_6666_6666),
        (
            r#"{"kind": "linear-decay", "lr": 0.7, "total_iters": 50}"#,
            0x3fc7_4bc6_a7ef_9db2,
        ),
        (
            r#"{"kind": "multi-step", "lr": 0.7, "milestones": [9, 20, 31], "gamma": 0.3}"#,
            0x3f93_5a85_8793_dd97,
        ),
        (
            r#"{"kind": "exponential", "lr": 0.7, "gamma": 0.97}"#,
            0x3fcd_07f0_6985_40ee,
        ),
        (
            r#"{"kind": "polynomial", "lr": 0.7, "total_iters": 50, "power": 0.9}"#,
            0x3fca_a7c3_8b03_19aa,
        ),
        (
            r#"{"kind": "one-cycle", "max_lr": 0.7, "total_steps": 50}"#,
            0x3fc7_9229_a690_f609,
        ),
        (
            r#"{"kind": "cosine-warm-restarts", "lr": 0.7, "t_0": 3, "t_mult": 3}"#,
            0x3f83_5249_ae17_ef13,
        ),
        (
            r#"{"kind": "warmup-stable-decay", "lr": 0.7, "total_steps": 40, "decay_type": "1-sqrt"}"#,
            0x3fc2_c3d5_c19c_99e4,
        ),
        (
            r#"{"kind": "warm-up", "steps": 50, "start_factor": 0.1,
                "schedule": {"kind": "exponential", "lr": 0.7, "gamma": 0.9}}"#,
            0x3fe1_288c_e703_afb8,
        ),
        (
            r#"{"kind": "sequential", "milestones": [20], "schedules": [{"kind": "fixed", "lr": 1},
                {"kind": "polynomial", "lr": 0.7, "total_iters": 50, "power": 1.3}]}"#,
            0x3fda_1a49_5bba_937f,
        ),
        (
            r#"{"kind": "product", "schedules": [{"kind": "exponential", "lr": 0.7, "gamma": 0.9},
                {"kind": "cosine", "lr": 1, "t_max": 80}]}"#,
            0x3f80_3de3_8c60_00d3,
        ),
    ] {
        let schedule: ScheduleConfig = serde_json::from_str(json).expect("valid");
        let lr = schedule.lr(37);
        assert_eq!(
            lr.to_bits(),
            bits,
            "{json}: {lr:e} is 0x{:016x}",
            lr.to_bits()
        );
    }
}
