//! `timings.jsonl` in a run's folder, read.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::disk::Disk;
use crate::exit::BadInput;
use crate::regular_file::{self, Links};

const NAME: &str = "timings.jsonl";

/// What the file may have: some six million epochs.
const BYTES: u64 = 256 << 20;

/// Wall-clock time of one epoch, its validation and decision included, and the checkpoint before it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Timing {
    /// Number of the epoch, from 0.
    pub epoch: u64,
    /// Seconds.
    pub seconds: f64,
}

/// The epochs that were computed in the run's folder `run`, in the order in which they were. Lines that are torn or
/// something else are left out; no file is no epoch.
pub fn computed_epochs(run: &Path) -> Vec<Timing> {
    let text = regular_file::read(&run.join(NAME), Links::Refuse, BYTES).unwrap_or_default();
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .filter(|timing: &Timing| timing.seconds.is_finite() && timing.seconds >= 0.0)
        .collect()
}

/// Wall-clock seconds of a run so far; none without `timings.jsonl`.
pub fn read_seconds(run: &Path) -> Option<f64> {
    let there = run.join(NAME).exists();
    there.then(|| {
        computed_epochs(run)
            .iter()
            .map(|timing| timing.seconds)
            // Not `sum`, whose sum of nothing is −0.
            .fold(0.0, |sum, seconds| sum + seconds)
    })
}

/// Wall-clock seconds of a run by epoch; an epoch that was computed twice took both times.
pub fn read_timings(run: &Path) -> BTreeMap<u64, f64> {
    let mut seconds = BTreeMap::new();
    for timing in computed_epochs(run) {
        *seconds.entry(timing.epoch).or_insert(0.0) += timing.seconds;
    }
    seconds
}

/// The median of the epochs' seconds; none without an epoch.
pub fn typical_seconds(timings: &[Timing]) -> Option<f64> {
    let mut seconds: Vec<f64> = timings.iter().map(|timing| timing.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied()
}

/// Whether the file, if there is one, can be read and added to.
///
/// # Errors
/// [`BadInput`] that names it.
pub(crate) fn check_timings(run: &Path) -> Result<(), BadInput> {
    let path = run.join(NAME);
    let found = match regular_file::open(&path, Links::Refuse).and_then(|file| file.metadata()) {
        Ok(found) if found.len() > BYTES => Err(regular_file::too_large(BYTES)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    found.map_err(|error| BadInput(format!("{}: {error}", path.display())))
}

/// Whether an epoch's line was ended: its checkpoint is then on the disk.
pub(crate) fn has_ended_line(run: &Path) -> bool {
    let text = regular_file::read(&run.join(NAME), Links::Refuse, BYTES).unwrap_or_default();
    text.contains(&b'\n')
}

/// Adds an epoch's wall-clock seconds to `timings.jsonl`. The line is whole, but for the line feed, which
/// [`end_timing`] adds once the epoch's checkpoint is written: so no kill, at whatever moment, takes the line away, and
/// what was written before the first checkpoint is known.
///
/// # Errors
/// If the disk does, with the path.
pub(crate) fn begin_timing(run: &Path, epoch: u64, seconds: f64) -> Result<()> {
    let line = serde_json::json!({"epoch": epoch, "seconds": seconds}).to_string();
    append(run, |last| match last {
        // The process before was killed.
        Some(last) if last != b'\n' => format!("\n{line}"),
        _ => line.clone(),
    })
}

/// Ends the line.
///
/// # Errors
/// If the disk does, with the path.
pub(crate) fn end_timing(run: &Path) -> Result<()> {
    append(run, |_| "\n".to_owned())
}

/// Adds what `text` makes of the file's last byte, in one piece.
fn append(run: &Path, text: impl Fn(Option<u8>) -> String) -> Result<()> {
    let path = run.join(NAME);
    let append = || -> io::Result<()> {
        let mut file = Disk::default().append_to(&path)?;
        let mut last = [0];
        let last = match file.seek(SeekFrom::End(-1)) {
            Ok(_) => {
                file.read_exact(&mut last)?;
                Some(last[0])
            }
            // It is empty.
            Err(_) => None,
        };
        file.write_all(text(last).as_bytes())
    };
    append().with_context(|| format!("{}: cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_lines_are_left_out_and_the_median_is_one_of_the_epochs() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(computed_epochs(dir.path()), []);
        assert_eq!(typical_seconds(&[]), None);
        let text = "{\"epoch\":0,\"seconds\":9.0}\n{\"epoch\":1,\"seconds\":1.0}\nx\n{\"epoch\":2,\"seconds\":2.0}\n{\"epo";
        std::fs::write(dir.path().join("timings.jsonl"), text).unwrap();
        let timings = computed_epochs(dir.path());
        let epochs: Vec<u64> = timings.iter().map(|timing| timing.epoch).collect();
        assert_eq!(epochs, [0, 1, 2]);
        assert_eq!(typical_seconds(&timings), Some(2.0));
    }

    #[test]
    fn nothing_computed_took_no_time() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(read_seconds(temp.path()), None);
        let file = temp.path().join("timings.jsonl");
        std::fs::write(&file, "{\"epoch\"").unwrap();
        let none = read_seconds(temp.path()).unwrap();
        assert!(none == 0.0 && none.is_sign_positive(), "{none:?}");
        let twice = "{\"epoch\":0,\"seconds\":1.5}\n{\"epoch\":0,\"seconds\":2.0}\n";
        std::fs::write(&file, twice).unwrap();
        assert_eq!(read_seconds(temp.path()), Some(3.5));
    }

    #[test]
    fn a_kill_between_any_two_writes_takes_no_line_away() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join(NAME);
        let epochs = || -> Vec<u64> {
            let timings = computed_epochs(temp.path());
            timings.iter().map(|timing| timing.epoch).collect()
        };
        begin_timing(temp.path(), 0, 1.0).unwrap();
        assert_eq!(epochs(), [0]);
        assert!(!has_ended_line(temp.path()));
        end_timing(temp.path()).unwrap();
        assert!(has_ended_line(temp.path()));
        begin_timing(temp.path(), 1, 1.0).unwrap();
        // Killed here, before the checkpoint or after it.
        begin_timing(temp.path(), 2, 1.0).unwrap();
        end_timing(temp.path()).unwrap();
        assert_eq!(epochs(), [0, 1, 2]);
        // A torn line, as of a program that wrote it piece by piece, takes no other along.
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text + "{\"epoch\":3,").unwrap();
        begin_timing(temp.path(), 3, 1.0).unwrap();
        end_timing(temp.path()).unwrap();
        assert_eq!(epochs(), [0, 1, 2, 3]);
    }
}
