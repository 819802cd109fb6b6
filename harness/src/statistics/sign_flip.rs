//! The sign-flip test: are paired differences as likely to be turned round?

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Up to so many differences, all 2ⁿ sign vectors are gone through.
pub const EXACT_PAIRS: usize = 20;
/// Beyond, so many are drawn.
const DRAWS: u32 = 1_000_000;
/// Sums closer than this share of Σ |dᵢ| count as equal.
const TIE: f64 = 1e-9;

/// The p-value of a sign-flip test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignFlip {
    /// Two-sided p-value, in (0, 1].
    pub p: f64,
    /// Whether all sign vectors were gone through; else it was drawn.
    pub exact: bool,
}

/// Two-sided p-value of differences of shape `[n]`: the share of the 2ⁿ sign vectors `s ∈ {−1, 1}ⁿ` for which
/// `|Σ sᵢ dᵢ| ≥ |Σ dᵢ|`.
///
/// Under the null hypothesis that each pair's two values may be exchanged, all sign vectors are as likely, and
/// `P(p ≤ α) ≤ α` for every α, whatever the distributions of the differences: they may be skewed pairs, heavy-tailed,
/// and of different widths. The least p there is of n differences is 2 / 2ⁿ.
///
/// Sums that differ by less than 10⁻⁹ of Σ |dᵢ| count as equal, since differences of rounded numbers come with errors
/// far below that; this can only raise p. With n above [`EXACT_PAIRS`], a million sign vectors are drawn, always the same
/// ones, and `p = (1 + hits) / (1 + draws)`, which keeps `P(p ≤ α) ≤ α` (Phipson and Smyth 2010); it is known to 0.0005.
///
/// None without differences or where one is not finite. Source: Fisher (1935), *The Design of Experiments*, section 21.
pub fn sign_flip(differences: &[f64]) -> Option<SignFlip> {
    let n = differences.len();
    let sizes: f64 = differences.iter().map(|d| d.abs()).sum();
    if n == 0 || !sizes.is_finite() {
        return None;
    }
    let bound = differences.iter().sum::<f64>().abs() - TIE * sizes;
    if n <= EXACT_PAIRS {
        // The first sign may stand: turning all round changes nothing.
        let hits = hits(differences[0], &differences[1..], bound);
        let p = hits as f64 / (1_u64 << (n - 1)) as f64;
        return Some(SignFlip { p, exact: true });
    }
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut hits = 0_u32;
    for _ in 0..DRAWS {
        let mut sum = 0.0;
        for chunk in differences.chunks(64) {
            let mut signs: u64 = random.random();
            for d in chunk {
                sum += if signs & 1 == 0 { *d } else { -d };
                signs >>= 1;
            }
        }
        hits += u32::from(sum.abs() >= bound);
    }
    Some(SignFlip {
        p: (1.0 + f64::from(hits)) / (1.0 + f64::from(DRAWS)),
        exact: false,
    })
}

/// How many sign vectors of the rest bring the sum to the bound.
fn hits(sum: f64, rest: &[f64], bound: f64) -> u64 {
    match rest.split_first() {
        None => u64::from(sum.abs() >= bound),
        Some((d, rest)) => hits(sum + d, rest, bound) + hits(sum - d, rest, bound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    fn p(differences: &[f64]) -> f64 {
        let test = sign_flip(differences).unwrap();
        assert!(test.exact);
        test.p
    }

    #[test]
    fn darwins_maize_as_fisher_counted_it() {
        // Differences in height of 15 pairs of plants, in eighths of an inch (Fisher 1935, section 17 and 21): 863 of the
        // 32,768 arrangements reach the sum of 314 in its direction.
        let darwin = [
            49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48_i32,
        ];
        let darwin: Vec<f64> = darwin.into_iter().map(f64::from).collect();
        assert_eq!(p(&darwin), 2.0 * 863.0 / 32768.0);
    }

    #[test]
    fn worked_out_by_hand() {
        assert_eq!(p(&[1.0]), 1.0);
        assert_eq!(p(&[1.0, 2.0, 3.0]), 2.0 / 8.0);
        assert_eq!(p(&[1.0, 1.0, -1.0]), 1.0);
        // 3 − 1 = 2 is reached by ±(3 + 1) and ±(3 − 1): all four.
        assert_eq!(p(&[3.0, -1.0]), 1.0);
        assert_eq!(p(&[0.0; 6]), 1.0);
        assert_eq!(p(&[1.0; 5]), 0.0625);
        assert_eq!(p(&[1.0; 6]), 0.03125);
        assert_eq!(p(&[-1.0; 6]), 0.03125);
        // A difference of zero says nothing.
        assert_eq!(p(&[1.0, 1.0, 1.0, 0.0]), p(&[1.0; 3]));
    }

    #[test]
    fn differences_of_rounded_numbers_tie() {
        // All differences are 0.01, but not to the last bit.
        let a = [0.87, 0.86, 0.85, 0.84, 0.83, 0.71];
        let b = [0.86, 0.85, 0.84, 0.83, 0.82, 0.72];
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        assert_eq!(p(&differences), p(&[1.0, 1.0, 1.0, 1.0, 1.0, -1.0]));
    }

    #[test]
    fn what_is_not_finite_has_no_p() {
        for differences in [&[][..], &[1.0, f64::NAN], &[f64::INFINITY; 3]] {
            assert_eq!(sign_flip(differences), None);
        }
    }

    #[test]
    fn beyond_all_vectors_some_are_drawn() {
        let all: Vec<f64> = (1..=20).map(|i| f64::from(i % 7) - 2.0).collect();
        let exact = sign_flip(&all).unwrap();
        assert!(exact.exact && exact.p > 0.01 && exact.p < 0.5, "{exact:?}");
        // A difference of zero changes no sum, and leads to the other way.
        let more: Vec<f64> = all.iter().copied().chain([0.0]).collect();
        let drawn = sign_flip(&more).unwrap();
        assert!(!drawn.exact);
        // Four standard errors of a share of a million draws.
        assert!((drawn.p - exact.p).abs() < 0.002, "{drawn:?}, {exact:?}");
        assert_eq!(sign_flip(&more), Some(drawn));
        let clear = sign_flip(&[1.0; 40]).unwrap();
        assert_relative_eq!(clear.p, 1.0 / 1_000_001.0);
        assert_eq!(sign_flip(&[0.0; 70]).unwrap().p, 1.0);
    }

    proptest! {
        /// Going through the vectors by their numbers, in whole numbers: no rounding, no recursion.
        #[test]
        fn counts_what_a_plain_count_counts(
            whole in proptest::collection::vec(-20..20_i64, 1..11),
            scale in 1e-6..1e6_f64,
        ) {
            let n = whole.len();
            let sum: i64 = whole.iter().sum();
            let reach = (0..1_u32 << n).filter(|signs| {
                let turned = whole.iter().enumerate().map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d });
                turned.sum::<i64>().abs() >= sum.abs()
            });
            let expected = reach.count() as f64 / f64::from(1_u32 << n);
            let differences: Vec<f64> = whole.iter().map(|d| scale * *d as f64).collect();
            prop_assert_eq!(p(&differences), expected);
        }

        #[test]
        fn neither_order_nor_direction_matters(
            mut differences in proptest::collection::vec(-1.0..1.0_f64, 1..10),
        ) {
            let plain = p(&differences);
            prop_assert!(plain >= 2.0 / f64::from(1_u32 << differences.len()) && plain <= 1.0);
            differences.reverse();
            prop_assert_eq!(p(&differences), plain);
            let turned: Vec<f64> = differences.iter().map(|d| -d).collect();
            prop_assert_eq!(p(&turned), plain);
        }
    }
}
