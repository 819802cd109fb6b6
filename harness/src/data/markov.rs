//! Text from a source whose entropy is known: no model can do better than it.
//!
//! The next symbol depends on the two before it. Their distribution is drawn from the seed, and is the same for training
//! and test text.

use super::text::Text;
use super::{Definition, Form, normal};
use crate::data::stream::{Purpose, Stream, stream};
use rand::RngExt;

/// Sequences of a source of [`SYMBOLS`] symbols.
pub const DEFINITION: Definition = Definition {
    title: "Markov text",
    what: "text of 12 symbols, each drawn after the two before it, whose entropy is known",
    classes: SYMBOLS,
    examples: (10_000, 1_000),
    forms: &[Form::Text(sequences)],
};

/// Number of symbols.
pub const SYMBOLS: usize = 12;

/// Index of the streams of the source, the training and the test text.
const PARTS: [u64; 3] = [8, 9, 10];
/// Standard deviation of the logarithms that the probabilities are proportional to.
const SPREAD: f64 = 2.0;
/// Steps towards the stationary distribution: it mixes within a few.
const MIXING: usize = 1000;

/// P(c | a, b) of a symbol c after a and b, and the stationary distribution of pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Of c after (a, b), at (a · n + b) · n + c.
    next: Vec<f64>,
    /// Of (a, b), at a · n + b.
    pairs: Vec<f64>,
}

impl Source {
    /// The source of a seed: P(c | a, b) ∝ exp(2 ε), with ε standard normal for each (a, b, c).
    pub fn new(seed: u64) -> Self {
        const N: usize = SYMBOLS;
        let mut rng = stream(seed, Purpose::Synthetic, 0, PARTS[0]);
        let draw = |_| libm::exp(SPREAD * normal::normal(&mut rng));
        let mut next: Vec<f64> = (0..N * N * N).map(draw).collect();
        for row in next.chunks_exact_mut(N) {
            let sum = row.iter().fold(0.0, |sum, p| sum + p);
            row.iter_mut().for_each(|p| *p /= sum);
        }
        let mut pairs = vec![1.0 / (N * N) as f64; N * N];
        for _ in 0..MIXING {
            let mut after = vec![0.0; N * N];
            for (pair, (p, row)) in pairs.iter().zip(next.chunks_exact(N)).enumerate() {
                for (c, q) in row.iter().enumerate() {
                    after[pair % N * N + c] += p * q;
                }
            }
            pairs = after;
        }
        Self { next, pairs }
    }

    /// The smallest mean loss (nats a symbol) that a model can have which predicts each of `length` symbols from those
    /// before it, the first of them from one: (H₁ + (length − 1) H₂) / length, with the entropies Hₖ of a symbol given the
    /// k before it.
    ///
    /// NaN for a length of 0.
    pub fn entropy(&self, length: usize) -> f64 {
        const N: usize = SYMBOLS;
        let of = |row: &[f64]| row.iter().fold(0.0, |sum, p| sum - p * libm::log(*p));
        let rows = self.pairs.iter().zip(self.next.chunks_exact(N));
        let second = rows.fold(0.0, |sum, (p, row)| sum + p * of(row));
        // H(a, b) − H(a).
        let single: Vec<f64> = self.pairs.chunks_exact(N).map(|row| row.iter().sum()).collect();
        let first = of(&self.pairs) - of(&single);
        let length = length as f64;
        (first + (length - 1.0) * second) / length
    }

    /// A sequence from the stationary distribution.
    fn draw(&self, length: usize, rng: &mut Stream) -> Vec<u8> {
        const N: usize = SYMBOLS;
        let mut pair = choose(&self.pairs, rng);
        let mut symbols = vec![(pair / N) as u8, (pair % N) as u8];
        while symbols.len() < length {
            let c = choose(&self.next[pair * N..(pair + 1) * N], rng);
            symbols.push(c as u8);
            pair = pair % N * N + c;
        }
        symbols.truncate(length);
        symbols
    }
}

/// An index, with these probabilities.
fn choose(probabilities: &[f64], rng: &mut Stream) -> usize {
    let mut rest: f64 = rng.random();
    for (index, p) in probabilities.iter().enumerate() {
        rest -= p;
        if rest < 0.0 {
            return index;
        }
    }
    // The probabilities sum to 1 up to rounding.
    probabilities.len() - 1
}

/// `train` and `test` sequences of `length` symbols, each drawn by itself.
pub fn sequences(seed: u64, train: usize, test: usize, length: usize) -> (Text, Text) {
    let source = Source::new(seed);
    let draw = |n: usize, part| {
        let mut rng = stream(seed, Purpose::Synthetic, 0, part);
        let symbols = (0..n).flat_map(|_| source.draw(length, &mut rng));
        Text::new(symbols.collect(), length)
    };
    (draw(train, PARTS[1]), draw(test, PARTS[2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_are_stationary_and_sum_to_one() {
        let source = Source::new(3);
        let sum: f64 = source.pairs.iter().sum();
        assert!((sum - 1.0).abs() < 1e-12);
        // As often first as second.
        for symbol in 0..SYMBOLS {
            let first: f64 = (0..SYMBOLS).map(|b| source.pairs[symbol * SYMBOLS + b]).sum();
            let second: f64 = (0..SYMBOLS).map(|a| source.pairs[a * SYMBOLS + symbol]).sum();
            assert!((first - second).abs() < 1e-12);
        }
        assert_ne!(source, Source::new(4));
        assert_eq!(source, Source::new(3));
    }

    /// The mean of −ln P over drawn text is the entropy, within five standard errors.
    #[test]
    fn the_entropy_is_that_of_the_text() {
        let source = Source::new(0);
        let (text, _) = sequences(0, 4000, 1, 33);
        let mut losses = Vec::new();
        for index in 0..text.len() {
            let symbols: Vec<usize> = text.sequence(index).iter().map(|&s| s.into()).collect();
            for at in symbols.windows(3) {
                let p = source.next[(at[0] * SYMBOLS + at[1]) * SYMBOLS + at[2]];
                losses.push(-p.ln());
            }
        }
        let n = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / n;
        let variance = losses.iter().map(|l| (l - mean) * (l - mean)).sum::<f64>() / n;
        // Of very long sequences, all but the first symbol are predicted from two.
        let entropy = source.entropy(1_000_000_000);
        assert!((mean - entropy).abs() < 5.0 * (variance / n).sqrt(), "{mean} {entropy}");
        assert!(entropy < source.entropy(1) && source.entropy(1) < (SYMBOLS as f64).ln());
        assert!(entropy > 0.5, "{entropy}");
    }

    #[test]
    fn the_seed_decides_and_more_sequences_begin_with_the_same() {
        let (train, test) = sequences(7, 5, 3, 9);
        assert_eq!((train.len(), test.len()), (5, 3));
        assert_eq!(sequences(7, 5, 3, 9), (train.clone(), test.clone()));
        let (longer, same) = sequences(7, 8, 3, 9);
        assert_eq!(longer.sequence(4), train.sequence(4));
        assert_eq!(same, test);
        assert_ne!(train.sequence(0), test.sequence(0));
    }
}
