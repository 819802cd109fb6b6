//! The JSON Schema of the pipe.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::answer::Answer;
use super::input::Line;

/// The schema (draft 2020-12) of a line; `#/$defs/Input` and `#/$defs/Output` are those of one side alone.
pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let dialect = settings.meta_schema.clone();
    let mut generator = settings.into_generator();
    let input = generator.subschema_for::<Line>();
    let output = generator.subschema_for::<Answer>();
    json!({
        "$schema": dialect,
        "title": "autolr update",
        "description": "A line that `autolr update` reads (Input) or writes (Output)",
        "anyOf": [input, output],
        "$defs": generator.take_definitions(true),
    })
}
