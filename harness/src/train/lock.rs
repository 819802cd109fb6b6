//! One process a run: the lock on its folder.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::exit::Busy;
use crate::record::in_place;

/// A folder taken for this process.
pub(super) struct Lock {
    file: std::fs::File,
    path: PathBuf,
}

impl Lock {
    /// Whether the folder is still this process's: once the file is another, somebody else may be at work there.
    ///
    /// # Errors
    /// If the file was removed or replaced.
    pub(super) fn check(&self) -> Result<()> {
        in_place(&self.file, &self.path)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that ends in order takes its name away: one that stays there was killed.
        let _ = self.file.set_len(0);
        // Said aloud: a child process that is just being started holds a copy of the file for a moment, and with it
        // the lock, if closing alone were to release it.
        let _ = self.file.unlock();
    }
}

/// Takes the folder for this process: two on one run would write one log. The file says which process that is.
pub(super) fn lock(dir: &Path) -> Result<Lock> {
    use std::fs::{OpenOptions, TryLockError, create_dir_all, read_to_string};
    create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    let path = dir.join("lock");
    let mut open = OpenOptions::new();
    // Its text is another process's as long as the lock is.
    let open = open.create(true).write(true).truncate(false);
    let mut file = open
        .open(&path)
        .with_context(|| format!("{}: cannot be made", path.display()))?;
    let mut attempt = file.try_lock();
    for _ in 0..3 {
        if !matches!(attempt, Err(TryLockError::WouldBlock)) {
            break;
        }
        // `autolr status` takes a look at the lock, for some microseconds.
        std::thread::sleep(std::time::Duration::from_millis(10));
        attempt = file.try_lock();
    }
    match attempt {
        // On a file system without locks: as if alone.
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => {
            let who = read_to_string(&path).unwrap_or_default();
            let who = match who.trim() {
                "" => String::new(),
                who => format!(" ({who})"),
            };
            return Err(Busy(format!(
                "{}: another process{who} is at work on this run; `autolr run --wait` waits for it",
                dir.display()
            ))
            .into());
        }
    }
    // For those who look; the lock itself does not depend on it.
    let _ = file.set_len(0);
    let _ = writeln!(file, "pid {} on {}", std::process::id(), host());
    Ok(Lock { file, path })
}

/// Name of this machine.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or("this machine".into(), |name| name.trim().to_owned())
}
