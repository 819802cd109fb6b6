//! What the parameters of a schedule have to be; each check names the key and the value.

use crate::error::ConfigError;
use crate::method::kind::Range;

/// A base rate: positive and finite.
pub(super) fn checked_lr(lr: f64) -> Result<f64, ConfigError> {
    positive("lr", lr)
}

pub(crate) fn positive(key: &'static str, value: f64) -> Result<f64, ConfigError> {
    Range::POSITIVE.check(key, value)
}

pub(crate) fn not_negative(key: &'static str, value: f64) -> Result<f64, ConfigError> {
    Range::NOT_NEGATIVE.check(key, value)
}

pub(super) fn unit_interval(key: &'static str, value: f64) -> Result<f64, ConfigError> {
    Range::UNIT.check(key, value)
}

/// A lowest rate: finite, not negative, not above the base rate `lr`.
pub(crate) fn lowest_rate(key: &'static str, value: f64, lr: f64) -> Result<f64, ConfigError> {
    let value = not_negative(key, value)?;
    checked(key, value, value <= lr, "must not exceed lr")
}

pub(super) fn at_least_one(key: &'static str, value: u64) -> Result<u64, ConfigError> {
    Range::AT_LEAST_ONE.check(key, value as f64)?;
    Ok(value)
}

pub(crate) fn checked(
    key: &'static str,
    value: f64,
    good: bool,
    rule: &'static str,
) -> Result<f64, ConfigError> {
    if good {
        Ok(value)
    } else {
        Err(ConfigError::Value { key, value, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_rate_is_positive_and_finite() {
        for lr in [f64::MIN_POSITIVE, 0.005, 1.0, f64::MAX] {
            assert_eq!(checked_lr(lr), Ok(lr));
        }
        for lr in [
            0.0,
            -0.0,
            -0.005,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            let error = checked_lr(lr).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "lr = {}: must be positive and finite",
                    crate::short::Short(lr)
                )
            );
        }
    }

    #[test]
    fn a_lowest_rate_lies_between_zero_and_lr() {
        for value in [0.0, -0.0, 0.05, 0.1] {
            assert_eq!(lowest_rate("eta_min", value, 0.1), Ok(value));
        }
        for value in [
            -f64::MIN_POSITIVE,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            let error = lowest_rate("eta_min", value, 0.1).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "eta_min = {}: must be finite and not negative",
                    crate::short::Short(value)
                )
            );
        }
        let error = lowest_rate("min_lr", 0.2, 0.1).unwrap_err().to_string();
        assert_eq!(error, "min_lr = 0.2: must not exceed lr");
    }
}
