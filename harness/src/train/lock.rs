//! One process a run: the lock on its folder.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::disk::Disk;
use crate::exit::Busy;
use crate::lock_file::{Asked, LockFile};

/// How long others may hold the lock who only look at it; they do for some microseconds.
const GLANCE: Duration = Duration::from_millis(30);

/// Takes the folder for this process: two on one run would write one log. The file says which process that is.
///
/// # Errors
/// [`Busy`] if another process has it; if one had it that is gone, where its lock does not end with it and cannot be
/// taken over; if the lock cannot be made.
pub(super) fn lock(disk: &Disk, dir: &Path) -> Result<LockFile> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    match LockFile::take(disk, &dir.join("lock"), GLANCE)? {
        Asked::Taken(lock) => Ok(lock),
        // Not worth waiting for. (With locks, the name may be that of the process before.)
        Asked::Held { by, remedy } if by.is_gone() && !remedy.is_empty() => bail!(
            "{}: a process{by} was at work on this run, and is gone{remedy}",
            dir.display()
        ),
        Asked::Held { by, remedy } => {
            let text = format!(
                "{}: another process{by} is at work on this run",
                dir.display()
            );
            Err(Busy { text, remedy }.into())
        }
    }
}
