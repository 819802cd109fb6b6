//! A manifest is a file that anyone may have written: what its texts could do to a page, a terminal or a path is undone
//! when it is read, for all that is made of them.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::visible::{shortened, visible};

/// Characters of a label that are shown.
const LABEL: usize = 200;
/// Characters of any other text.
const TEXT: usize = 5000;

/// Makes every text of a manifest one line of a bounded length, in which nothing is hidden.
pub(super) fn sanitize(value: &mut Value) {
    sanitize_within(value, TEXT);
}

fn sanitize_within(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) => *text = shortened(&visible(text), limit),
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| sanitize_within(value, limit)),
        Value::Object(object) => {
            for (key, value) in object {
                let short = matches!(key.as_str(), "name" | "label" | "protocol" | "scale");
                sanitize_within(value, if short { LABEL } else { limit });
            }
        }
        _ => {}
    }
}

/// Checks the name of a run's folder: no path that leads elsewhere.
pub(super) fn check_run(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    ensure!(
        !name.is_empty() && name.len() <= 64 && name.chars().all(plain),
        "run = {:?}: a run's folder has 1 to 64 letters, digits, '-' and '_' only",
        shortened(name, LABEL)
    );
    Ok(())
}
