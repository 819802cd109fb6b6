//! Writing and reading the event log of a run.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    AnswerRecord, Build, ChangeRecord, DecisionRecord, EpochRecord, Event, MoveRecord, Provenance,
    Summary,
};
use crate::disk::Disk;
use crate::exit::BadInput;
use crate::regular_file::{self, Links};

/// What a log may have: some five million epochs, or a million decisions of seven candidates.
const LOG_BYTES: u64 = 2 << 30;

/// What a line of it may have: a decision of half a million candidates, more than a specification has room for.
const LINE_BYTES: u64 = 64 << 20;

/// What the file with its hash may have.
const SEAL_BYTES: u64 = 4096;

/// Appends events to `events.jsonl`, a line each, flushed at once.
#[derive(Debug)]
pub struct LogWriter {
    disk: Disk,
    file: File,
    path: PathBuf,
    bytes: u64,
    hash: Sha256,
}

/// The part of a log that a checkpoint vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogMark {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of it, in hex.
    pub sha256: String,
}

impl LogMark {
    /// Of an empty log.
    pub fn nothing() -> Self {
        Self {
            bytes: 0,
            sha256: hex::encode(Sha256::digest([])),
        }
    }

    /// Whether the log at `path` begins with that part; the hash of it, to be resumed from.
    ///
    /// # Errors
    /// [`BadInput`] that says how the log differs.
    fn check(&self, path: &Path) -> Result<Sha256> {
        let mut hash = Sha256::new();
        let read = match regular_file::open(path, Links::Refuse) {
            Ok(file) => add_to_hash(&mut hash, file.take(self.bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        let read = read.with_context(|| format!("{}: cannot be read", path.display()))?;
        if read < self.bytes {
            return Err(BadInput(format!(
                "{}: {read} bytes, but the checkpoint was written after {}",
                path.display(),
                self.bytes
            ))
            .into());
        }
        if hex::encode(hash.clone().finalize()) != self.sha256 {
            return Err(BadInput(format!(
                "{}: its first {} bytes are not those that the checkpoint was written after",
                path.display(),
                self.bytes
            ))
            .into());
        }
        Ok(hash)
    }

    /// Whether the log at `path` begins with that part.
    ///
    /// # Errors
    /// [`BadInput`] that says how the log differs.
    pub fn verify(&self, path: &Path) -> Result<()> {
        self.check(path).map(|_| ())
    }
}

impl LogWriter {
    /// A new log, in place of any there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(disk: &Disk, path: &Path) -> Result<Self> {
        Self::resume(disk, path, &LogMark::nothing())
    }

    /// Opens the log and cuts it to what a checkpoint vouches for.
    ///
    /// # Errors
    /// [`BadInput`] if the log does not begin so; the disk's own.
    pub fn resume(disk: &Disk, path: &Path, mark: &LogMark) -> Result<Self> {
        let hash = mark.check(path)?;
        let file = disk
            .append_to(path)
            .with_context(|| format!("{}: cannot be opened", path.display()))?;
        disk.truncate(&file, path, mark.bytes)
            .with_context(|| format!("{}: cannot be cut to its length", path.display()))?;
        Ok(Self {
            disk: disk.clone(),
            file,
            path: path.to_owned(),
            bytes: mark.bytes,
            hash,
        })
    }

    /// Appends an event.
    ///
    /// # Errors
    /// If somebody else removed, replaced or changed the file; if the disk fails.
    pub fn append(&mut self, event: &Event) -> Result<()> {
        self.check_place()?;
        let mut line = serde_json::to_string(event)?;
        line.push('\n');
        // It could not be read again.
        if self.bytes + line.len() as u64 > LOG_BYTES {
            return Err(regular_file::too_large(LOG_BYTES))
                .with_context(|| format!("{}: cannot be written", self.path.display()));
        }
        self.disk
            .write(&mut self.file, &self.path, line.as_bytes())
            .with_context(|| format!("{}: cannot be written", self.path.display()))?;
        self.bytes += line.len() as u64;
        self.hash.update(&line);
        Ok(())
    }

    /// Appends the summary with its seal, a hash of the log with nothing in the hash's place, and puts the hash of the whole
    /// file beside it, in the form of `sha256sum`. That file comes first: a log with a summary always has it.
    ///
    /// # Errors
    /// If the file is not, byte for byte, what was written, before and after; if the disk fails.
    pub fn finish(&mut self, summary: &Summary) -> Result<Summary> {
        self.check_content()?;
        let sealed = |sha256: String| {
            let bytes = self.bytes;
            Event::RunFinished(Summary {
                log: Some(LogMark { bytes, sha256 }),
                ..summary.clone()
            })
        };
        let line = |event: &Event| -> Result<String> { Ok(serde_json::to_string(event)? + "\n") };
        let hash_with = |line: &str| self.hash.clone().chain_update(line).finalize();
        let seal = hex::encode(hash_with(&line(&sealed(String::new()))?));
        let event = sealed(seal);
        let hash = hash_with(&line(&event)?);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let text = format!("{}  {name}\n", hex::encode(hash));
        self.disk
            .write_whole(&seal_path(&self.path), text.as_bytes(), None)?;
        self.append(&event)?;
        self.sync()?;
        self.check_content()?;
        match event {
            Event::RunFinished(summary) => Ok(summary),
            _ => Ok(summary.clone()),
        }
    }

    /// The log so far, for a checkpoint that vouches for it.
    pub fn mark(&self) -> LogMark {
        LogMark {
            bytes: self.bytes,
            sha256: hex::encode(self.hash.clone().finalize()),
        }
    }

    /// Whether the file under the log's name is still the one that is written, with what was written in it, as far as its
    /// length tells.
    fn check_place(&self) -> Result<()> {
        regular_file::check_in_place(&self.file, &self.path)
            .map_err(|error| anyhow!("{}: {error}", self.path.display()))?;
        let found = self.file.metadata().map(|metadata| metadata.len());
        match found.with_context(|| format!("{}: cannot be read", self.path.display()))? {
            bytes if bytes == self.bytes => Ok(()),
            bytes => bail!(
                "{}: changed by somebody else while the run was at work: it has {bytes} bytes, {} were written",
                self.path.display(),
                self.bytes
            ),
        }
    }

    /// Whether the file under the log's name holds what was written, byte for byte.
    fn check_content(&self) -> Result<()> {
        self.check_place()?;
        let cannot = || format!("{}: cannot be read", self.path.display());
        let mut hash = Sha256::new();
        let file = regular_file::open(&self.path, Links::Refuse).with_context(cannot)?;
        add_to_hash(&mut hash, file.take(self.bytes)).with_context(cannot)?;
        if hash.finalize() != self.hash.clone().finalize() {
            bail!(
                "{}: changed by somebody else while the run was at work: its content is not what was written",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Waits until the log is on the disk.
    ///
    /// # Errors
    /// As [`LogWriter::append`].
    pub fn sync(&self) -> Result<()> {
        self.check_place()?;
        self.disk
            .sync(&self.file, &self.path)
            .with_context(|| format!("{}: cannot be synced", self.path.display()))
    }
}

/// Adds all that there is to read to a hash; how many bytes that were.
fn add_to_hash(hash: &mut Sha256, input: impl Read) -> std::io::Result<u64> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut bytes = 0;
    loop {
        let piece = input.fill_buf()?;
        if piece.is_empty() {
            return Ok(bytes);
        }
        hash.update(piece);
        let length = piece.len();
        bytes += length as u64;
        input.consume(length);
    }
}

/// Where the hash of a whole log lies.
fn seal_path(log: &Path) -> PathBuf {
    log.with_extension("sha256")
}

/// What the first line of the log at `path` says, if it is the log of the specification with the digest `spec`, whatever
/// follows.
pub fn begun_as(spec: &str, path: &Path) -> Option<Provenance> {
    match first_event(path)? {
        Event::RunStarted(provenance) if provenance.spec == spec => Some(provenance),
        _ => None,
    }
}

/// Whether the log at `path`, if it has a first line, is that of the specification with the digest `spec`.
///
/// # Errors
/// [`BadInput`] if it is one of another.
pub(crate) fn check_begun(spec: &str, path: &Path) -> Result<(), BadInput> {
    match first_event(path) {
        Some(Event::RunStarted(provenance)) if provenance.spec != spec => Err(BadInput(format!(
            "{}: the log of another specification (digest {:.16}, this one has {spec:.16})",
            path.display(),
            provenance.spec
        ))),
        _ => Ok(()),
    }
}

fn first_event(path: &Path) -> Option<Event> {
    /// No first line is nearly as long.
    const LONGEST: u64 = 1_000_000;
    let mut line = Vec::new();
    let file = regular_file::open(path, Links::Refuse).ok()?;
    BufReader::new(file.take(LONGEST))
        .read_until(b'\n', &mut line)
        .ok()?;
    serde_json::from_slice(&line).ok()
}

/// A log, read.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLog {
    /// The first event.
    pub provenance: Provenance,
    /// What resumed it, where that was another program or processor.
    pub continued: Vec<Build>,
    /// The epochs, in order; of those that were trained again, the last time.
    pub epochs: Vec<EpochRecord>,
    /// The decisions, in order; none for open-loop schedules.
    pub decisions: Vec<DecisionRecord>,
    /// All that happened between the start and the end, in its order.
    pub entries: Vec<Entry>,
    /// The last event; none if the run is not finished.
    pub summary: Option<Summary>,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a closed loop's log is epochs and decisions in equal parts, and there are few of either"
)]
pub enum Entry {
    /// An epoch and its validation.
    Epoch(EpochRecord),
    /// A decision of the closed loop.
    Decision(DecisionRecord),
    /// A change of the rate by another method.
    Change(ChangeRecord),
    /// What a request came to.
    Answer(AnswerRecord),
    /// The training moved.
    Moved(MoveRecord),
}

impl RunLog {
    /// Whether its last line holds a hash of the rest. That it fits was found when the log was read.
    pub fn is_sealed(&self) -> bool {
        self.summary
            .as_ref()
            .is_some_and(|summary| summary.log.is_some())
    }

    /// What made the run: what started it, then what resumed it.
    pub fn builds(&self) -> impl Iterator<Item = &Build> {
        std::iter::once(&self.provenance.build).chain(&self.continued)
    }

    /// The processors on which a run of libtorch computed, `unknown` where its log does not say. None of a run without
    /// libtorch, which has the same bits on every processor, or on a GPU.
    pub fn processors(&self) -> BTreeSet<String> {
        if self.provenance.libtorch.is_none() || self.provenance.device != "cpu" {
            return BTreeSet::new();
        }
        let name = |build: &Build| build.processor.clone();
        let names = self.builds().map(name);
        names
            .map(|name| name.unwrap_or_else(|| "unknown".to_owned()))
            .collect()
    }

    /// Reads a log. A last line that is torn (without its line feed) is left out; `None` if there is no whole line.
    ///
    /// # Errors
    /// If the file cannot be read, a whole line is not an event, or the events are not a start, epochs in their order
    /// and at most one end.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        Self::read_up_to(u64::MAX, path)
    }

    /// Reads the log of the specification with the digest `spec`.
    ///
    /// # Errors
    /// As [`RunLog::read`]; [`BadInput`] if the log is one of another specification.
    pub fn read_of(spec: &str, path: &Path) -> Result<Option<Self>> {
        // Said before whatever else is wrong with it.
        check_begun(spec, path)?;
        Self::read(path)
    }

    /// Reads the part of a log that a checkpoint vouches for.
    ///
    /// # Errors
    /// As [`RunLog::read`].
    pub fn read_marked(mark: &LogMark, path: &Path) -> Result<Option<Self>> {
        Self::read_up_to(mark.bytes, path)
    }

    /// The epoch with the lowest validation loss of those whose losses are finite; the first of several.
    pub fn best_epoch(&self) -> Option<&EpochRecord> {
        let finite = self.epochs.iter().filter(|epoch| epoch.is_finite());
        finite.reduce(
            |best, next| match next.validation_loss < best.validation_loss {
                true => next,
                false => best,
            },
        )
    }

    /// Whether a summary is that of the epochs before it.
    fn check_summary(&self, summary: &Summary) -> Result<(), String> {
        let epochs = self.epochs.len() as u64;
        if summary.epochs != epochs {
            return Err(format!("epochs = {}: the log has {epochs}", summary.epochs));
        }
        let best = self.best_epoch().map(|best| best.epoch);
        if summary.best_epoch != best {
            let name =
                |epoch: Option<u64>| epoch.map_or("none".to_owned(), |epoch| epoch.to_string());
            return Err(format!(
                "best_epoch = {}: the lowest validation loss is that of {}",
                name(summary.best_epoch),
                name(best)
            ));
        }
        Ok(())
    }

    fn read_up_to(bytes: u64, path: &Path) -> Result<Option<Self>> {
        let cannot = || format!("{}: cannot be read", path.display());
        let file = match regular_file::open(path, Links::Refuse) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(cannot),
        };
        if file.metadata().with_context(cannot)?.len().min(bytes) > LOG_BYTES {
            return Err(regular_file::too_large(LOG_BYTES)).with_context(cannot);
        }
        let mut reader = BufReader::new(file.take(bytes));
        let mut log: Option<Self> = None;
        let mut line = Vec::new();
        let mut read = Sha256::new();
        let mut sealed = None;
        for number in 1.. {
            line.clear();
            let place = || format!("{}, line {number}", path.display());
            regular_file::read_line(&mut reader, &mut line, LINE_BYTES).with_context(place)?;
            if !line.ends_with(b"\n") {
                break;
            }
            let event: Event = serde_json::from_slice(&line).with_context(place)?;
            if let Err(why) = event.check() {
                anyhow::bail!("{}: {why}", place());
            }
            if let Event::RunFinished(summary) = &event {
                sealed = Some((summary.clone(), read.clone(), line.clone()));
            }
            read.update(&line);
            match (&mut log, event) {
                (None, Event::RunStarted(provenance)) => {
                    log = Some(Self {
                        provenance,
                        continued: Vec::new(),
                        epochs: Vec::new(),
                        decisions: Vec::new(),
                        entries: Vec::new(),
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
                    log.epochs.push(epoch.clone());
                    log.entries.push(Entry::Epoch(epoch));
                }
                (Some(log), Event::Change(change)) => log.entries.push(Entry::Change(change)),
                (Some(log), Event::Answer(answer)) => log.entries.push(Entry::Answer(answer)),
                (Some(log), Event::Moved(moved)) => {
                    let trained = log.epochs.len() as u64;
                    anyhow::ensure!(
                        moved.epoch <= trained,
                        "{}: a move to epoch {}, when {trained} were trained",
                        place(),
                        moved.epoch
                    );
                    log.epochs.truncate(moved.epoch as usize);
                    log.entries.push(Entry::Moved(moved));
                }
                (Some(log), Event::RunContinued(build)) => log.continued.push(build),
                (Some(log), Event::Decision(decision)) => {
                    log.decisions.push(decision.clone());
                    log.entries.push(Entry::Decision(decision));
                }
                (Some(log), Event::RunFinished(summary)) => log.summary = Some(summary),
                (None, _) => {
                    anyhow::bail!("{}: the log does not begin with the run's start", place())
                }
                (Some(_), Event::RunStarted(_)) => anyhow::bail!("{}: a second start", place()),
            }
        }
        if let (Some(log), Some((summary, before, line))) = (&log, sealed) {
            log.check_summary(&summary)
                .map_err(|why| anyhow!("{}, last line: {why}", path.display()))?;
            check_seal(log.provenance.format, &summary, &before, &line, path)?;
        }
        Ok(log)
    }
}

/// Whether the seals of a finished log fit it: the one in its last line, and the one beside it if that is there. A log
/// that was begun in format 1 may have none.
fn check_seal(
    format: u32,
    summary: &Summary,
    before: &Sha256,
    line: &[u8],
    path: &Path,
) -> Result<()> {
    let changed = |what: &str| {
        anyhow!(
            "{}: changed after the run ended: its hash is not the one {what}",
            path.display()
        )
    };
    match &summary.log {
        Some(seal) => {
            // Its own place in the line was empty when it was computed.
            let text = String::from_utf8_lossy(line);
            let unsealed = text.replacen(
                &format!("\"sha256\":\"{}\"", seal.sha256),
                "\"sha256\":\"\"",
                1,
            );
            let hash = before.clone().chain_update(unsealed.as_bytes());
            if hex::encode(hash.finalize()) != seal.sha256 {
                return Err(changed("in its last line"));
            }
        }
        None if format > 1 => bail!(
            "{}: changed after the run ended: its last line has no hash, which every log of format {format} has",
            path.display()
        ),
        None => {}
    }
    let beside = seal_path(path);
    let text = match regular_file::read_text(&beside, Links::Refuse, SEAL_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("{}: cannot be read", beside.display()));
        }
    };
    let mut whole = before.clone();
    whole.update(line);
    if text.split_whitespace().next() != Some(hex::encode(whole.finalize()).as_str()) {
        return Err(changed(&format!("in {}", beside.display())));
    }
    Ok(())
}
