//! Several seeds as one curve: the median, and the range from the lowest to the highest.

/// One seed: its values epoch by epoch, and whether it diverged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeedCurve {
    pub(super) seed: u64,
    /// From epoch 0 on, as far as the run has come.
    pub(super) values: Vec<f64>,
    /// From where its values end, or are not finite, it counts as above every other.
    pub(super) diverged: bool,
}

/// Median and range of an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    /// Median over the seeds; infinite where half of them have diverged.
    pub(super) median: f64,
    /// Lowest value; infinite if all have diverged.
    pub(super) low: f64,
    /// Highest value; infinite if any has diverged.
    pub(super) high: f64,
}

/// Median and range, epoch by epoch, as far as the longest curve goes.
///
/// A seed that has diverged is not left out, which would make the others' median look better than what was run: from
/// there on it counts as infinite. A seed that is still training counts as far as it has come.
pub(super) fn spread(curves: &[SeedCurve]) -> Vec<Spread> {
    let epochs = curves.iter().map(|curve| curve.values.len()).max();
    let of = |epoch: usize| {
        let value = |curve: &SeedCurve| match curve.values.get(epoch) {
            Some(value) if value.is_finite() => Some(*value),
            None if !curve.diverged => None,
            _ => Some(f64::INFINITY),
        };
        let mut values: Vec<f64> = curves.iter().filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = values.get(middle).copied();
        let lower = values.get(values.len().saturating_sub(1) / 2).copied();
        Spread {
            median: upper
                .zip(lower)
                .map_or(f64::NAN, |(upper, lower)| lower / 2.0 + upper / 2.0),
            low: values.first().copied().unwrap_or(f64::NAN),
            high: values.last().copied().unwrap_or(f64::NAN),
        }
    };
    (0..epochs.unwrap_or(0)).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64], diverged: bool) -> SeedCurve {
        SeedCurve {
            seed: 0,
            values: values.to_vec(),
            diverged,
        }
    }

    #[test]
    fn medians_and_ranges_by_hand() {
        let curves = [
            curve(&[4.0, 1.0, 1.0], false),
            curve(&[3.0, 2.0, 1.0], false),
            curve(&[1.0, 6.0], false),
        ];
        let expected = [(3.0, 1.0, 4.0), (2.0, 1.0, 6.0), (1.0, 1.0, 1.0)];
        let expected = expected.map(|(median, low, high)| Spread { median, low, high });
        assert_eq!(spread(&curves), expected);
        assert_eq!(spread(&[]), []);
    }

    #[test]
    fn a_seed_that_diverged_counts_as_above_all_others() {
        let curves = [
            curve(&[4.0, 1.0, 1.0], false),
            curve(&[3.0, 2.0, 2.0], false),
            curve(&[5.0, f64::NAN], true),
            curve(&[2.0, f64::INFINITY], true),
        ];
        let spread = spread(&curves);
        assert_eq!(spread[0].median, 3.5);
        let late = Spread {
            median: f64::INFINITY,
            low: 1.0,
            high: f64::INFINITY,
        };
        assert_eq!(spread[1..], [late, late]);
    }
}
