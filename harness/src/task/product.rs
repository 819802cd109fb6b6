//! Product of matrices with the same bits on every platform.

use ndarray::{Array2, ArrayView2};

/// `a · b`, shapes `[n, m]` and `[m, k]`; each entry is summed from its first term to its last.
pub(super) fn product(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    let columns = b.ncols().max(1);
    let b: Vec<f64> = b.iter().copied().collect();
    let mut out = Array2::zeros((a.nrows(), columns));
    for (a, mut out) in a.rows().into_iter().zip(out.rows_mut()) {
        let Some(out) = out.as_slice_mut() else {
            unreachable!("rows of a new array are contiguous");
        };
        for (&a, b) in a.iter().zip(b.chunks_exact(columns)) {
            for (out, &b) in out.iter_mut().zip(b) {
                *out += a * b;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn entries_are_rows_times_columns() {
        let (a, b) = (
            array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
            array![[7.0], [8.0]],
        );
        assert_eq!(product(a.view(), b.view()), array![[23.0], [53.0], [83.0]]);
        assert_eq!(
            product(b.t(), a.slice(ndarray::s![..2, ..])),
            array![[31.0, 46.0]]
        );
        assert_eq!(
            product(Array2::zeros((0, 2)).view(), b.view()).dim(),
            (0, 1)
        );
    }

    #[test]
    fn nan_is_not_lost_beside_a_zero() {
        let (a, b) = (array![[0.0, 1.0]], array![[f64::NAN], [1.0]]);
        assert!(product(a.view(), b.view())[(0, 0)].is_nan());
    }
}
