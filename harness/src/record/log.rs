//! Writing and reading the event log of a run.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{DecisionRecord, EpochRecord, Event, Provenance, Summary};

/// Appends events to `events.jsonl`, a line each, flushed at once.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl LogWriter {
    /// Opens the log and cuts it to its first `bytes`: what a checkpoint vouches for.
    ///
    /// # Errors
    /// If the file cannot be opened or is shorter than that.
    pub fn resume(path: &Path, bytes: u64) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("{}: cannot be opened", path.display()))?;
        let found = file.metadata()?.len();
        anyhow::ensure!(
            found >= bytes,
            "{}: {found} bytes, but the checkpoint was written after {bytes}; remove the run's folder to start again",
            path.display()
        );
        file.set_len(bytes)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            bytes,
        })
    }

    /// Appends an event.
    ///
    /// # Errors
    /// If the disk does.
    pub fn append(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_string(event)?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .with_context(|| format!("{}: cannot be written", self.path.display()))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Length of the log so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits until the log is on the disk.
    ///
    /// # Errors
    /// If the disk does.
    pub fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .with_context(|| format!("{}: cannot be synced", self.path.display()))
    }
}

/// A log, read.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLog {
    /// The first event.
    pub provenance: Provenance,
    /// The epochs, in order.
    pub epochs: Vec<EpochRecord>,
    /// The decisions, in order; none for open-loop schedules.
    pub decisions: Vec<DecisionRecord>,
    /// The last event; none if the run is not finished.
    pub summary: Option<Summary>,
}

impl RunLog {
    /// Reads a log. A last line that is torn (without its line feed) is left out; `None` if there is no whole line.
    ///
    /// # Errors
    /// If the file cannot be read, a whole line is not an event, or the events are not a start, epochs in their order
    /// and at most one end.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{}: cannot be read", path.display()));
            }
        };
        let mut reader = BufReader::new(file);
        let mut log: Option<Self> = None;
        let mut line = String::new();
        for number in 1.. {
            line.clear();
            reader.read_line(&mut line)?;
            if !line.ends_with('\n') {
                break;
            }
            let place = || format!("{}, line {number}", path.display());
            let event: Event = serde_json::from_str(&line).with_context(place)?;
            match (&mut log, event) {
                (None, Event::RunStarted(provenance)) => {
                    log = Some(Self {
                        provenance,
                        epochs: Vec::new(),
                        decisions: Vec::new(),
                        summary: None,
                    });
                }
                (Some(log), _) if log.summary.is_some() => {
                    anyhow::bail!("{}: an event after the run's end", place())
                }
                (Some(log), Event::Epoch(epoch)) => {
                    anyhow::ensure!(
                        epoch.epoch == log.epochs.len() as u64,
                        "{}: epoch {} where {} is due",
                        place(),
                        epoch.epoch,
                        log.epochs.len()
                    );
                    log.epochs.push(epoch);
                }
                (Some(log), Event::Decision(decision)) => log.decisions.push(decision),
                (Some(log), Event::RunFinished(summary)) => log.summary = Some(summary),
                (None, _) => {
                    anyhow::bail!("{}: the log does not begin with the run's start", place())
                }
                (Some(_), Event::RunStarted(_)) => anyhow::bail!("{}: a second start", place()),
            }
        }
        Ok(log)
    }
}

/// Wall-clock seconds of a run so far: the sum over `timings.jsonl` in its folder.
pub fn read_seconds(run: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(run.join("timings.jsonl")).ok()?;
    let seconds = text.lines().filter_map(|line| {
        let timing: serde_json::Value = serde_json::from_str(line).ok()?;
        timing.get("seconds")?.as_f64()
    });
    Some(seconds.sum())
}
