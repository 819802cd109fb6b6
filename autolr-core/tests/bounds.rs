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
