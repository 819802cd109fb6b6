//! From anything that serialises to a value.

use std::fmt;

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, Serializer,
};

use super::{Table, Value};

/// What a value looks like as a tree.
///
/// # Errors
/// [`Unsupported`] for bytes, and maps whose keys are no texts.
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Unsupported> {
    value.serialize(Writer)
}

/// What no setting or state holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unsupported(String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

impl ser::Error for Unsupported {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn unsupported<T>() -> Result<T, Unsupported> {
    Err(ser::Error::custom("a value of another kind"))
}

struct Writer;

/// A list on its way.
struct Items(Vec<Value>);

/// A table on its way, and the key whose value comes next.
struct Entries {
    table: Table,
    key: String,
}

impl SerializeSeq for Items {
    type Ok = Value;
    type Error = Unsupported;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        self.0.push(to_value(value)?);
        Ok(())
    }

    fn end(self) -> Result<Value, Unsupported> {
        Ok(Value::List(self.0))
    }
}

impl SerializeTuple for Items {
    type Ok = Value;
    type Error = Unsupported;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<Value, Unsupported> {
        SerializeSeq::end(self)
    }
}

impl SerializeMap for Entries {
    type Ok = Value;
    type Error = Unsupported;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unsupported> {
        match to_value(key)? {
            Value::Text(key) => self.key = key,
            _ => return unsupported(),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        let key = std::mem::take(&mut self.key);
        self.table.0.push((key, to_value(value)?));
        Ok(())
    }

    fn end(self) -> Result<Value, Unsupported> {
        Ok(Value::Table(self.table))
    }
}

impl SerializeStruct for Entries {
    type Ok = Value;
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        self.table.0.push((key.to_owned(), to_value(value)?));
        Ok(())
    }

    fn end(self) -> Result<Value, Unsupported> {
        SerializeMap::end(self)
    }
}

/// The values of a variant on their way.
struct InVariant<T> {
    variant: &'static str,
    inner: T,
}

fn variant(name: &str, value: Value) -> Value {
    Value::Table(Table(vec![(name.to_owned(), value)]))
}

impl ser::SerializeTupleStruct for Items {
    type Ok = Value;
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<Value, Unsupported> {
        SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleVariant for InVariant<Items> {
    type Ok = Value;
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        SerializeSeq::serialize_element(&mut self.inner, value)
    }

    fn end(self) -> Result<Value, Unsupported> {
        Ok(variant(self.variant, SerializeSeq::end(self.inner)?))
    }
}

impl ser::SerializeStructVariant for InVariant<Entries> {
    type Ok = Value;
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        SerializeStruct::serialize_field(&mut self.inner, key, value)
    }

    fn end(self) -> Result<Value, Unsupported> {
        Ok(variant(self.variant, SerializeStruct::end(self.inner)?))
    }
}

macro_rules! write {
    ($($method:ident: $type:ty => $variant:ident,)+) => {
        $(fn $method(self, value: $type) -> Result<Value, Unsupported> {
            Ok(Value::$variant(value.into()))
        })+
    };
}

impl Serializer for Writer {
    type Ok = Value;
    type Error = Unsupported;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = InVariant<Items>;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = InVariant<Entries>;

    write! {
        serialize_bool: bool => Switch,
        serialize_u8: u8 => Unsigned, serialize_u16: u16 => Unsigned,
        serialize_u32: u32 => Unsigned, serialize_u64: u64 => Unsigned,
        serialize_f32: f32 => Number, serialize_f64: f64 => Number,
        serialize_char: char => Text,
        serialize_str: &str => Text,
    }

    fn serialize_i8(self, value: i8) -> Result<Value, Unsupported> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<Value, Unsupported> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<Value, Unsupported> {
        self.serialize_i64(value.into())
    }

    /// As formats read them: a whole number that is not negative has no sign.
    fn serialize_i64(self, value: i64) -> Result<Value, Unsupported> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Value, Unsupported> {
        unsupported()
    }

    fn serialize_none(self) -> Result<Value, Unsupported> {
        Ok(Value::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Unsupported> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Unsupported> {
        Ok(Value::Nothing)
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Value, Unsupported> {
        self.serialize_str(name)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, Unsupported> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, Unsupported> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Unsupported> {
        Ok(self::variant(variant, to_value(value)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Unsupported> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, Unsupported> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Items, Unsupported> {
        Ok(Items(Vec::new()))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<InVariant<Items>, Unsupported> {
        let inner = Items(Vec::new());
        Ok(InVariant { variant, inner })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Unsupported> {
        Ok(Entries {
            table: Table::default(),
            key: String::new(),
        })
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Entries, Unsupported> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<InVariant<Entries>, Unsupported> {
        let inner = self.serialize_map(None)?;
        Ok(InVariant { variant, inner })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[test]
    fn a_value_of_any_kind_is_written() {
        #[derive(Serialize)]
        struct Marker;
        #[derive(Serialize)]
        struct Wrapped(u8);
        #[derive(Serialize)]
        enum Choice {
            Plain,
            With(i8),
        }
        #[derive(Serialize)]
        struct All {
            half: f32,
            some: Option<u8>,
            none: Option<u8>,
            marker: Marker,
            wrapped: Wrapped,
            choices: (Choice, Choice),
            map: std::collections::BTreeMap<String, bool>,
        }
        let all = All {
            half: 0.5,
            some: Some(3),
            none: None,
            marker: Marker,
            wrapped: Wrapped(4),
            choices: (Choice::Plain, Choice::With(-5)),
            map: [("on".to_owned(), true)].into(),
        };
        let table = |key: &str, value| Value::Table(Table(vec![(key.to_owned(), value)]));
        let expected = [
            ("half", Value::Number(0.5)),
            ("some", Value::Unsigned(3)),
            ("none", Value::Nothing),
            ("marker", Value::Text("Marker".into())),
            ("wrapped", Value::Unsigned(4)),
            (
                "choices",
                Value::List(vec![
                    Value::Text("Plain".into()),
                    table("With", Value::Signed(-5)),
                ]),
            ),
            ("map", table("on", Value::Switch(true))),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value));
        assert_eq!(Table::of(&all), Table(expected.to_vec()));
    }

    #[test]
    fn every_shape_of_a_state_comes_back() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Newtype(f64);
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        enum Stage {
            Idle,
            Racing(u64),
            Between(u64, f64),
            Named { slot: u32, lr: Option<f64> },
        }
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct All {
            stages: Vec<Stage>,
            newtype: Newtype,
            pair: (u8, String),
        }
        let all = All {
            stages: vec![
                Stage::Idle,
                Stage::Racing(1),
                Stage::Between(2, 0.1),
                Stage::Named {
                    slot: 3,
                    lr: Some(0.2),
                },
                Stage::Named { slot: 4, lr: None },
            ],
            newtype: Newtype(0.3),
            pair: (5, "five".into()),
        };
        let state = crate::MethodState::new("all", 1, &all);
        let text = serde_json::to_string(&state).unwrap();
        let state: crate::MethodState = serde_json::from_str(&text).unwrap();
        assert_eq!(state.read::<All>("all", 1..=1), Ok(all));
    }

    #[test]
    fn what_no_setting_holds_is_refused() {
        struct Bytes;
        impl Serialize for Bytes {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(b"x")
            }
        }
        let odd = Unsupported("a value of another kind".to_owned());
        assert_eq!(to_value(&Bytes), Err(odd.clone()));
        let keyed = std::collections::BTreeMap::from([(1, 2)]);
        assert_eq!(to_value(&keyed), Err(odd));
    }
}
