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

const KINDS: [Normalization; 5] = [
    Normalization::ZScore,
    Normalization::PopulationZScore,
    Normalization::MinMax,
    Normalization::Sum,
    Normalization::None,
];

/// The factor's bits, by losses and normalisation, at the paper's sharpness.
const FACTORS: [[u64; 5]; 5] = [
    [
        0x3fed_20cf_8053_562b,
        0x3fed_1ffb_521c_e4d7,
        0x3fed_d9f1_3d57_80f3,
        0x3fef_e56f_1985_1655,
        0x3fef_08ce_c8a4_f51c,
    ],
    [
        0x3fe9_9c7f_e0c2_f33d,
        0x3fe9_3941_f6cf_d3e9,
        0x3fec_8928_3f1a_12b5,
        0x3ff0_0000_0000_0000,
        0x3fef_ffff_ffff_ffff,
    ],
    [
        0x3ff5_8f43_7589_d87c,
        0x3ff5_d217_9f7a_5abe,
        0x3ff3_3f2a_3e6b_3cf6,
        0x3ff2_c1bf_ae59_dbd1,
        0x3ffb_0d99_9ff7_9dae,
    ],
    [
        0x3ff4_e062_8661_41cd,
        0x3ff5_711a_a92f_9276,
        0x3ff1_eb6c_958a_af83,
        0x3ff1_690a_7eed_e76b,
        0x4000_0000_0000_0000,
    ],
    [
        0x3fe5_1a8e_4ce9_ee44,
        0x3fe4_94b7_ad1a_52da,
        0x3fe5_86e2_4ec0_f8c9,
        0x3fe4_d5e2_005a_67b8,
        0x3fe5_17e5_e7cd_084a,
    ],
];

/// The bits of the weights of the first losses under the z-score, at sharpness 2.5.
const WEIGHTS: [u64; 5] = [
    0x3f57_7c85_a4e8_556a,
    0x3fc2_80b4_10e4_b53a,
    0x3fe3_20db_d646_80bd,
    0x3fcf_821c_7930_0416,
    0x3f84_ac71_1877_3102,
];

/// The bits of the rate after eight decisions in a row over the losses above.
const RATE: u64 = 0x3f70_fb9a_66e3_93eb;

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
    // Sums go term after term: their order is part of the value.
    let n = 1_003;
    let factors: Vec<f64> = (0..n).map(|i| libm_free(i, n)).collect();
    let losses: Array1<f64> = (0..n)
        .map(|i| ((i * 7919) % 1009) as f64 / 1009.0)
        .collect();
    let rule = ScaleUpdate::new(Factors::new(factors).unwrap());
    let bits = rule.update(losses.view()).unwrap().factor.to_bits();
    assert_eq!(bits, 0x3fee_97d3_cce3_a939, "{bits:#x}");
}

/// A factor from ½ to 1½ without any function that could differ between platforms.
fn libm_free(i: usize, n: usize) -> f64 {
    0.5 + i as f64 / n as f64
}
