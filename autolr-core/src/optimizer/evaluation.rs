//! Which candidates of a probe get a forward pass: all, or four, where a parabola gives the losses of the others.

use serde::{Deserialize, Serialize};

/// How far the fourth loss may lie from the parabola through the other three, in parts of the spread of the four.
///
/// Over 243 recorded decisions of ResNet-18 with 5 and 7 candidates, 200 are within it, and each of those scales the rate
/// as all losses do, to within 4 %.
const TOLERANCE: f64 = 0.2;

/// Which candidates of a probe get a forward pass.
///
/// All losses of a probe lie along one line, θ − lr · u, on which a loss is nearly a parabola in the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evaluation {
    /// All: Algorithm 1, line 5.
    #[default]
    All,
    /// Of five or more, four at first: the lowest and the two highest rates, which give a parabola in the rate, and the
    /// one in the middle, which verifies it. It does if the four losses are finite and not all alike, and it lies within
    /// a fifth of their spread of the parabola, whichever way that is open. The other losses are then read off the
    /// polynomial of third degree through all four, which is the parabola itself where it is exact. Else the others are
    /// evaluated as well, and the outcome is that of [`Evaluation::All`], to the bit.
    Parabola,
}

impl Evaluation {
    /// How many of `candidates` get a forward pass, at least.
    pub fn fewest(self, candidates: usize) -> usize {
        match self {
            Self::All => candidates,
            Self::Parabola => candidates.min(4),
        }
    }

    /// The candidates that are evaluated first, if the others may not have to be: lowest rate, second highest, highest,
    /// middle.
    pub(super) fn first(self, lrs: &[f64]) -> Option<[usize; 4]> {
        let n = lrs.len();
        if self == Self::All || n < 5 {
            return None;
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| lrs[a].total_cmp(&lrs[b]));
        Some([order[0], order[n - 2], order[n - 1], order[n / 2]])
    }

    /// Writes into `losses` those that are read off, of which it looks only at the four that are evaluated first, and
    /// returns their indices, rising; none if all have to be evaluated. Both slices have shape `[n]`.
    ///
    /// So the rates and losses of a probe tell which of them were read off: they come out again.
    ///
    /// ```
    /// use autolr_core::optimizer::Evaluation;
    /// let lrs = [4.0, 2.0, 1.0, 0.5, 0.25];
    /// let loss = |lr: f64| (lr - 3.0) * (lr - 3.0);
    /// let mut losses = [loss(4.0), loss(2.0), loss(1.0), f64::NAN, loss(0.25)];
    /// assert_eq!(Evaluation::Parabola.read_off(&lrs, &mut losses), [3]);
    /// assert!((losses[3] - loss(0.5)).abs() < 1e-14);
    /// ```
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn read_off(self, lrs: &[f64], losses: &mut [f64]) -> Vec<usize> {
        assert_eq!(lrs.len(), losses.len(), "one loss a rate");
        let Some(first) = self.first(lrs) else {
            return Vec::new();
        };
        let Some(curve) = Curve::through(first.map(|i| (lrs[i], losses[i]))) else {
            return Vec::new();
        };
        let others: Vec<usize> = (0..lrs.len()).filter(|i| !first.contains(i)).collect();
        let read: Vec<f64> = others.iter().map(|&i| curve.at(lrs[i])).collect();
        if read.iter().any(|loss| !loss.is_finite()) {
            return Vec::new();
        }
        for (&i, loss) in others.iter().zip(read) {
            losses[i] = loss;
        }
        others
    }
}

/// A polynomial of third degree in Newton's form, in rates as parts of the highest.
struct Curve {
    /// The highest rate.
    unit: f64,
    nodes: [f64; 3],
    /// Value at the first node, and divided differences.
    coefficients: [f64; 4],
}

impl Curve {
    /// Through four points, if the last lies near the parabola through the others.
    fn through(points: [(f64, f64); 4]) -> Option<Self> {
        let unit = points[2].0;
        let [x0, x1, x2, x3] = points.map(|(lr, _)| lr / unit);
        let losses = points.map(|(_, loss)| loss);
        let [y0, y1, y2, y3] = losses;
        let low = (y1 - y0) / (x1 - x0);
        let high = (y2 - y1) / (x2 - x1);
        let parabola = Self {
            unit,
            nodes: [x0, x1, x2],
            coefficients: [y0, low, (high - low) / (x2 - x0), 0.0],
        };
        let error = y3 - parabola.value(x3);
        let spread = losses.into_iter().fold(f64::NEG_INFINITY, f64::max)
            - losses.into_iter().fold(f64::INFINITY, f64::min);
        let finite = spread.is_finite() && losses.into_iter().all(f64::is_finite);
        // Written so that NaN fails, as two equal rates give it. Four equal losses say nothing of the others.
        if !(finite && spread > 0.0 && error.abs() <= TOLERANCE * spread) {
            return None;
        }
        let [y0, first, second, _] = parabola.coefficients;
        let third = error / ((x3 - x0) * (x3 - x1) * (x3 - x2));
        Some(Self {
            coefficients: [y0, first, second, third],
            ..parabola
        })
    }

    fn at(&self, lr: f64) -> f64 {
        self.value(lr / self.unit)
    }

    fn value(&self, x: f64) -> f64 {
        let ([x0, x1, x2], [y0, first, second, third]) = (self.nodes, self.coefficients);
        y0 + (x - x0) * (first + (x - x1) * (second + (x - x2) * third))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    const LRS: [f64; 7] = [8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125];

    fn read(losses: [f64; 7]) -> ([f64; 7], Vec<usize>) {
        let mut found = losses;
        let read = Evaluation::Parabola.read_off(&LRS, &mut found);
        (found, read)
    }

    #[test]
    fn an_exact_parabola_is_recovered_whichever_way_it_opens() {
        let parabolas: [fn(f64) -> f64; 4] = [
            |x| 1.0 + (x - 3.0) * (x - 3.0),
            |x| 2.0 - 0.1 * x,
            |x| 2.0 + x,
            |x| 2.0 - (x - 1.0) * (x - 1.0),
        ];
        for loss in parabolas {
            let mut losses = LRS.map(loss);
            for i in [2, 4, 5] {
                losses[i] = f64::NAN;
            }
            let (found, read) = read(losses);
            assert_eq!(read, [2, 4, 5]);
            for (lr, found) in LRS.into_iter().zip(found) {
                // A few roundings of values up to 50.
                assert_relative_eq!(found, loss(lr), epsilon = 1e-13);
            }
        }
    }

    #[test]
    fn the_order_of_the_candidates_is_of_no_matter() {
        let lrs = [1.0, 8.0, 0.25, 4.0, 2.0];
        let first = Evaluation::Parabola.first(&lrs).unwrap();
        assert_eq!(first.map(|i| lrs[i]), [0.25, 4.0, 8.0, 2.0]);
        assert_eq!(Evaluation::All.first(&lrs), None);
    }

    #[test]
    fn up_to_a_fifth_of_the_spread_is_verified_and_no_more() {
        // The middle is far from both ends, which give the spread.
        let exact = LRS.map(|lr| (lr - 4.5) * (lr - 4.5));
        let spread = exact[6] - exact[1];
        for (share, verified) in [
            (0.199, true),
            (-0.199, true),
            (0.201, false),
            (-0.201, false),
        ] {
            let mut losses = exact;
            losses[3] += share * spread;
            let (found, read) = read(losses);
            assert_eq!(!read.is_empty(), verified, "{share}");
            // What was evaluated stays, and all of it if nothing is read off.
            let evaluated = |i: &usize| !read.contains(i);
            for i in (0..7).filter(evaluated) {
                assert_eq!(found[i].to_bits(), losses[i].to_bits());
            }
            // Read off the curve through all four, not off the three: between 1 and 4 it bends with the fourth.
            if verified {
                assert!((found[2] - exact[2]) * share > 0.0, "{found:?}");
            }
        }
    }

    #[test]
    fn nothing_is_read_off_what_is_no_parabola() {
        let line = LRS.map(|lr| 8.0 - lr);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for i in [0, 1, 3, 6] {
                let mut losses = line;
                losses[i] = bad;
                assert!(read(losses).1.is_empty(), "{bad} at {i}");
            }
        }
        assert!(read([2.0; 7]).1.is_empty());
        let huge = LRS.map(|lr| if lr > 4.0 { f64::MAX } else { -f64::MAX });
        assert!(read(huge).1.is_empty());
    }

    #[test]
    fn rates_that_give_no_parabola_have_all_evaluated() {
        for lrs in [
            [1.0; 5],
            [2.0, 2.0, 1.0, 0.5, 0.25],
            [0.0; 5],
            [f64::NAN, 2.0, 1.0, 0.5, 0.25],
            [f64::INFINITY, 2.0, 1.0, 0.5, 0.25],
        ] {
            let mut losses = [5.0, 4.0, 3.0, 2.0, 1.0];
            assert!(Evaluation::Parabola.read_off(&lrs, &mut losses).is_empty());
            assert_eq!(losses, [5.0, 4.0, 3.0, 2.0, 1.0]);
        }
        // Small or large ones do.
        for scale in [1e-300, 1e300] {
            let lrs = LRS.map(|lr| lr * scale);
            let mut losses = LRS.map(|lr| 8.0 - lr);
            assert_eq!(Evaluation::Parabola.read_off(&lrs, &mut losses).len(), 3);
        }
    }

    #[test]
    fn four_candidates_are_all_evaluated() {
        for n in 0..=4 {
            let (lrs, mut losses) = (&LRS[..n], vec![1.0; n]);
            assert!(Evaluation::Parabola.read_off(lrs, &mut losses).is_empty());
            assert_eq!(Evaluation::Parabola.fewest(n), n);
        }
        assert_eq!(Evaluation::Parabola.fewest(7), 4);
        assert_eq!(Evaluation::All.fewest(7), 7);
        let mut losses = LRS.map(|lr| 8.0 - lr);
        assert!(Evaluation::All.read_off(&LRS, &mut losses).is_empty());
    }
}
