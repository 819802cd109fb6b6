//! (2 rᵢ − n − 1) / (n − 1), with rᵢ the place of Lᵢ among the finite losses, from 1; equal losses share their mean place.

use ndarray::{ArrayView1, ArrayViewMut1};

use super::finite;

pub(super) fn range(_: f64) -> (f64, f64) {
    (-1.0, 1.0)
}

/// No place changes under any increasing function of the losses, so that outliers count no more than others. A lower loss
/// never weighs less, at any sharpness.
pub(super) fn normalize(
    losses: ArrayView1<'_, f64>,
    mut out: ArrayViewMut1<'_, f64>,
    mut scratch: ArrayViewMut1<'_, f64>,
) {
    // Contiguous unless a user turned the buffer around.
    let Some(scratch) = scratch.as_slice_mut() else {
        let mut copy = vec![0.0; losses.len()];
        return normalize(losses, out, ArrayViewMut1::from(&mut copy[..]));
    };
    let mut n = 0;
    for loss in finite(losses) {
        scratch[n] = loss;
        n += 1;
    }
    let sorted = &mut scratch[..n];
    sorted.sort_unstable_by(f64::total_cmp);
    let gaps = n.saturating_sub(1).max(1) as f64;
    for (z, &loss) in out.iter_mut().zip(losses) {
        let below = sorted.partition_point(|&other| other < loss);
        let not_above = sorted.partition_point(|&other| other <= loss);
        // 2 r = below + not_above + 1.
        let twice = (below + not_above) as f64 - n as f64;
        *z = if loss.is_finite() { twice / gaps } else { f64::NAN };
    }
}

#[cfg(test)]
mod tests {
    use crate::Normalization;
    use ndarray::{Array1, array, s};

    fn normalized(losses: &[f64]) -> Vec<f64> {
        let mut out = Array1::zeros(losses.len());
        Normalization::Rank.apply(losses, &mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn places_and_ties() {
        assert_eq!(normalized(&[5.0, 1.0, 1e300]), [0.0, -1.0, 1.0]);
        assert_eq!(normalized(&[2.0, 1.0, 2.0, 2.0, 3.0]), [0.0, -1.0, 0.0, 0.0, 1.0]);
        assert_eq!(normalized(&[0.0, -0.0]), [0.0, 0.0]);
        assert_eq!(normalized(&[7.0; 4]), [0.0; 4]);
        assert_eq!(normalized(&[7.0]), [0.0]);
    }

    #[test]
    fn increasing_functions_are_not_seen() {
        let losses = [0.3, -2.0, 11.0, 0.31, 4.0];
        assert_eq!(normalized(&losses), normalized(&losses.map(f64::exp)));
    }

    #[test]
    fn a_buffer_may_lie_backwards() {
        let losses = array![3.0, 1.0, 2.0];
        let (mut out, mut scratch) = (Array1::zeros(3), Array1::zeros(3));
        super::normalize(losses.view(), out.view_mut(), scratch.slice_mut(s![..;-1]));
        assert_eq!(out.to_vec(), [1.0, -1.0, 0.0]);
    }
}
