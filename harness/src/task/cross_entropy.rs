//! Softmax and cross-entropy of logits.

use ndarray::{Array2, ArrayView2};

/// What the logits of a batch come to.
pub(super) struct CrossEntropy {
    /// Mean of −ln softmax(z)[label] (nats), NaN for an empty batch.
    pub(super) loss: f64,
    /// Rows whose label has a larger logit than every other class.
    pub(super) correct: u64,
    /// Derivative of the loss with respect to the logits, (softmax(z) − onehot(label)) / n, shape `[n, classes]`.
    pub(super) delta: Array2<f64>,
}

/// Cross-entropy of `logits`, shape `[n, classes]`, for `labels`, shape `[n]`, all below `classes`.
///
/// The largest logit is subtracted first, so that finite logits cannot overflow; NaN stays NaN.
pub(super) fn cross_entropy(logits: ArrayView2<'_, f64>, labels: &[u8]) -> CrossEntropy {
    let n = labels.len() as f64;
    let mut delta = Array2::zeros(logits.dim());
    let (mut loss, mut correct) = (0.0, 0);
    for (row, &label) in labels.iter().enumerate() {
        let label = usize::from(label);
        let logit = logits.row(row);
        let max = logit.fold(f64::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        let sum: f64 = logit.iter().map(|z| libm::exp(z - max)).sum();
        loss += libm::log(sum) + max - logit[label];
        let others = logit.iter().enumerate().filter(|&(k, _)| k != label);
        correct += u64::from(others.into_iter().all(|(_, &z)| z < logit[label]));
        for (k, z) in logit.iter().enumerate() {
            delta[(row, k)] = (libm::exp(z - max) / sum - f64::from(u8::from(k == label))) / n;
        }
    }
    CrossEntropy {
        loss: loss / n,
        correct,
        delta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn equal_logits_are_wrong_and_cost_the_log_of_the_classes() {
        let found = cross_entropy(array![[3.0, 3.0, 3.0, 3.0]].view(), &[1]);
        assert_eq!((found.loss, found.correct), (libm::log(4.0) + 3.0 - 3.0, 0));
        assert_eq!(found.delta, array![[0.25, -0.75, 0.25, 0.25]]);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let found = cross_entropy(array![[1e300, 0.0], [0.0, 1e300]].view(), &[0, 0]);
        assert_eq!((found.loss, found.correct), (5e299, 1));
    }

    #[test]
    fn nan_and_an_empty_batch_give_nan() {
        let found = cross_entropy(array![[f64::NAN, 1.0]].view(), &[1]);
        assert!(found.loss.is_nan() && found.correct == 0);
        assert!(
            cross_entropy(Array2::zeros((0, 3)).view(), &[])
                .loss
                .is_nan()
        );
    }
}
