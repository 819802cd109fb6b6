//! Where two configurations differ, key by key: what serde writes of each, flattened.

use std::fmt;

use serde::ser::{self, Impossible, Serialize, Serializer};

use crate::error::FieldDifference;
use crate::short::Short;

/// The keys, such as `base.t_max`, in which `saved` and `configured` differ. Where the `kind` of a table does, its other
/// keys are not compared.
pub(crate) fn differences<T: Serialize>(
    name: &str,
    saved: &T,
    configured: &T,
) -> Vec<FieldDifference> {
    let (saved, configured) = (leaves(name, saved), leaves(name, configured));
    let text_in = |leaves: &[(String, String)], key: &str| {
        let found = leaves.iter().find(|(other, _)| other == key);
        found.map_or_else(|| "absent".to_owned(), |(_, text)| text.clone())
    };
    let new = configured
        .iter()
        .filter(|(key, _)| saved.iter().all(|(other, _)| other != key));
    let mut found: Vec<FieldDifference> = saved
        .iter()
        .chain(new)
        .map(|(key, _)| FieldDifference {
            field: key.clone().into(),
            saved: text_in(&saved, key),
            configured: text_in(&configured, key),
        })
        .filter(|difference| difference.saved != difference.configured)
        .collect();
    let tables: Vec<String> = found
        .iter()
        .filter_map(|difference| difference.field.strip_suffix("kind"))
        .map(str::to_owned)
        .collect();
    found.retain(|difference| {
        let is_within = |table: &String| {
            let key = difference.field.strip_prefix(table.as_str());
            key.is_some_and(|key| key != "kind")
        };
        !tables.iter().any(is_within)
    });
    found
}

fn leaves<T: Serialize>(name: &str, value: &T) -> Vec<(String, String)> {
    let mut leaves = Leaves {
        path: name.to_owned(),
        found: Vec::new(),
    };
    match value.serialize(&mut leaves) {
        Ok(()) => leaves.found,
        Err(error) => vec![(name.to_owned(), error.to_string())],
    }
}

/// Collects the path and the text of each value that holds no others.
struct Leaves {
    path: String,
    found: Vec<(String, String)>,
}

impl Leaves {
    fn leaf(&mut self, text: impl fmt::Display) -> Result<(), Unsupported> {
        self.found.push((self.path.clone(), text.to_string()));
        Ok(())
    }

    fn within<T: Serialize + ?Sized>(&mut self, step: &str, value: &T) -> Result<(), Unsupported> {
        let length = self.path.len();
        self.path += step;
        let outcome = value.serialize(&mut *self);
        self.path.truncate(length);
        outcome
    }
}

/// What no configuration of this crate holds.
#[derive(Debug)]
struct Unsupported(String);

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

struct Items<'a> {
    leaves: &'a mut Leaves,
    index: usize,
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        let step = format!("[{}]", self.index);
        self.index += 1;
        self.leaves.within(&step, value)
    }

    fn end(self) -> Result<(), Unsupported> {
        Ok(())
    }
}

impl ser::SerializeStruct for &mut Leaves {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        self.within(&format!(".{key}"), value)
    }

    fn end(self) -> Result<(), Unsupported> {
        Ok(())
    }
}

macro_rules! leaf {
    ($($method:ident: $type:ty,)+) => {
        $(fn $method(self, value: $type) -> Result<(), Unsupported> {
            self.leaf(value)
        })+
    };
}

impl<'a> Serializer for &'a mut Leaves {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Impossible<(), Unsupported>;
    type SerializeTupleStruct = Impossible<(), Unsupported>;
    type SerializeTupleVariant = Impossible<(), Unsupported>;
    type SerializeMap = Impossible<(), Unsupported>;
    type SerializeStruct = &'a mut Leaves;
    type SerializeStructVariant = Impossible<(), Unsupported>;

    leaf! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32,
        serialize_char: char,
        serialize_str: &str,
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unsupported> {
        self.leaf(Short(value))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unsupported> {
        unsupported()
    }

    fn serialize_none(self) -> Result<(), Unsupported> {
        self.leaf("absent")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unsupported> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unsupported> {
        unsupported()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Unsupported> {
        self.leaf(name)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Unsupported> {
        self.leaf(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        self.within(&format!(".{variant}"), value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, Unsupported> {
        Ok(Items {
            leaves: self,
            index: 0,
        })
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unsupported> {
        unsupported()
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleStruct, Unsupported> {
        unsupported()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleVariant, Unsupported> {
        unsupported()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unsupported> {
        unsupported()
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStruct, Unsupported> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStructVariant, Unsupported> {
        unsupported()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::ScheduleConfig;
    use serde::Serialize;

    fn between(saved: &str, configured: &str) -> Vec<String> {
        let read = |text| serde_json::from_str::<ScheduleConfig>(text).unwrap();
        differences("base", &read(saved), &read(configured))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_value_of_any_kind_has_a_text() {
        #[derive(Serialize)]
        struct Marker;
        #[derive(Serialize)]
        struct Wrapped(u8);
        #[derive(Serialize)]
        enum Choice {
            Plain,
            With(u8),
        }
        #[derive(Serialize)]
        struct All {
            half: f32,
            some: Option<u8>,
            none: Option<u8>,
            marker: Marker,
            wrapped: Wrapped,
            plain: Choice,
            with: Choice,
        }
        let all = All {
            half: 0.5,
            some: Some(3),
            none: None,
            marker: Marker,
            wrapped: Wrapped(4),
            plain: Choice::Plain,
            with: Choice::With(5),
        };
        let expected = [
            ("x.half", "0.5"),
            ("x.some", "3"),
            ("x.none", "absent"),
            ("x.marker", "Marker"),
            ("x.wrapped", "4"),
            ("x.plain", "Plain"),
            ("x.with.With", "5"),
        ];
        let expected = expected.map(|(key, text)| (key.to_owned(), text.to_owned()));
        assert_eq!(leaves("x", &all), expected);
    }

    #[test]
    fn what_no_configuration_holds_is_said_to_be_that() {
        struct Bytes;
        impl Serialize for Bytes {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(b"x")
            }
        }
        let odd = [("x".to_owned(), "a value of another kind".to_owned())];
        assert_eq!(leaves("x", &()), odd);
        assert_eq!(leaves("x", &Bytes), odd);
        assert_eq!(leaves("x", &(1, 2)), odd);
    }

    #[test]
    fn the_key_that_differs_is_named_with_its_path() {
        let cosine = |t_max: u64| format!(r#"{{"kind": "cosine", "lr": 1, "t_max": {t_max}}}"#);
        assert_eq!(between(&cosine(5), &cosine(5)), Vec::<String>::new());
        assert_eq!(
            between(&cosine(5), &cosine(7)),
            ["base.t_max was 5 and is 7"]
        );
        assert_eq!(
            between(&cosine(5), r#"{"kind": "fixed", "lr": 1e-9}"#),
            ["base.kind was cosine and is fixed"]
        );
        let product = |inner: &[&str]| {
            format!(
                r#"{{"kind": "product", "schedules": [{}]}}"#,
                inner.join(",")
            )
        };
        let steps =
            |list: &str| format!(r#"{{"kind": "multi-step", "lr": 1, "milestones": {list}}}"#);
        assert_eq!(
            between(
                &product(&[&cosine(5), &steps("[3]")]),
                &product(&[r#"{"kind": "fixed", "lr": 2}"#, &steps("[3, 4]")])
            ),
            [
                "base.schedules[0].kind was cosine and is fixed",
                "base.schedules[1].milestones[1] was absent and is 4"
            ]
        );
    }
}
