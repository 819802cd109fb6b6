//! (Lᵢ − min) / (max − min)

use ndarray::{ArrayView1, ArrayViewMut1};

use super::{Affine, differences, extent, finite, or_infinity};

pub(super) fn range(_: f64) -> (f64, f64) {
    (0.0, 1.0)
}

pub(super) fn normalize(
    losses: ArrayView1<'_, f64>,
    out: ArrayViewMut1<'_, f64>,
    _: ArrayViewMut1<'_, f64>,
) {
    let (min, max) = extent(finite(losses));
    let (half, min, range) = differences(min, max);
    let map = Affine {
        half,
        min,
        divisor: or_infinity(range),
        ..Affine::IDENTITY
    };
    map.write(losses, out);
}
