//! The JSON Schema of the pipe.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use super::answer::Answer;
use super::input::Line;

/// The schema (draft 2020-12) of a line; `#/$defs/Input` and `#/$defs/Output` are those of one side alone.
///
/// Its descriptions are the types' documentation without what only readers of Rust can use: see [`plain`].
pub(super) fn schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with_transform(RecursiveTransform(describe_plainly));
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

fn describe_plainly(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = plain(description);
    }
}

/// Rust's documentation without its examples and links: a block of code goes, a link leaves its text, and
/// of a path that is a link the last name stays.
fn plain(documentation: &str) -> String {
    let prose: String = documentation.split("```").step_by(2).collect();
    let prose = prose.replace("\\[", "[").replace("\\]", "]");
    let mut text = String::with_capacity(prose.len());
    let mut rest = prose.trim_end();
    while let Some((before, name, after)) = first_link(rest) {
        text.push_str(before);
        text.push('`');
        text.push_str(name.rsplit("::").next().unwrap_or(name));
        text.push('`');
        rest = after;
    }
    text + rest
}

/// ``[`name`]``, with its target in parentheses if it has one: what stands before it, the name, and after it.
fn first_link(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("[`")?;
    let (name, after) = rest.split_once("`]")?;
    let after = after
        .strip_prefix('(')
        .and_then(|target| target.split_once(')'))
        .map_or(after, |(_, after)| after);
    Some((before, name, after))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn documentation_becomes_prose() {
        for (documentation, expected) in [
            ("A list.", "A list."),
            ("Onto \\[0, 1\\].", "Onto [0, 1]."),
            ("See [`Factors`].", "See `Factors`."),
            (
                "See [`Factors`](crate::Factors) (a list).",
                "See `Factors` (a list).",
            ),
            (
                "With [`crate::TellError::NoFiniteLoss`], or [`Hold`](Self::Hold)",
                "With `NoFiniteLoss`, or `Hold`",
            ),
            ("Two keys.\n\n```\nlet a = [`x`];\n```", "Two keys."),
            ("A `[1.0]`, `]` and [`", "A `[1.0]`, `]` and [`"),
        ] {
            assert_eq!(plain(documentation), expected);
        }
    }
}
