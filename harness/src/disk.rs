//! What a run does to the disk, each operation in one place, so that a test can make any of them fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

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

    /// Opens a file to append to, made if it is not there.
    pub(crate) fn append_to(&self, path: &Path) -> io::Result<File> {
        self.ask(Operation::Create, path)?;
        OpenOptions::new().create(true).append(true).open(path)
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
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let write = || -> io::Result<()> {
            self.ask(Operation::Create, path)?;
            let mut builder = tempfile::Builder::new();
            // As any file that a program writes, not for its owner alone.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let mut file = builder.prefix(PASSING).tempfile_in(folder)?;
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

/// What the passing names of unfinished files begin with.
const PASSING: &str = ".writing-";

/// Removes what a process that was killed left half written in a folder.
pub(crate) fn remove_half_written(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let half_written = |entry: &std::fs::DirEntry| -> Option<PathBuf> {
        let name = entry.file_name();
        name.to_str()?.starts_with(PASSING).then(|| entry.path())
    };
    for path in entries.filter_map(|entry| half_written(&entry.ok()?)) {
        // In the way of nothing.
        let _ = std::fs::remove_file(path);
    }
}

/// [`Disk::write_whole`] on the disk as it is, without an older file kept.
///
/// # Errors
/// If the disk does; an older file is then untouched.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    Disk::default().write_whole(path, content, None)
}

/// Writes whole what `merged` makes of a file and what is new, one process at a time; nothing if that is nothing.
///
/// # Errors
/// If `merged` fails, or the disk does.
pub(crate) fn merge_whole(path: &Path, merged: impl Fn() -> Result<Option<String>>) -> Result<()> {
    if merged()?.is_none() {
        return Ok(());
    }
    // Another process may be adding its own.
    let beside = path.with_extension("lock");
    let lock =
        File::create(&beside).with_context(|| format!("{}: cannot be made", beside.display()))?;
    // On a file system without locks: as if alone.
    let _ = lock.lock();
    if let Some(text) = merged()? {
        write_whole(path, text.as_bytes())?;
    }
    let _ = lock.unlock();
    Ok(())
}
