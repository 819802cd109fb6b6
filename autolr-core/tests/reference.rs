//! The update against a straightforward float64 reference, written from the formulas alone.

use autolr_core::{ExponentialScore, Factors, Normalization, ScaleUpdate};
use ndarray::aview1;
use rand_like::Stream;

/// A small deterministic stream (SplitMix64), so that the 10,000 inputs are the same everywhere.
mod rand_like {
    pub(crate) struct Stream(pub(crate) u64);
    impl Stream {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }
        pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
            low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
        }
        pub(crate) fn index(&mut self, n: usize) -> usize {
            (self.next() % n as u64) as usize
        }
    }
}

/// Those with a textbook formula.
const KINDS: [Normalization; 5] = [
    Normalization::ZScore,
    Normalization::PopulationZScore,
    Normalization::MinMax,
    Normalization::Sum,
    Normalization::None,
];

/// The textbook formulas with `std` arithmetic: no shift, no scaling, no clamp.
fn reference(
    kind: Normalization,
    sharpness: f64,
    factors: &[f64],
    losses: &[f64],
) -> (Vec<f64>, f64) {
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let squares = losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>();
    let max = losses.iter().copied().fold(f64::MIN, f64::max);
    let min = losses.iter().copied().fold(f64::MAX, f64::min);
    let total = losses.iter().map(|l| l.abs()).sum::<f64>();
    let normalized = losses.iter().map(|l| match kind {
        Normalization::ZScore => (l - mean) / (squares / (n - 1.0)).sqrt(),
        Normalization::PopulationZScore => (l - mean) / (squares / n).sqrt(),
        Normalization::MinMax => (l - min) / (max - min),
        Normalization::Sum => l / total,
        _ => *l,
    });
    let scores: Vec<f64> = normalized.map(|z| (-sharpness * z).exp()).collect();
    let sum: f64 = scores.iter().sum();
    let weights: Vec<f64> = scores.iter().map(|s| s / sum).collect();
    let log: f64 = weights.iter().zip(factors).map(|(w, f)| w * f.ln()).sum();
    (weights, log.exp())
}

#[test]
fn the_update_agrees_with_the_formulas_on_10_000_random_inputs() {
    let mut stream = Stream(1);
    let mut largest = 0.0_f64;
    let mut case = 0;
    while case < 10_000 {
        let n = 2 + stream.index(30);
        let kind = KINDS[stream.index(5)];
        let sharpness = [0.0, 0.5, 1.0, 4.0, stream.uniform(0.0, 8.0)][stream.index(5)];
        // Losses as training has them, from 1e-3 to 1e3, near ties to a relative 1e-4 included: closer ties lose
        // their digits to cancellation in the textbook formulas themselves.
        let level = 10.0_f64.powf(stream.uniform(-3.0, 1.0));
        let spread = 10.0_f64.powf(stream.uniform(-4.0, 2.0));
        let losses: Vec<f64> = (0..n)
            .map(|_| level * (1.0 + spread * stream.uniform(0.0, 1.0)))
            .collect();
        let factors: Vec<f64> = (0..n)
            .map(|_| 10.0_f64.powf(stream.uniform(-3.0, 3.0)))
            .collect();
        if kind == Normalization::None && sharpness * level * (1.0 + spread) > 500.0 {
            continue; // the textbook's plain exp would vanish
        }
        case += 1;
        let rule = ScaleUpdate::new(Factors::new(factors.clone()).unwrap())
            .with_normalization(kind)
            .with_score(ExponentialScore::new(sharpness).unwrap());
        let update = rule.update(aview1(&losses)).unwrap();
        let (weights, factor) = reference(kind, sharpness, &factors, &losses);
        let mut difference = (update.factor / factor - 1.0).abs();
        for (ours, textbook) in update.weights.iter().zip(&weights) {
            difference = difference.max((ours - textbook).abs());
        }
        largest = largest.max(difference);
        assert!(
            difference < 1e-12,
            "case {case}: {kind:?}, sharpness {sharpness}, losses {losses:?}: {difference:e}"
        );
    }
    println!("largest difference: {largest:e}");
    assert!(
        largest > 0.0,
        "two independent computations never agree to the bit throughout"
    );
}
