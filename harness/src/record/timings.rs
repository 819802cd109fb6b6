//! `timings.jsonl` in a run's folder, read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Wall-clock time of one epoch, its validation, decision and checkpoint included.
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
    let text = std::fs::read_to_string(run.join("timings.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|timing: &Timing| timing.seconds.is_finite() && timing.seconds >= 0.0)
        .collect()
}

/// Wall-clock seconds of a run so far; none without `timings.jsonl`.
pub fn read_seconds(run: &Path) -> Option<f64> {
    let there = run.join("timings.jsonl").exists();
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

/// Adds an epoch's wall-clock seconds to `timings.jsonl`.
///
/// # Errors
/// If the disk does.
pub(crate) fn append_timing(dir: &Path, epoch: u64, seconds: f64) -> Result<()> {
    let path = dir.join("timings.jsonl");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{}: cannot be opened", path.display()))?;
    writeln!(
        file,
        "{}",
        serde_json::json!({"epoch": epoch, "seconds": seconds})
    )?;
    Ok(())
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
}
