//! Sums and extremes in eight interleaved lanes.
//!
//! Term k goes to lane k mod 8; the lanes are added in their order. Up to eight terms that is the plain sum, bit for bit.
//! Beyond, it rounds less than the plain sum does, and the processor need not wait for each addition.

/// How many lanes there are.
pub(crate) const LANES: usize = 8;

/// `Σ f(v)` over `values`.
#[inline]
pub(crate) fn sum_by(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    if values.len() <= LANES {
        return values.iter().fold(0.0, |sum, &value| sum + f(value));
    }
    let mut lanes = [0.0; LANES];
    let blocks = values.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane += f(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f(value);
    }
    lanes.iter().sum()
}

/// Divides each weight by `total`, and returns `Σ wᵢ bᵢ` with the new ones, and whether all of them are positive.
#[inline]
pub(crate) fn divide_and_dot(weights: &mut [f64], total: f64, b: &[f64]) -> (f64, bool) {
    if weights.len() <= LANES {
        let (mut sum, mut all_positive) = (0.0, true);
        for (weight, b) in weights.iter_mut().zip(b) {
            *weight /= total;
            sum += *weight * b;
            all_positive &= *weight > 0.0;
        }
        return (sum, all_positive);
    }
    let mut lanes = [0.0; LANES];
    let mut least = [f64::INFINITY; LANES];
    let mut blocks = weights.chunks_exact_mut(LANES);
    let blocks_b = b.chunks_exact(LANES);
    let rest_b = blocks_b.remainder();
    for (block, block_b) in (&mut blocks).zip(blocks_b) {
        for (((lane, least), weight), b) in lanes.iter_mut().zip(&mut least).zip(block).zip(block_b)
        {
            *weight /= total;
            *lane += *weight * b;
            *least = if *weight < *least { *weight } else { *least };
        }
    }
    let rest = blocks.into_remainder();
    for (((lane, least), weight), b) in lanes.iter_mut().zip(&mut least).zip(rest).zip(rest_b) {
        *weight /= total;
        *lane += *weight * b;
        *least = if *weight < *least { *weight } else { *least };
    }
    (lanes.iter().sum(), least.iter().all(|&least| least > 0.0))
}

/// What a look over some values finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Survey {
    /// The smallest; ∞ if there is none.
    pub(crate) min: f64,
    /// The largest; −∞ if there is none.
    pub(crate) max: f64,
    /// Whether all are finite; else the other two are of no use.
    pub(crate) all_finite: bool,
}

/// Looks over `values`.
#[inline]
pub(crate) fn survey(values: &[f64]) -> Survey {
    if values.len() <= LANES {
        let (mut min, mut max, mut all_finite) = (f64::INFINITY, f64::NEG_INFINITY, true);
        for &value in values {
            min = if value < min { value } else { min };
            max = if value > max { value } else { max };
            all_finite &= value.is_finite();
        }
        return Survey {
            min,
            max,
            all_finite,
        };
    }
    let (mut min, mut max, mut odd) = (
        [f64::INFINITY; LANES],
        [f64::NEG_INFINITY; LANES],
        [0.0; LANES],
    );
    let mut look = |block: &[f64]| {
        for (((min, max), odd), &value) in min.iter_mut().zip(&mut max).zip(&mut odd).zip(block) {
            *min = if value < *min { value } else { *min };
            *max = if value > *max { value } else { *max };
            *odd += value * 0.0; // NaN, once and for all, if the value is not finite
        }
    };
    let blocks = values.chunks_exact(LANES);
    let rest = blocks.remainder();
    blocks.for_each(&mut look);
    look(rest);
    Survey {
        min: min.iter().copied().fold(f64::INFINITY, f64::min),
        max: max.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        all_finite: !odd.iter().sum::<f64>().is_nan(),
    }
}

/// The same sum in blocks, each but the last of a multiple of eight terms.
#[derive(Debug, Default)]
pub(crate) struct Lanes([f64; LANES]);

impl Lanes {
    #[inline]
    pub(crate) fn add_block(&mut self, terms: &[f64]) {
        let blocks = terms.chunks_exact(LANES);
        let rest = blocks.remainder();
        for block in blocks {
            self.0
                .iter_mut()
                .zip(block)
                .for_each(|(lane, term)| *lane += term);
        }
        self.0
            .iter_mut()
            .zip(rest)
            .for_each(|(lane, term)| *lane += term);
    }

    pub(crate) fn total(&self) -> f64 {
        self.0.iter().sum()
    }
}

/// The same sum where some terms are passed over: add those that count, one by one.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    lanes: [f64; LANES],
    terms: usize,
}

impl Sum {
    #[inline]
    pub(crate) fn add(&mut self, term: f64) {
        self.lanes[self.terms % LANES] += term;
        self.terms += 1;
    }

    #[inline]
    pub(crate) fn total(&self) -> f64 {
        let filled = self.terms.min(LANES);
        self.lanes[..filled]
            .iter()
            .fold(0.0, |sum, lane| sum + lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize) -> Vec<f64> {
        (0..n).map(|i| 0.1 + (i * i % 17) as f64 / 3.0).collect()
    }

    #[test]
    fn up_to_eight_terms_it_is_the_plain_sum() {
        for n in 0..=8 {
            let values = values(n);
            let plain = values.iter().fold(0.0, |sum, value| sum + value);
            assert_eq!(sum_by(&values, |v| v), plain, "{n}");
        }
    }

    #[test]
    fn both_ways_have_the_same_bits() {
        for n in [1, 7, 8, 9, 16, 23, 1000] {
            let values = values(n);
            let mut sum = Sum::default();
            values.iter().for_each(|v| sum.add(v * v));
            assert_eq!(sum.total(), sum_by(&values, |v| v * v), "{n}");
            let mut lanes = Lanes::default();
            let squares: Vec<f64> = values.iter().map(|v| v * v).collect();
            squares.chunks(16).for_each(|block| lanes.add_block(block));
            assert_eq!(sum.total(), lanes.total(), "{n}");
            let mut weights = values.clone();
            let (dot, all_positive) = divide_and_dot(&mut weights, 2.0, &values);
            assert_eq!((0.5 * sum.total(), true), (dot, all_positive), "{n}");
            assert_eq!(weights[n - 1], values[n - 1] / 2.0);
            for at in [0, n / 2, n - 1] {
                let mut weights = values.clone();
                weights[at] = 0.0;
                assert!(!divide_and_dot(&mut weights, 1.0, &values).1, "{n} {at}");
            }
        }
    }

    #[test]
    fn a_survey_finds_what_lies_anywhere() {
        for n in [1, 7, 8, 9, 31] {
            for at in 0..n {
                let mut values = vec![1.0; n];
                values[at] = -3.0;
                values[(at + 1) % n] = 5.0;
                let (min, max) = (if n == 1 { 5.0 } else { -3.0 }, 5.0);
                let all_finite = true;
                assert_eq!(
                    survey(&values),
                    Survey {
                        min,
                        max,
                        all_finite
                    },
                    "{n} {at}"
                );
                for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    values[at] = odd;
                    assert!(!survey(&values).all_finite, "{n} {at} {odd}");
                }
                values.fill(f64::MAX);
                assert!(survey(&values).all_finite);
            }
        }
        let nothing = survey(&[]);
        assert!(nothing.all_finite && nothing.min > nothing.max);
    }
}
