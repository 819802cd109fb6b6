//! Files that several processes add to: manifests beside runs.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::disk::{Disk, folder_of, remove_half_written, write_whole};
use crate::exit::Busy;
use crate::lock_file::{Asked, LockFile};

/// How long another process may take to add to a file; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes whole what `merged` makes of a file and what is new, one process at a time; nothing if that is nothing.
///
/// # Errors
/// If `merged` fails, or the disk does; [`Busy`] if another process stays at work on the file.
pub(crate) fn merge_whole(path: &Path, merged: impl Fn() -> Result<Option<String>>) -> Result<()> {
    remove_half_written(folder_of(path));
    if merged()?.is_none() {
        return Ok(());
    }
    // Another process may be adding its own.
    let beside = path.with_extension("lock");
    let _lock = match LockFile::take(&Disk::default(), &beside, PATIENCE)? {
        Asked::Taken(lock) => lock,
        Asked::Held { by, remedy } => {
            let text = format!(
                "{}: another process{by} has been at work on it for {} seconds",
                path.display(),
                PATIENCE.as_secs()
            );
            return Err(Busy { text, remedy }.into());
        }
    };
    if let Some(text) = merged()? {
        write_whole(path, text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also where there is nothing to write.
    #[test]
    fn what_a_killed_process_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let abandoned = dir.path().join(".writing-aB3dE6");
        std::fs::write(&abandoned, "half").unwrap();
        merge_whole(&dir.path().join("file"), || Ok(None)).unwrap();
        assert!(!abandoned.exists());
    }

    #[test]
    fn a_lock_is_no_way_to_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "text").unwrap();
        let path = dir.path().join("sweep.json");
        let merge = || merge_whole(&path, || Ok(Some("{}".into())));
        std::fs::hard_link(&victim, dir.path().join("sweep.lock")).unwrap();
        assert!(format!("{:#}", merge().unwrap_err()).contains("sweep.lock"));
        std::fs::remove_file(dir.path().join("sweep.lock")).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("victim", dir.path().join("sweep.lock")).unwrap();
            assert!(format!("{:#}", merge().unwrap_err()).contains("is a link"));
            std::fs::remove_file(dir.path().join("sweep.lock")).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "text");
        merge().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}");
    }
}
