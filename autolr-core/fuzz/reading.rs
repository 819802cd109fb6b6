//! What is done with an input, by the fuzz target and by the test `serde_corpus`.
//!
//! Bytes are read as JSON of each kind that autolr-core reads. What is refused is none of its business. What is taken
//! has to be written and read again as the same, and to be usable: no panic, and rates that are rates.

use std::convert::Infallible;
use std::fmt::Debug;

use autolr_core::schedule::{Schedule, ScheduleConfig};
use autolr_core::{
    AutoLr, AutoLrConfig, Decision, Event, Factors, Method, MethodConfig, MethodState, NonFinite,
    ProbeBackend, Probing, RecordedProbe, ScaleUpdate, Told, drive,
};
use ndarray::{Array1, ArrayView1, ArrayViewMut1};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The name of each kind, and whether it takes the bytes.
pub(crate) fn read_and_use(bytes: &[u8]) -> [(&'static str, bool); 6] {
    [
        ("config", read(bytes, use_config)),
        ("scheduler", read(bytes, use_method)),
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

fn use_method(config: MethodConfig) {
    let mut method = config.build();
    for metric in [0.5, f64::NAN, 0.25] {
        advance(method.as_mut(), metric);
        let state = same_again(&method.state());
        method = config.resume(&state).expect("a method's own state fits it");
    }
}

/// Over with a step, and then with an epoch: whichever the method counts.
fn advance(method: &mut dyn Method, metric: f64) {
    let (loss, squared_norm) = (metric, metric);
    let epoch = Event::Epoch {
        train_loss: metric,
        validation_loss: Some(metric),
    };
    for event in [
        Event::Gradient { loss, squared_norm },
        Event::Step { loss: Some(metric) },
        epoch,
    ] {
        let mut probing = Probing::new(Falling);
        // Several parameter groups, say, are refused by a back end of one, and that is no fault.
        let _ = drive(method, &event, &mut probing);
        for record in probing.into_records() {
            if let Some(decision) = record.decision() {
                use_decision(same_again(&decision));
            }
        }
        let lrs = method.lrs();
        assert!(
            !lrs.is_empty() && lrs.iter().all(|lr| *lr >= 0.0 && lr.is_finite()),
            "{lrs:?}"
        );
    }
}

/// A back end whose loss falls with the rate, and that takes one rate for all parameters.
struct Falling;

impl ProbeBackend for Falling {
    type Error = Infallible;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Infallible> {
        losses.assign(&lrs.mapv(|lr| -lr));
        Ok(())
    }
}

fn use_state(state: MethodState) {
    // Its own configuration; whether the rest fits that is for `resume` to say.
    let Ok(config) = MethodConfig::of_state(&state) else {
        return;
    };
    if let Some(config) = config.downcast::<AutoLrConfig>() {
        if let Ok(scheduler) = AutoLr::with_state(config.clone(), &state) {
            tell(scheduler);
        }
    }
    if let Ok(mut method) = config.resume(&state) {
        advance(method.as_mut(), 0.5);
    }
}

/// Losses of every sort, a probe each; a scheduler that was saved and one that was not go on alike.
fn tell(mut scheduler: AutoLr) {
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
        let losses = Array1::from_shape_fn(scheduler.candidates().len(), loss);
        // NaN only where it is configured.
        let may_be_nan = scheduler.config().rule().non_finite() == NonFinite::Propagate;
        let is_rate = |lr: &f64| (*lr > 0.0 && lr.is_finite()) || (may_be_nan && lr.is_nan());
        assert!(scheduler.candidates().iter().all(is_rate), "{scheduler:?}");
        assert!(
            scheduler.candidates_by_group().iter().all(is_rate),
            "{scheduler:?}"
        );

        let state = same_again(&scheduler.state());
        let mut resumed = AutoLr::with_state(scheduler.config().clone(), &state)
            .expect("a scheduler's own state fits it");
        let told = scheduler.tell(losses.view());
        let again = resumed.tell(losses.view());
        assert_eq!(format!("{told:?}"), format!("{again:?}"), "from {state:?}");
        assert!(scheduler.lrs().iter().all(is_rate), "{scheduler:?}");
        if let Ok(Told::Decided(decision)) = told {
            use_decision(same_again(&*decision));
        }
    }
    scheduler.skip();
    same_again(&scheduler.state());
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
    assert!(RecordedProbe::new([&decision]).remaining() >= 1);
}
