//! Solution of a positive definite system.

use ndarray::{Array1, Array2};

/// Solves A x = b by Cholesky's A = L Lᵀ. Of `a`, shape `[n, n]`, the lower triangle is read and overwritten with L; `b`,
/// shape `[n]`, is overwritten with x. Each sum has one order.
///
/// False, with both in disorder, if a pivot is not positive (or NaN): then A is not positive definite.
pub(super) fn solve(a: &mut Array2<f64>, b: &mut Array1<f64>) -> bool {
    let n = b.len();
    for j in 0..n {
        for i in j..n {
            let mut sum = a[(i, j)];
            for k in 0..j {
                sum -= a[(i, k)] * a[(j, k)];
            }
            if i > j {
                a[(i, j)] = sum / a[(j, j)];
            } else if sum > 0.0 {
                a[(j, j)] = sum.sqrt();
            } else {
                return false;
            }
        }
    }
    for i in 0..n {
        for k in 0..i {
            b[i] -= a[(i, k)] * b[k];
        }
        b[i] /= a[(i, i)];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            b[i] -= a[(k, i)] * b[k];
        }
        b[i] /= a[(i, i)];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn solves_what_is_positive_definite() {
        let mut a = array![[4.0, 9.0, 9.0], [2.0, 5.0, 9.0], [2.0, 3.0, 6.0]];
        // Lower triangle of [[4, 2, 2], [2, 5, 3], [2, 3, 6]], times (1, 2, 3).
        let mut b = array![14.0, 21.0, 26.0];
        assert!(solve(&mut a, &mut b));
        assert!((b - array![1.0, 2.0, 3.0]).iter().all(|d| d.abs() < 1e-14));
    }

    #[test]
    fn refuses_what_is_not() {
        for last in [1.0, 0.5, f64::NAN] {
            let mut a = array![[1.0, 1.0], [1.0, last]];
            assert!(!solve(&mut a, &mut array![1.0, 1.0]), "{last}");
        }
    }
}
