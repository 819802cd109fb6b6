//! The curves that schedules are made of.

use std::f64::consts::PI;

/// `from` at `share` 0 and `to` at `share` 1, both exactly; in between never outside of the two.
pub(super) fn interpolate(from: f64, to: f64, share: f64) -> f64 {
    // The clamp takes away what rounding adds; the convex form cannot overflow.
    (from * (1.0 - share) + to * share).clamp(from.min(to), from.max(to))
}

/// How much of `total` steps lies behind at `step`: in [0, 1], and exactly 1 from step `total` on.
/// `total` is at least 1.
pub(super) fn share(step: u64, total: u64) -> f64 {
    step.min(total) as f64 / total as f64
}

/// `(1 + cos(π · position)) / 2`: 1 at `position` 0 and 0 at 1, both exactly.
pub(super) fn half_cosine(position: f64) -> f64 {
    (1.0 + libm::cos(PI * position)) / 2.0
}

/// `lr · gamma^count` for positive finite `lr` and `gamma`; above the largest number it is [`f64::MAX`].
///
/// Right to a few units in the last place also where `gamma^count` alone is out of the range of f64 and the product
/// is not. A `count` above 2⁵³ is rounded to a float first.
pub(super) fn geometric(lr: f64, gamma: f64, count: u64) -> f64 {
    let count = count as f64;
    let power = libm::pow(gamma, count);
    let rate = if power.is_normal() {
        lr * power
    } else {
        // A product within range has a power between 2^±2150, whose fourth root is normal.
        let root = libm::pow(gamma, count / 4.0);
        lr * root * root * root * root
    };
    rate.min(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn interpolation_is_exact_at_both_ends_and_stays_between_them() {
        for (from, to) in [
            (0.1, 0.7),
            (0.7, 0.1),
            (1.0 / 3.0, 1.0 / 3.0),
            (f64::MAX, 0.0),
            (f64::MAX, f64::MAX),
        ] {
            assert_eq!(interpolate(from, to, 0.0), from);
            assert_eq!(interpolate(from, to, 1.0), to);
            for share in [0.1, 1.0 / 3.0, 0.9] {
                let value = interpolate(from, to, share);
                assert!(
                    from.min(to) <= value && value <= from.max(to),
                    "{from} {to} {share}: {value}"
                );
            }
        }
    }

    #[test]
    fn a_share_ends_at_one() {
        assert_eq!(
            [0, 1, 4, 5, u64::MAX].map(|t| share(t, 4)),
            [0.0, 0.25, 1.0, 1.0, 1.0]
        );
        assert_eq!([0, u64::MAX].map(|t| share(t, u64::MAX)), [0.0, 1.0]);
    }

    #[test]
    fn a_half_cosine_is_exact_at_its_ends() {
        assert_eq!((half_cosine(0.0), half_cosine(1.0)), (1.0, 0.0));
        // π/2 is not a float: its cosine is 6e-17.
        assert_relative_eq!(half_cosine(0.5), 0.5, max_relative = f64::EPSILON);
    }

    #[test]
    fn a_power_out_of_range_does_not_spoil_a_product_within() {
        // Powers of two are exact, so these products are.
        for (lr, gamma, count, expected) in [
            (
                1e-300,
                2.0,
                2000,
                1e-300 * 2_f64.powi(1000) * 2_f64.powi(1000),
            ),
            (
                1e300,
                0.5,
                2000,
                1e300 * 0.5_f64.powi(1000) * 0.5_f64.powi(1000),
            ),
            // The smallest number there is, and half of it.
            (1.0, 0.5, 1074, 5e-324),
            (1.0, 0.5, 1076, 0.0),
            (
                f64::MAX,
                0.5,
                2098,
                f64::MAX * 0.5_f64.powi(1049) * 0.5_f64.powi(1049),
            ),
        ] {
            assert_relative_eq!(
                geometric(lr, gamma, count),
                expected,
                max_relative = 4.0 * f64::EPSILON
            );
        }
    }

    #[test]
    fn far_away_a_rate_is_zero_or_the_largest_number() {
        for lr in [f64::MIN_POSITIVE, 1.0, f64::MAX] {
            assert_eq!(geometric(lr, 0.9, u64::MAX), 0.0);
            assert_eq!(geometric(lr, 1.0, u64::MAX), lr);
            assert_eq!(geometric(lr, 1.1, u64::MAX), f64::MAX);
            assert_eq!(geometric(lr, f64::MAX, u64::MAX), f64::MAX);
            assert_eq!(geometric(lr, f64::MIN_POSITIVE, u64::MAX), 0.0);
            assert_eq!(geometric(lr, f64::MAX, 0), lr);
        }
    }
}
