//! Mean, standard deviation and Student's interval.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean, standard deviation and 95 % interval of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Size of the sample, at least 1.
    pub n: usize,
    /// Mean `x̄ = Σ xᵢ / n`, in the values' unit.
    pub mean: f64,
    /// Standard deviation `s = √(Σ (xᵢ − x̄)² / (n − 1))`, in the values' unit; none of one value.
    pub deviation: Option<f64>,
    /// Half the width of the 95 % interval, `t₀.₉₇₅,ₙ₋₁ · s / √n`; none of one value.
    pub half_width: Option<f64>,
}

impl Estimate {
    /// Of values of shape `[n]`. None of an empty sample, or where a value or the result is not finite.
    ///
    /// The interval is Student's (1908, *The probable error of a mean*): it covers the mean in 95 % of samples from a
    /// normal distribution, whatever their size. No bootstrap: over 3 values a percentile bootstrap covers about 75 %.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        // NaN goes through the sum, infinities too.
        let mean = values.iter().sum::<f64>() / n as f64;
        if n == 0 || !mean.is_finite() {
            return None;
        }
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        let deviation = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        let half_width = match deviation {
            Some(s) => Some(quantile(n - 1)? * s / (n as f64).sqrt()),
            None => None,
        };
        let finite = half_width.is_none_or(f64::is_finite);
        finite.then_some(Self {
            n,
            mean,
            deviation,
            half_width,
        })
    }

    /// Ends of the 95 % interval; none of one value.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.half_width
            .map(|half| (self.mean - half, self.mean + half))
    }

    /// Whether the 95 % interval, its ends included, holds a value; none of one value.
    pub fn contains(&self, value: f64) -> Option<bool> {
        self.interval()
            .map(|(low, high)| (low..=high).contains(&value))
    }
}

/// The 0.975 quantile of Student's t with so many degrees of freedom, at least 1.
fn quantile(freedom: usize) -> Option<f64> {
    let t = StudentsT::new(0.0, 1.0, freedom as f64).ok()?;
    Some(t.inverse_cdf(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    /// Ten differences of hours of sleep: Student's own example.
    const SLEEP: [f64; 10] = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];

    #[test]
    fn quantiles_of_the_tables() {
        // Fisher and Yates, Statistical Tables, table III, and R's qt(0.975, n).
        for (freedom, t) in [
            (1, 12.706_204_736),
            (2, 4.302_652_730),
            (5, 2.570_581_836),
            (9, 2.262_157_163),
            (30, 2.042_272_456),
            (1000, 1.962_339_081),
        ] {
            assert_relative_eq!(quantile(freedom).unwrap(), t, max_relative = 1e-9);
        }
    }

    #[test]
    fn students_own_example() {
        let estimate = Estimate::of(&SLEEP).unwrap();
        assert_relative_eq!(estimate.mean, 1.58, max_relative = 1e-12);
        assert_relative_eq!(
            estimate.deviation.unwrap(),
            1.229_995_5,
            max_relative = 1e-7
        );
        // R: t.test(extra ~ group, data = sleep, paired = TRUE).
        let (low, high) = estimate.interval().unwrap();
        assert_relative_eq!(low, 0.700_114_2, max_relative = 1e-6);
        assert_relative_eq!(high, 2.459_885_8, max_relative = 1e-6);
        assert_eq!(estimate.contains(0.7), Some(false));
        assert_eq!(estimate.contains(0.701), Some(true));
    }

    #[test]
    fn by_hand() {
        let two = Estimate::of(&[1.0, 3.0]).unwrap();
        assert_eq!((two.n, two.mean), (2, 2.0));
        assert_relative_eq!(two.deviation.unwrap(), 2.0_f64.sqrt());
        assert_relative_eq!(two.half_width.unwrap(), 12.706_204_736, max_relative = 1e-9);
        let one = Estimate::of(&[7.0]).unwrap();
        assert_eq!((one.mean, one.deviation, one.half_width), (7.0, None, None));
        assert_eq!((one.interval(), one.contains(7.0)), (None, None));
    }

    #[test]
    fn what_has_no_mean_has_no_estimate() {
        for values in [
            &[][..],
            &[f64::NAN],
            &[1.0, f64::INFINITY],
            &[f64::INFINITY, f64::NEG_INFINITY],
            &[f64::MAX, f64::MAX],
            &[-f64::MAX, f64::MAX],
        ] {
            assert_eq!(Estimate::of(values), None, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn moves_and_stretches_with_its_values(
            values in proptest::collection::vec(-10.0..10.0_f64, 2..20),
            shift in -10.0..10.0_f64,
            scale in 0.1..10.0_f64,
        ) {
            let plain = Estimate::of(&values).unwrap();
            let moved: Vec<f64> = values.iter().map(|x| scale * x + shift).collect();
            let moved = Estimate::of(&moved).unwrap();
            prop_assert!((moved.mean - (scale * plain.mean + shift)).abs() < 1e-10);
            prop_assert!((moved.half_width.unwrap() - scale * plain.half_width.unwrap()).abs() < 1e-9);
            let (low, high) = plain.interval().unwrap();
            prop_assert!(low <= plain.mean && plain.mean <= high);
            prop_assert_eq!(plain.contains(plain.mean), Some(true));
        }
    }
}
