//! (Lᵢ − mean) / s, s² = Σ(Lⱼ − mean)² / (n − 1)

use ndarray::{ArrayView1, ArrayViewMut1};

use super::{Affine, differences, extent, finite, or_infinity, power_of_two_scale};
use crate::update::sum;

pub(super) fn range(n: f64) -> (f64, f64) {
    let most = (n - 1.0) / n.sqrt();
    (-most, most)
}

pub(super) fn normalize(
    losses: ArrayView1<'_, f64>,
    out: ArrayViewMut1<'_, f64>,
    _: ArrayViewMut1<'_, f64>,
) {
    with_divisor(|n| n.saturating_sub(1), losses, out);
}

/// With Σ(Lⱼ − mean)² divided by a number that depends on n.
pub(super) fn with_divisor(
    degrees: fn(usize) -> usize,
    losses: ArrayView1<'_, f64>,
    out: ArrayViewMut1<'_, f64>,
) {
    let (min, max) = extent(finite(losses));
    let (half, min, range) = differences(min, max);
    let scale = power_of_two_scale(range);
    let scaled = || finite(losses).map(|loss| (loss * half - min) * scale);
    let n = finite(losses).count();
    let mean = sum(scaled()) / n.max(1) as f64;
    let squares = sum(scaled().map(|value| (value - mean) * (value - mean)));
    let deviation = (squares / degrees(n).max(1) as f64).sqrt();
    let map = Affine {
        half,
        min,
        scale,
        mean,
        divisor: or_infinity(deviation),
    };
    map.write(losses, out);
}
