//! Scales and ticks.

/// How many ticks a linear axis has about.
const TICKS: f64 = 8.0;

/// A mapping of values to \[0, 1\], with ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// A linear scale from one value to another.
    pub(super) fn between(low: f64, high: f64) -> Self {
        let (low, high) = widen(low, high);
        Self {
            low,
            high,
            log: false,
        }
    }

    /// A linear scale over the finite values, with a margin; it starts at 0 if the lowest value is near to it.
    pub(super) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(values).unwrap_or((0.0, 1.0));
        let from_zero = (0.0..0.5 * high).contains(&low);
        let (low, high) = widen(if from_zero { 0.0 } else { low }, high);
        let margin = 0.04 * (high - low);
        Self {
            low: if from_zero { 0.0 } else { low - margin },
            high: high + margin,
            log: false,
        }
    }

    /// A logarithmic scale over the finite positive values, with a margin.
    pub(super) fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let logs = values.into_iter().filter(|x| *x > 0.0).map(f64::log10);
        let (low, high) = extent(logs).unwrap_or((0.0, 1.0));
        let (low, high) = widen(low, high);
        let margin = 0.04 * (high - low);
        Self {
            low: low - margin,
            high: high + margin,
            log: true,
        }
    }

    /// Where a value lies, 0 at the low end and 1 at the high end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let value = if self.log { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    /// The low and the high end, and whether values in between are placed by their logarithm; then the ends are
    /// logarithms to base ten.
    pub(super) fn ends(&self) -> (f64, f64, bool) {
        (self.low, self.high, self.log)
    }

    /// Values to be labelled, with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        if self.log {
            self.log_ticks()
        } else {
            self.linear_ticks()
        }
    }

    fn linear_ticks(&self) -> Vec<(f64, String)> {
        let step = round_step((self.high - self.low) / TICKS);
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last)
            .map(|i| i as f64 * step)
            .map(|x| {
                let extreme = !(1e-6..1e5).contains(&step);
                (
                    x,
                    if extreme {
                        format!("{x:.1e}")
                    } else {
                        format!("{x:.decimals$}")
                    },
                )
            })
            .collect()
    }

    /// Powers of ten; also 2 and 5 times them where the scale spans less than two decades, and round numbers where
    /// fewer than two of these would show.
    fn log_ticks(&self) -> Vec<(f64, String)> {
        let decades = self.high - self.low;
        let stride = (decades / TICKS).ceil().max(1.0) as i32;
        let multiples: &[i32] = if decades < 2.0 { &[1, 2, 5] } else { &[1] };
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let mut ticks = Vec::new();
        for exponent in (first..=last).filter(|e| e.rem_euclid(stride) == 0) {
            for multiple in multiples {
                // Parsed, so that the value is the one that the label says.
                let label = format!("{multiple}e{exponent}");
                let value: f64 = label.parse().unwrap_or(f64::NAN);
                if (0.0..=1.0).contains(&self.position(value)) {
                    ticks.push((value, plain_or_scientific(value, label)));
                }
            }
        }
        if ticks.len() < 2 {
            ticks = Self::between(10.0_f64.powf(self.low), 10.0_f64.powf(self.high)).linear_ticks();
        }
        ticks
    }
}

/// Lowest and highest finite value.
fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|x| x.is_finite())
        .fold(None, |range, x| match range {
            None => Some((x, x)),
            Some((low, high)) => Some((low.min(x), high.max(x))),
        })
}

/// The range itself, or one around its single value.
fn widen(low: f64, high: f64) -> (f64, f64) {
    if high > low {
        (low, high)
    } else {
        let half = if low == 0.0 { 0.5 } else { 0.1 * low.abs() };
        (low - half, high + half)
    }
}

/// The nearest of 1, 2, 5 times a power of ten at or above a step.
fn round_step(step: f64) -> f64 {
    let power = 10.0_f64.powf(step.log10().floor());
    let choice = [1.0, 2.0, 5.0, 10.0];
    let multiple = choice
        .into_iter()
        .find(|m| step <= m * power * (1.0 + 1e-9));
    multiple.unwrap_or(10.0) * power
}

/// `0.01` and `100` as they are, smaller and larger ones in scientific notation.
fn plain_or_scientific(value: f64, scientific: String) -> String {
    if (0.01..1e4).contains(&value) {
        value.to_string()
    } else {
        scientific
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        let scale = Scale::linear([0.1, 1.17, f64::NAN, f64::INFINITY]);
        assert_eq!(
            labels(scale),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0", "1.2"]
        );
        assert_eq!(
            labels(Scale::between(0.0, 49.0)),
            ["0", "10", "20", "30", "40"]
        );
        assert_eq!(scale.position(0.0), 0.0);
        assert_eq!(Scale::between(0.0, 49.0).position(49.0), 1.0);
    }

    #[test]
    fn log_ticks_are_decades_or_finer() {
        assert_eq!(
            labels(Scale::log([1e-5, 0.06])),
            ["1e-5", "1e-4", "1e-3", "0.01"]
        );
        assert_eq!(
            labels(Scale::log([0.9, 12.0, -1.0, 0.0])),
            ["1", "2", "5", "10"]
        );
        assert_eq!(
            labels(Scale::log([0.005, 0.005])),
            ["0.003", "0.004", "0.005", "0.006", "0.007", "0.008"]
        );
        let wide = labels(Scale::log([1e-300, 1e300]));
        assert!(wide.len() <= 10, "{wide:?}");
    }

    #[test]
    fn empty_and_single_values_have_a_scale() {
        for values in [vec![], vec![0.0], vec![2.3], vec![-1.0], vec![f64::NAN]] {
            for scale in [Scale::linear(values.clone()), Scale::log(values.clone())] {
                assert!(scale.position(2.3).is_finite(), "{values:?}");
                assert!(!scale.ticks().is_empty(), "{values:?}");
            }
        }
    }
}
