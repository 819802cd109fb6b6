//! What is done with an input, by the fuzz target and by the test `serde_corpus`.
//!
//! Bytes are read as JSON of each kind that autolr-core reads. What is refused is none of its business. What is taken
//! has to be written and read again as the same, and to be usable: no panic, and rates that are rates.

use std::fmt::Debug;

use autolr_core::schedule::{Schedule, ScheduleConfig};
use autolr_core::{
    AutoLr, AutoLrConfig, Decision, Factors, NonFinite, RecordedProbe, ScaleUpdate, SchedulerState,
};
use ndarray::Array1;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The name of each kind, and whether it takes the bytes.
pub(crate) fn read_and_use(bytes: &[u8]) -> [(&'static str, bool); 5] {
    [
        ("config", read(bytes, use_config)),
        ("schedule", read(bytes, use_schedule)),
        ("factors", read(bytes, use_factors)),
        ("state", read(bytes, use_state)),
        ("decision", read(bytes, use_decision)),
    ]
}

fn read<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8], use_it: fn(T)) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else {
        return false;
    };
    same_again(&value);
    use_it(value);
    true
}

/// Compares by `Debug`, which tells −0 from 0 and, unlike `==`, takes NaN for NaN.
fn same_again<T: Serialize + DeserializeOwned + Debug>(value: &T) -> T {
    let text = serde_json::to_string(value).expect("what was read can be written");
    let again: T = match serde_json::from_str(&text) {
        Ok(again) => again,
        Err(error) => panic!("{text} was written and is refused: {error}"),
    };
    assert_eq!(format!("{value:?}"), format!("{again:?}"), "{text}");
    again
}

fn use_config(config: AutoLrConfig) {
    tell(AutoLr::new(config));
}

fn use_state(state: SchedulerState) {
    for non_finite in [NonFinite::NoVote, NonFinite::Propagate] {
        let factors = Factors::powers_of_two(3).expect("a valid set");
        let rule = ScaleUpdate::new(factors).with_non_finite(non_finite);
        let config = AutoLrConfig::new(0.1, rule).expect("a valid rate");
        if let Ok(scheduler) = AutoLr::with_state(config, &state) {
            tell(scheduler);
        }
    }
}

/// Losses of every sort, a decision each.
fn tell(mut scheduler: AutoLr) {
    let n = scheduler.config().rule().factors().len();
    let propagates = scheduler.config().rule().non_finite() == NonFinite::Propagate;
    let falling = |i: usize| 1.0 / (1.0 + i as f64);
    let losses: [&dyn Fn(usize) -> f64; 6] = [
        &falling,
        &|i| -1e300 * falling(i),
        &|_| 5e-324,
        &|i| if i % 2 == 0 { f64::MAX } else { f64::MIN },
        &|i| if i == 0 { f64::INFINITY } else { falling(i) },
        &|_| f64::NAN,
    ];
    for loss in losses {
        let is_rate = |lr: &f64| (*lr > 0.0 && lr.is_finite()) || (propagates && lr.is_nan());
        let rates_before = scheduler.candidates();
        // A scheduler that goes on from a NaN rate has no other candidates.
        if !scheduler.lr().is_nan() {
            assert!(rates_before.iter().all(is_rate), "{rates_before}");
        }
        let state = same_again(&scheduler.state());
        let mut resumed = AutoLr::with_state(scheduler.config().clone(), &state)
            .expect("a scheduler's own state fits it");
        let losses = Array1::from_shape_fn(n, loss);
        let decision = scheduler.tell(losses.view()).expect("one loss a factor");
        let other = resumed.tell(losses.view()).expect("one loss a factor");
        assert_eq!(
            format!("{decision:?}"),
            format!("{other:?}"),
            "resumed from {state:?}"
        );
        assert!(
            rates_before[0].is_nan() || is_rate(&decision.new_lr),
            "{decision:?}"
        );
        use_decision(same_again(&decision));
    }
}

fn use_schedule(schedule: ScheduleConfig) {
    for epoch in [0, 1, 2, 10, 1 << 20, 1 << 53, u64::MAX - 1, u64::MAX] {
        let lr = schedule.lr(epoch);
        assert!(
            lr >= 0.0 && lr.is_finite(),
            "{schedule:?}: {lr} at epoch {epoch}"
        );
    }
}

fn use_factors(factors: Factors) {
    let rule = ScaleUpdate::new(factors);
    let losses = Array1::from_shape_fn(rule.factors().len(), |i| 0.1 * i as f64);
    let update = rule.update(losses.view()).expect("one loss a factor");
    let smaller = |a: f64, b: &f64| a.min(*b);
    let larger = |a: f64, b: &f64| a.max(*b);
    let least = rule.factors().values().iter().fold(f64::MAX, smaller);
    let most = rule.factors().values().iter().fold(0.0, larger);
    assert!(
        (least..=most).contains(&update.factor),
        "{} outside of [{least}, {most}]",
        update.factor
    );
}

fn use_decision(decision: Decision) {
    let line = decision.to_string();
    assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
    assert_eq!(RecordedProbe::new([&decision]).remaining(), 1);
}
