//! What a command prints for a program.

use std::io::Write;
use std::path::Path;

use serde::{Serialize, Serializer};

/// What `--json` prints: one object, on one line.
pub(crate) fn print_json(out: &mut dyn Write, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    writeln!(out, "{text}")?;
    Ok(())
}

/// A path as text, for `serialize_with`. JSON is UTF-8 and a path need not be: other bytes become `\u{fffd}`.
pub(crate) fn path_text<P, S>(path: &P, serializer: S) -> Result<S::Ok, S::Error>
where
    P: AsRef<Path>,
    S: Serializer,
{
    serializer.collect_str(&path.as_ref().display())
}

/// The same of a path that may not be there.
pub(crate) fn path_text_or_null<P, S>(path: &Option<P>, serializer: S) -> Result<S::Ok, S::Error>
where
    P: AsRef<Path>,
    S: Serializer,
{
    match path {
        Some(path) => path_text(path, serializer),
        None => serializer.serialize_none(),
    }
}
