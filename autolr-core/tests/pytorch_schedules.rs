//! The open-loop schedules against the rates that PyTorch itself produced, and their properties.
//!
//! The rates lie in `fixtures/pytorch-schedules/values.json`; `generate.py` beside them made them.

use autolr_core::schedule::{
    ConstantLr, CosineAnnealingLr, Fixed, LinearDecay, LinearLr, Schedule, ScheduleConfig, StepLr,
};
use proptest::prelude::*;
use serde::Deserialize;

/// PyTorch derives each rate from the one before it, so its rounding adds up over the epochs, most
/// where the cosine has come up from its minimum again and again: up to 6e-14 in these cases, whose
/// rates are at most 1.
const ABSOLUTE: f64 = 1e-12;

/// The same relative to the rate (up to 8e-14 in these cases): the absolute tolerance alone would
/// let small rates be wrong altogether. Rates up to [`SMALLEST`] are left out, for where this
/// project has 0 PyTorch may have 1e-17.
const RELATIVE: f64 = 1e-12;
const SMALLEST: f64 = 1e-9;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    torch: String,
    epochs: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    config: ScheduleConfig,
    rates: Vec<f64>,
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../../fixtures/pytorch-schedules/values.json"))
        .expect("the recorded rates are valid JSON, and their configurations valid")
}

#[test]
fn rates_are_those_of_pytorch() {
    let recorded = recorded();
    for Case { config, rates } in &recorded.cases {
        assert_eq!(rates.len(), recorded.epochs, "{config:?}");
        for (epoch, &expected) in (0..).zip(rates) {
            let lr = config.lr(epoch);
            let error = (lr - expected).abs();
            let message = format!(
                "{config:?}, epoch {epoch}: {lr} here, {expected} in PyTorch {}",
                recorded.torch
            );
            assert!(error <= ABSOLUTE, "{message}");
            assert!(
                expected <= SMALLEST || error <= RELATIVE * expected,
                "{message}"
            );
        }
    }
}

#[test]
fn every_kind_is_recorded_with_several_parameters() {
    let cases = recorded().cases;
    let count =
        |kind: fn(&ScheduleConfig) -> bool| cases.iter().filter(|case| kind(&case.config)).count();
    assert!(count(|config| matches!(config, ScheduleConfig::Constant(_))) >= 3);
    assert!(count(|config| matches!(config, ScheduleConfig::Linear(_))) >= 3);
    assert!(count(|config| matches!(config, ScheduleConfig::Cosine(_))) >= 3);
    assert!(count(|config| matches!(config, ScheduleConfig::Step(_))) >= 3);
    assert!(count(|config| matches!(config, ScheduleConfig::LinearDecay(_))) >= 3);
}

/// Any valid configuration, with extreme lengths and rates among them.
fn any_schedule() -> impl Strategy<Value = ScheduleConfig> {
    let lr = prop_oneof![8 => 1e-8..10.0, 1 => Just(f64::MIN_POSITIVE), 1 => Just(f64::MAX)];
    let length = prop_oneof![8 => 1..1_000_u64, 1 => 1..=u64::MAX, 1 => Just(u64::MAX)];
    let share = prop_oneof![8 => 0.0..=1.0, 1 => Just(0.0), 1 => Just(1.0)];
    let gamma = prop_oneof![8 => 1e-3..2.0, 1 => Just(f64::MIN_POSITIVE), 1 => Just(f64::MAX)];
    (lr, length, share.clone(), share, gamma, 0..6).prop_map(|(lr, n, a, b, gamma, kind)| {
        let built = match kind {
            0 => ConstantLr::new(lr, a, n).map(Into::into),
            1 => LinearLr::new(lr, 1.0 - a / 2.0, b, n).map(Into::into),
            2 => CosineAnnealingLr::new(lr, n, lr * a).map(Into::into),
            3 => StepLr::new(lr, n, gamma).map(Into::into),
            4 => Fixed::new(lr).map(Into::into),
            _ => LinearDecay::new(lr, n).map(Into::into),
        };
        built.expect("the strategy makes valid parameters only")
    })
}

proptest! {
    /// A rate is a number that an optimiser can use, whatever the epoch.
    #[test]
    fn rates_are_finite_and_not_negative(
        schedule in any_schedule(),
        near in 0..2_000_u64,
        far: u64,
    ) {
        for epoch in [near, far, u64::MAX] {
            let lr = schedule.lr(epoch);
            prop_assert!(lr.is_finite() && lr >= 0.0, "epoch {}: {}", epoch, lr);
        }
    }

    /// A schedule remembers nothing: the order of the epochs that are asked for does not matter.
    #[test]
    fn any_order_of_epochs_gives_the_same_rates(
        schedule in any_schedule(),
        shuffled in Just((0..200).collect::<Vec<u64>>()).prop_shuffle(),
    ) {
        let in_order: Vec<f64> = (0..200).map(|epoch| schedule.lr(epoch)).collect();
        for epoch in shuffled {
            prop_assert_eq!(schedule.lr(epoch), in_order[epoch as usize]);
        }
    }

    /// What decays does not rise on the way down, and what warms up does not fall.
    #[test]
    fn rates_are_monotonic_where_their_schedule_is(
        schedule in any_schedule(),
        epoch in 0..2_000_u64,
    ) {
        let (now, next) = (schedule.lr(epoch), schedule.lr(epoch + 1));
        let rises = match schedule {
            ScheduleConfig::Constant(_) => true,
            ScheduleConfig::Linear(line) => line.end_factor() >= line.start_factor(),
            ScheduleConfig::Cosine(cosine) => epoch / cosine.t_max() % 2 == 1,
            ScheduleConfig::Step(step) => step.gamma() >= 1.0,
            _ => false,
        };
        // Neighbours on a line or a cosine may differ by less than their rounding.
        let slack = 4.0 * f64::EPSILON * now.max(next);
        let as_expected = if rises { next >= now - slack } else { next <= now + slack };
        prop_assert!(as_expected, "{} then {}", now, next);
    }
}
