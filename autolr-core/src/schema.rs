//! JSON Schemas of the types that read themselves by hand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::float_serde::Float;
use crate::schedule::ScheduleConfig;
use crate::{AutoLrState, Factors, SchedulerState};

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

/// The closed loop's state in full, of other kinds the kind alone.
impl JsonSchema for SchedulerState {
    fn schema_name() -> Cow<'static, str> {
        "SchedulerState".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut autolr = AutoLrState::json_schema(generator);
        if let Some(fields) = autolr
            .get_mut("properties")
            .and_then(|of| of.as_object_mut())
        {
            fields.insert(
                "kind".to_owned(),
                json_schema!({ "const": "autolr" }).to_value(),
            );
        }
        if let Some(required) = autolr.get_mut("required").and_then(|of| of.as_array_mut()) {
            required.insert(0, "kind".into());
        }
        let other = json_schema!({
            "type": "object",
            "properties": { "kind": { "type": "string", "not": { "const": "autolr" } } },
            "required": ["kind"],
        });
        json_schema!({
            "description": "The state of a scheduler, to be saved with a training run's checkpoint",
            "anyOf": [autolr, other],
        })
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
        assert_eq!(SchedulerState::schema_name(), "SchedulerState");
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
        let state = schema::<SchedulerState>();
        let closed = &state["anyOf"][0];
        assert_eq!(closed["required"][0], "kind");
        assert_eq!(closed["properties"]["kind"]["const"], "autolr");
        assert_eq!(closed["properties"]["tick"]["type"], "integer");
        let other = &state["anyOf"][1]["properties"]["kind"];
        assert_eq!(other["not"]["const"], "autolr");
    }
}
