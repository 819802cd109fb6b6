//! Who holds the lock of a run, seen from another process.

use std::fs::{File, TryLockError};
use std::path::Path;

use serde::Serialize;

/// Who is at work on a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// Nobody; the process that the lock names is gone.
    Gone {
        /// Its number.
        pid: u32,
        /// The machine.
        host: Option<String>,
    },
    /// A process.
    Process {
        /// Its number, if the lock says so.
        pid: Option<u32>,
        /// The machine, if the lock says so.
        host: Option<String>,
    },
}

impl Holder {
    /// Looks at the file `lock` in the run's folder `dir`.
    ///
    /// The lock itself decides, not what is written in the file: a process that was killed leaves its words behind.
    /// A process on another machine cannot be seen where the file system does not pass locks on; it is then taken to
    /// be gone.
    pub fn of(dir: &Path) -> Self {
        let path = dir.join("lock");
        let (pid, host) = std::fs::read_to_string(&path)
            .map(|text| parse(&text))
            .unwrap_or_default();
        // Nothing to disturb: where another holds the lock, asking for it has no effect.
        let held = File::open(&path)
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
        match (held, pid) {
            (true, pid) => Self::Process { pid, host },
            (false, Some(pid)) => Self::Gone { pid, host },
            (false, None) => Self::Nobody,
        }
    }

    /// Whether a process is at work.
    pub fn is_at_work(&self) -> bool {
        matches!(self, Self::Process { .. })
    }
}

/// `pid 123 on name`; an empty text says nothing.
fn parse(text: &str) -> (Option<u32>, Option<String>) {
    let mut words = text.split_whitespace();
    let (mut pid, mut host) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "pid" => pid = words.next().and_then(|word| word.parse().ok()),
            "on" | "host" => host = words.next().map(str::to_owned),
            _ => {}
        }
    }
    (pid, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_says_who_holds_it_or_nothing() {
        assert_eq!(
            parse("pid 17 on shed\n"),
            (Some(17), Some("shed".to_owned()))
        );
        assert_eq!(parse("pid 17 host shed"), (Some(17), Some("shed".into())));
        assert_eq!(parse(""), (None, None));
        assert_eq!(parse("pid x on"), (None, None));
    }

    #[test]
    fn the_lock_decides_and_not_the_words() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Holder::of(dir.path()), Holder::Nobody);
        let path = dir.path().join("lock");
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        let unknown = Holder::Process {
            pid: None,
            host: None,
        };
        assert_eq!(Holder::of(dir.path()), unknown);
        std::fs::write(&path, "pid 17 on shed").unwrap();
        let host = Some("shed".to_owned());
        let named = Holder::Process {
            pid: Some(17),
            host: host.clone(),
        };
        assert_eq!(Holder::of(dir.path()), named);
        file.unlock().unwrap();
        assert_eq!(Holder::of(dir.path()), Holder::Gone { pid: 17, host });
        std::fs::write(&path, "").unwrap();
        assert_eq!(Holder::of(dir.path()), Holder::Nobody);
    }
}
