//! Lᵢ / Σ│Lⱼ│

use ndarray::{ArrayView1, ArrayViewMut1};

use super::{Affine, extent, finite, or_infinity, power_of_two_scale};
use crate::update::sum;

pub(super) fn range(_: f64) -> (f64, f64) {
    (-1.0, 1.0)
}

pub(super) fn normalize(
    losses: ArrayView1<'_, f64>,
    out: ArrayViewMut1<'_, f64>,
    _: ArrayViewMut1<'_, f64>,
) {
    let (min, max) = extent(finite(losses));
    let scale = power_of_two_scale(max.max(-min));
    let total = sum(finite(losses).map(|loss| (loss * scale).abs()));
    let map = Affine {
        scale,
        divisor: or_infinity(total),
        ..Affine::IDENTITY
    };
    map.write(losses, out);
}
