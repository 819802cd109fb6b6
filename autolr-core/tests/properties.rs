//! Invariants of the update, a line each. `PROPTEST_CASES` sets how many cases each of them goes through.

use approx::assert_relative_eq;
use autolr_core::testkit::strategies::{
    self, finite_losses, normalization, probe, probe_with_index,
};
use autolr_core::{
    ExponentialScore, Factors, Normalization, ScaleUpdate, Update, weighted_geometric_mean,
};
use ndarray::{Array1, aview1};
use proptest::prelude::*;

/// Each of n divisions and additions rounds by half an ulp.
fn rounding(n: usize) -> f64 {
    4.0 * f64::EPSILON * (n as f64 + 4.0)
}

fn rule(factors: &Factors, kind: Normalization, sharpness: f64) -> ScaleUpdate {
    ScaleUpdate::new(factors.clone())
        .with_normalization(kind)
        .with_score(ExponentialScore::new(sharpness).unwrap())
}

fn update(rule: &ScaleUpdate, losses: &[f64]) -> Update {
    rule.update(aview1(losses)).unwrap()
}

fn hull(factors: &Factors) -> (f64, f64) {
    let fold = |by: fn(f64, f64) -> f64, start| factors.values().fold(start, |a, &b| by(a, b));
    (fold(f64::min, f64::INFINITY), fold(f64::max, 0.0))
}

fn plain_geometric_mean(factors: &Factors) -> f64 {
    // Divided first: the sum of many large logarithms loses digits.
    let n = factors.len() as f64;
    factors.logs().iter().map(|log| log / n).sum::<f64>().exp()
}

/// How far apart two factors are that differ by rounding: relative to the logarithms that were summed.
fn assert_factors_agree(a: f64, b: f64, factors: &Factors, slack: f64) {
    let largest = factors.logs().fold(1.0, |a: f64, log| a.max(log.abs()));
    assert!(
        (a.ln() - b.ln()).abs() <= slack * largest,
        "{a:e} and {b:e} differ by more than rounding"
    );
}

proptest! {
    /// The factor lies in the hull of the factors; it is 1 where no loss is finite.
    #[test]
    fn the_factor_lies_in_the_hull(
        (rule, losses) in probe(1..=40).prop_flat_map(|(factors, losses)| (strategies::rule(factors), Just(losses))),
    ) {
        let factor = update(&rule, &losses).factor;
        let (min, max) = hull(rule.factors());
        if losses.iter().any(|loss| loss.is_finite()) {
            prop_assert!((min..=max).contains(&factor), "{}", factor);
        } else {
            prop_assert_eq!(factor, 1.0);
        }
    }

    /// Weights are non-negative and sum to one, or to zero where no loss is finite; nothing is NaN but the normalised
    /// value of a candidate without a vote, and scores are finite.
    #[test]
    fn weights_are_a_distribution(
        (rule, losses) in probe(1..=40).prop_flat_map(|(factors, losses)| (strategies::rule(factors), Just(losses))),
    ) {
        let update = update(&rule, &losses);
        let voters = losses.iter().filter(|loss| loss.is_finite()).count();
        let sum: f64 = update.weights.iter().sum();
        if voters > 0 {
            prop_assert!((sum - 1.0).abs() <= rounding(losses.len()), "{}", sum);
        } else {
            prop_assert_eq!(sum, 0.0);
        }
        for (i, loss) in losses.iter().enumerate() {
            prop_assert!((0.0..=1.0).contains(&update.weights[i]));
            prop_assert!((0.0..=f64::MAX).contains(&update.scores[i]));
            prop_assert_eq!(update.normalized[i].is_finite(), loss.is_finite());
        }
    }

    /// Scoring alone takes anything for a normalised loss: what is not finite has no vote, and nothing comes out NaN.
    #[test]
    fn scores_of_anything_are_a_distribution(
        normalized in (1..=40_usize).prop_flat_map(|n| proptest::collection::vec(strategies::loss(), n)),
        sharpness in strategies::sharpness(),
    ) {
        let score = ExponentialScore::new(sharpness).unwrap();
        let n = normalized.len();
        let (mut scores, mut weights) = (Array1::from_elem(n, f64::NAN), Array1::from_elem(n, f64::NAN));
        score.apply(aview1(&normalized), scores.view_mut(), weights.view_mut()).unwrap();
        let anyone_votes = normalized.iter().any(|z| z.is_finite());
        let sum: f64 = weights.sum();
        prop_assert!((sum - f64::from(u8::from(anyone_votes))).abs() <= rounding(n), "{}", sum);
        for i in 0..n {
            prop_assert!((0.0..=1.0).contains(&weights[i]));
            prop_assert!((0.0..=f64::MAX).contains(&scores[i]));
            prop_assert!(normalized[i].is_finite() || (scores[i], weights[i]) == (0.0, 0.0));
        }
    }

    /// The mean over weights of any kind is in the hull, and no NaN.
    #[test]
    fn a_mean_over_anything_lies_in_the_hull(
        (factors, weights) in probe(1..=40),
    ) {
        let mean = weighted_geometric_mean(&factors, aview1(&weights)).unwrap();
        let (min, max) = hull(&factors);
        prop_assert!((min.min(1.0)..=max.max(1.0)).contains(&mean), "{}", mean);
    }

    /// Normalised losses stay in the range that their formula gives.
    #[test]
    fn normalised_losses_stay_in_range((factors, losses) in probe(1..=40), kind in normalization()) {
        let voters = losses.iter().filter(|loss| loss.is_finite()).count();
        let (low, high) = kind.range(voters);
        let slack = 1.0 + rounding(losses.len());
        for z in update(&rule(&factors, kind, 1.0), &losses).normalized {
            prop_assert!(z.is_nan() || (low * slack <= z && z <= high * slack), "{} not in {}..={}", z, low, high);
        }
    }

    /// A candidate whose loss is not finite counts as absent, to the bit.
    #[test]
    fn non_finite_counts_as_absent((factors, losses) in probe(1..=40), kind in normalization(), sharpness in strategies::sharpness()) {
        let kept: Vec<usize> = (0..losses.len()).filter(|&i| losses[i].is_finite()).collect();
        prop_assume!(!kept.is_empty());
        let all = update(&rule(&factors, kind, sharpness), &losses);
        let few_factors = Factors::new(kept.iter().map(|&i| factors.values()[i]).collect::<Vec<_>>()).unwrap();
        let few_losses: Vec<f64> = kept.iter().map(|&i| losses[i]).collect();
        let few = update(&rule(&few_factors, kind, sharpness), &few_losses);
        prop_assert_eq!(all.factor.to_bits(), few.factor.to_bits());
        for (i, &kept) in kept.iter().enumerate() {
            prop_assert_eq!(all.weights[kept].to_bits(), few.weights[i].to_bits());
            prop_assert_eq!(all.scores[kept].to_bits(), few.scores[i].to_bits());
        }
    }

    /// Permuting the candidates permutes the scores and weights and leaves the factor, to the rounding of sums.
    #[test]
    fn permutation(
        (factors, losses, order) in probe(1..=40).prop_flat_map(|(factors, losses)| {
            let order = Just((0..losses.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(factors), Just(losses), order)
        }),
        kind in normalization(),
    ) {
        let ahead = update(&rule(&factors, kind, 1.0), &losses);
        let permuted = Factors::new(order.iter().map(|&i| factors.values()[i]).collect::<Vec<_>>()).unwrap();
        let shuffled: Vec<f64> = order.iter().map(|&i| losses[i]).collect();
        let other = update(&rule(&permuted, kind, 1.0), &shuffled);
        // A z-score is off by a few ulps of the largest, n at most; its exponential by so much relatively.
        let slack = rounding(losses.len()) * (losses.len() as f64 + 1.0);
        for (i, &from) in order.iter().enumerate() {
            assert_relative_eq!(other.scores[i], ahead.scores[from], max_relative = slack, epsilon = f64::MIN_POSITIVE);
            assert_relative_eq!(other.weights[i], ahead.weights[from], max_relative = slack, epsilon = f64::MIN_POSITIVE);
        }
        assert_factors_agree(other.factor, ahead.factor, &factors, slack);
    }

    /// Scaling all factors by c scales the result by c.
    #[test]
    fn scaling_the_factors((factors, losses) in probe(1..=12), kind in normalization(), c in 1e-3..1e3_f64) {
        prop_assume!(losses.iter().any(|loss| loss.is_finite()));
        let scaled = Factors::new(factors.values().mapv(|factor| c * factor));
        prop_assume!(scaled.is_ok());
        let scaled = scaled.unwrap();
        prop_assume!(hull(&scaled).0 >= f64::MIN_POSITIVE);
        let plain = update(&rule(&factors, kind, 1.0), &losses);
        let times = update(&rule(&scaled, kind, 1.0), &losses);
        prop_assert_eq!(&times.weights, &plain.weights);
        assert_factors_agree(times.factor / c, plain.factor, &factors, 16.0 * rounding(losses.len()));
    }

    /// Z-score and min-max do not see a shift of the losses, to the bit where the shift itself is exact.
    #[test]
    fn a_shift_is_not_seen(
        losses in proptest::collection::vec(-1_000_000_i32..1_000_000, 1..12), shift in -1_000_000_i32..1_000_000,
    ) {
        // Multiples of 2^-20 far below 2^53 of them: sums and differences are exact.
        let grid = |k: i32| f64::from(k) / f64::from(1 << 20);
        let factors = Factors::new(vec![1.0; losses.len()]).unwrap();
        for kind in [Normalization::ZScore, Normalization::PopulationZScore, Normalization::MinMax] {
            let plain: Vec<f64> = losses.iter().map(|&k| grid(k)).collect();
            let shifted: Vec<f64> = losses.iter().map(|&k| grid(k + shift)).collect();
            let rule = rule(&factors, kind, 1.0);
            prop_assert_eq!(update(&rule, &plain).normalized, update(&rule, &shifted).normalized);
        }
    }

    /// Z-score, min-max and sum do not see a positive scaling: to the bit by powers of two, else to rounding.
    #[test]
    fn a_positive_scaling_is_not_seen(
        losses in proptest::collection::vec(-10.0..10.0_f64, 1..12), power in -900_i32..900, c in 1e-3..1e3_f64,
    ) {
        let factors = Factors::new(vec![1.0; losses.len()]).unwrap();
        for kind in [Normalization::ZScore, Normalization::PopulationZScore, Normalization::MinMax, Normalization::Sum] {
            let rule = rule(&factors, kind, 1.0);
            let times = |c: f64| update(&rule, &losses.iter().map(|loss| c * loss).collect::<Vec<_>>()).normalized;
            let plain = times(1.0);
            // Losses below 1e-9 could turn subnormal.
            if losses.iter().all(|loss| loss.abs() > 1e-9) {
                prop_assert_eq!(&plain, &times(2.0_f64.powi(power)));
            }
            // Scaling rounds each loss by half an ulp of itself: what that makes of the differences depends on how
            // much smaller they are.
            let largest = losses.iter().fold(0.0_f64, |a, loss| a.max(loss.abs()));
            let range = losses.iter().fold(f64::MIN, |a, &b| a.max(b)) - losses.iter().fold(f64::MAX, |a, &b| a.min(b));
            if kind == Normalization::Sum || range > 1e-6 * largest {
                for (a, b) in plain.iter().zip(&times(c)) {
                    assert_relative_eq!(a, b, epsilon = 1e-8);
                }
            }
        }
    }

    /// Equal losses give the plain geometric mean, under every normalisation and sharpness.
    #[test]
    fn equal_losses_give_the_plain_geometric_mean(
        factors in (1..=40_usize).prop_flat_map(strategies::factors), loss in strategies::finite_loss(),
        kind in normalization(), sharpness in strategies::sharpness(),
    ) {
        let update = update(&rule(&factors, kind, sharpness), &vec![loss; factors.len()]);
        assert_factors_agree(update.factor, plain_geometric_mean(&factors), &factors, 4.0 * rounding(factors.len()));
    }

    /// Sharpness 0 gives the plain geometric mean of the candidates with a finite loss.
    #[test]
    fn without_sharpness_the_losses_do_not_count((factors, losses, _) in probe_with_index(1..=40), kind in normalization()) {
        let update = update(&rule(&factors, kind, 0.0), &losses);
        assert_factors_agree(update.factor, plain_geometric_mean(&factors), &factors, 4.0 * rounding(factors.len()));
    }

    /// A small sharpness comes near the plain geometric mean: as near as sharpness times the largest normalised loss.
    #[test]
    fn sharpness_tends_to_zero(
        factors in (1..=12_usize).prop_flat_map(strategies::factors), seed in finite_losses(12), exponent in 3..9_i32,
    ) {
        let sharpness = 10.0_f64.powi(-exponent);
        let update = update(&rule(&factors, Normalization::ZScore, sharpness), &seed[..factors.len()]);
        // Weights within a factor exp(±2 s n) of 1/n.
        let slack = 4.0 * sharpness * factors.len() as f64 + rounding(factors.len());
        assert_factors_agree(update.factor, plain_geometric_mean(&factors), &factors, slack);
    }

    /// With ever larger sharpness the factor tends to that of the lowest loss; ties share.
    #[test]
    fn sharpness_tends_to_the_argmin((factors, losses, _) in probe_with_index(1..=12), kind in normalization()) {
        let update = update(&rule(&factors, kind, f64::MAX), &losses);
        let normalized = &update.normalized;
        let best = normalized.iter().copied().fold(f64::INFINITY, f64::min);
        let argmin: Vec<usize> = (0..losses.len()).filter(|&i| normalized[i] == best).collect();
        let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
        prop_assert!(argmin.iter().any(|&i| losses[i] == lowest));
        for i in 0..losses.len() {
            // Where even the largest sharpness cannot part them, both count.
            let apart = (normalized[i] - best) * f64::MAX > 800.0;
            if argmin.contains(&i) {
                prop_assert!(update.weights[i] > 0.0);
            } else if apart {
                prop_assert_eq!(update.weights[i], 0.0);
            }
        }
        if argmin.len() == 1 && (0..losses.len()).all(|i| i == argmin[0] || update.weights[i] == 0.0) {
            prop_assert_eq!(update.factor, factors.values()[argmin[0]]);
        }
    }

    /// Lowering one candidate's loss never lowers its weight: min-max, sum and none at any sharpness.
    #[test]
    fn a_lower_loss_never_weighs_less(
        (factors, losses, i) in probe_with_index(1..=12), lowered in strategies::finite_loss(), sharpness in strategies::sharpness(),
    ) {
        let mut lower = losses.clone();
        lower[i] = losses[i].min(lowered);
        for kind in [Normalization::MinMax, Normalization::Sum, Normalization::Rank, Normalization::None] {
            let rule = rule(&factors, kind, sharpness);
            let (before, after) = (update(&rule, &losses).weights[i], update(&rule, &lower).weights[i]);
            // Rounding of a normalised loss (below 1, but for `None`, where it is exact) times the sharpness.
            let slack = 1.0 + rounding(losses.len()) * (1.0 + sharpness.min(1e12));
            prop_assert!(after * slack >= before, "{:?}: {} after {}", kind, after, before);
        }
    }

    /// The same under z-scores, up to the sharpness that the documentation states for the number of candidates.
    #[test]
    fn a_lower_loss_never_weighs_less_under_z_scores(
        (n, sharpness) in prop_oneof![
            (2..=11_usize, 0.0..1.732_f64), (12..=15_usize, 0.0..1.632), (16..=31_usize, 0.0..1.361), (32..=86_usize, 0.0..1.0),
        ],
        seed in proptest::collection::vec(prop_oneof![3 => 0.0..1.0_f64, 1 => 0.0..0.01_f64, 1 => 0.99..1.0_f64], 86),
        outlier in 1.0..50.0_f64, fall in 0.0..1.0_f64,
    ) {
        // The candidate that matters lies far above the others, and falls.
        let mut losses = seed[..n].to_vec();
        losses[0] = outlier;
        let mut lower = losses.clone();
        lower[0] = outlier * fall;
        let factors = Factors::new(vec![1.0; n]).unwrap();
        for (kind, scale) in [
            (Normalization::ZScore, 1.0),
            (Normalization::PopulationZScore, ((n - 1) as f64 / n as f64).sqrt()),
        ] {
            let rule = rule(&factors, kind, sharpness * scale);
            let (before, after) = (update(&rule, &losses).weights[0], update(&rule, &lower).weights[0]);
            prop_assert!(after * (1.0 + 1e-12) >= before, "{:?}: {} after {}", kind, after, before);
        }
    }
}

#[test]
fn beyond_the_stated_sharpness_a_lower_loss_can_weigh_less() {
    let weight = |kind, sharpness, losses: &[f64]| {
        let factors = Factors::new(vec![1.0; losses.len()]).unwrap();
        update(&rule(&factors, kind, sharpness), losses).weights[1]
    };
    // The example of the documentation.
    let (before, after) = ([0.224, 13.999, 0.269], [0.224, 0.316, 0.269]);
    assert!(
        weight(Normalization::ZScore, 4.0, &after) < weight(Normalization::ZScore, 4.0, &before)
    );
    assert!(
        weight(Normalization::ZScore, 1.732, &after)
            > weight(Normalization::ZScore, 1.732, &before)
    );
    // Just beyond √3 for three candidates, near the configuration that the numerical solution names.
    let sharpness = 1.75;
    let (before, after) = ([0.0, 20.0, 1.0], [0.0, 10.0, 1.0]);
    assert!(
        weight(Normalization::ZScore, sharpness, &after)
            < weight(Normalization::ZScore, sharpness, &before)
    );
    let scaled = sharpness * (2.0_f64 / 3.0).sqrt();
    let kind = Normalization::PopulationZScore;
    assert!(weight(kind, scaled, &after) < weight(kind, scaled, &before));
    // At the paper's sharpness, 86 candidates are the most: with 1,000 it can happen.
    let mut before = vec![0.44; 1000];
    (before[0], before[1]) = (0.0, 1.0);
    let mut after = before.clone();
    after[1] = 0.98;
    assert!(
        weight(Normalization::ZScore, 1.0, &after) < weight(Normalization::ZScore, 1.0, &before)
    );
}

#[test]
fn a_million_candidates() {
    let n = 1_000_000;
    let factors = Factors::new(
        (0..n)
            .map(|i| 0.5 + i as f64 / n as f64)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    for &kind in Normalization::ALL {
        let mut losses: Vec<f64> = (0..n).map(|i| (i % 1000) as f64 / 100.0).collect();
        losses[17] = f64::NAN;
        losses[18] = 1e308;
        let result = update(&rule(&factors, kind, 1.0), &losses);
        assert!(
            (0.5..=1.5).contains(&result.factor),
            "{kind:?}: {}",
            result.factor
        );
        // Eight interleaved sums of 125,000 terms each.
        assert_relative_eq!(result.weights.sum(), 1.0, max_relative = 1e-9);
    }
}
