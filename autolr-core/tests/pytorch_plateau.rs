//! Reduce on plateau against the rates that PyTorch itself produced, and its properties.
//!
//! The rates lie in `fixtures/pytorch-schedules/plateau.json`; `generate.py` beside them made them.

use autolr_core::float_serde::Float;
use autolr_core::{Method, PlateauMode, ReduceOnPlateau, ReduceOnPlateauConfig, ThresholdMode};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;

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
    config: ReduceOnPlateauConfig,
    metrics: Vec<Float>,
    rates: Vec<f64>,
}

#[test]
fn rates_are_those_of_pytorch_to_the_bit() {
    let text = include_str!("../../fixtures/pytorch-schedules/plateau.json");
    let recorded: Recorded = serde_json::from_str(text).expect("the recorded rates are valid");
    let mut falls = 0;
    for Case {
        config,
        metrics,
        rates,
    } in recorded.cases
    {
        assert_eq!(
            (metrics.len(), rates.len()),
            (recorded.steps, recorded.steps)
        );
        let mut scheduler = ReduceOnPlateau::new(config);
        for (epoch, (Float(metric), expected)) in metrics.into_iter().zip(rates).enumerate() {
            let before = scheduler.lr();
            // Both do the same few operations in the same order: nothing to round differently.
            assert_eq!(
                scheduler.observe(metric),
                expected,
                "{config:?}, epoch {epoch}, PyTorch {}",
                recorded.torch
            );
            falls += usize::from(scheduler.lr() < before);
        }
    }
    assert!(falls > 300, "{falls} falls: the cases do not say much");
}

fn any_config() -> impl Strategy<Value = ReduceOnPlateauConfig> {
    let mode = prop_oneof![Just(PlateauMode::Min), Just(PlateauMode::Max)];
    let threshold = prop_oneof![
        (0.0..0.999, Just(ThresholdMode::Rel)),
        (0.0..1e3, Just(ThresholdMode::Abs)),
    ];
    let lr = prop_oneof![8 => 1e-8..10.0, 1 => Just(f64::MIN_POSITIVE), 1 => Just(f64::MAX)];
    let least = prop_oneof![Just(0.0), 0.0..=1.0, Just(1.0)];
    let eps = prop_oneof![Just(0.0), Just(1e-8), 0.0..0.1];
    let counts = (
        prop_oneof![0..4_u64, Just(u64::MAX)],
        prop_oneof![0..4_u64, Just(u64::MAX)],
    );
    (mode, threshold, lr, least, eps, counts, 0.0..0.999)
        .prop_map(
            |(mode, (threshold, threshold_mode), lr, least, eps, (patience, cooldown), factor)| {
                let config = ReduceOnPlateauConfig::new(lr)?
                    .with_mode(mode)
                    .with_threshold(threshold, threshold_mode)?
                    .with_factor(factor)?
                    .with_patience(patience)
                    .with_cooldown(cooldown)
                    .with_min_lr(lr * least)?
                    .with_eps(eps)?;
                Ok::<_, autolr_core::ConfigError>(config)
            },
        )
        .prop_map(|built| built.expect("the strategy makes valid parameters only"))
}

fn any_metric() -> impl Strategy<Value = f64> {
    prop_oneof![6 => -10.0..10.0, 1 => any::<f64>(), 1 => Just(1.0), 1 => Just(f64::NAN)]
}

proptest! {
    /// The rate never rises, never leaves [min_lr, lr], and falls at most every patience + 1 metrics.
    #[test]
    fn the_rate_falls_within_its_range(config in any_config(), metrics in vec(any_metric(), 0..80)) {
        let mut scheduler = ReduceOnPlateau::new(config);
        let mut since_fall = 0_u64;
        for metric in metrics {
            let before = scheduler.lr();
            let lr = scheduler.observe(metric);
            prop_assert_eq!(lr, scheduler.lr());
            prop_assert!(lr >= config.min_lr() && lr <= before, "{} then {}", before, lr);
            since_fall += 1;
            if lr < before {
                prop_assert!(since_fall > config.patience());
                since_fall = 0;
            }
        }
    }

    /// A NaN and the worst metric there is count the same: as bad.
    #[test]
    fn a_nan_is_a_bad_metric(config in any_config(), metrics in vec(any_metric(), 0..80)) {
        let worst = match config.mode() {
            PlateauMode::Min => f64::INFINITY,
            PlateauMode::Max => f64::NEG_INFINITY,
        };
        let (mut nan, mut bad) = (ReduceOnPlateau::new(config), ReduceOnPlateau::new(config));
        for metric in metrics {
            let with_bad = if metric.is_nan() { worst } else { metric };
            prop_assert_eq!(nan.observe(metric), bad.observe(with_bad));
        }
    }

    /// A state goes on bit-identically wherever it was saved.
    #[test]
    fn a_state_goes_on(
        config in any_config(),
        metrics in vec(any_metric(), 1..60),
        cut: proptest::sample::Index,
    ) {
        let (first, rest) = metrics.split_at(cut.index(metrics.len()));
        let mut whole = ReduceOnPlateau::new(config);
        for &metric in first {
            whole.observe(metric);
        }
        let text = serde_json::to_string(&whole.state()).expect("a state is JSON");
        let state = serde_json::from_str(&text).expect("what was written is read");
        let mut again = ReduceOnPlateau::with_state(config, &state).expect("a state that was");
        for &metric in rest {
            prop_assert_eq!(whole.observe(metric).to_bits(), again.observe(metric).to_bits());
        }
        prop_assert_eq!(again, whole);
    }
}
