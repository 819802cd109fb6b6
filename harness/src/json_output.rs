//! What a command prints for a program.

use std::io::Write;

use serde::Serialize;

/// What `--json` prints: one object, on one line.
pub(crate) fn print_json(out: &mut dyn Write, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    writeln!(out, "{text}")?;
    Ok(())
}
