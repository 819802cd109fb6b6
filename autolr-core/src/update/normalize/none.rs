//! The losses as they are.

use ndarray::{ArrayView1, ArrayViewMut1};

use super::Affine;

pub(super) fn range(_: f64) -> (f64, f64) {
    (f64::MIN, f64::MAX)
}

pub(super) fn normalize(
    losses: ArrayView1<'_, f64>,
    out: ArrayViewMut1<'_, f64>,
    _: ArrayViewMut1<'_, f64>,
) {
    Affine::IDENTITY.write(losses, out);
}
