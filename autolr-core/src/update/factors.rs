//! The factors by which a probe tries to scale the learning rate.

use ndarray::{Array1, ArrayView1};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Basis;
use crate::ConfigError;
use crate::value::read::SettingsError;
use crate::value::within::Checked;

/// A validated, non-empty list of positive finite factors (dimensionless), in the order given.
///
/// The paper calls the sets of powers of two `factor_3`, `factor_5` and `factor_7` (section 3.1);
/// in files a set is a list of numbers or such a name.
///
/// ```
/// use autolr_core::Factors;
/// let factors = Factors::powers_of_two(5)?;
/// assert_eq!(factors.values().to_vec(), [4.0, 2.0, 1.0, 0.5, 0.25]);
/// # Ok::<(), autolr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    values: Array1<f64>,
    logs: Array1<f64>,
}

impl Factors {
    /// The factors given, in their order.
    ///
    /// # Errors
    /// [`ConfigError::NoFactors`] for an empty list, [`ConfigError::Factor`] for the first factor that is
    /// NaN, zero, negative or infinite.
    pub fn new(values: impl Into<Array1<f64>>) -> Result<Self, ConfigError> {
        // In one piece and in order, whatever view it was made from.
        let values = Array1::from_iter(values.into());
        if values.is_empty() {
            return Err(ConfigError::NoFactors);
        }
        for (index, &value) in values.iter().enumerate() {
            // Written so that NaN fails too.
            if !(value > 0.0 && value.is_finite()) {
                return Err(ConfigError::Factor { index, value });
            }
        }
        let logs = values.mapv(libm::log);
        Ok(Self { values, logs })
    }

    /// `n` factors `ratio^k` for k from (n−1)/2 down to −(n−1)/2, centred on 1.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `n` is even or outside 1 to 101, or `ratio` is not a finite number above 1;
    /// [`ConfigError::Factor`] if a power overflows.
    pub fn geometric(ratio: f64, n: usize) -> Result<Self, ConfigError> {
        if !(ratio > 1.0 && ratio.is_finite()) {
            return Err(ConfigError::Value {
                key: "ratio",
                value: ratio,
                rule: "a ratio must be finite and above 1",
            });
        }
        if n % 2 == 0 || n > 101 {
            return Err(ConfigError::Value {
                key: "n",
                value: n as f64,
                rule: "the number of factors must be odd, from 1 to 101",
            });
        }
        let half = (n / 2) as i32;
        let values: Vec<f64> = (0..n as i32)
            .map(|i| libm::pow(ratio, f64::from(half - i)))
            .collect();
        Self::new(values)
    }

    /// The paper's `factor_n`: powers of two centred on 1, largest first (section 3.1).
    ///
    /// # Errors
    /// As [`Factors::geometric`].
    pub fn powers_of_two(n: usize) -> Result<Self, ConfigError> {
        Self::geometric(2.0, n)
    }

    /// The set that a name such as `factor_5` stands for.
    ///
    /// # Errors
    /// [`ConfigError::UnknownFactors`] for any other text.
    pub fn named(name: &str) -> Result<Self, ConfigError> {
        name.strip_prefix("factor_")
            .and_then(|digits| {
                let n: usize = digits.parse().ok()?;
                // `+5` and `005` are numbers too, but no names.
                (n.to_string() == digits).then_some(n)
            })
            .and_then(|n| Self::powers_of_two(n).ok())
            .ok_or_else(|| ConfigError::UnknownFactors {
                name: name.to_owned(),
            })
    }

    /// The factors, shape `[n]`.
    pub fn values(&self) -> ArrayView1<'_, f64> {
        self.values.view()
    }

    /// Their natural logarithms, shape `[n]`.
    pub fn logs(&self) -> ArrayView1<'_, f64> {
        self.logs.view()
    }

    /// The factors as a slice.
    pub(crate) fn slice(&self) -> &[f64] {
        self.values.as_slice().unwrap_or_default()
    }

    /// What the geometric mean is taken over.
    pub(crate) fn basis(&self) -> Basis<'_> {
        Basis {
            factors: self.slice(),
            logs: self.logs.as_slice().unwrap_or_default(),
        }
    }

    /// How many there are; at least one.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.values.len()
    }
}

impl Serialize for Factors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values.iter())
    }
}

impl<'de> Deserialize<'de> for Factors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Self as Checked>::read(deserializer)?.map_err(de::Error::custom)
    }
}

impl Checked for Factors {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Result<Self, SettingsError>, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Result<Factors, ConfigError>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a list of factors, or a name such as \"factor_5\"")
            }
            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Factors::named(name))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element::<f64>()? {
                    values.push(value);
                }
                Ok(Factors::new(values))
            }
        }
        let read = from.deserialize_any(Visitor)?;
        Ok(read.map_err(SettingsError::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometric_factors_want_a_ratio_above_one() {
        let values = Factors::geometric(3.0, 3).unwrap().values().to_vec();
        assert_eq!(values, [3.0, 1.0, 1.0 / 3.0]);
        for ratio in [1.0, 0.5, f64::INFINITY, f64::NAN] {
            let error = Factors::geometric(ratio, 3).unwrap_err().to_string();
            assert!(error.starts_with("ratio = "), "{error}");
        }
    }

    #[test]
    fn what_is_no_list_of_factors_is_told_what_is() {
        let error = serde_json::from_str::<Factors>("true")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("a list of factors, or a name such as \"factor_5\""),
            "{error}"
        );
    }

    #[test]
    fn the_papers_sets() {
        let seven = Factors::powers_of_two(7).unwrap();
        assert_eq!(
            seven.values().to_vec(),
            [8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125]
        );
        assert_eq!(Factors::named("factor_3").unwrap().len(), 3);
        assert_eq!(Factors::powers_of_two(1).unwrap().values().to_vec(), [1.0]);
    }

    #[test]
    fn what_is_no_factor_is_named_with_its_place() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Factors::new(vec![1.0, bad]).unwrap_err();
            assert!(
                matches!(error, ConfigError::Factor { index: 1, .. }),
                "{error}"
            );
        }
        assert!(Factors::new(vec![f64::MIN_POSITIVE, f64::MAX]).is_ok());
        assert_eq!(
            Factors::new(Vec::new()).unwrap_err(),
            ConfigError::NoFactors
        );
        assert!(Factors::geometric(1.0, 3).is_err());
        assert!(Factors::geometric(1.0 + f64::EPSILON, 3).is_ok());
        assert!(Factors::powers_of_two(4).is_err());
        assert!(Factors::powers_of_two(101).is_ok());
        assert!(Factors::powers_of_two(103).is_err());
        for name in [
            "factor_five",
            "factor_+5",
            "factor_0005",
            "factor_05",
            "factor_ 5",
            "factor_",
        ] {
            let error = Factors::named(name).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("factors = {name:?}: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn files_hold_a_list_or_a_name() {
        let list: Factors = serde_json::from_str("[2, 1, 0.5]").unwrap();
        let name: Factors = serde_json::from_str("\"factor_3\"").unwrap();
        assert_eq!(list, name);
        assert_eq!(serde_json::to_string(&name).unwrap(), "[2.0,1.0,0.5]");
        let error = serde_json::from_str::<Factors>("[1, -2]").unwrap_err();
        assert!(error.to_string().contains("factors[1] = -2"), "{error}");
    }
}
