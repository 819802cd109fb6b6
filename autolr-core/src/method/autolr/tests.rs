//! [`AutoLr`], call by call.

use super::*;
use crate::schedule::CosineAnnealingLr;
use crate::{Budget, Cadence, Factors, MethodState, NonFinite, ScaleUpdate, Unit, drive, resume};
use ndarray::{ArrayViewMut1, array};

fn config(lr: f64) -> AutoLrConfig {
    AutoLrConfig::new(lr, ScaleUpdate::new(Factors::powers_of_two(3).unwrap())).unwrap()
}

fn scheduler(lr: f64, non_finite: NonFinite) -> AutoLr {
    let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap()).with_non_finite(non_finite);
    AutoLr::new(AutoLrConfig::new(lr, rule).unwrap())
}

/// A decision by a loss a factor, from the largest factor down. Where a bound makes several candidates one trial, it has
/// the loss of the outermost; a trial that is no candidate has that of the one next to it.
fn decide(scheduler: &mut AutoLr, losses: &[f64]) -> Decision {
    let config = scheduler.config();
    let factors = config.rule().factors().values();
    let cut = |factor: &f64| config.within_bounds(factor * scheduler.centre());
    let wanted: Vec<f64> = factors.iter().map(cut).collect();
    let placed = scheduler.placed();
    let trials = placed.trials();
    let upper = trials[0] == config.bounds().1;
    let own = |rate: f64| {
        // A NaN rate too.
        let same = |value: &f64| value.to_bits() == rate.to_bits();
        let place = if upper && rate == trials[0] {
            wanted.iter().position(same)
        } else {
            wanted.iter().rposition(same)
        };
        place.map(|i| losses[i])
    };
    let inner = trials[usize::from(upper && trials.len() > 1)];
    let each = trials.iter().map(|&rate| own(rate).or(own(inner)).unwrap());
    let losses: Vec<f64> = each.collect();
    let told = scheduler.tell(ndarray::aview1(&losses)).unwrap();
    told.decided().expect("one probe is enough")
}

/// The larger the rate, the better. One rate for all parameters.
struct Up;

impl ProbeBackend for Up {
    type Error = std::convert::Infallible;

    fn probe(
        &mut self,
        lrs: ArrayView1<'_, f64>,
        mut losses: ArrayViewMut1<'_, f64>,
    ) -> Result<(), Self::Error> {
        losses.assign(&lrs.mapv(|lr| -lr));
        Ok(())
    }
}

const NAN: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NAN];

#[test]
fn a_saved_state_goes_on_bit_identically() {
    let losses = [0.3, 0.2, 0.7];
    let mut whole = scheduler(0.005, NonFinite::NoVote);
    let mut parts = whole.clone();
    for _ in 0..10 {
        decide(&mut whole, &losses);
        decide(&mut parts, &losses);
        let text = serde_json::to_string(&parts.state()).unwrap();
        let state = serde_json::from_str(&text).unwrap();
        parts = AutoLr::with_state(parts.config().clone(), &state).unwrap();
    }
    assert_eq!(whole.lr().to_bits(), parts.lr().to_bits());
    assert_eq!(whole, parts);
}

#[test]
fn the_rate_stays_a_rate() {
    // Twice the largest rate is the largest rate.
    let mut high = scheduler(f64::MAX, NonFinite::NoVote);
    assert_eq!(
        high.candidates().to_vec(),
        [f64::MAX, 0.5 * f64::MAX, 0.25 * f64::MAX]
    );
    let decision = decide(&mut high, &[0.0, 1.0, 2.0]);
    assert_eq!((high.lr(), decision.verdict), (f64::MAX, Verdict::Held));
    let mut low = scheduler(f64::MIN_POSITIVE, NonFinite::NoVote);
    decide(&mut low, &[2.0, 1.0, 0.0]);
    assert_eq!(low.lr(), f64::MIN_POSITIVE);
}

#[test]
fn all_non_finite_holds_lowers_fails_or_propagates() {
    let mut holds = scheduler(1.0, NonFinite::NoVote);
    let decision = decide(&mut holds, &NAN);
    assert_eq!((holds.lr(), decision.verdict), (1.0, Verdict::NoFiniteLoss));
    assert_eq!((decision.factor, holds.tick()), (1.0, 1));

    let mut lowers = AutoLr::new(
        config(1.0)
            .with_all_non_finite(AllNonFinite::Lower)
            .unwrap(),
    );
    let decision = decide(&mut lowers, &NAN);
    assert_eq!((lowers.lr(), decision.factor), (0.5, 0.5));
    assert_eq!(decision.verdict, Verdict::NoFiniteLoss);

    let mut fails = AutoLr::new(config(1.0).with_all_non_finite(AllNonFinite::Fail).unwrap());
    let before = fails.clone();
    let error = fails.tell(ndarray::aview1(&NAN)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "none of the losses of 3 candidate rates from 0.5 to 2 is finite"
    );
    assert_eq!(fails, before);

    let mut propagates = scheduler(1.0, NonFinite::Propagate);
    let decision = decide(&mut propagates, &NAN);
    assert!(propagates.lr().is_nan() && decision.new_lr.is_nan() && decision.factor.is_nan());
    assert_eq!(decision.verdict, Verdict::Propagated);
    let again = AutoLr::with_state(propagates.config().clone(), &propagates.state());
    assert!(again.unwrap().lr().is_nan());
    // And stays so.
    assert!(decide(&mut propagates, &[1.0, 2.0, 3.0]).new_lr.is_nan());
}

#[test]
fn configurations_are_validated_when_read() {
    let read = |text: &str| serde_json::from_str::<AutoLrConfig>(text);
    assert!(read(r#"{"lr": 0.005, "factors": "factor_5"}"#).is_ok());
    for (text, message) in [
        (r#"{"lr": 0, "factors": [1]}"#, "lr = 0: "),
        (r#"{"lr": 1, "factors": []}"#, "factors = []: "),
        (
            r#"{"lr": 1, "factors": "factor_4"}"#,
            "factors = \"factor_4\": ",
        ),
        (r#"{"lr": 1, "factors": [1, -2]}"#, "factors[1] = -2: "),
        (
            r#"{"lr": 1, "factors": [1], "sharpness": -1}"#,
            "sharpness = -1: ",
        ),
        (
            r#"{"lr": 1, "factors": [1], "sharpnes": 1}"#,
            "unknown field `sharpnes`",
        ),
        (
            r#"{"lr": 1, "factors": [1], "normalization": "softmax"}"#,
            "unknown variant",
        ),
        (r#"{"factors": [1]}"#, "lr: missing"),
        (
            r#"{"lr": 1, "base": {"kind": "fixed", "lr": 1}, "factors": [1]}"#,
            "lr: not beside `base`",
        ),
        (r#"{"lr": 1, "factors": [1], "every": 0}"#, "every = 0: "),
        (
            r#"{"lr": 1, "factors": [1], "unit": "batch"}"#,
            "unknown variant `batch`",
        ),
        (r#"{"lr": 1, "factors": [1], "min_lr": 0}"#, "min_lr = 0: "),
        (
            r#"{"lr": 1, "factors": [1], "max_lr": -1}"#,
            "max_lr = -1: ",
        ),
        (
            r#"{"lr": 1, "factors": [1], "min_lr": 2, "max_lr": 0.5}"#,
            "min_lr = 2: exceeds max_lr = 0.5",
        ),
        (
            r#"{"lr": 1, "factors": [1], "min_lr": 2}"#,
            "lr = 1: lies below min_lr = 2",
        ),
        (
            r#"{"lr": 1, "factors": [1], "max_lr": 0.5}"#,
            "lr = 1: exceeds max_lr = 0.5",
        ),
        (
            r#"{"lr": 1e300, "factors": [1], "max_lr": 1e299}"#,
            "lr = 1e300: exceeds max_lr = 1e299",
        ),
        (
            r#"{"lr": 1e-320, "factors": [1]}"#,
            "lr = 1e-320: must be at least 2.2250738585072014e-308",
        ),
        (
            r#"{"lr": 1, "factors": [1], "min_lr": 5e-324}"#,
            "min_lr = 5e-324: must be at least 2.2250738585072014e-308",
        ),
        (
            r#"{"lr": 1, "factors": [1], "max_lr": 1e-310}"#,
            "max_lr = 1e-310: must be at least",
        ),
        (
            r#"{"lr": 1, "factors": [4, 2], "all_non_finite": "lower"}"#,
            "all_non_finite = \"lower\": takes the smallest factor, which is 2; one below 1",
        ),
        (
            r#"{"lr": 1, "factors": [2, 1], "all_non_finite": "lower"}"#,
            "all_non_finite = \"lower\": ",
        ),
        (
            r#"{"lr": 1, "factors": [1], "groups": []}"#,
            "groups = []: ",
        ),
        (
            r#"{"lr": 1, "factors": [1], "groups": [1, 0]}"#,
            "groups[1] = 0: ",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
}

#[test]
fn a_length_that_does_not_fit_changes_nothing() {
    let mut scheduler = scheduler(0.1, NonFinite::NoVote);
    let before = scheduler.clone();
    let error = scheduler.tell(array![1.0].view()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 losses for 3 factors: one each is needed"
    );
    assert_eq!(scheduler, before);
}

#[test]
fn bounds_cut_candidates_and_rates() {
    let bounded = || AutoLr::new(config(1.0).with_bounds(0.75, 1.5).unwrap());
    assert_eq!(bounded().candidates().to_vec(), [1.5, 1.0, 0.75]);
    // No rate is better than another: each candidate votes with its own factor, and they cancel.
    let mut level = bounded();
    let decision = decide(&mut level, &[1.0, 1.0, 1.0]);
    assert_eq!((level.lr(), decision.verdict), (1.0, Verdict::Held));
    assert_eq!(decision.candidates.to_vec(), [1.5, 1.0, 0.75]);
    assert_eq!(decision.factors.to_vec(), [2.0, 1.0, 0.5]);
    // The best is inside: what counts is what was tried, exp(Σ w ln f) over 1.5, 1 and 0.75.
    let mut inside = bounded();
    let decision = decide(&mut inside, &[2.0, 1.0, 2.0]);
    assert_eq!(decision.factors.to_vec(), [1.5, 1.0, 0.75]);
    let (edge, weights) = (decision.weights[0], decision.weights.sum());
    approx::assert_relative_eq!(weights, 1.0, max_relative = 1e-14);
    approx::assert_relative_eq!(
        inside.lr(),
        1.125_f64.powf(edge),
        max_relative = 1e-14
    );
    // A bound that is best is pulled to by the whole factor; the other one, which is not, has that of what was tried.
    let mut up = bounded();
    let decision = decide(&mut up, &[0.0, 1.0, 2.0]);
    assert_eq!(decision.factors.to_vec(), [2.0, 1.0, 0.75]);
    for _ in 0..20 {
        decide(&mut up, &[0.0, 1.0, 2.0]);
    }
    assert_eq!(up.lr(), 1.5);
    let mut down = bounded();
    for _ in 0..20 {
        decide(&mut down, &[2.0, 1.0, 0.0]);
    }
    assert_eq!(down.lr(), 0.75);
}

#[test]
fn what_is_cut_to_one_bound_is_one_trial() {
    let five = ScaleUpdate::new(Factors::powers_of_two(5).unwrap());
    let bounded = AutoLrConfig::new(0.3, five).unwrap().with_bounds(1e-4, 0.3);
    let mut scheduler = AutoLr::new(bounded.unwrap());
    assert_eq!(scheduler.candidates().to_vec(), [0.3, 0.15, 0.075]);
    let error = scheduler.tell(ndarray::aview1(&[1.0; 5])).unwrap_err().to_string();
    assert_eq!(error, "5 losses for 3 candidates: one each is needed");
    // As if the losses had been told for 4, 2, 1, 0.5 and 0.25.
    let losses = [0.1, 0.2, 0.4];
    let update = scheduler.config().rule().update(&[0.1, 0.1, 0.1, 0.2, 0.4]).unwrap();
    let told = scheduler.tell(ndarray::aview1(&losses)).unwrap();
    let decision = told.decided().unwrap();
    assert_eq!((decision.factor, decision.new_lr), (update.factor, 0.3));
    assert_eq!(decision.losses.to_vec(), losses);
    approx::assert_relative_eq!(decision.weights[0], 3.0 * update.weights[0], max_relative = 1e-14);
    assert_eq!(decision.weights[2], update.weights[4]);
    assert_eq!(decision.scores[0], update.scores[0]);
    // The geometric mean of 4, 2 and 1.
    approx::assert_relative_eq!(decision.factors[0], 2.0, max_relative = 1e-14);
    assert_eq!(decision.factors.to_vec()[1..], [0.5, 0.25]);
    // With both bounds at the rate there is nothing to be found.
    let one = AutoLr::new(config(0.3).with_bounds(0.3, 0.3).unwrap());
    assert_eq!(one.candidates().to_vec(), [0.3]);
    let mut one = one;
    assert_eq!(decide(&mut one, &[1.0; 3]).verdict, Verdict::Held);
}

/// A state as earlier revisions wrote it: with bounds, and without the field `cut`.
#[test]
fn what_was_begun_by_the_rule_of_before_goes_on_by_it() {
    let bounded = config(1.0).with_bounds(0.75, 1.5).unwrap();
    let text = serde_json::to_string(&AutoLr::new(bounded.clone()).state()).unwrap();
    let before = text.replace(r#","cut":"shared""#, "");
    assert_ne!(text, before);
    let resumed = |text: &str| {
        let state = serde_json::from_str(text).unwrap();
        AutoLr::with_state(bounded.clone(), &state).unwrap()
    };
    assert_eq!(resumed(&text), AutoLr::new(bounded.clone()));
    let mut old = resumed(&before);
    assert_eq!(old, AutoLr::new(bounded.clone()).with_cut_candidates_as_tried());
    let told = old.tell(ndarray::aview1(&[1.0; 3])).unwrap();
    let decision = told.decided().unwrap();
    approx::assert_relative_eq!(old.lr(), 1.125_f64.cbrt(), max_relative = 1e-14);
    assert!(decision.factors.is_empty());
    // Each a trial of its own, also where two are at the bound; and so on after the next stop.
    let at_the_bound = before.replace(r#""scales":["f64:1.0"]"#, r#""scales":["f64:1.5"]"#);
    let old = resumed(&at_the_bound);
    assert_eq!(old.candidates().to_vec(), [1.5, 1.5, 0.75]);
    let again = resumed(&serde_json::to_string(&old.state()).unwrap());
    assert_eq!(again, old);
    // Without bounds there is nothing to be said.
    let text = serde_json::to_string(&AutoLr::new(config(1.0)).state()).unwrap();
    assert!(!text.contains("cut"), "{text}");
}

#[test]
fn while_the_outermost_is_best_it_probes_again() {
    let mut edgy = AutoLr::new(config(1.0).with_edge_probes(2));
    let up = [1.0, 2.0, 3.0];
    assert_eq!(edgy.tell(ndarray::aview1(&up)), Ok(Told::ProbeAgain));
    assert_eq!((edgy.lr(), edgy.tick()), (1.0, 0));
    assert_eq!(edgy.candidates().to_vec(), [4.0, 2.0, 1.0]);
    assert_eq!(edgy.tell(ndarray::aview1(&up)), Ok(Told::ProbeAgain));
    // Saved and loaded in the middle of a decision.
    let text = serde_json::to_string(&edgy.state()).unwrap();
    let mut edgy =
        AutoLr::with_state(edgy.config().clone(), &serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(edgy.candidates().to_vec(), [8.0, 4.0, 2.0]);
    // The third is the last, whatever it says.
    let decision = decide(&mut edgy, &up);
    let last = config(1.0)
        .rule()
        .update(ndarray::aview1(&up))
        .unwrap()
        .factor;
    assert_eq!(decision.factor, 4.0 * last);
    assert_eq!((decision.new_lr, edgy.lr()), (4.0 * last, 4.0 * last));
    assert_eq!(
        (decision.probes(), decision.earlier[1].candidates[0]),
        (3, 4.0)
    );
    assert_eq!(edgy.candidates()[1], edgy.lr());

    // Downwards too; a best one inside ends it.
    assert_eq!(
        edgy.tell(array![3.0, 2.0, 1.0].view()),
        Ok(Told::ProbeAgain)
    );
    assert_eq!(decide(&mut edgy, &[2.0, 1.0, 2.0]).probes(), 2);
    // A tie between the edge and the inside is no edge, nor is a tie between both edges.
    assert_eq!(decide(&mut edgy, &[1.0, 1.0, 2.0]).probes(), 1);
    assert_eq!(decide(&mut edgy, &[1.0, 2.0, 1.0]).probes(), 1);
    // The largest finite one is not the outermost where a larger one blew up.
    assert_eq!(decide(&mut edgy, &[f64::NAN, 1.0, 2.0]).probes(), 1);
    // Nobody to follow.
    assert_eq!(decide(&mut edgy, &NAN).probes(), 1);
}

#[test]
fn it_does_not_probe_again_where_it_stands_already() {
    let with_factors = |factors: &[f64]| {
        let rule = ScaleUpdate::new(Factors::new(factors.to_vec()).unwrap());
        AutoLrConfig::new(1.0, rule).unwrap().with_edge_probes(2)
    };
    // The centre is the highest, or the lowest.
    let mut only_down = AutoLr::new(with_factors(&[1.0, 0.5]));
    assert_eq!(decide(&mut only_down, &[1.0, 2.0]).probes(), 1);
    let mut only_up = AutoLr::new(with_factors(&[2.0, 1.0]));
    assert_eq!(decide(&mut only_up, &[2.0, 1.0]).probes(), 1);
    // The lowest is the lower bound, the highest the upper.
    let bounded = with_factors(&[2.0, 1.0, 0.5]);
    let bounded = bounded.with_bounds(0.5, 2.0).unwrap();
    let mut down = AutoLr::new(bounded.clone());
    assert_eq!(decide(&mut down, &[3.0, 2.0, 1.0]).probes(), 1);
    let mut up = AutoLr::new(bounded);
    assert_eq!(decide(&mut up, &[1.0, 2.0, 3.0]).probes(), 1);
}

#[test]
fn candidates_that_no_bound_cuts_have_the_factors_of_the_rule() {
    // Powers of 3: 9 · lr / lr is not always 9.
    let rule = ScaleUpdate::new(Factors::geometric(3.0, 5).unwrap());
    let losses = array![0.3, 0.1, 0.2, 0.5, 0.4];
    let factor = rule.update(losses.view()).unwrap().factor;
    let mut quotients = 0;
    for i in 1..200 {
        let lr = f64::from(i) * 1e-3;
        quotients += usize::from(9.0 * lr / lr != 9.0);
        let mut scheduler = AutoLr::new(AutoLrConfig::new(lr, rule.clone()).unwrap());
        let told = scheduler.tell(losses.view()).unwrap();
        assert_eq!(told.decided().unwrap().factor, factor, "{lr}");
    }
    assert!(quotients > 0, "no rate that would tell the two apart");
}

#[test]
fn where_nothing_is_finite_lowering_probes_again_further_down() {
    let config = config(1.0)
        .with_edge_probes(9)
        .with_all_non_finite(AllNonFinite::Lower)
        .unwrap();
    let mut scheduler = AutoLr::new(config);
    // Finite at a hundredth or less only; least at the centre of what is left.
    let loss = |lr: f64| {
        if lr > 0.01 {
            f64::NAN
        } else {
            (lr - 0.003).abs()
        }
    };
    let decision = loop {
        let losses = scheduler.candidates().mapv(loss);
        if let Told::Decided(decision) = scheduler.tell(losses.view()).unwrap() {
            break decision;
        }
    };
    assert!((0.001..0.01).contains(&scheduler.lr()), "{decision}");
    // 1, 1/2, … 1/64 without a finite loss inside, 1/128 with the best at its lower edge, 1/256.
    assert_eq!(decision.probes(), 9, "{decision}");
}

#[test]
fn a_window_does_not_leave_the_bounds_nor_move_the_wrong_way() {
    let bounded = config(1.0)
        .with_bounds(0.3, 2.0)
        .unwrap()
        .with_edge_probes(5);
    let mut scheduler = AutoLr::new(bounded);
    assert_eq!(
        decide(&mut scheduler, &[1.0, 2.0, 3.0]).probes(),
        1,
        "2 is the bound"
    );
    // All factors above one: the lowest of them is no way down.
    let rule = ScaleUpdate::new(Factors::new(vec![4.0, 2.0]).unwrap());
    let config = AutoLrConfig::new(1.0, rule).unwrap().with_edge_probes(5);
    let mut upwards = AutoLr::new(config);
    assert_eq!(decide(&mut upwards, &[2.0, 1.0]).probes(), 1);
    assert_eq!(upwards.tell(array![1.0, 2.0].view()), Ok(Told::ProbeAgain));
    // One candidate is on no side.
    let rule = ScaleUpdate::new(Factors::new(vec![2.0]).unwrap());
    let config = AutoLrConfig::new(1.0, rule).unwrap().with_edge_probes(5);
    assert_eq!(decide(&mut AutoLr::new(config), &[1.0]).probes(), 1);
}

#[test]
fn a_base_schedule_is_scaled() {
    let base = CosineAnnealingLr::new(0.1, 10, 0.0).unwrap();
    let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
    let mut scheduler = AutoLr::new(AutoLrConfig::over(base, rule.clone()));
    assert_eq!(scheduler.lr(), 0.1);
    let losses = array![1.0, 1.0, 2.0];
    let factor = rule.update(losses.view()).unwrap().factor;
    let mut scale = 1.0;
    for t in 1..=9 {
        assert_eq!(scheduler.candidates()[1], base.lr(t) * scale);
        let decision = decide(&mut scheduler, &[1.0, 1.0, 2.0]);
        assert_eq!((decision.tick, decision.lr), (t, base.lr(t) * scale));
        scale *= factor;
        assert_eq!(
            (scheduler.lr(), decision.new_lr),
            (base.lr(t) * scale, scheduler.lr())
        );
    }
    // Where the base is zero, the rate is the lower bound, and the scale stays.
    assert_eq!(base.lr(10), 0.0);
    decide(&mut scheduler, &[1.0, 1.0, 1.0]);
    assert_eq!(scheduler.lr(), f64::MIN_POSITIVE);
    decide(&mut scheduler, &[1.0, 1.0, 1.0]);
    approx::assert_relative_eq!(scheduler.lr(), base.lr(11) * scale, max_relative = 1e-12);
}

#[test]
fn the_scale_does_not_run_away_behind_a_bound() {
    let base = CosineAnnealingLr::new(1.0, 5, 0.0).unwrap();
    let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
    let config = AutoLrConfig::over(base, rule)
        .with_bounds(1e-3, 1.0)
        .unwrap();
    let mut scheduler = AutoLr::new(config);
    for _ in 0..10 {
        decide(&mut scheduler, &[0.0, 1.0, 2.0]);
        assert!(scheduler.lr() <= 1.0 && scheduler.lr() >= 1e-3);
    }
    // Back at the top of the cosine, ten times raised: it is the bound, and one lowering is felt at once.
    let before = scheduler.lr();
    decide(&mut scheduler, &[2.0, 1.0, 0.0]);
    assert!(scheduler.lr() < before);
}

/// With its own weight on the best candidate: the factor is that candidate's.
fn decisive(base: impl Into<crate::schedule::ScheduleConfig>, min: f64, max: f64) -> AutoLr {
    let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap())
        .with_score(crate::ExponentialScore::new(50.0).unwrap());
    AutoLr::new(
        AutoLrConfig::over(base, rule)
            .with_bounds(min, max)
            .unwrap(),
    )
}

fn scale(scheduler: &AutoLr) -> f64 {
    scheduler.scales[0]
}

#[test]
fn a_base_far_below_the_lower_bound_holds_rate_and_scale_and_says_so() {
    let mut scheduler = decisive(crate::schedule::Fixed::new(1e-6).unwrap(), 1e-3, 1.0);
    for _ in 0..20 {
        for losses in [[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]] {
            let decision = decide(&mut scheduler, &losses);
            assert_eq!((decision.factor, decision.verdict), (1.0, Verdict::Held));
            assert_eq!((decision.lr, decision.new_lr), (1e-3, 1e-3));
            assert_eq!(scale(&scheduler), 1.0);
        }
    }
}

#[test]
fn a_lower_bound_is_left_from_where_it_holds_the_rate_as_an_upper_one_is() {
    // Held below by 0.75, or above by 1.5: one decision moves the rate by its factor, and not by less.
    let fixed = |lr| crate::schedule::Fixed::new(lr).unwrap();
    for (lr, bound, up, factor) in [(0.75, 1.0, true, 2.0), (1.5, 1.0, false, 0.5)] {
        let (min, max) = if up {
            (bound, 64.0)
        } else {
            (1.0 / 64.0, bound)
        };
        let mut scheduler = decisive(fixed(lr), min, max);
        let (towards, away) = ([0.0, 1.0, 1.0], [1.0, 1.0, 0.0]);
        let (towards, away) = if up { (towards, away) } else { (away, towards) };
        // Against the bound: nothing moves, the scale neither.
        let decision = decide(&mut scheduler, &away);
        assert_eq!((decision.new_lr, decision.verdict), (bound, Verdict::Held));
        let decision = decide(&mut scheduler, &towards);
        assert_eq!(
            (decision.lr, decision.factor),
            (bound, factor),
            "{decision}"
        );
        approx::assert_relative_eq!(scheduler.lr(), factor * bound, max_relative = 1e-12);
        approx::assert_relative_eq!(scale(&scheduler), factor * bound / lr, max_relative = 1e-12);
    }
}

#[test]
fn a_base_that_ends_near_zero_does_not_lift_the_scale() {
    let base = CosineAnnealingLr::new(1.0, 1000, 0.0).unwrap();
    let mut scheduler = decisive(base, 1e-3, 64.0);
    let mut highest = 0.0_f64;
    for _ in 0..1_000 {
        scheduler.skip();
    }
    // Up along the next half wave, always pulled upwards.
    for _ in 0..20 {
        decide(&mut scheduler, &[0.0, 1.0, 1.0]);
        highest = highest.max(scale(&scheduler));
        assert!(scheduler.lr() <= 64.0);
    }
    // Held until twice the base reaches the bound, at the 15th step; doubled from then on, six times.
    approx::assert_relative_eq!(highest, 1e-3 / base.lr(1_015) * 64.0, max_relative = 1e-9);
}

#[test]
fn a_cadence_counts_its_own_unit() {
    let config = config(1.0).with_cadence(Cadence::new(3, Unit::Step).unwrap());
    let mut scheduler = AutoLr::new(config);
    let mut decided = Vec::new();
    for step in 1..=7 {
        let epoch = Event::Epoch {
            train_loss: 1.0,
            validation_loss: Some(1.0),
        };
        let mut probing = Probing::new(Up);
        drive(&mut scheduler, &epoch, &mut probing).unwrap();
        assert!(probing.into_records().is_empty());
        let mut probing = Probing::new(Up);
        drive(&mut scheduler, &Event::Step { loss: None }, &mut probing).unwrap();
        if !probing.into_records().is_empty() {
            decided.push(step);
        }
    }
    assert_eq!((decided, scheduler.tick()), (vec![3, 6], 7));
}

#[test]
fn groups_keep_their_ratios_or_take_turns() {
    let grouped = |probing| AutoLr::new(config(1.0).with_groups(vec![1.0, 0.1], probing).unwrap());
    let mut together = grouped(GroupProbing::Together);
    assert_eq!(together.lrs(), [1.0, 0.1]);
    assert_eq!(
        together.candidates_by_group(),
        array![[2.0, 0.2], [1.0, 0.1], [0.5, 0.05]]
    );
    let decision = decide(&mut together, &[1.0, 2.0, 3.0]);
    assert_eq!((decision.group, decision.new_lr), (None, together.lr()));
    approx::assert_relative_eq!(
        together.lrs()[1],
        0.1 * together.lrs()[0],
        max_relative = 1e-15
    );

    let mut turns = grouped(GroupProbing::InTurn);
    let first = decide(&mut turns, &[1.0, 2.0, 3.0]);
    assert_eq!((first.group, first.new_lr), (Some(0), turns.lrs()[0]));
    assert_eq!(turns.lrs()[1], 0.1);
    let leader = turns.lr();
    assert_eq!(
        turns.candidates_by_group(),
        array![[leader, 0.2], [leader, 0.1], [leader, 0.05]]
    );
    assert_eq!(turns.candidates().to_vec(), [0.2, 0.1, 0.05]);
    let second = decide(&mut turns, &[3.0, 2.0, 1.0]);
    assert_eq!((second.group, second.lr), (Some(1), 0.1));
    assert_eq!((turns.lr(), turns.lrs()[1]), (leader, second.new_lr));
    assert!(second.new_lr < 0.1 && turns.next_group() == Some(0));
    let again = AutoLr::with_state(turns.config().clone(), &turns.state()).unwrap();
    assert_eq!(again, turns);
    // One group in turn is one group.
    let alone = config(1.0)
        .with_groups(vec![3.0], GroupProbing::InTurn)
        .unwrap();
    assert_eq!(
        (
            AutoLr::new(alone.clone()).lr(),
            AutoLr::new(alone).next_group()
        ),
        (3.0, None)
    );
}

#[test]
fn a_backend_of_one_rate_is_not_given_two() {
    let config = config(1.0)
        .with_groups(vec![1.0, 0.1], GroupProbing::Together)
        .unwrap();
    let mut scheduler = AutoLr::new(config);
    let before = scheduler.clone();
    let error = scheduler.step(&mut Up).unwrap_err().to_string();
    assert!(
        error.starts_with("the configuration has 2 parameter groups"),
        "{error}"
    );
    assert_eq!(scheduler, before);
}

#[test]
fn skipping_moves_the_base_alone() {
    let base = CosineAnnealingLr::new(0.1, 10, 0.0).unwrap();
    let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
    let mut scheduler = AutoLr::new(AutoLrConfig::over(base, rule));
    scheduler.skip();
    assert_eq!((scheduler.lr(), scheduler.tick()), (base.lr(1), 1));
    let state = saved(&scheduler.state()).unwrap();
    assert_eq!((state.tick, state.decisions), (1, 0));
}

#[test]
fn a_factor_is_what_the_rate_moves_by_whatever_the_rate() {
    // Nothing is finite: the lowest candidate.
    let lower = config(0.3).with_all_non_finite(AllNonFinite::Lower);
    let mut lower = AutoLr::new(lower.unwrap());
    assert_eq!(decide(&mut lower, &NAN).factor, 0.5);
    assert_eq!(lower.lr(), 0.15);
    // Probed again, around another centre.
    let mut edgy = AutoLr::new(config(0.3).with_edge_probes(1));
    assert_eq!(
        edgy.tell(array![1.0, 2.0, 3.0].view()),
        Ok(Told::ProbeAgain)
    );
    let decision = decide(&mut edgy, &[2.0, 1.0, 2.0]);
    approx::assert_relative_eq!(decision.factor, 2.0, max_relative = 1e-12);
    approx::assert_relative_eq!(edgy.lr(), 0.6, max_relative = 1e-12);
    // At a bound over a base, also where the product of rate and factor is rounded to beyond it.
    let mut rounded = 0;
    for (i, k) in (1..40).flat_map(|i| (i + 1..2 * i).map(move |k| (i, k))) {
        let (lr, max) = (f64::from(i) * 1e-3, f64::from(k) * 1.07e-3);
        let most = max / lr;
        if most > 1.9 {
            continue;
        }
        rounded += usize::from(max / lr * lr > max);
        let base = crate::schedule::Fixed::new(lr).unwrap();
        let mut bounded = decisive(base, 1e-6, max);
        decide(&mut bounded, &[0.0, 1.0, 1.0]);
        approx::assert_relative_eq!(scale(&bounded), most, max_relative = 1e-12);
    }
    assert!(rounded > 0, "no rate whose product is rounded up");
}

#[test]
fn where_a_growing_base_meets_the_upper_bound_one_lowering_is_felt_whole() {
    // 1, 2.5, 4.
    let base = crate::schedule::LinearLr::new(4.0, 0.25, 1.0, 2).unwrap();
    let mut scheduler = decisive(base, 1e-3, 2.0);
    decide(&mut scheduler, &[1.0, 0.0, 1.0]);
    approx::assert_relative_eq!(scheduler.lr(), 2.0, max_relative = 1e-12);
    approx::assert_relative_eq!(scale(&scheduler), 0.8, max_relative = 1e-12);
    decide(&mut scheduler, &[1.0, 1.0, 0.0]);
    approx::assert_relative_eq!(scheduler.lr(), 1.0, max_relative = 1e-12);
    approx::assert_relative_eq!(scale(&scheduler), 0.25, max_relative = 1e-12);
}

#[test]
fn where_a_falling_base_meets_the_lower_bound_one_raising_is_felt_whole() {
    // 1, 1, 0.25.
    let base = crate::schedule::MultiStepLr::new(1.0, vec![2], 0.25).unwrap();
    let rule = ScaleUpdate::new(Factors::powers_of_two(5).unwrap())
        .with_score(crate::ExponentialScore::new(50.0).unwrap());
    let config = AutoLrConfig::over(base, rule).with_bounds(1.0, 64.0);
    let mut scheduler = AutoLr::new(config.unwrap());
    decide(&mut scheduler, &[1.0, 0.0, 1.0, 1.0, 1.0]);
    approx::assert_relative_eq!(scale(&scheduler), 2.0, max_relative = 1e-12);
    decide(&mut scheduler, &[0.0, 1.0, 1.0, 1.0, 1.0]);
    approx::assert_relative_eq!(scheduler.lr(), 4.0, max_relative = 1e-12);
}

#[test]
fn the_probes_of_a_decision_cost_what_they_do_together() {
    /// The larger the rate, the lower the loss.
    struct Costly;
    impl ProbeBackend for Costly {
        type Error = std::convert::Infallible;
        fn probe(
            &mut self,
            lrs: ArrayView1<'_, f64>,
            mut losses: ArrayViewMut1<'_, f64>,
        ) -> Result<(), Self::Error> {
            losses.assign(&lrs.mapv(|lr| -lr));
            Ok(())
        }
        fn cost(&self, candidates: usize) -> Option<ProbeCost> {
            Some(ProbeCost {
                forwards: candidates as u64 + 1,
                backwards: 1,
            })
        }
    }
    let decision = AutoLr::new(config(0.3).with_edge_probes(2)).step(&mut Costly);
    let expected = ProbeCost {
        forwards: 12,
        backwards: 3,
    };
    assert_eq!(decision.unwrap().cost, Some(expected));
}

#[test]
fn schedulers_and_states_tell_how_far_they_are() {
    let fresh = AutoLr::new(config(0.3));
    let mut scheduler = fresh.clone();
    assert_eq!(scheduler, fresh);
    decide(&mut scheduler, &[1.0, 2.0, 3.0]);
    assert_ne!(scheduler, fresh);
    decide(&mut scheduler, &[1.0, 2.0, 3.0]);
    scheduler.skip();
    let state = saved(&scheduler.state()).unwrap();
    assert_eq!((state.tick, state.decisions), (3, 2));
}

#[test]
fn a_state_whose_probes_had_no_rates_is_refused() {
    let mut edgy = AutoLr::new(config(0.3).with_edge_probes(1));
    assert_eq!(
        edgy.tell(array![1.0, 2.0, 3.0].view()),
        Ok(Told::ProbeAgain)
    );
    let state = serde_json::to_value(edgy.state()).unwrap();
    for (rate, text) in [
        (serde_json::json!(-1.0), "-1"),
        (serde_json::json!("inf"), "inf"),
        (serde_json::json!("nan"), "NaN"),
    ] {
        let mut state = state.clone();
        state["window"]["probes"][0]["candidates"][1] = rate;
        let error = serde_json::from_value(state)
            .map_err(|error| error.to_string())
            .and_then(|state: MethodState| {
                let resumed = AutoLr::with_state(edgy.config().clone(), &state);
                resumed.map_err(|error| error.to_string())
            })
            .unwrap_err();
        assert!(
            error.contains(&format!("candidates = {text}: must be positive and finite")),
            "{error}"
        );
    }
}

#[test]
fn a_state_whose_probes_have_another_length_is_refused() {
    let mut edgy = AutoLr::new(config(0.3).with_edge_probes(1));
    assert_eq!(
        edgy.tell(array![1.0, 2.0, 3.0].view()),
        Ok(Told::ProbeAgain)
    );
    let state = serde_json::to_value(edgy.state()).unwrap();
    for list in ["candidates", "losses"] {
        let mut state = state.clone();
        let probe = &mut state["window"]["probes"][0][list];
        probe.as_array_mut().unwrap().pop();
        let state: MethodState = serde_json::from_value(state).unwrap();
        let resumed = AutoLr::with_state(edgy.config().clone(), &state);
        let error = resumed.unwrap_err().to_string();
        assert!(error.contains("a probe of another length"), "{error}");
    }
}

fn epoch() -> Event<'static> {
    Event::Epoch {
        train_loss: 1.0,
        validation_loss: Some(1.0),
    }
}

#[test]
fn a_probe_that_was_asked_for_is_asked_for_again_after_a_stop() {
    let told = Budget::default();
    let losses = Event::Losses {
        losses: &[1.0, 2.0, 3.0],
        cost: None,
    };
    let edgy = config(0.3).with_edge_probes(1);
    let mut scheduler = AutoLr::new(edgy.clone());
    let first = scheduler.next(&epoch(), &told).unwrap().request;
    assert_eq!(scheduler.pending(), Some(first.clone()));
    // Stopped before the losses came, and once more between two probes of the decision.
    let text = serde_json::to_string(&scheduler.state()).unwrap();
    let state = serde_json::from_str(&text).unwrap();
    let mut resumed = AutoLr::with_state(edgy.clone(), &state).unwrap();
    assert_eq!(resumed.pending(), Some(first));
    let second = scheduler.next(&losses, &told).unwrap();
    assert_eq!(resumed.next(&losses, &told).unwrap(), second);
    let mut resumed = AutoLr::with_state(edgy, &resumed.state()).unwrap();
    assert_eq!(resumed.pending(), Some(second.request));
    let decided = scheduler.next(&losses, &told).unwrap();
    assert_eq!(resumed.next(&losses, &told).unwrap(), decided);
    assert!(decided.record.is_some() && scheduler.pending().is_none());
    assert_eq!(resumed, scheduler);
}

#[test]
fn what_comes_out_of_turn_is_refused_and_changes_nothing() {
    let told = Budget::default();
    let losses = Event::Losses {
        losses: &[1.0; 3],
        cost: None,
    };
    let mut scheduler = AutoLr::new(config(0.3));
    let before = scheduler.clone();
    for event in [losses, Event::Done] {
        let error = scheduler.next(&event, &told).unwrap_err().to_string();
        let expected = format!("`{}` answers nothing that the method asked for", event.name());
        assert_eq!(error, expected);
    }
    assert_eq!(scheduler, before);
    scheduler.next(&epoch(), &told).unwrap();
    let error = scheduler.next(&epoch(), &told).unwrap_err().to_string();
    assert_eq!(error, "`epoch` came before the answer to `probe`");
    let short = Event::Losses {
        losses: &[1.0; 2],
        cost: None,
    };
    assert!(scheduler.next(&short, &told).is_err());
    assert!(scheduler.pending().is_some());
}

#[test]
fn a_back_end_that_failed_is_asked_again() {
    #[derive(Debug)]
    struct Broken;
    impl crate::ProbeBackend for Broken {
        type Error = std::io::Error;
        fn probe(
            &mut self,
            _: ArrayView1<'_, f64>,
            _: ndarray::ArrayViewMut1<'_, f64>,
        ) -> Result<(), std::io::Error> {
            Err(std::io::Error::other("gone"))
        }
    }
    let mut scheduler = AutoLr::new(config(0.3));
    let mut probing = Probing::new(Broken);
    assert!(drive(&mut scheduler, &epoch(), &mut probing).is_err());
    let mut probing = Probing::new(Up);
    resume(&mut scheduler, &mut probing).unwrap();
    assert_eq!(probing.into_records().len(), 1);
    assert_eq!(scheduler.tick(), 1);
    // With nothing to answer, resuming does nothing.
    resume(&mut scheduler, &mut Probing::new(Broken)).unwrap();
}

/// As written by the version before, whose numbers were plain.
#[test]
fn a_state_of_version_2_is_read() {
    let text = r#"{"kind":"autolr","version":2,"config":{"lr":0.3,"factors":[2.0,1.0,0.5],
        "normalization":"z-score","sharpness":1.0,"non_finite":"no-vote"},"tick":4,"decisions":3,"scales":[0.7]}"#;
    let state: MethodState = serde_json::from_str(text).unwrap();
    let scheduler = AutoLr::with_state(config(0.3), &state).unwrap();
    assert_eq!((scheduler.lr(), scheduler.tick()), (0.7, 4));
}
