//! Settings and states as trees of values, whatever type they are of: read within bounds, written without loss, compared
//! key by key.

pub(crate) mod difference;
pub(crate) mod read;
pub(crate) mod within;
mod write;

use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeMap, Serializer};

use read::SettingsError;
pub(crate) use write::to_value;

/// The keys of a table, in the order in which they were read or written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table(pub(crate) Vec<(String, Value)>);

/// What a key holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Nothing,
    Switch(bool),
    Unsigned(u64),
    Signed(i64),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Table(Table),
}

/// By the bits of a number, so that NaN equals itself; and of one NaN, any is as good as another.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::Switch(a), Self::Switch(b)) => a == b,
            (Self::Unsigned(a), Self::Unsigned(b)) => a == b,
            (Self::Signed(a), Self::Signed(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => {
                a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
            }
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Table(a), Self::Table(b)) => a == b,
            _ => false,
        }
    }
}

/// What marks a number that is written as text, so that every format keeps its bits.
const EXACT: &str = "f64:";

impl Value {
    /// The same with numbers as texts such as `f64:0.1`. `serde_json`, for one, reads a number only to within its last
    /// bit unless a feature is switched on; a text it leaves alone.
    fn exact(&self) -> Self {
        match self {
            Self::Number(number) => Self::Text(format!("{EXACT}{number:?}")),
            Self::List(values) => Self::List(values.iter().map(Self::exact).collect()),
            Self::Table(table) => Self::Table(table.exact()),
            other => other.clone(),
        }
    }

    /// The inverse of [`Value::exact`]; numbers that are written as such are taken as they are.
    fn read_exact(self) -> Self {
        match self {
            Self::Text(text) => match text.strip_prefix(EXACT).map(str::parse) {
                Some(Ok(number)) => Self::Number(number),
                _ => Self::Text(text),
            },
            Self::List(values) => Self::List(values.into_iter().map(Self::read_exact).collect()),
            Self::Table(table) => Self::Table(table.read_exact()),
            other => other,
        }
    }
}

impl Table {
    pub(crate) fn exact(&self) -> Self {
        let exact = |(key, value): &(String, Value)| (key.clone(), value.exact());
        Self(self.0.iter().map(exact).collect())
    }

    pub(crate) fn read_exact(self) -> Self {
        let read = |(key, value): (String, Value)| (key, value.read_exact());
        Self(self.0.into_iter().map(read).collect())
    }

    /// The keys of what serialises as a table.
    ///
    /// # Panics
    /// If it does not: the type is wrong, whatever its value.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        match to_value(value) {
            Ok(Value::Table(table)) => table,
            Ok(other) => panic!("a table is needed, and this is none: {other:?}"),
            Err(error) => panic!("a state or setting cannot hold {error}"),
        }
    }

    /// What these keys say, checked; what is wrong is said with its key, whatever the type that holds it.
    pub(crate) fn settings<Raw, T>(self) -> Result<T, SettingsError>
    where
        Raw: DeserializeOwned,
        T: TryFrom<Raw>,
        SettingsError: From<T::Error>,
    {
        Ok(T::try_from(self.into::<Raw>()?)?)
    }

    /// What these keys say.
    pub(crate) fn into<T: DeserializeOwned>(self) -> Result<T, SettingsError> {
        T::deserialize(self)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_none(),
            Self::Switch(value) => serializer.serialize_bool(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Number(value) => crate::float_serde::Float(*value).serialize(serializer),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Table(table) => table.serialize(serializer),
        }
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_from_its_text() {
        let numbers = [
            0.1,
            -0.0,
            1.0,
            5e-324,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.1 + 0.2,
        ];
        let table = Table(vec![
            (
                "numbers".into(),
                Value::List(numbers.map(Value::Number).to_vec()),
            ),
            ("text".into(), Value::Text("f64:one".into())),
        ]);
        let exact = table.exact();
        let Value::List(texts) = &exact.0[0].1 else {
            panic!("a list stays one");
        };
        assert_eq!(texts[0], Value::Text("f64:0.1".into()));
        assert_eq!(exact.read_exact(), table);
    }

    #[test]
    fn numbers_are_equal_by_their_bits() {
        let number = Value::Number;
        assert_eq!(number(f64::NAN), number(-f64::NAN));
        assert_ne!(number(0.0), number(-0.0));
        assert_ne!(number(1.0), Value::Unsigned(1));
    }
}
