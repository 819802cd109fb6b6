//! Literal outputs, to the bit: a change of any of them is a change of the numerics, and belongs under that heading of
//! the changelog. The same on every platform, since `exp` and `ln` come from `libm` and sums have a fixed order.

use autolr_core::{AutoLr, AutoLrConfig, ExponentialScore, Factors, Normalization, ScaleUpdate};
use ndarray::{Array1, aview1};

/// Losses as training has them, near ties, a negative one, both ends of f64, subnormal, not finite.
const LOSSES: [[f64; 5]; 5] = [
    [2.31, 2.05, 1.97, 2.02, 2.2],
    [1.0, 1.0 + 4.0 * f64::EPSILON, 1.0, 1.0 - f64::EPSILON, 1.0],
    [-0.7, 3.0, 0.0, 1e-3, 12.5],
    [1e308, -1e308, 1.0, 5e-324, 1.7e308],
    [f64::NAN, 0.5, f64::INFINITY, 0.25, 0.75],
];

const KINDS: [Normalization; 5] = Normalization::ALL;

/// The factor's bits, by losses and normalisation, at the paper's sharpness.
const FACTORS: [[u64; 5]; 5] = [[0; 5]; 5];

/// The bits of the weights of the first losses under the z-score, at sharpness 2.5.
const WEIGHTS: [u64; 5] = [0; 5];

/// The bits of the rate after eight decisions in a row over the losses above.
const RATE: u64 = 0;

fn rule(kind: Normalization, sharpness: f64) -> ScaleUpdate {
    ScaleUpdate::new(Factors::powers_of_two(5).unwrap())
        .with_normalization(kind)
        .with_score(ExponentialScore::new(sharpness).unwrap())
}

#[test]
fn value_stability_of_the_update() {
    let bits = LOSSES.map(|losses| {
        KINDS.map(|kind| {
            rule(kind, 1.0)
                .update(aview1(&losses))
                .unwrap()
                .factor
                .to_bits()
        })
    });
    assert_eq!(bits, FACTORS, "{bits:#x?}");
    let update = rule(Normalization::ZScore, 2.5)
        .update(aview1(&LOSSES[0]))
        .unwrap();
    let bits: Vec<u64> = update
        .weights
        .iter()
        .map(|weight| weight.to_bits())
        .collect();
    assert_eq!(bits, WEIGHTS, "{bits:#x?}");
}

#[test]
fn value_stability_of_a_life() {
    let config = AutoLrConfig::new(0.005, rule(Normalization::ZScore, 1.0)).unwrap();
    let mut scheduler = AutoLr::new(config);
    for losses in LOSSES.iter().chain(&LOSSES[..3]) {
        scheduler.tell(aview1(losses)).unwrap();
    }
    let bits = scheduler.lr().to_bits();
    assert_eq!(bits, RATE, "{bits:#x}");
}

#[test]
fn value_stability_of_many_candidates() {
    // Beyond eight candidates sums are interleaved: their order is part of the value.
    let n = 1_003;
    let factors: Vec<f64> = (0..n).map(|i| libm_free(i, n)).collect();
    let losses: Array1<f64> = (0..n)
        .map(|i| ((i * 7919) % 1009) as f64 / 1009.0)
        .collect();
    let rule = ScaleUpdate::new(Factors::new(factors).unwrap());
    let bits = rule.update(losses.view()).unwrap().factor.to_bits();
    assert_eq!(bits, 0, "{bits:#x}");
}

/// A factor from ½ to 1½ without any function that could differ between platforms.
fn libm_free(i: usize, n: usize) -> f64 {
    0.5 + i as f64 / n as f64
}
