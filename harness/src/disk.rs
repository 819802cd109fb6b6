//! What a run does to the disk, each operation in one place, so that a test can make any of them fail.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::regular_file::{self, Links};

/// An operation that a disk can refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Making a file.
    Create,
    /// Writing bytes to one.
    Write,
    /// Waiting until they are on the disk.
    Sync,
    /// Giving a file another name.
    Rename,
    /// Cutting a file to a length.
    Truncate,
    /// Locking a file.
    Lock,
}

type Fault = dyn Fn(Operation, &Path) -> io::Result<()> + Send + Sync;

/// The disk, or one with faults.
#[derive(Clone, Default)]
pub struct Disk {
    fault: Option<Arc<Fault>>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults = if self.fault.is_some() { "some" } else { "none" };
        f.debug_struct("Disk").field("faults", &faults).finish()
    }
}

impl Disk {
    /// A disk on which an operation fails if `fault` says so; a write that fails has written its first half.
    pub fn with_faults(
        fault: impl Fn(Operation, &Path) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            fault: Some(Arc::new(fault)),
        }
    }

    fn ask(&self, operation: Operation, path: &Path) -> io::Result<()> {
        self.fault
            .as_ref()
            .map_or(Ok(()), |fault| fault(operation, path))
    }

    /// Opens a file to read and to append to, made if it is not there. One that has another name too is left to that
    /// name, with a copy in its place: backups are made so (`cp -al`).
    pub(crate) fn append_to(&self, path: &Path) -> io::Result<File> {
        self.ask(Operation::Create, path)?;
        copy_if_linked(path)?;
        // A link that was made in between is a backup's of this moment.
        let mut options = OpenOptions::new();
        regular_file::open_in_place(options.create(true).read(true).append(true), path)
    }

    pub(crate) fn try_lock(
        &self,
        file: &File,
        path: &Path,
    ) -> std::result::Result<(), TryLockError> {
        self.ask(Operation::Lock, path)
            .map_err(TryLockError::Error)?;
        file.try_lock()
    }

    pub(crate) fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.ask(Operation::Write, path) {
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    pub(crate) fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.ask(Operation::Sync, path)?;
        file.sync_all()
    }

    pub(crate) fn truncate(&self, file: &File, path: &Path, bytes: u64) -> io::Result<()> {
        self.ask(Operation::Truncate, path)?;
        file.set_len(bytes)
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Operation::Rename, to)?;
        std::fs::rename(from, to)
    }

    /// Waits until the names in a folder are on the disk.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.ask(Operation::Sync, folder)?;
        // Windows has no such thing.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    }

    /// Writes a file that appears whole or not at all: under a passing name beside its place, synced, then renamed.
    ///
    /// With `previous`, an older file is kept under that name. A power cut between the two renames leaves that alone.
    ///
    /// # Errors
    /// If the disk does; an older file is then untouched, or has its new name.
    pub fn write_whole(&self, path: &Path, content: &[u8], previous: Option<&Path>) -> Result<()> {
        let folder = folder_of(path);
        let write = || -> io::Result<()> {
            self.ask(Operation::Create, path)?;
            remove_half_written(folder);
            let mut file = passing_file(folder)?;
            self.write(file.as_file_mut(), path, content)?;
            self.sync(file.as_file(), path)?;
            if let Some(previous) = previous
                && path.exists()
            {
                self.rename(path, previous)?;
            }
            self.ask(Operation::Rename, path)?;
            file.persist(path)?;
            self.sync_folder(folder)
        };
        write().with_context(|| format!("{}: cannot be written", path.display()))
    }
}

/// Puts a copy in the place of a file that has another name too.
fn copy_if_linked(path: &Path) -> io::Result<()> {
    let mut file = match regular_file::open(path, Links::Refuse) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if regular_file::check_only_name(&file).is_ok() {
        return Ok(());
    }
    let mut copy = passing_file(folder_of(path))?;
    io::copy(&mut file, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    copy.persist(path)?;
    Ok(())
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// What the passing names of unfinished files begin with, and how many letters and digits follow.
const PASSING: &str = ".writing-";
const PASSING_DIGITS: usize = 6;

/// A file in `folder` under a passing name, which nobody removes as long as it is open.
///
/// # Errors
/// If the disk does.
pub(crate) fn passing_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PASSING).rand_bytes(PASSING_DIGITS);
    // As any file that a program writes, not for its owner alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // The lock says that its process is alive.
        match file.as_file().try_lock() {
            Ok(()) if file.path().exists() => return Ok(file),
            // Between its making and its lock another process took it for one left behind, and removes it.
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // Where there are no locks, nothing is ever removed.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// Whether a name is that of an unfinished file.
pub(crate) fn is_passing(name: &OsStr) -> bool {
    let digits = name.to_str().and_then(|name| name.strip_prefix(PASSING));
    digits.is_some_and(|digits| {
        digits.len() == PASSING_DIGITS && digits.bytes().all(|c| c.is_ascii_alphanumeric())
    })
}

/// Removes what processes that were killed left half written in a folder.
pub(crate) fn remove_half_written(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if !is_passing(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        // Held until it is removed: its process, if there is one, may be about to take the lock. For writing, since NFS
        // has no exclusive locks otherwise.
        let file = regular_file::open_in_place(File::options().write(true), &path);
        if let Ok(file) = file
            && file.try_lock().is_ok()
        {
            // If it stays, it is in the way of nothing.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// [`Disk::write_whole`] on the disk as it is, without an older file kept.
///
/// # Errors
/// If the disk does; an older file is then untouched.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    Disk::default().write_whole(path, content, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_live_one_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let abandoned = dir.path().join(".writing-aB3dE6");
        let foreign = dir.path().join(".writing-notes.txt");
        for path in [&abandoned, &foreign] {
            std::fs::write(path, "half").unwrap();
        }
        let alive = passing_file(dir.path()).unwrap();
        write_whole(&dir.path().join("file"), b"whole").unwrap();
        assert!(!abandoned.exists());
        assert!(foreign.exists());
        assert!(alive.path().exists());
    }
}
