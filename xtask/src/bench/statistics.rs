//! Medians and spreads of a few turns.

use serde_json::{Value, json};

/// Median, smallest and largest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of no numbers.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self {
            median: f64::midpoint(below, above),
            min,
            max,
        })
    }

    pub(crate) fn json(self) -> Value {
        json!({"median": self.median, "min": self.min, "max": self.max})
    }
}

/// How many times as fast ours is as the fastest of the others, turn by turn; from seconds a call.
pub(crate) fn speedups(ours: &[f64], others: &[&[f64]]) -> Vec<f64> {
    let best = |turn: usize| {
        others
            .iter()
            .filter_map(|seconds| seconds.get(turn).copied())
            .min_by(f64::total_cmp)
    };
    ours.iter()
        .enumerate()
        .filter_map(|(turn, seconds)| Some(best(turn)? / seconds))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both() {
        let spread = |median, min, max| Some(Spread { median, min, max });
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 8.0]), spread(3.0, 1.0, 8.0));
        assert_eq!(Spread::of(&[5.0]), spread(5.0, 5.0, 5.0));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn each_turn_is_held_against_its_own_best() {
        let (eager, compiled) = ([2.0, 3.0], [4.0, 1.5]);
        assert_eq!(
            speedups(&[1.0, 3.0], &[&eager, &compiled]),
            [2.0, 0.5],
            "eager was the best in the first turn, compiled in the second"
        );
        assert_eq!(speedups(&[1.0], &[]), [0.0; 0]);
    }
}
