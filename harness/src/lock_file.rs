//! A file that one process at a time holds, and that names it.
//!
//! A lock of the file system is held on the file itself, and ends with its process. Where there are none (`flock` fails,
//! as on some file systems of clusters), a second file is made that must not be there yet: it stays behind if its process
//! is killed, and somebody has to remove it.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::disk::Disk;
use crate::regular_file::{self, Links};

/// A file held by this process.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
    /// The file that is there as long as the lock is held, where the file system has no locks.
    sign: Option<PathBuf>,
}

/// What came of asking for a lock.
#[derive(Debug)]
pub(crate) enum Asked {
    /// This process holds it.
    Taken(LockFile),
    /// Another does: which one, and what to do if it is gone, where the lock does not end with its process.
    Held { by: Holding, remedy: String },
}

/// What a lock's text may have.
const TEXT_BYTES: u64 = 4096;

impl LockFile {
    /// Asks for the lock at `path`, again and again until `patience` is at its end.
    ///
    /// # Errors
    /// If the file cannot be made, or something else is in its place.
    pub(crate) fn take(disk: &Disk, path: &Path, patience: Duration) -> Result<Asked> {
        let mut options = File::options();
        // Its text is another process's as long as the lock is.
        options.create(true).write(true).truncate(false);
        let file = regular_file::open_to_write(&mut options, path)
            .with_context(|| format!("{}: cannot be opened", path.display()))?;
        let sign = sign_of(path);
        let begun = Instant::now();
        let sign = loop {
            let in_the_way = match disk.try_lock(&file, path) {
                // Another may hold it in the other way, if it got no lock of the file system.
                Ok(()) if sign.exists() => Some(sign.as_path()),
                Ok(()) => break None,
                Err(TryLockError::WouldBlock) => None,
                // One that did get a lock of the file system has made no sign.
                Err(TryLockError::Error(_)) if may_be_held(path) => Some(path),
                Err(TryLockError::Error(_)) if make(&sign)? => break Some(sign),
                Err(TryLockError::Error(_)) => Some(sign.as_path()),
            };
            if begun.elapsed() >= patience {
                let remedy = in_the_way.map_or_else(String::new, |file| {
                    format!(
                        "; this file system has no locks: if no process is at work there, remove {}",
                        file.display()
                    )
                });
                if in_the_way.is_some() {
                    // Who has just made the sign has yet to write its name.
                    std::thread::sleep(Duration::from_millis(50));
                }
                let by = Holding::read(path);
                return Ok(Asked::Held { by, remedy });
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut lock = Self {
            file,
            path: path.to_owned(),
            sign,
        };
        // For those who look; the lock itself does not depend on it.
        let _ = lock.file.set_len(0);
        let _ = writeln!(lock.file, "pid {} on {}", std::process::id(), host());
        Ok(Asked::Taken(lock))
    }

    /// Whether it is still this process's: once the file is another, somebody else may have locked that.
    ///
    /// # Errors
    /// If the file was removed or replaced.
    pub(crate) fn check(&self) -> Result<()> {
        let check = || -> io::Result<()> {
            regular_file::check_in_place(&self.file, &self.path)?;
            match &self.sign {
                Some(sign) => sign.metadata().map(|_| ()),
                None => Ok(()),
            }
        };
        check().map_err(|error| anyhow!("{}: {error}", self.path.display()))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // A process that ends in order takes its name away: one that stays there was killed.
        let _ = self.file.set_len(0);
        match &self.sign {
            Some(sign) => {
                let _ = std::fs::remove_file(sign);
            }
            // Said aloud: a child process that is just being started holds a copy of the file for a moment, and with it
            // the lock, if closing alone were to release it.
            None => {
                let _ = self.file.unlock();
            }
        }
    }
}

/// What a lock says of who holds it, or held it: `pid 17 on shed`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) pid: Option<u32>,
    pub(crate) host: Option<String>,
}

impl std::fmt::Display for Holding {
    /// ` (pid 17 on shed)`, or nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pid, &self.host) {
            (Some(pid), Some(host)) => write!(f, " (pid {pid} on {host})"),
            (Some(pid), None) => write!(f, " (pid {pid})"),
            (None, _) => Ok(()),
        }
    }
}

impl Holding {
    /// Reads the lock at `path`.
    pub(crate) fn read(path: &Path) -> Self {
        let text = regular_file::read_text(path, Links::Refuse, TEXT_BYTES);
        text.map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let mut holding = Self::default();
        while let Some(word) = words.next() {
            match word {
                "pid" => holding.pid = words.next().and_then(|word| word.parse().ok()),
                "on" | "host" => holding.host = words.next().map(str::to_owned),
                _ => {}
            }
        }
        holding
    }

    /// Whether the process is known to have ended: it was one of this machine, and there is none of its number.
    pub(crate) fn is_gone(&self) -> bool {
        #[cfg(unix)]
        {
            let pid = self.pid.and_then(|pid| i32::try_from(pid).ok());
            let pid = pid.and_then(rustix::process::Pid::from_raw);
            let here = self.host.as_deref() == Some(host().as_str());
            here && pid.is_some_and(|pid| {
                rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
            })
        }
        #[cfg(not(unix))]
        false
    }
}

/// Whether the lock at `path` is held, and what it says.
pub(crate) fn look_at(path: &Path) -> (bool, Holding) {
    let holding = Holding::read(path);
    // Nothing to disturb: where another holds the lock, asking for it has no effect.
    let locked = regular_file::open(path, Links::Refuse)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    let signed = sign_of(path).exists() && !holding.is_gone();
    (locked || signed, holding)
}

/// The file that stands for a lock where the file system has none.
fn sign_of(path: &Path) -> PathBuf {
    path.with_extension("held")
}

/// Whether the lock may be held by a process that got one of the file system, when this one did not.
fn may_be_held(path: &Path) -> bool {
    let holding = Holding::read(path);
    holding.pid.is_some() && !holding.is_gone()
}

/// Makes a file; false if it is there.
fn make(sign: &Path) -> Result<bool> {
    match File::create_new(sign) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| {
            format!(
                "{}: cannot be made, and this file system has no locks",
                sign.display()
            )
        }),
    }
}

/// Name of this machine.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or("this machine".into(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_locks() -> Disk {
        Disk::with_faults(|operation, _| match operation {
            crate::disk::Operation::Lock => Err(io::ErrorKind::Unsupported.into()),
            _ => Ok(()),
        })
    }

    fn take(disk: &Disk, path: &Path) -> Option<LockFile> {
        match LockFile::take(disk, path, Duration::ZERO).unwrap() {
            Asked::Taken(lock) => Some(lock),
            Asked::Held { .. } => None,
        }
    }

    fn remedy(disk: &Disk, path: &Path) -> String {
        match LockFile::take(disk, path, Duration::ZERO).unwrap() {
            Asked::Taken(_) => panic!("the lock is held by another"),
            Asked::Held { remedy, .. } => remedy,
        }
    }

    #[test]
    fn a_lock_says_who_holds_it_or_nothing() {
        let holding = |pid, host: Option<&str>| Holding {
            pid,
            host: host.map(str::to_owned),
        };
        let shed = holding(Some(17), Some("shed"));
        assert_eq!(Holding::parse("pid 17 on shed\n"), shed);
        assert_eq!(Holding::parse("pid 17 host shed"), shed);
        assert_eq!(shed.to_string(), " (pid 17 on shed)");
        assert_eq!(Holding::parse(""), Holding::default());
        assert_eq!(Holding::parse("pid x on"), Holding::default());
        assert!(!shed.is_gone());
    }

    #[test]
    fn one_at_a_time_with_locks_and_without() {
        for (disk, sign_is_made) in [(Disk::default(), false), (without_locks(), true)] {
            let dir = tempfile::tempdir().unwrap();
            let (path, sign) = (dir.path().join("lock"), dir.path().join("lock.held"));
            let lock = take(&disk, &path).expect("nobody holds it");
            assert_eq!(sign.exists(), sign_is_made);
            let (held, by) = look_at(&path);
            assert!(held);
            assert_eq!(by.pid, Some(std::process::id()));
            // Whichever way another process takes.
            assert!(take(&disk, &path).is_none());
            assert!(take(&without_locks(), &path).is_none());
            assert!(take(&Disk::default(), &path).is_none());
            drop(lock);
            assert_eq!(look_at(&path), (false, Holding::default()));
            assert!(!sign.exists());
            assert!(take(&disk, &path).is_some());
        }
    }

    #[test]
    fn a_sign_left_behind_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        // As a process that was killed leaves them.
        std::fs::write(&path, "pid 17 on shed").unwrap();
        assert!(remedy(&without_locks(), &path).ends_with("/lock"));
        std::fs::write(dir.path().join("lock.held"), "").unwrap();
        for disk in [Disk::default(), without_locks()] {
            let remedy = remedy(&disk, &path);
            assert!(remedy.contains("this file system has no locks"), "{remedy}");
        }
        assert!(remedy(&Disk::default(), &path).ends_with("/lock.held"));
        assert!(look_at(&path).0);
    }

    #[cfg(unix)]
    #[test]
    fn a_process_of_this_machine_is_known_to_be_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let holding = Holding {
            pid: Some(child.id()),
            host: Some(host()),
        };
        assert!(!holding.is_gone());
        child.wait().unwrap();
        assert!(holding.is_gone());
    }
}
