//! Invariants of the update, a line each.

use approx::assert_relative_eq;
use autolr_core::{ExponentialScore, Factors, Normalization, ScaleUpdate};
use ndarray::{Array1, aview1};
use proptest::prelude::*;

/// Losses of any kind: ordinary, tied, tiny, huge, infinite, NaN.
fn loss() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..10.0_f64,
        1 => Just(1.0),
        1 => proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
        1 => Just(f64::INFINITY),
        1 => Just(f64::NAN),
    ]
}

fn factor() -> impl Strategy<Value = f64> {
    (-20.0..20.0_f64).prop_map(|log| 2.0_f64.powf(log))
}

fn normalization() -> impl Strategy<Value = Normalization> {
    proptest::sample::select(Normalization::ALL.to_vec())
}

prop_compose! {
    fn candidates()(n in 1_usize..12)(
        factors in proptest::collection::vec(factor(), n),
        losses in proptest::collection::vec(loss(), n),
    ) -> (Vec<f64>, Vec<f64>) {
        (factors, losses)
    }
}

fn rule(factors: &[f64], kind: Normalization, sharpness: f64) -> ScaleUpdate {
    ScaleUpdate::new(Factors::new(factors.to_vec()).unwrap())
        .with_normalization(kind)
        .with_score(ExponentialScore::new(sharpness).unwrap())
}

proptest! {
    /// The factor lies in the hull of the factors; weights are non-negative and sum to one, or to zero without a vote.
    #[test]
    fn factor_in_hull_and_weights_sum_to_one(
        (factors, losses) in candidates(), kind in normalization(), sharpness in 0.0..50.0_f64,
    ) {
        let update = rule(&factors, kind, sharpness).update(aview1(&losses)).unwrap();
        let min = factors.iter().copied().fold(f64::MAX, f64::min);
        let max = factors.iter().copied().fold(0.0, f64::max);
        let voters = losses.iter().filter(|loss| loss.is_finite()).count();
        if voters > 0 {
            prop_assert!((min..=max).contains(&update.factor));
            // Each of n divisions rounds by half an ulp.
            assert_relative_eq!(update.weights.sum(), 1.0, max_relative = 1e-14);
        } else {
            prop_assert_eq!(update.factor, 1.0);
            prop_assert_eq!(update.weights.sum(), 0.0);
        }
        prop_assert!(update.weights.iter().all(|&w| w >= 0.0));
    }

    /// A candidate whose loss is not finite counts as absent.
    #[test]
    fn non_finite_equals_absent((factors, losses) in candidates(), kind in normalization()) {
        let kept: Vec<usize> = (0..losses.len()).filter(|&i| losses[i].is_finite()).collect();
        prop_assume!(!kept.is_empty());
        let pick = |values: &[f64]| kept.iter().map(|&i| values[i]).collect::<Vec<_>>();
        let all = rule(&factors, kind, 1.0).update(aview1(&losses)).unwrap();
        let few = rule(&pick(&factors), kind, 1.0).update(aview1(&pick(&losses))).unwrap();
        prop_assert_eq!(all.factor.to_bits(), few.factor.to_bits());
    }

    /// Permuting the candidates permutes the weights and leaves the factor, to rounding of the sums.
    #[test]
    fn permutation((factors, losses) in candidates(), kind in normalization()) {
        let reverse = |values: &[f64]| values.iter().rev().copied().collect::<Vec<_>>();
        let ahead = rule(&factors, kind, 1.0).update(aview1(&losses)).unwrap();
        let back = rule(&reverse(&factors), kind, 1.0).update(aview1(&reverse(&losses))).unwrap();
        let weights: Array1<f64> = back.weights.iter().rev().copied().collect();
        for (a, b) in ahead.weights.iter().zip(&weights) {
            assert_relative_eq!(a, b, max_relative = 1e-6, epsilon = 1e-12);
        }
        // Near-ties of large losses lose digits in the mean, hence not to the ulp.
        assert_relative_eq!(ahead.factor, back.factor, max_relative = 1e-6);
    }

    /// Scaling all factors by a power of two scales the result by it.
    #[test]
    fn scaling_the_factors((factors, losses) in candidates(), kind in normalization(), k in -8_i32..8) {
        let c = 2.0_f64.powi(k);
        let scaled: Vec<f64> = factors.iter().map(|f| c * f).collect();
        prop_assume!(losses.iter().any(|loss| loss.is_finite()));
        let plain = rule(&factors, kind, 1.0).update(aview1(&losses)).unwrap();
        let times = rule(&scaled, kind, 1.0).update(aview1(&losses)).unwrap();
        assert_relative_eq!(times.factor, c * plain.factor, max_relative = 1e-13);
    }

    /// Equal losses give the plain geometric mean.
    #[test]
    fn equal_losses(
        factors in proptest::collection::vec(factor(), 1..12), value in 1e-6..1e6_f64, kind in normalization(),
    ) {
        let losses = vec![value; factors.len()];
        let update = rule(&factors, kind, 1.0).update(aview1(&losses)).unwrap();
        let mean = factors.iter().map(|f| f.ln()).sum::<f64>() / factors.len() as f64;
        assert_relative_eq!(update.factor, mean.exp(), max_relative = 1e-12);
    }
}
