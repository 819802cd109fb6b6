//! Floats in JSON without loss: a finite number is a number, the others are the strings `"nan"`, `"inf"`, `"-inf"`.
//!
//! JSON has no NaN, and `serde_json` writes it as `null`: a diverged loss would be lost. Use with
//! `#[serde(with = "autolr_core::float_serde")]` for an `f64`, `float_serde::array` for an `Array1<f64>`,
//! `float_serde::vec` for a `Vec<f64>` and `float_serde::option` for an `Option<f64>`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An `f64` that reads and writes itself that way.
#[derive(Debug, Clone, Copy)]
pub struct Float(pub f64);

/// A clone is equal, NaN too.
impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        crate::same::same(self.0, other.0)
    }
}

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else if self.0.is_nan() {
            serializer.serialize_str("nan")
        } else if self.0 == f64::INFINITY {
            serializer.serialize_str("inf")
        } else {
            serializer.serialize_str("-inf")
        }
    }
}

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Float;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, \"nan\", \"inf\" or \"-inf\"")
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Float, E> {
                Ok(Float(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Float, E> {
                Ok(Float(value as f64))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Float, E> {
                Ok(Float(value as f64))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Float, E> {
                match value {
                    "nan" => Ok(Float(f64::NAN)),
                    "inf" => Ok(Float(f64::INFINITY)),
                    "-inf" => Ok(Float(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Writes an `f64`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Float(*value).serialize(serializer)
}

/// Reads an `f64`.
///
/// # Errors
/// If it is neither a number nor one of the three strings.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Float::deserialize(deserializer).map(|Float(value)| value)
}

/// The same for `Array1<f64>`.
pub mod array {
    use super::{Deserialize, Deserializer, Float, Serializer};
    use ndarray::Array1;

    /// Writes a vector.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        values: &Array1<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|&value| Float(value)))
    }

    /// Reads a vector.
    ///
    /// # Errors
    /// If an entry is neither a number nor one of the three strings.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Array1<f64>, D::Error> {
        let values = Vec::<Float>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|Float(value)| value).collect())
    }
}

/// The same for `Vec<f64>`.
pub mod vec {
    use super::{Deserialize, Deserializer, Float, Serializer};

    /// Writes a list.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|&value| Float(value)))
    }

    /// Reads a list.
    ///
    /// # Errors
    /// If an entry is neither a number nor one of the three strings.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Float>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|Float(value)| value).collect())
    }
}

/// The same for `Option<f64>`.
pub mod option {
    use super::{Deserialize, Deserializer, Float, Serialize, Serializer};

    /// Writes a number or `null`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Float).serialize(serializer)
    }

    /// Reads a number or `null`.
    ///
    /// # Errors
    /// If it is neither a number, one of the three strings nor `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Float>::deserialize(deserializer)?.map(|Float(value)| value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        for value in [
            0.1,
            -0.0,
            5e-324,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            let text = serde_json::to_string(&Float(value)).unwrap();
            let Float(back) = serde_json::from_str(&text).unwrap();
            assert!(
                back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()),
                "{text}"
            );
        }
        let error = serde_json::from_str::<Float>("\"NaN?\"").unwrap_err();
        let expected =
            "invalid value: string \"NaN?\", expected a number, \"nan\", \"inf\" or \"-inf\"";
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(serde_json::from_str::<Float>("null").is_err());
    }

    #[test]
    fn options_are_numbers_or_null() {
        #[derive(Serialize, Deserialize)]
        struct Loss(#[serde(with = "option")] Option<f64>);
        for (value, text) in [
            (Some(0.5), "0.5"),
            (None, "null"),
            (Some(f64::INFINITY), "\"inf\""),
        ] {
            assert_eq!(serde_json::to_string(&Loss(value)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Loss>(text).unwrap().0, value);
        }
    }
}
