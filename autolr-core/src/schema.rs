//! JSON Schemas of the types that read themselves by hand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::float_serde::Float;
use crate::schedule::ScheduleConfig;
use crate::{Details, Factors, MethodConfig, MethodState};

impl JsonSchema for Float {
    fn schema_name() -> Cow<'static, str> {
        "Float".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, or in words one that is not finite",
            "anyOf": [{ "type": "number" }, { "enum": ["nan", "inf", "-inf"] }],
        })
    }
}

impl JsonSchema for Factors {
    fn schema_name() -> Cow<'static, str> {
        "Factors".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A list of positive factors, or the name of a set of powers of two: factor_N with an odd N from 1 to 101",
            "anyOf": [
                { "type": "array", "items": { "type": "number", "exclusiveMinimum": 0 }, "minItems": 1 },
                { "type": "string", "pattern": "^factor_([0-9]?[13579]|101)$" },
            ],
        })
    }
}

/// The kind alone: a schedule's other keys are checked where it is read.
impl JsonSchema for ScheduleConfig {
    fn schema_name() -> Cow<'static, str> {
        "ScheduleConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An open-loop schedule: its kind, and the keys of that kind",
            "type": "object",
            "properties": { "kind": { "type": "string" } },
            "required": ["kind"],
        })
    }
}

/// Kind and version; the rest is the method's own.
impl JsonSchema for MethodState {
    fn schema_name() -> Cow<'static, str> {
        "MethodState".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The state of a scheduler, to be saved with a training run's checkpoint and handed back as it came",
            "type": "object",
            "properties": {
                "kind": { "type": "string" },
                "version": { "type": "integer", "minimum": 1 },
            },
            "required": ["kind", "version"],
        })
    }
}

/// The kind alone: a method's other keys are checked where it is read.
impl JsonSchema for MethodConfig {
    fn schema_name() -> Cow<'static, str> {
        "MethodConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = crate::kinds().map(|kind| kind.name).collect();
        json_schema!({
            "description": "The settings of any scheduler: its kind, and the keys of that kind",
            "type": "object",
            "properties": { "kind": { "enum": names } },
            "required": ["kind"],
        })
    }
}

/// Whatever the method has to say.
impl JsonSchema for Details {
    fn schema_name() -> Cow<'static, str> {
        "Details".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "The method's own part", "type": "object" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn schema<T: JsonSchema>() -> Value {
        T::json_schema(&mut SchemaGenerator::default()).to_value()
    }

    #[test]
    fn names() {
        assert_eq!(Float::schema_name(), "Float");
        assert_eq!(Factors::schema_name(), "Factors");
        assert_eq!(ScheduleConfig::schema_name(), "ScheduleConfig");
        assert_eq!(MethodState::schema_name(), "MethodState");
        assert_eq!(MethodConfig::schema_name(), "MethodConfig");
        assert_eq!(Details::schema_name(), "Details");
    }

    #[test]
    fn what_reads_itself_by_hand_is_described() {
        assert_eq!(
            schema::<Float>()["anyOf"][1]["enum"],
            json!(["nan", "inf", "-inf"])
        );
        let factors = schema::<Factors>();
        assert_eq!(factors["anyOf"][0]["items"]["exclusiveMinimum"], 0);
        assert_eq!(factors["anyOf"][1]["type"], "string");
        assert_eq!(schema::<ScheduleConfig>()["required"], json!(["kind"]));
        let state = schema::<MethodState>();
        assert_eq!(state["required"], json!(["kind", "version"]));
        let kinds = &schema::<MethodConfig>()["properties"]["kind"]["enum"];
        assert_eq!(kinds[0], "autolr");
    }
}
