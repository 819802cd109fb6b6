//! A bound holds the rate where the losses want it, and lets it go where a rate within is better.

use autolr_core::{AutoLr, AutoLrConfig, Factors, ScaleUpdate};
use ndarray::Array1;
use proptest::prelude::*;

fn bounded(lr: f64, factors: usize, min: f64, max: f64) -> AutoLr {
    let rule = ScaleUpdate::new(Factors::powers_of_two(factors).unwrap());
    let config = AutoLrConfig::new(lr, rule).unwrap();
    AutoLr::new(config.with_bounds(min, max).unwrap())
}

fn decide(scheduler: &mut AutoLr, loss: impl Fn(f64) -> f64) {
    let losses: Array1<f64> = scheduler.candidates().mapv(loss);
    scheduler.tell(losses.view()).unwrap();
}

#[test]
fn losses_that_fall_towards_a_bound_hold_the_rate_there() {
    for factors in [3, 5, 7] {
        let mut above = bounded(0.3, factors, 1e-4, 0.3);
        let mut below = bounded(1e-4, factors, 1e-4, 0.3);
        for _ in 0..20 {
            decide(&mut above, |lr| -lr);
            decide(&mut below, |lr| lr);
            assert_eq!((above.lr(), below.lr()), (0.3, 1e-4), "factor_{factors}");
        }
        // And from the other end they come there.
        let mut rising = bounded(1e-4, factors, 1e-4, 0.3);
        let mut falling = bounded(0.3, factors, 1e-4, 0.3);
        for _ in 0..100 {
            decide(&mut rising, |lr| -lr.ln());
            decide(&mut falling, f64::ln);
        }
        assert_eq!((rising.lr(), falling.lr()), (0.3, 1e-4), "factor_{factors}");
    }
}

#[test]
fn losses_that_say_nothing_hold_the_rate_at_a_bound() {
    let mut level = bounded(0.3, 5, 1e-4, 0.3);
    decide(&mut level, |_| 1.0);
    assert_eq!(level.lr(), 0.3);
}

/// What it was before, so that the tests above are seen to be able to fail.
#[test]
fn by_the_rule_of_before_a_bound_repels() {
    let mut scheduler = bounded(0.3, 5, 1e-4, 0.3).with_cut_candidates_as_tried();
    let mut rates = Vec::new();
    for _ in 0..50 {
        decide(&mut scheduler, |lr| -lr);
        rates.push(scheduler.lr());
    }
    approx::assert_abs_diff_eq!(rates[0], 0.2716, epsilon = 1e-4);
    approx::assert_abs_diff_eq!(rates[49], 0.2586, epsilon = 1e-4);
}

fn squared(best: f64) -> impl Fn(f64) -> f64 {
    move |lr| (lr / best).ln().powi(2)
}

/// Noise of mean 0 and standard deviation 1, near enough normal, and the same each time.
fn noise() -> impl FnMut() -> f64 {
    let mut state = 1_u64;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    move || (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

/// How far the rate is from the best one, |ln(lr/best)|: the root of the mean square over all but the first quarter of
/// 2,000 decisions under a squared loss with noise of the standard deviation `sigma`.
fn error(mut scheduler: AutoLr, best: f64, sigma: f64) -> f64 {
    let mut noise = noise();
    let mut squares = 0.0;
    for decision in 0..2_000 {
        let losses = scheduler
            .candidates()
            .mapv(|lr| squared(best)(lr) + sigma * noise());
        scheduler.tell(losses.view()).unwrap();
        if decision >= 500 {
            squares += squared(best)(scheduler.lr());
        }
    }
    (squares / 1_500.0_f64).sqrt()
}

/// In the top quarter below the upper bound too, and as near to the lower one: at least as well as by the rule of before,
/// or to within 10 %. Under noise a decision now and then goes to the bound, and the next comes back.
#[test]
fn the_best_rate_close_to_a_bound_is_found() {
    let (min, max) = (0.01, 0.3);
    for (sigma, within) in [(0.0, 0.1_f64), (0.05, 0.12)] {
        for (factors, best) in [3, 5, 7]
            .into_iter()
            .flat_map(|n| [0.15, 0.2, 0.22, 0.25, 0.28].map(|best| (n, best)))
        {
            for (start, mirrored) in [0.3, 0.1, 0.01]
                .into_iter()
                .flat_map(|start| [(start, false), (start, true)])
            {
                let at = |lr: f64| if mirrored { min * max / lr } else { lr };
                let scheduler = bounded(at(start).clamp(min, max), factors, min, max);
                let before = error(
                    scheduler.clone().with_cut_candidates_as_tried(),
                    at(best),
                    sigma,
                );
                let now = error(scheduler, at(best), sigma);
                assert!(
                    now <= within.max(1.1 * before),
                    "factor_{factors}, best {}, sigma {sigma}, from {}: {now:.3} off, {before:.3} before",
                    at(best),
                    at(start)
                );
            }
        }
    }
}

/// As the losses say that the best rate is the bound or beyond, also from below it.
#[test]
fn a_best_rate_at_or_beyond_a_bound_holds_the_rate_there() {
    let held = |start: f64, factors: usize, loss: &dyn Fn(f64) -> f64| {
        let mut scheduler = bounded(start, factors, 1e-4, 0.3);
        for _ in 0..100 {
            decide(&mut scheduler, loss);
        }
        scheduler.lr()
    };
    for factors in [3, 5, 7] {
        for start in [0.3, 0.25, 0.1, 1e-4] {
            for best in [0.3, 0.35, 0.6, 10.0] {
                let lr = held(start, factors, &squared(best));
                approx::assert_relative_eq!(lr, 0.3, max_relative = 1e-12);
                let lr = held(3e-5 / start, factors, &|lr| squared(best)(3e-5 / lr));
                approx::assert_relative_eq!(lr, 1e-4, max_relative = 1e-12);
            }
            assert_eq!(held(start, factors, &|lr| 1.0 / lr), 0.3);
            // Steeper than any parabola over three rates: near the bound, if not at it.
            let lr = held(start, factors, &|lr| lr.powi(-2));
            assert!(lr > 0.26, "factor_{factors} from {start}: {lr}");
        }
    }
}

/// With three factors a rate at the bound leaves two rates to try, which would not tell a best one between them.
#[test]
fn of_two_rates_left_a_third_is_tried_without_a_vote() {
    let mut scheduler = bounded(0.3, 3, 0.01, 0.3);
    approx::assert_relative_eq!(
        scheduler.candidates().as_slice().unwrap(),
        [0.3, 0.15, 0.075].as_slice(),
        max_relative = 1e-15
    );
    let losses = scheduler.candidates().mapv(squared(0.28));
    let decision = scheduler.tell(losses.view()).unwrap().decided().unwrap();
    approx::assert_relative_eq!(scheduler.lr(), 0.28, max_relative = 1e-12);
    approx::assert_relative_eq!(decision.factor, 0.28 / 0.3, max_relative = 1e-12);
    assert!(decision.normalized[2].is_nan());
    assert_eq!((decision.scores[2], decision.weights[2]), (0.0, 0.0));
    // It is no candidate: if it alone has a finite loss, nobody votes.
    let mut scheduler = bounded(0.01, 3, 0.01, 0.3);
    let losses = [f64::NAN, f64::INFINITY, 1.0];
    let decision = scheduler
        .tell(ndarray::aview1(&losses))
        .unwrap()
        .decided()
        .unwrap();
    assert_eq!(decision.verdict, autolr_core::Verdict::NoFiniteLoss);
    let rule = ScaleUpdate::new(Factors::powers_of_two(3).unwrap());
    let config = AutoLrConfig::new(0.3, rule).unwrap();
    let config = config.with_bounds(0.01, 0.3).unwrap();
    let config = config.with_all_non_finite(autolr_core::AllNonFinite::Lower);
    let mut lowered = AutoLr::new(config.unwrap());
    lowered.tell(ndarray::aview1(&[f64::NAN; 3])).unwrap();
    assert_eq!(lowered.lr(), 0.15);
    // No room for it.
    assert_eq!(bounded(0.3, 3, 0.15, 0.3).candidates().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A loss that grows with the distance from the best rate, in powers of two, on either side of it alike: the rate
    /// comes to within half the candidates' distance, a factor of √2, wherever it begins and however near a bound is.
    #[test]
    fn the_best_rate_within_the_bounds_is_found(
        factors in prop_oneof![Just(3_usize), Just(5), Just(7)],
        start in 0.0..1.0_f64,
        best in 0.0..1.0_f64,
        octaves in 2.0..12.0_f64,
        power in 1.0..3.0_f64,
    ) {
        let (max, min) = (0.3_f64, 0.3 * (-octaves).exp2());
        let at = |share: f64| (max * (-octaves * share).exp2()).clamp(min, max);
        let best = at(best);
        let mut scheduler = bounded(at(start), factors, min, max);
        for _ in 0..200 {
            decide(&mut scheduler, |lr| (lr / best).log2().abs().powf(power));
        }
        let off = (scheduler.lr() / best).log2().abs();
        prop_assert!(off < 0.51, "{} for {best} in {min} to {max}: 2^{off:.2}", scheduler.lr());
    }
}
