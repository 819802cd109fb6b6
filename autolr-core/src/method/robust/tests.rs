use super::search::{Lengths, Trial, preferred, share};
use super::{Robust, RobustConfig};
use crate::method::{
    Budget, Event, Method, MethodConfig, MethodError, MethodState, Plan, Record, Request, Slot,
    Turn,
};

const PLAN: Plan = Plan {
    steps: 5000,
    steps_per_epoch: 250,
};

fn config(text: &str) -> MethodConfig {
    serde_json::from_str(text).unwrap()
}

/// Searches where a trial at a rate comes to `loss`; the method, and how many trials of which lengths it took.
fn searched(loss: impl Fn(f64) -> f64, plan: Plan) -> (Robust, Vec<(f64, u64)>, Vec<Record>) {
    let mut method = Robust::new(RobustConfig::default());
    let budget = Budget::default();
    let (mut trials, mut records) = (Vec::new(), Vec::new());
    let mut turn = method.next(&Event::Start(plan), &budget).unwrap();
    loop {
        records.extend(turn.record.take());
        assert_eq!(method.pending().unwrap_or(Request::Continue), turn.request);
        // What is saved goes on in the same way.
        let again = config(r#"{"kind": "robust"}"#).resume(&method.state());
        assert_eq!(again.unwrap().pending(), method.pending());
        turn = match turn.request {
            Request::Continue => return (method, trials, records),
            Request::Branch(branch) => {
                assert_eq!((branch.from, branch.lrs.len()), (Slot(0), 1));
                assert!(branch.into == Slot(1) || branch.into == Slot(2));
                let lr = branch.lrs[0];
                trials.push((lr, branch.course.steps));
                // Batches differ, in the same way for all.
                let scores: Vec<f64> = (0..branch.scores)
                    .map(|batch| loss(lr) + 0.1 * (batch as f64).sin())
                    .collect();
                let event = Event::Branched {
                    steps: branch.course.steps,
                    train_loss: loss(lr),
                    scores: &scores,
                };
                method.next(&event, &budget).unwrap()
            }
            _ => method.next(&Event::Done, &budget).unwrap(),
        };
    }
}

fn details(record: &Record) -> serde_json::Value {
    let Record::Change(change) = record else {
        panic!("{record:?}");
    };
    serde_json::to_value(change).unwrap()["details"].clone()
}

/// Lowest at `best`, with no finite loss from `edge` on.
fn valley(best: f64, edge: f64) -> impl Fn(f64) -> f64 {
    move |lr: f64| match lr {
        lr if lr >= edge => f64::NAN,
        lr => 1.0 + 0.2 * (lr / best).log10().powi(2).min(5.0),
    }
}

#[test]
fn the_best_half_decade_is_found_wherever_it_is() {
    for half in -18_i32..=4 {
        let best = 10_f64.powf(f64::from(half) / 2.0);
        let (method, trials, _) = searched(valley(best, 1e3 * best), PLAN);
        assert!(
            (method.peak() / (0.5 * best) - 1.0).abs() < 1e-9,
            "{best}: {trials:?}"
        );
    }
}

#[test]
fn its_trials_cost_what_it_may_and_it_trains_on_from_the_best() {
    for (steps, most) in [(1000, 0.2), (5000, 0.1), (50_000, 0.03)] {
        let plan = Plan {
            steps,
            steps_per_epoch: steps / 10,
        };
        let (_, trials, records) = searched(valley(0.1, 10.0), plan);
        let spent: u64 = trials.iter().map(|(_, steps)| steps).sum();
        let kept = trials.iter().map(|(_, steps)| *steps).max().unwrap();
        assert!(
            (spent - kept) as f64 <= most * steps as f64,
            "{steps}: {trials:?}"
        );
        let details = details(records.last().unwrap());
        assert_eq!(details["adopted_steps"], kept);
        assert_eq!(details["search_steps"], spent);
    }
}

#[test]
fn the_forecast_holds_what_a_search_costs() {
    let forecast = config(r#"{"kind": "robust"}"#).forecast(PLAN);
    let (least, most) = (forecast.least_search, forecast.most_search);
    for half in -18_i32..=4 {
        let best = 10_f64.powf(f64::from(half) / 2.0);
        let (_, _, records) = searched(valley(best, 1e3 * best), PLAN);
        let details = details(records.last().unwrap());
        let of = |key: &str| details[key].as_u64().unwrap();
        let steps = of("search_steps") - of("adopted_steps");
        assert!((least.steps..=most.steps).contains(&steps), "{best}: {steps}, {forecast:?}");
    }
    let short = Plan { steps: 50, steps_per_epoch: 50 };
    assert_eq!(config(r#"{"kind": "robust"}"#).forecast(short).most_search.steps, 0);
}

#[test]
fn shares_fall_with_the_length() {
    for (steps, expected) in [(100, 0.2), (1000, 0.2), (5000, 0.0916), (50_000, 0.03)] {
        approx::assert_relative_eq!(share(steps), expected, max_relative = 0.01);
    }
}

#[test]
fn a_run_that_is_too_short_has_no_search_and_says_so() {
    let config = RobustConfig::default();
    for steps in [0, 1, 50] {
        let plan = Plan {
            steps,
            steps_per_epoch: steps,
        };
        assert_eq!(Lengths::of(&config, plan), None);
        let (method, trials, records) = searched(valley(0.1, 10.0), plan);
        assert!(trials.is_empty());
        assert_eq!(method.peak(), 0.01);
        let record = details(&records[0]).to_string();
        assert!(record.contains("too short"), "{record}");
    }
}

#[test]
fn without_a_finite_loss_it_takes_the_lowest_rate_and_says_so() {
    let (method, trials, records) = searched(|_| f64::NAN, PLAN);
    assert!(trials.len() < 30);
    approx::assert_relative_eq!(method.peak(), 1e-10, max_relative = 1e-9);
    let record = details(&records[0]).to_string();
    assert!(record.contains("no rate gave a finite loss"), "{record}");
}

/// After five times as many steps the lower rate is nearly as good, and still getting better: then it wins.
#[test]
fn a_rate_that_catches_up_is_taken() {
    let loss = |lr: f64, steps: u64| {
        let higher = (lr / 0.1).log10().abs() < 0.1;
        let lower = (lr / 0.0316).log10().abs() < 0.1;
        match (higher, lower, steps > 50) {
            (true, _, false) => 1.5,
            (true, _, true) => 1.2,
            (_, true, false) => 1.8,
            (_, true, true) => 1.25,
            _ => 2.0,
        }
    };
    for (trend, expected) in [(true, 0.0316), (false, 0.1)] {
        let settings = format!(r#"{{"kind": "robust", "scale": 1, "trend": {trend}}}"#);
        let mut method = config(&settings).build();
        let budget = Budget::default();
        let mut turn = method.next(&Event::Start(PLAN), &budget).unwrap();
        while turn.request != Request::Continue {
            turn = match turn.request {
                Request::Branch(branch) => {
                    let steps = branch.course.steps;
                    let loss = loss(branch.lrs[0], steps);
                    let event = Event::Branched {
                        steps,
                        train_loss: loss,
                        scores: &vec![loss; branch.scores as usize],
                    };
                    method.next(&event, &budget).unwrap()
                }
                _ => method.next(&Event::Done, &budget).unwrap(),
            };
        }
        let found: Robust = method.state().read("robust", 1..=1).unwrap();
        assert!(
            (found.peak() / expected - 1.0).abs() < 0.01,
            "{trend}: {}",
            found.peak()
        );
    }
}

fn trial(lr: f64, train_loss: f64, scores: &[f64]) -> Trial {
    Trial {
        stage: 0,
        lr,
        steps: 8,
        train_loss,
        scores: scores.to_vec(),
        slot: None,
    }
}

#[test]
fn ties_go_to_the_higher_rate_and_no_further() {
    let trials = [
        trial(0.01, 2.0, &[2.0, 2.2]),
        trial(0.1, 2.0, &[1.0, 1.2]),
        // Within the error.
        trial(1.0, 2.0, &[0.9, 1.4]),
        trial(10.0, 2.0, &[1.9, 2.1]),
        // Within it too, but there is a worse one between.
        trial(100.0, 2.0, &[0.5, 1.8]),
    ];
    let taken = |trials: &[Trial], tie| preferred(trials, 0, tie).map(|trial| trial.lr);
    assert_eq!(taken(&trials, 1.0), Some(1.0));
    assert_eq!(taken(&trials, 0.0), Some(0.1));
    assert_eq!(taken(&trials, 100.0), Some(1.0));
    // Its end is the lowest, but on the way there it was lost.
    let lost = trial(10.0, 6.1, &[0.0, 0.0]);
    let with = [trials[0].clone(), trials[1].clone(), lost];
    assert_eq!(taken(&with, 1.0), Some(0.1));
    assert_eq!(taken(&[trial(1.0, 2.0, &[f64::NAN])], 1.0), None);
}

/// Trains an epoch that comes to `loss`; the rate after it.
fn epoch(method: &mut Robust, steps: u64, loss: f64) -> (Turn, f64) {
    let budget = Budget::default();
    for _ in 0..steps {
        let step = Event::Step { loss: None };
        assert_eq!(method.next(&step, &budget).unwrap(), Turn::CONTINUE);
    }
    let event = Event::Epoch {
        train_loss: loss,
        validation_loss: Some(loss),
    };
    let turn = method.next(&event, &budget).unwrap();
    method.next(&Event::Done, &budget).unwrap();
    (turn, method.peak())
}

#[test]
fn a_lost_epoch_is_taken_back_at_half_the_rate() {
    let (mut method, ..) = searched(valley(0.1, 10.0), PLAN);
    // It began at 2 and its best trial came to 1.
    let (turn, peak) = epoch(&mut method, 10, 1.4);
    assert!(matches!(turn.request, Request::Save { .. }));
    for (loss, halvings) in [(1.6, 1), (f64::NAN, 2), (f64::INFINITY, 3)] {
        let (turn, after) = epoch(&mut method, 10, loss);
        assert!(matches!(turn.request, Request::Restore { .. }), "{loss}");
        assert_eq!(after, peak / f64::from(1 << halvings));
    }
    let (turn, _) = epoch(&mut method, 10, 0.5);
    assert!(matches!(turn.request, Request::Save { .. }));
}

#[test]
fn the_rate_rises_and_falls_to_zero_by_the_end() {
    let (mut method, trials, _) = searched(valley(0.1, 10.0), PLAN);
    let adopted = trials.iter().map(|(_, steps)| *steps).max().unwrap();
    let mut rates = vec![method.lr()];
    for _ in adopted..PLAN.steps {
        let step = Event::Step { loss: None };
        method.next(&step, &Budget::default()).unwrap();
        rates.push(method.lr());
    }
    let highest = (0..rates.len()).max_by(|a, b| rates[*a].total_cmp(&rates[*b]));
    let highest = highest.unwrap();
    assert!((90..=110).contains(&highest), "{highest}");
    assert!(rates[highest] > 0.97 * method.peak());
    assert!(rates[..highest].windows(2).all(|pair| pair[0] < pair[1]));
    assert!(rates[highest..].windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(*rates.last().unwrap(), 0.0);
}

#[test]
fn what_was_not_asked_for_is_refused_and_settings_are_checked() {
    let mut method = Robust::new(RobustConfig::default());
    let before = method.clone();
    let error = method.next(&Event::Done, &Budget::default()).unwrap_err();
    assert_eq!(error, MethodError::Unasked { event: "done" });
    assert_eq!(method.state(), before.state());
    for (text, key) in [
        (r#"{"kind": "robust", "search": 0.6}"#, "search = 0.6"),
        (
            r#"{"kind": "robust", "scoring_batches": 0}"#,
            "scoring_batches = 0",
        ),
        (r#"{"kind": "robust", "tie": -1}"#, "tie = -1"),
        (
            r#"{"kind": "robust", "scale": 0}"#,
            "scale = 0: must be above 0",
        ),
        (r#"{"kind": "robust", "rounds": 3}"#, "rounds = 3"),
    ] {
        let error = serde_json::from_str::<MethodConfig>(text).unwrap_err();
        assert!(error.to_string().starts_with(key), "{error}");
    }
    let other = config(r#"{"kind": "robust", "rounds": 1}"#);
    let error = other.resume(&before.state()).unwrap_err();
    assert!(error.to_string().contains("rounds"), "{error}");
}

#[test]
fn a_state_with_stages_that_there_are_not_is_refused() {
    let mut method = Robust::new(RobustConfig::default());
    let budget = Budget::default();
    method.next(&Event::Start(PLAN), &budget).unwrap();
    method.next(&Event::Done, &budget).unwrap();
    let text = serde_json::to_string(&method.state()).unwrap();
    for (good, bad) in [
        (r#""last":2"#, r#""last":9"#),
        (r#""trying":0"#, r#""trying":99"#),
    ] {
        let changed = text.replacen(good, bad, 1);
        assert_ne!(changed, text);
        let state: MethodState = serde_json::from_str(&changed).unwrap();
        let error = config(r#"{"kind": "robust"}"#).resume(&state).unwrap_err();
        assert!(error.to_string().contains("no stage"), "{error}");
    }
}

#[test]
fn scores_that_were_not_asked_for_are_refused_and_a_search_that_costs_too_much_ends() {
    let mut method = Robust::new(RobustConfig::default());
    let budget = |spent| Budget {
        spent,
        limit: Some(1000),
    };
    method.next(&Event::Start(PLAN), &budget(0)).unwrap();
    method.next(&Event::Done, &budget(0)).unwrap();
    let branched = |scores| Event::Branched {
        steps: 8,
        train_loss: 1.0,
        scores,
    };
    let error = method.next(&branched(&[1.0]), &budget(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 scores of a branch, but 4 were asked for"
    );
    let turn = method.next(&branched(&[1.0; 4]), &budget(100)).unwrap();
    assert!(matches!(turn.request, Request::Branch(_)));
    let turn = method.next(&branched(&[1.0; 4]), &budget(200)).unwrap();
    assert!(matches!(turn.request, Request::Adopt { .. }));
    let record = details(&turn.record.unwrap()).to_string();
    assert!(record.contains("ended early"), "{record}");
}

#[test]
fn without_a_search_the_guard_compares_with_the_first_epoch() {
    let plan = Plan {
        steps: 50,
        steps_per_epoch: 10,
    };
    let (mut method, ..) = searched(valley(0.1, 10.0), plan);
    for (loss, back) in [(1.0, false), (0.1, false), (1.0, true), (50.0, true)] {
        let (turn, _) = epoch(&mut method, 10, loss);
        let went = matches!(turn.request, Request::Restore { .. });
        assert_eq!(went, back, "{loss}");
    }
}

/// A trial that was lost on the way is out, however much better it got.
#[test]
fn a_trend_from_a_lost_trial_does_not_count() {
    let with_stage = |trial: Trial, stage| Trial { stage, ..trial };
    let lengths = Lengths {
        steps: [8, 30, 90],
        scores: [2, 2, 2],
        last: 2,
    };
    let trials = [
        trial(1e-4, 2.0, &[2.0, 2.0]),
        trial(0.1, 2.0, &[1.0, 1.0]),
        with_stage(trial(0.0316227766, 60.0, &[50.0, 50.0]), 1),
        with_stage(trial(0.1, 2.0, &[0.5, 0.5]), 1),
        with_stage(trial(0.0316227766, 2.0, &[1.9, 1.9]), 2),
        with_stage(trial(0.1, 2.0, &[0.5, 0.5]), 2),
    ];
    let config = RobustConfig::default();
    let taken = super::search::winner(&trials, &lengths, &config).unwrap();
    assert_eq!(taken.lr, 0.1);
}
