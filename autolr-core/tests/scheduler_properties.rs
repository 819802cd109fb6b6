//! Invariants of the closed loop over random configurations and random lives.

use autolr_core::testkit::strategies::{self, losses};
use autolr_core::{
    AutoLr, AutoLrConfig, Decision, MethodConfig, MethodState, NonFinite, RecordedProbe, TellError,
    Told,
};
use ndarray::aview1;
use proptest::prelude::*;

/// What can happen to a scheduler at the end of a tick.
#[derive(Debug, Clone)]
enum Event {
    Told(Vec<f64>),
    Skipped,
}

/// A configuration and a life: losses of any kind, now and then a tick without a decision.
fn life(events: usize) -> impl Strategy<Value = (AutoLrConfig, Vec<Event>)> {
    strategies::config().prop_flat_map(move |config| {
        let n = config.rule().factors().len();
        let event = prop_oneof![6 => losses(n).prop_map(Event::Told), 1 => Just(Event::Skipped)];
        (Just(config), proptest::collection::vec(event, 0..events))
    })
}

/// Losses of what the scheduler wants to try: fewer than factors where a bound cuts candidates.
fn of_candidates<'a>(scheduler: &AutoLr, losses: &'a [f64]) -> &'a [f64] {
    &losses[..scheduler.candidates().len()]
}

/// One event; the decision if one is taken.
fn live(scheduler: &mut AutoLr, event: &Event) -> Option<Decision> {
    match event {
        Event::Told(losses) => match scheduler.tell(aview1(of_candidates(scheduler, losses))) {
            Ok(told) => told.decided(),
            Err(TellError::NoFiniteLoss { .. }) => None,
            Err(error) => panic!("{error}"),
        },
        Event::Skipped => {
            scheduler.skip();
            None
        }
    }
}

fn bits(rates: &[f64]) -> Vec<u64> {
    rates.iter().map(|rate| rate.to_bits()).collect()
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

proptest! {
    /// The state survives a save and load at any point, between two probes of one decision too: the continuation is
    /// bit-identical, decision by decision.
    #[test]
    fn a_saved_state_goes_on_bit_identically((config, events) in life(12)) {
        let mut whole = AutoLr::new(config.clone());
        let mut parts = whole.clone();
        for event in &events {
            let text = json(&parts.state());
            let state: MethodState = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(json(&state), text);
            parts = AutoLr::with_state(config.clone(), &state).unwrap();
            prop_assert_eq!(bits(&whole.candidates().to_vec()), bits(&parts.candidates().to_vec()));
            let (a, b) = (live(&mut whole, event), live(&mut parts, event));
            prop_assert_eq!(json(&a), json(&b));
            prop_assert_eq!(bits(whole.lrs()), bits(parts.lrs()));
        }
        prop_assert_eq!(json(&whole.state()), json(&parts.state()));
    }

    /// Rates and candidates are positive and finite, and within the bounds; a rate is NaN only where the configuration
    /// lets a loss propagate.
    #[test]
    fn rates_and_candidates_stay_within_bounds((config, events) in life(12)) {
        let propagates = config.rule().non_finite() == NonFinite::Propagate;
        let (min, max) = config.bounds();
        let mut scheduler = AutoLr::new(config.clone());
        for event in &events {
            live(&mut scheduler, event);
            let candidates = scheduler.candidates_by_group();
            for (group, multiplier) in config.groups().iter().enumerate() {
                let within = |lr: f64| {
                    // A product below the smallest rate that there is counts as that rate.
                    let rate = |lr: f64| lr.clamp(f64::MIN_POSITIVE, f64::MAX);
                    let range = rate(min * multiplier)..=rate(max * multiplier);
                    range.contains(&lr) || (propagates && lr.is_nan())
                };
                prop_assert!(within(scheduler.lrs()[group]), "{}", scheduler.lrs()[group]);
                for &lr in candidates.column(group) {
                    prop_assert!(within(lr), "{}", lr);
                }
            }
            let leading = scheduler.next_group().unwrap_or(0);
            prop_assert_eq!(
                bits(&candidates.column(leading).to_vec()),
                bits(&scheduler.candidates().to_vec())
            );
        }
    }

    /// A decision explains itself: its new rate is the rate in force, its candidates are those that were asked for, its
    /// losses those that were told, and it survives JSON without loss.
    #[test]
    fn a_decision_explains_itself((config, events) in life(12)) {
        let mut scheduler = AutoLr::new(config);
        let mut taken = 0;
        for event in &events {
            let asked = scheduler.candidates();
            let Some(decision) = live(&mut scheduler, event) else { continue };
            let Event::Told(losses) = event else { panic!("a decision without losses") };
            prop_assert_eq!(decision.index, taken);
            taken += 1;
            prop_assert_eq!(decision.tick, scheduler.tick());
            prop_assert_eq!(bits(&decision.candidates.to_vec()), bits(&asked.to_vec()));
            prop_assert_eq!(bits(&decision.losses.to_vec()), bits(&losses[..asked.len()]));
            let group = decision.group.unwrap_or(0);
            prop_assert_eq!(decision.new_lr.to_bits(), scheduler.lrs()[group].to_bits());
            let text = json(&decision);
            let back: Decision = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(json(&back), text);
            prop_assert!(!decision.to_string().contains('\n'));
        }
    }

    /// Recorded decisions give every rate again: a record is enough to go through a run without its network.
    #[test]
    fn a_record_replays((config, lives) in strategies::config().prop_flat_map(|config| {
        let n = config.rule().factors().len();
        (Just(config), proptest::collection::vec(losses(n), 0..12))
    })) {
        let mut scheduler = AutoLr::new(config.clone());
        let decisions: Vec<Decision> = lives
            .into_iter()
            .filter_map(|losses| live(&mut scheduler, &Event::Told(losses)))
            .collect();
        let mut probe = RecordedProbe::new(&decisions);
        let mut again = AutoLr::new(config);
        for decision in &decisions {
            prop_assert_eq!(json(&again.step(&mut probe).unwrap()), json(decision));
        }
        prop_assert_eq!(probe.remaining(), 0);
    }

    /// A failed probe, in the first window of a decision or a later one, leaves the scheduler as before.
    #[test]
    fn a_failed_probe_changes_nothing((config, events) in life(6), keep in 0..3_usize) {
        let mut scheduler = AutoLr::new(config.clone());
        for event in &events {
            live(&mut scheduler, event);
        }
        // A record of the next decision, cut short.
        let mut ahead = scheduler.clone();
        let n = config.rule().factors().len();
        let towards_the_top: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let mut records = Vec::new();
        for _ in 0..8 {
            let mut decision = Decision::with_capacity(n);
            decision.candidates = ahead.candidates();
            let losses = of_candidates(&ahead, &towards_the_top);
            decision.losses = losses.iter().copied().collect();
            records.push(decision);
            if !matches!(ahead.tell(aview1(losses)), Ok(Told::ProbeAgain)) {
                break;
            }
        }
        records.truncate(keep.min(records.len() - 1));
        let before = json(&scheduler.state());
        prop_assert!(scheduler.step(&mut RecordedProbe::new(&records)).is_err());
        prop_assert_eq!(json(&scheduler.state()), before);
    }

    /// Deciding into a record that is used again gives what a fresh one gets.
    #[test]
    fn a_reused_record_holds_nothing_old((config, events) in life(12)) {
        let (mut fresh, mut reusing) = (AutoLr::new(config.clone()), AutoLr::new(config));
        let mut record = Decision::with_capacity(1);
        for event in &events {
            let decision = live(&mut fresh, event);
            match event {
                Event::Told(losses) => {
                    let losses = of_candidates(&reusing, losses);
                    let told = reusing.tell_into(aview1(losses), None, &mut record);
                    if let Some(decision) = decision {
                        prop_assert_eq!(told, Ok(true));
                        prop_assert_eq!(json(&record), json(&decision));
                    }
                }
                Event::Skipped => reusing.skip(),
            }
        }
    }

    /// A configuration survives JSON without loss.
    #[test]
    fn a_configuration_survives_json(config in strategies::config()) {
        let text = json(&config);
        prop_assert_eq!(&serde_json::from_str::<AutoLrConfig>(&text).unwrap(), &config);
        let tagged = MethodConfig::from(config.clone());
        prop_assert_eq!(serde_json::from_str::<MethodConfig>(&json(&tagged)).unwrap(), tagged);
    }

    /// A state is refused by every other configuration, and the difference is named.
    #[test]
    fn another_configuration_refuses_the_state(config in strategies::config(), other in strategies::config()) {
        prop_assume!(config != other);
        let state = AutoLr::new(config).state();
        let error = AutoLr::with_state(other, &state).unwrap_err().to_string();
        prop_assert!(error.starts_with("scheduler state of another configuration: "), "{}", error);
        prop_assert!(error.contains(" was ") && error.contains(" and is "), "{}", error);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// As many cases as one likes, none of which is thrown away for its groups.
    #[test]
    fn a_single_group_has_one_rate(config in strategies::single_group_config()) {
        prop_assert_eq!(config.groups().len(), 1);
        prop_assert_eq!(AutoLr::new(config).lrs().len(), 1);
    }
}
