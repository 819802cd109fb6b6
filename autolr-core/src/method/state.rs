//! What a method needs to go on where it stopped.

use serde::de::{self, DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use crate::StateError;
use crate::value::{Table, Value};

/// The state of a method, to be saved with a training's checkpoint. Going on from it gives the same rates as not having
/// stopped, bit for bit.
///
/// It serialises as a table with `kind`, `version` and the method's own fields. Numbers with a fraction are texts such as
/// `"f64:0.1"`, so that no format loses a bit of them; plain numbers are read too.
///
/// A method of your own makes one of its struct, and reads it back:
///
/// ```
/// use autolr_core::MethodState;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Mine { lr: f64, calls: u64 }
/// let state = MethodState::new("mine", 1, &Mine { lr: 0.1, calls: 3 });
/// let text = serde_json::to_string(&state)?;
/// assert_eq!(text, r#"{"kind":"mine","version":1,"lr":"f64:0.1","calls":3}"#);
/// let mine: Mine = serde_json::from_str::<MethodState>(&text)?.read("mine", 1..=1)?;
/// assert_eq!((mine.lr, mine.calls), (0.1, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MethodState {
    kind: String,
    version: u32,
    fields: Table,
}

impl MethodState {
    /// The fields of `state`, a struct of whatever serialises but bytes and maps with other keys than texts, of a method of
    /// this kind and version.
    ///
    /// # Panics
    /// If the type of `state` is another: a mistake in the method, found by its first use.
    pub fn new<T: Serialize + ?Sized>(kind: &str, version: u32, state: &T) -> Self {
        Self {
            kind: kind.to_owned(),
            version,
            fields: Table::of(state),
        }
    }

    /// The kind of method.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The version of its format.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The fields, as what they were.
    ///
    /// # Errors
    /// [`StateError::Kind`] and [`StateError::Version`] if the state is not of that kind or one of those versions,
    /// [`StateError::Field`] for a field that is missing, unknown or of another type.
    pub fn read<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        versions: std::ops::RangeInclusive<u32>,
    ) -> Result<T, StateError> {
        if self.kind != kind {
            return Err(StateError::Kind {
                found: self.kind.clone(),
                expected: kind,
            });
        }
        if !versions.contains(&self.version) {
            return Err(StateError::Version {
                found: self.version,
                expected: *versions.end(),
            });
        }
        let read = self.fields.clone().into();
        read.map_err(|error| StateError::Field(error.to_string()))
    }
}

impl Serialize for MethodState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let head = [
            ("kind".to_owned(), Value::Text(self.kind.clone())),
            ("version".to_owned(), Value::Unsigned(self.version.into())),
        ];
        let fields = self.fields.exact().0;
        Table(head.into_iter().chain(fields).collect()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MethodState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Table::read(
            deserializer,
            "the state of a method: a table with the keys `kind` and `version`",
        )?;
        let kind = table.take_text("kind").map_err(de::Error::custom)?;
        let version = table.take_unsigned("version").map_err(de::Error::custom)?;
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        Ok(Self {
            kind,
            version,
            fields: table.read_exact(),
        })
    }
}
