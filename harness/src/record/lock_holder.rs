//! Who holds the lock of a run, seen from another process.

use std::path::Path;

use serde::Serialize;

use crate::lock_file::{Holding, look_at};

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
    /// The lock itself decides, not what is written in the file: a process that was killed leaves its words behind. So it
    /// does with its lock where the file system has none, and is then taken to be at work unless it is of this machine.
    /// A process on another machine cannot be seen where the file system does not pass locks on; it is then taken to
    /// be gone.
    pub fn of(dir: &Path) -> Self {
        let (held, Holding { pid, host }) = look_at(&dir.join("lock"));
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

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
