//! Holm's correction for several tests.

/// Adjusted p-values of a family of tests, in its order.
///
/// With the p-values in ascending order, p₍ᵢ₎ becomes `maxⱼ≤ᵢ min(1, (m − j + 1) · p₍ⱼ₎)`. Rejecting those at or below α
/// keeps the chance of any false rejection at or below α, however the tests hang together. A test without a p-value
/// counts as one with p = 1 and stays without: what was meant to be tested is in the family, whatever came of it.
///
/// Holm (1979), *A simple sequentially rejective multiple test procedure*.
pub fn holm(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> = p
        .iter()
        .enumerate()
        .filter_map(|(index, p)| Some((index, (*p)?)))
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut adjusted = vec![None; p.len()];
    let mut largest = 0.0_f64;
    for (rank, (index, p)) in order.into_iter().enumerate() {
        let left = adjusted.len() - rank;
        largest = largest.max((left as f64 * p).min(1.0));
        adjusted[index] = Some(largest);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    fn of(p: &[f64]) -> Vec<f64> {
        let p: Vec<Option<f64>> = p.iter().copied().map(Some).collect();
        holm(&p).into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn worked_out_by_hand() {
        // As R's p.adjust(c(0.04, 0.01, 0.03, 0.02), "holm").
        for (ours, expected) in of(&[0.04, 0.01, 0.03, 0.02])
            .into_iter()
            .zip([0.06, 0.04, 0.06, 0.06])
        {
            assert_relative_eq!(ours, expected, max_relative = 1e-12);
        }
        assert_eq!(of(&[0.6, 0.5]), [1.0, 1.0]);
        assert_eq!(of(&[0.3]), [0.3]);
        assert_eq!(holm(&[]), []);
    }

    #[test]
    fn a_test_without_a_value_stays_in_the_family() {
        assert_eq!(
            holm(&[None, Some(0.01), None]),
            [None, Some(0.03), None],
            "three tests, not one"
        );
    }

    proptest! {
        #[test]
        fn never_below_what_it_corrects_and_in_its_order(
            p in proptest::collection::vec(0.0..=1.0_f64, 1..12),
        ) {
            // The definition, without sorting: of equal values, the first has the largest factor.
            let step = |at: f64| {
                let left = p.iter().filter(|y| **y >= at).count();
                (left as f64 * at).min(1.0)
            };
            for (x, ours) in p.iter().zip(of(&p)) {
                let below = p.iter().filter(|y| *y <= x);
                let expected = below.map(|y| step(*y)).fold(0.0, f64::max);
                prop_assert_eq!(ours, expected);
                prop_assert!(*x <= ours && ours <= 1.0);
            }
        }
    }
}
