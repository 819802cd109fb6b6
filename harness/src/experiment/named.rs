//! The names of runs' folders: digests of their specifications.

use std::path::Path;

use super::RunSpec;
use crate::exit::BadInput;

/// The name of a folder, also of `.`.
pub(crate) fn own_name(dir: &Path) -> String {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = dir.file_name().unwrap_or(dir.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Whether a name is the digest of a specification, as runs' folders have it.
pub(crate) fn is_digest(name: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 16 && name.bytes().all(digit)
}

/// Whether a folder that is named after a specification is named after `spec`.
///
/// # Errors
/// [`BadInput`] if it is not.
pub(crate) fn check_named(dir: &Path, spec: &RunSpec) -> Result<(), BadInput> {
    let folder = own_name(dir);
    let own = spec
        .run_name()
        .map_err(|error| BadInput(format!("{}: {error:#}", dir.display())))?;
    if is_digest(&folder) && folder != own {
        return Err(BadInput(format!(
            "{}: not the specification that the folder is named after: its digest is {own}; it was edited, or is that \
             of another run",
            dir.join("spec.toml").display()
        )));
    }
    Ok(())
}
