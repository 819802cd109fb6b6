//! Sums over eight interleaved partial sums.
//!
//! Term k goes to partial sum k mod 8; the partial sums are added in their order. Up to eight terms that is the plain
//! sum, bit for bit. Beyond, it rounds less than the plain sum does, and the processor need not wait for each addition.

/// How many partial sums there are.
const LANES: usize = 8;

/// `Σ f(v)` over `values`.
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

/// The same sum where some terms are passed over: add those that count, one by one.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    lanes: [f64; LANES],
    terms: usize,
}

impl Sum {
    pub(crate) fn add(&mut self, term: f64) {
        self.lanes[self.terms % LANES] += term;
        self.terms += 1;
    }

    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

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
            assert_eq!(sum.terms(), n);
        }
    }
}
