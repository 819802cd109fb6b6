//! Sums and extremes in eight interleaved lanes.
//!
//! Term k goes to lane k mod 8; the lanes are added in their order. Up to eight terms that is the plain sum, bit for bit.
//! Beyond, it rounds less than the plain sum does, and the processor need not wait for each addition.

/// How many lanes there are.
const LANES: usize = 8;

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

/// Replaces each value by `f` of it, and returns the sum of the new ones.
#[inline]
pub(crate) fn map_and_sum(values: &mut [f64], f: impl Fn(f64) -> f64) -> f64 {
    if values.len() <= LANES {
        return values.iter_mut().fold(0.0, |sum, value| {
            *value = f(*value);
            sum + *value
        });
    }
    let mut lanes = [0.0; LANES];
    let mut blocks = values.chunks_exact_mut(LANES);
    for block in &mut blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *value = f(*value);
            *lane += *value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(blocks.into_remainder()) {
        *value = f(*value);
        *lane += *value;
    }
    lanes.iter().sum()
}

/// `Σ aᵢ bᵢ` over slices of one length.
#[inline]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (blocks_a, blocks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (blocks_a.remainder(), blocks_b.remainder());
    for (block_a, block_b) in blocks_a.zip(blocks_b) {
        for ((lane, a), b) in lanes.iter_mut().zip(block_a).zip(block_b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(rest_a).zip(rest_b) {
        *lane += a * b;
    }
    lanes.iter().sum()
}

/// The smallest and the largest of `values`, NaN passed over; `(∞, −∞)` if there is none.
#[inline]
pub(crate) fn extent(values: &[f64]) -> (f64, f64) {
    let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let blocks = values.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for ((low, high), &value) in low.iter_mut().zip(&mut high).zip(block) {
            // Comparisons with NaN are false.
            *low = if value < *low { value } else { *low };
            *high = if value > *high { value } else { *high };
        }
    }
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    if values.len() >= LANES {
        min = low.iter().fold(min, |a, &b| if b < a { b } else { a });
        max = high.iter().fold(max, |a, &b| if b > a { b } else { a });
    }
    for &value in rest {
        min = if value < min { value } else { min };
        max = if value > max { value } else { max };
    }
    (min, max)
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
        self.lanes.iter().sum()
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
            assert_eq!(sum.total(), dot(&values, &values), "{n}");
            let mut squares = values.clone();
            assert_eq!(sum.total(), map_and_sum(&mut squares, |v| v * v), "{n}");
            assert_eq!(squares[n - 1], values[n - 1] * values[n - 1]);
        }
    }

    #[test]
    fn the_extremes_lie_anywhere() {
        for n in [1, 7, 8, 9, 31] {
            for at in 0..n {
                let mut values = vec![f64::NAN; n];
                assert_eq!(extent(&values), (f64::INFINITY, f64::NEG_INFINITY));
                values[at] = 2.0;
                assert_eq!(extent(&values), (2.0, 2.0), "{n} {at}");
                values.fill(1.0);
                values[at] = -3.0;
                values[(at + 1) % n] = 5.0;
                assert_eq!(
                    extent(&values),
                    (if n == 1 { 5.0 } else { -3.0 }, 5.0),
                    "{n} {at}"
                );
            }
        }
        assert_eq!(extent(&[]), (f64::INFINITY, f64::NEG_INFINITY));
    }
}
