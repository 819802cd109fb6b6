//! The lines that `autolr update` reads.

use std::borrow::Cow;
use std::fmt;

use autolr_core::float_serde::Float;
use autolr_core::{
    AutoLrConfig, Budget, Factors, MethodConfig, MethodState, NonFinite, Normalization, ProbeCost,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess};
use serde::{Deserialize, Deserializer};

/// A line of input.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Input", untagged)]
pub(super) enum Line {
    Start(Start),
    Ask(Ask),
    Tell(Tell),
    Skip(Skip),
    Method(Begin),
    Event(Happened),
    Resume(Resume),
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

/// Any scheduler at its beginning.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    /// The settings, with their `kind`.
    pub(super) method: MethodConfig,
}

/// Something happened in the training, or a request was carried out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Happened {
    /// What.
    pub(super) event: Told,
    /// Where the scheduler stands.
    pub(super) state: State,
    /// Compute that is spent and left.
    #[serde(default)]
    pub(super) budget: Budget,
}

/// What is a scheduler waiting for?
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    /// Where the scheduler stands.
    pub(super) resume: State,
}

/// What happened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Told {
    /// Before the first step.
    Start {
        /// Optimiser steps of the whole run.
        steps: u64,
        /// Optimiser steps of an epoch.
        steps_per_epoch: u64,
    },
    /// Loss and gradient of the next step's batch are known, the step is not taken yet.
    Gradient {
        /// Mean loss of the batch.
        #[schemars(with = "Float")]
        loss: Float,
        /// Squared Euclidean norm of the gradient.
        #[schemars(with = "Float")]
        squared_norm: Float,
    },
    /// A step was taken.
    Step {
        /// Mean loss of its batch before it.
        #[schemars(with = "Option<Float>")]
        loss: Option<Float>,
    },
    /// An epoch and its validation are over.
    Epoch {
        /// Mean training loss of the epoch.
        #[schemars(with = "Float")]
        train_loss: Float,
        /// Mean validation loss.
        #[schemars(with = "Option<Float>")]
        validation_loss: Option<Float>,
    },
    /// A probe was carried out.
    Losses {
        /// One a candidate, in the order of the candidates.
        losses: Vec<Float>,
        /// What the probe cost.
        cost: Option<ProbeCost>,
    },
    /// A branch was trained.
    Branched {
        /// Steps taken.
        steps: u64,
        /// Mean training loss over them.
        #[schemars(with = "Float")]
        train_loss: Float,
        /// Losses on scoring batches afterwards.
        #[serde(default)]
        scores: Vec<Float>,
    },
    /// A reading along the direction of a step.
    Line {
        /// Losses at the rates asked for.
        #[serde(default)]
        losses: Vec<Float>,
        /// Slopes at the rates asked for.
        #[serde(default)]
        slopes: Vec<Float>,
        /// The slope here: minus the product of gradient and direction.
        #[schemars(with = "Float")]
        slope: Float,
        /// Squared Euclidean norm of the direction.
        #[schemars(with = "Float")]
        squared_norm: Float,
    },
    /// Another request was carried out.
    Done,
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

/// The state of a scheduler, as an answer gave it.
#[derive(Debug)]
pub(super) struct State(pub(super) MethodState);

impl State {
    /// The closed loop's kind, and the versions of its states that are read.
    pub(super) const KIND: &str = "autolr";
    pub(super) const VERSIONS: std::ops::RangeInclusive<u64> = 2..=3;
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
                MethodState::deserialize(MapAccessDeserializer::new(map)).map(State)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl JsonSchema for State {
    fn schema_name() -> Cow<'static, str> {
        "State".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        MethodState::json_schema(generator)
    }
}
