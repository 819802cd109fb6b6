//! A file that one process at a time holds, and that names it.
//!
//! A lock of the file system is held on the file itself, and ends with its process. Where there are none (`flock` fails,
//! as on some file systems of clusters), a second file is made that must not be there yet: it stays behind if its process
//! is killed. The next process removes it if it names one of this machine that is gone; else somebody has to.

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
    /// The file that is there as long as the lock is held, where the file system has no locks, and its path.
    sign: Option<(File, PathBuf)>,
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
        let file = regular_file::open_in_place(&mut options, path)
            .and_then(|file| check_names(&file, path).map(|()| file))
            .with_context(|| format!("{}: cannot be opened", path.display()))?;
        let sign = sign_of(path);
        let begun = Instant::now();
        let sign = loop {
            let remedy = match disk.try_lock(&file, path) {
                // Another may hold it in the other way, if it got no lock of the file system.
                Ok(()) if sign.exists() => {
                    if remove_left_behind(&sign) {
                        continue;
                    }
                    Some(format!(
                        "; {} is there, which a process makes that gets no lock of the file system: if no process is at \
                         work there, remove it",
                        sign.display()
                    ))
                }
                Ok(()) => break None,
                Err(TryLockError::WouldBlock) => None,
                Err(TryLockError::Error(_)) => {
                    // One that did get a lock of the file system has made no sign.
                    let held = may_be_held(path);
                    if !held && let Some(file) = make(&sign)? {
                        break Some((file, sign));
                    }
                    if !held && remove_left_behind(&sign) {
                        continue;
                    }
                    let mut in_the_way = path.display().to_string();
                    if !held {
                        in_the_way = sign.display().to_string();
                    } else if sign.exists() {
                        in_the_way += &format!(" and {}", sign.display());
                    }
                    Some(format!(
                        "; this file system has no locks: if no process is at work there, remove {in_the_way}"
                    ))
                }
            };
            if begun.elapsed() >= patience {
                if remedy.is_some() {
                    // Who has just made the sign has yet to write its name.
                    std::thread::sleep(Duration::from_millis(50));
                }
                let by = Holding::read(path);
                let remedy = remedy.unwrap_or_default();
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
        let _ = lock.file.write_all(own_name().as_bytes());
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
                Some((file, sign)) => regular_file::check_in_place(file, sign),
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
            // Another's stays.
            Some((file, sign)) => {
                if regular_file::check_in_place(file, sign).is_ok() {
                    let _ = std::fs::remove_file(sign);
                }
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
    let sign = sign_of(path);
    let signed = sign.exists() && !holding.is_gone() && !Holding::read(&sign).is_gone();
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

/// Makes the sign, with the name of this process in it; none if one is there.
fn make(sign: &Path) -> Result<Option<File>> {
    match File::create_new(sign) {
        Ok(mut file) => {
            // Without it nobody can tell that this process is gone, once it is; the lock does not depend on it.
            let _ = file.write_all(own_name().as_bytes());
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error).with_context(|| {
            format!(
                "{}: cannot be made, and this file system has no locks",
                sign.display()
            )
        }),
    }
}

/// Removes the sign of a process of this machine that is gone; whether it did.
///
/// Of several that find it, one may: the one that makes a file of the name of the gone process, which must not be there
/// yet. It looks again at whose the sign is once it has made it, as the one before may have removed the sign, and a live
/// process made its own. If it is killed in between, its file stays, and with it the sign.
fn remove_left_behind(sign: &Path) -> bool {
    let left = Holding::read(sign);
    let Some(pid) = left.pid.filter(|_| left.is_gone()) else {
        return false;
    };
    let claim = sign.with_extension(format!("gone-{pid}"));
    if File::create_new(&claim).is_err() {
        return false;
    }
    let still = Holding::read(sign);
    let removed = still == left && still.is_gone() && std::fs::remove_file(sign).is_ok();
    let _ = std::fs::remove_file(&claim);
    removed
}

/// Whether a lock may be written to: if it has another name (a hard link, as backups make them), only what is a lock's
/// under that name too.
fn check_names(file: &File, path: &Path) -> io::Result<()> {
    regular_file::check_only_name(file).or_else(|error| {
        let text = regular_file::read_text(path, Links::Refuse, TEXT_BYTES);
        match text {
            Ok(text) if text.is_empty() || is_a_locks(&text) => Ok(()),
            _ => Err(error),
        }
    })
}

/// Whether a text is one that a lock has.
fn is_a_locks(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    matches!(words[..], ["pid", pid, "on" | "host", _] if pid.parse::<u32>().is_ok())
}

/// What a lock says while this process holds it.
fn own_name() -> String {
    format!("pid {} on {}\n", std::process::id(), host())
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
            assert!(remedy.contains("/lock.held"), "{remedy}");
            assert!(remedy.contains("if no process is at work there, remove"));
        }
        // A file system that has just given a lock does not lack them.
        let said = "this file system has no locks";
        assert!(!remedy(&Disk::default(), &path).contains(said));
        std::fs::write(&path, "").unwrap();
        assert!(remedy(&without_locks(), &path).contains(said));
        assert!(look_at(&path).0);
    }

    #[cfg(unix)]
    #[test]
    fn a_sign_of_a_process_that_is_gone_is_taken_over() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let gone = format!("pid {} on {}\n", child.id(), host());
        for disk in [Disk::default(), without_locks()] {
            let dir = tempfile::tempdir().unwrap();
            let (path, sign) = (dir.path().join("lock"), dir.path().join("lock.held"));
            std::fs::write(&path, &gone).unwrap();
            std::fs::write(&sign, &gone).unwrap();
            assert!(!look_at(&path).0);
            // Another is about to.
            let claim = dir.path().join(format!("lock.gone-{}", child.id()));
            std::fs::write(&claim, "").unwrap();
            assert!(take(&disk, &path).is_none());
            std::fs::remove_file(&claim).unwrap();
            let lock = take(&disk, &path).expect("nobody holds it");
            lock.check().unwrap();
            drop(lock);
            assert!(!sign.exists() && !claim.exists());
        }
    }

    #[test]
    fn a_lock_in_a_backup_is_written_to_and_a_text_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("lock"), dir.path().join("other"));
        for text in ["", "pid 17 on shed\n"] {
            std::fs::write(&path, text).unwrap();
            let _ = std::fs::remove_file(&other);
            std::fs::hard_link(&path, &other).unwrap();
            assert!(take(&Disk::default(), &path).is_some(), "{text}");
        }
        std::fs::write(&path, "pid of the day: 17").unwrap();
        let error = LockFile::take(&Disk::default(), &path, Duration::ZERO).unwrap_err();
        assert!(format!("{error:#}").contains("hard link"), "{error:#}");
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
