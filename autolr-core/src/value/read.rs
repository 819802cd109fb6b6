//! Reading what has a `kind`: its keys are held back until the kind is known, no deeper than schedules go.
//!
//! serde's own internally tagged enums hold them back without a bound: a format that has no limit
//! itself overflows the stack. They also forget in which part of a nested schedule an error was.

use std::{fmt, iter, vec};

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Table, Value};
use crate::error::ConfigError;
use crate::schedule::ScheduleConfig;

/// How many tables and lists may lie within each other: a schedule in the list of another takes
/// two, and the innermost may hold a list of numbers. A schedule may lie in a scheduler's
/// configuration, and that in a state.
const MAX_CONTAINERS: usize = 2 * ScheduleConfig::MAX_NESTING + 2;

impl Table {
    /// Reads a table, `what` for an error's words, and no further than schedules may be nested.
    pub(crate) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        what: &'static str,
    ) -> Result<Self, D::Error> {
        let bound = Bound(MAX_CONTAINERS);
        deserializer.deserialize_map(TableVisitor { bound, what })
    }

    /// Takes the text of a key out.
    pub(crate) fn take_text(&mut self, key: &'static str) -> Result<String, SettingsError> {
        self.take(key)
    }

    /// Takes the whole number of a key out.
    pub(crate) fn take_unsigned(&mut self, key: &'static str) -> Result<u64, SettingsError> {
        self.take(key)
    }

    /// Takes what a key holds out.
    pub(crate) fn take<T: de::DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Result<T, SettingsError> {
        let index = self.0.iter().position(|(name, _)| name == key);
        let index = index.ok_or_else(|| <SettingsError as de::Error>::missing_field(key))?;
        let (_, value) = self.0.remove(index);
        T::deserialize(value).map_err(|error: SettingsError| error.under(key))
    }

    /// Whether there is such a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }
}

/// How many tables and lists may lie within each other from here on.
#[derive(Clone, Copy)]
struct Bound(usize);

impl Bound {
    fn one_less<E: de::Error>(self) -> Result<Self, E> {
        match self.0.checked_sub(1) {
            Some(left) => Ok(Self(left)),
            None => Err(E::custom(format_args!(
                "schedules are nested more than {} levels deep",
                ScheduleConfig::MAX_NESTING
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Bound {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bound {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number, a text, a list or a table")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Switch(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.one_less()?;
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(inner)? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let table = TableVisitor {
            bound: self,
            what: "a table",
        };
        table.visit_map(map).map(Value::Table)
    }
}

struct TableVisitor {
    bound: Bound,
    what: &'static str,
}

impl<'de> Visitor<'de> for TableVisitor {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
        let inner = self.bound.one_less()?;
        let mut entries = Vec::new();
        while let Some(key) = map.next_key()? {
            entries.push((key, map.next_value_seed(inner)?));
        }
        Ok(Table(entries))
    }
}

/// What is wrong with the settings of a method or schedule, and with which key.
///
/// ```
/// use autolr_core::MethodConfig;
/// let settings = serde_json::json!({"kind": "warm-up", "steps": 5, "schedule": {"kind": "fixed", "lr": 0}});
/// let error = MethodConfig::read(settings).unwrap_err();
/// assert_eq!(error.path(), "schedule.lr");
/// assert_eq!(error.to_string(), "schedule.lr = 0: must be positive and finite");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    path: String,
    /// With the sign that it begins with after a path: ` = `, `: `.
    rest: String,
}

impl SettingsError {
    /// The path to the key, such as `schedules[1].lr`; empty for what concerns all keys.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the path in a message: ` = 0: must be positive and finite`, `: missing field`.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// A value of a key that breaks a rule.
    pub fn value(key: &str, value: impl fmt::Display, rule: impl fmt::Display) -> Self {
        Self {
            path: key.to_owned(),
            rest: format!(" = {value}: {rule}"),
        }
    }

    /// The same with a key, or an index, before the path.
    pub(crate) fn under(mut self, key: &str) -> Self {
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, key);
        self
    }
}

impl From<ConfigError> for SettingsError {
    fn from(error: ConfigError) -> Self {
        let (path, rest) = error.parts();
        Self { path, rest }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(self.rest.trim_start_matches(": "));
        }
        write!(f, "{}{}", self.path, self.rest)
    }
}

impl std::error::Error for SettingsError {}

impl de::Error for SettingsError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: String::new(),
            rest: format!(": {message}"),
        }
    }
}

impl<'de> Deserializer<'de> for Table {
    type Error = SettingsError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        visitor.visit_map(Entries {
            rest: self.0.into_iter(),
            value: None,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = SettingsError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        match self {
            Self::Nothing => visitor.visit_unit(),
            Self::Switch(value) => visitor.visit_bool(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Number(value) => visitor.visit_f64(value),
            Self::Text(value) => visitor.visit_string(value),
            Self::List(nodes) => visitor.visit_seq(Items(nodes.into_iter().enumerate())),
            Self::Table(table) => table.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        match self {
            Self::Text(name) => visitor.visit_enum(name.into_deserializer()),
            // A variant with values is the only key of a table.
            Self::Table(mut table) if table.0.len() == 1 => match table.0.pop() {
                Some((name, value)) => visitor.visit_enum(Variant { name, value }),
                None => Err(de::Error::custom("a variant without a name")),
            },
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        match self {
            Self::Nothing => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant and what it holds.
struct Variant {
    name: String,
    value: Value,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = SettingsError;
    type Variant = Value;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Value), SettingsError> {
        let name: StringDeserializer<SettingsError> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.value))
    }
}

impl<'de> VariantAccess<'de> for Value {
    type Error = SettingsError;

    fn unit_variant(self) -> Result<(), SettingsError> {
        de::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, SettingsError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        self.deserialize_any(visitor)
    }
}

/// The entries of a table that are still to be read, and the value of the key that was.
struct Entries {
    rest: vec::IntoIter<(String, Value)>,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = SettingsError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, SettingsError> {
        self.value = self.rest.next();
        match &self.value {
            Some((key, _)) => seed.deserialize(key.as_str().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, SettingsError> {
        match self.value.take() {
            Some((key, node)) => seed.deserialize(node).map_err(|error| error.under(&key)),
            None => Err(de::Error::custom("a value was asked for without its key")),
        }
    }
}

struct Items(iter::Enumerate<vec::IntoIter<Value>>);

impl<'de> SeqAccess<'de> for Items {
    type Error = SettingsError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, SettingsError> {
        match self.0.next() {
            Some((index, node)) => seed
                .deserialize(node)
                .map(Some)
                .map_err(|error| error.under(&format!("[{index}]"))),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::Error;

    /// A format without a limit: tables, or lists, within each other without end.
    #[derive(Clone, Copy)]
    struct Endless {
        lists: bool,
    }

    impl<'de> Deserializer<'de> for Endless {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if self.lists {
                visitor.visit_seq(self)
            } else {
                visitor.visit_map(self)
            }
        }

        fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_map(self)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct struct enum identifier
            ignored_any
        }
    }

    impl<'de> MapAccess<'de> for Endless {
        type Error = Error;

        fn next_key_seed<K: DeserializeSeed<'de>>(
            &mut self,
            seed: K,
        ) -> Result<Option<K::Value>, Error> {
            seed.deserialize("schedule".into_deserializer()).map(Some)
        }

        fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
            seed.deserialize(*self)
        }
    }

    impl<'de> SeqAccess<'de> for Endless {
        type Error = Error;

        fn next_element_seed<T: DeserializeSeed<'de>>(
            &mut self,
            seed: T,
        ) -> Result<Option<T::Value>, Error> {
            seed.deserialize(*self).map(Some)
        }
    }

    #[test]
    fn an_endless_input_is_refused() {
        for lists in [false, true] {
            let schedule = <ScheduleConfig as de::Deserialize>::deserialize(Endless { lists });
            assert_eq!(
                schedule.unwrap_err().to_string(),
                "schedules are nested more than 32 levels deep"
            );
        }
    }

    #[test]
    fn what_no_schedule_has_is_refused() {
        let bytes = de::value::BytesDeserializer::<Error>::new(b"lr");
        let error = Bound(1).deserialize(bytes).map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid type: byte array, expected a number, a text, a list or a table"
        );
    }
}
