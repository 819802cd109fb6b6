//! (Lᵢ − mean) / s, s² = Σ(Lⱼ − mean)² / n

use ndarray::{ArrayView1, ArrayViewMut1};

use super::z_score::with_divisor;

pub(super) fn range(n: f64) -> (f64, f64) {
    let most = (n - 1.0).sqrt();
    (-most, most)
}

pub(super) fn normalize(
    losses: ArrayView1<'_, f64>,
    out: ArrayViewMut1<'_, f64>,
    _: ArrayViewMut1<'_, f64>,
) {
    with_divisor(|n| n, losses, out);
}
