//! The lines that `autolr update` reads.

use std::borrow::Cow;
use std::fmt;

use autolr_core::float_serde::Float;
use autolr_core::{
    AutoLrConfig, AutoLrState, Factors, NonFinite, Normalization, ProbeCost, SchedulerState,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess};
use serde::{Deserialize, Deserializer};

/// A line of input.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Input", untagged)]
pub(super) enum Line {
    Start(Start),
    Ask(Ask),
    Tell(Tell),
    Skip(Skip),
    Question(Question),
}

/// A scheduler at its beginning.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    /// The settings.
    #[schemars(with = "AutoLrConfig")]
    pub(super) start: Object<AutoLrConfig>,
}

/// Which rates are to be tried.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// Where the scheduler stands.
    pub(super) ask: State,
    /// The settings that the state has to be of.
    #[schemars(with = "Option<AutoLrConfig>")]
    pub(super) config: Option<Object<AutoLrConfig>>,
}

/// The losses of the rates tried.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tell {
    /// Where the scheduler stands.
    pub(super) tell: State,
    /// One a candidate, in the order of the candidates.
    pub(super) losses: Vec<Float>,
    /// What the probe cost; it is kept with the decision.
    #[schemars(with = "Option<ProbeCost>")]
    pub(super) cost: Option<Object<ProbeCost>>,
    /// The settings that the state has to be of.
    #[schemars(with = "Option<AutoLrConfig>")]
    pub(super) config: Option<Object<AutoLrConfig>>,
}

/// The present epoch or step ends without a decision.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Skip {
    /// Where the scheduler stands.
    pub(super) skip: State,
    /// The settings that the state has to be of.
    #[schemars(with = "Option<AutoLrConfig>")]
    pub(super) config: Option<Object<AutoLrConfig>>,
}

/// One update, without a state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// The present rate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) lr: f64,
    /// What it was scaled by.
    pub(super) factors: Factors,
    /// The losses that followed, one a factor.
    pub(super) losses: Vec<Float>,
    /// How they are made comparable.
    #[serde(default)]
    pub(super) normalization: Normalization,
    /// How much a low loss counts.
    #[serde(default = "default_sharpness")]
    #[schemars(range(min = 0))]
    pub(super) sharpness: f64,
    /// What a loss does that is not finite.
    #[serde(default)]
    pub(super) non_finite: NonFinite,
}

fn default_sharpness() -> f64 {
    autolr_core::ExponentialScore::default().sharpness()
}

/// A value from a JSON object: serde would take a list of the fields' values too.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

/// The state of the closed loop, with its `kind`.
///
/// Read field by field, so that a mistake is found at its key: as [`SchedulerState`] it would be read from a buffer,
/// in which the place is lost.
#[derive(Debug)]
pub(super) struct State(pub(super) AutoLrState);

impl State {
    pub(super) const KIND: &str = "autolr";
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = State;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, the `state` of an answer")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<State, A::Error> {
                let fields = WithoutKind { map, seen: false };
                AutoLrState::deserialize(MapAccessDeserializer::new(fields)).map(State)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A map's entries but `kind`, which has to be the closed loop's.
struct WithoutKind<A> {
    map: A,
    seen: bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutKind<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        loop {
            match self.map.next_key::<String>()? {
                None if !self.seen => return Err(de::Error::missing_field("kind")),
                None => return Ok(None),
                Some(key) if key == "kind" => {
                    if self.seen {
                        return Err(de::Error::duplicate_field("kind"));
                    }
                    self.seen = true;
                    let kind: String = self.map.next_value()?;
                    if kind != State::KIND {
                        return Err(de::Error::unknown_variant(&kind, &[State::KIND]));
                    }
                }
                Some(key) => return seed.deserialize(key.into_deserializer()).map(Some),
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl JsonSchema for State {
    fn schema_name() -> Cow<'static, str> {
        "State".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The state of the closed loop",
            "allOf": [generator.subschema_for::<SchedulerState>()],
            "properties": { "kind": { "const": State::KIND } },
        })
    }
}
