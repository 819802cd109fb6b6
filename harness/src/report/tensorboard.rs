//! TensorBoard event files: the scalars of each run, a folder a run.
//!
//! A file is a row of TFRecords, each a protocol buffer of type `Event`. Only five fields of it are used, so they are
//! written out here instead of by code that is generated from TensorFlow's definitions.
//!
//! Sources: `tensorflow/core/lib/io/record_writer.h` (framing and masked checksum), `tensorflow/core/util/event.proto`
//! and `tensorflow/core/framework/summary.proto` (field numbers), all of TensorFlow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use crc::{CRC_32_ISCSI, Crc};

use super::{ReportInput, Run};
use crate::disk::write_whole;
use crate::experiment::ExperimentName;
use crate::record::{EpochRecord, RunLog, read_timings};
use crate::regular_file;

/// CRC-32C, of Castagnoli.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// Every file begins with an event that says so.
const VERSION: &str = "brain.Event:2";

/// A scalar of an epoch.
type Scalar = (&'static str, fn(&EpochRecord) -> Option<f64>);

/// What is written of an epoch.
const SCALARS: [Scalar; 5] = [
    ("lr", |epoch| Some(epoch.lr)),
    ("loss/train", |epoch| Some(epoch.train_loss)),
    ("loss/validation", |epoch| Some(epoch.validation_loss)),
    ("accuracy/train", |epoch| epoch.train_accuracy),
    ("accuracy/validation", |epoch| epoch.validation_accuracy),
];

/// TensorBoard looks for names with `tfevents` in them; one that does not change is replaced by the next report.
const FILE: &str = "events.out.tfevents.0.autolr";

/// Reads the runs of a report's folder and writes `tensorboard/EXPERIMENT/PROTOCOL/SERIES/seed-N/` beside them, an
/// event file each. Returns the path of `tensorboard`, which is what `tensorboard --logdir` takes.
///
/// # Errors
/// If the manifest or a log cannot be read, or the folder cannot be written to.
pub fn write_tensorboard(dir: &Path) -> Result<PathBuf> {
    let input = ReportInput::read(dir)?;
    let mut files = Files::new(dir);
    for section in &input.sections {
        let experiment = match section.entry.experiment {
            ExperimentName::Table1 => "table1",
            ExperimentName::Fig2 => "fig2",
            ExperimentName::Fig3 => "fig3",
            ExperimentName::Divergence => "divergence",
        };
        for (series, run) in section.runs() {
            let names = [experiment, &section.entry.protocol, &series.entry.name];
            files.write(&names, run, &dir.join("runs").join(&run.entry.run))?;
        }
    }
    Ok(files.root())
}

/// The event files under `tensorboard` of a folder.
pub(super) struct Files<'a> {
    dir: &'a Path,
    taken: BTreeSet<PathBuf>,
}

impl<'a> Files<'a> {
    pub(super) fn new(dir: &'a Path) -> Self {
        let taken = BTreeSet::new();
        Self { dir, taken }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.join("tensorboard")
    }

    /// Writes the file of the run in the folder `run_dir` under `names`; nothing if the run has not begun.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub(super) fn write(&mut self, names: &[&str], run: &Run, run_dir: &Path) -> Result<()> {
        let Some(log) = &run.log else { return Ok(()) };
        let names = names.iter().map(|name| folder_name(name));
        let folder = names.fold(self.root(), |folder, name| folder.join(name));
        let mut folder = folder.join(format!("seed-{}", run.entry.seed));
        // Two names can become one.
        if !self.taken.insert(folder.clone()) {
            folder.set_file_name(format!(
                "seed-{}-{}",
                run.entry.seed,
                folder_name(&run.entry.run)
            ));
            self.taken.insert(folder.clone());
        }
        for above in folder.ancestors().take_while(|above| *above != self.dir) {
            regular_file::check_folder(above).with_context(|| above.display().to_string())?;
        }
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot be made", folder.display()))?;
        write_whole(&folder.join(FILE), &event_file(log, &read_timings(run_dir)))
    }
}

/// The event file of a run: its epochs, and `factor`, new rate over old, of each decision. A step is an epoch.
///
/// `seconds` has the wall-clock time (s) of each epoch, as far as known: an event's time is counted from the run's
/// start, since a log has no dates. Values are single precision; that is all that the format has.
fn event_file(log: &RunLog, seconds: &BTreeMap<u64, f64>) -> Vec<u8> {
    let mut file = Vec::new();
    record(&mut file, &event(0.0, 0, &Content::Version));
    let mut time = 0.0;
    let mut decisions = log.decisions.iter().peekable();
    for epoch in &log.epochs {
        time += seconds.get(&epoch.epoch).copied().unwrap_or(0.0);
        let known = |(tag, of): &Scalar| Some((*tag, of(epoch)?));
        let mut scalars: Vec<(&str, f64)> = SCALARS.iter().filter_map(known).collect();
        while let Some(taken) = decisions.next_if(|taken| taken.epoch <= epoch.epoch) {
            scalars.push(("factor", taken.decision.factor));
        }
        record(
            &mut file,
            &event(time, epoch.epoch, &Content::Scalars(&scalars)),
        );
    }
    file
}

/// A TFRecord: length, masked checksum of the length, bytes, masked checksum of the bytes; all little-endian.
fn record(file: &mut Vec<u8>, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked_checksum(&length).to_le_bytes());
    file.extend(bytes);
    file.extend(masked_checksum(bytes).to_le_bytes());
}

/// A checksum that stays good when it is itself part of what a checksum is taken of.
fn masked_checksum(bytes: &[u8]) -> u32 {
    CRC32C
        .checksum(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

enum Content<'a> {
    Version,
    Scalars(&'a [(&'a str, f64)]),
}

/// `Event`: wall_time = 1 (double), step = 2 (int64), file_version = 3 (string) or summary = 5 (message).
fn event(time: f64, step: u64, content: &Content<'_>) -> Vec<u8> {
    let mut event = Vec::new();
    event.push(1 << 3 | FIXED_64);
    event.extend(time.to_le_bytes());
    event.push(2 << 3 | VARINT);
    varint(&mut event, step);
    match content {
        Content::Version => delimited(&mut event, 3, VERSION.as_bytes()),
        Content::Scalars(scalars) => {
            let mut summary = Vec::new();
            for (tag, value) in *scalars {
                // `Summary.Value`: tag = 1 (string), simple_value = 2 (float).
                let mut scalar = Vec::new();
                delimited(&mut scalar, 1, tag.as_bytes());
                scalar.push(2 << 3 | FIXED_32);
                scalar.extend((*value as f32).to_le_bytes());
                delimited(&mut summary, 1, &scalar);
            }
            delimited(&mut event, 5, &summary);
        }
    }
    event
}

/// Wire types of protocol buffers.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const DELIMITED: u8 = 2;
const FIXED_32: u8 = 5;

fn delimited(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | DELIMITED);
    varint(message, bytes.len() as u64);
    message.extend(bytes);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// A word as a folder's name: letters, digits, `.`, `_` and `-`, and no name that means something else to the system.
fn folder_name(word: &str) -> String {
    let name: String = word
        .chars()
        .take(80)
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    // Neither hidden nor `..`.
    match name.trim_start_matches('.') {
        "" => "_".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source of the checksum: RFC 3720, B.4; of the mask: its definition, worked out by hand.
    #[test]
    fn checksums_of_the_standard() {
        assert_eq!(CRC32C.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CRC32C.checksum(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(CRC32C.checksum(b"123456789"), 0xe306_9283);
        // (0x8a9136aa >> 15 | 0x8a9136aa << 17) + 0xa282ead8
        assert_eq!(
            masked_checksum(&[0; 32]),
            0x6d55_1522_u32.wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn varints_by_hand() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ] {
            let mut message = Vec::new();
            varint(&mut message, value);
            assert_eq!(message, bytes, "{value}");
        }
    }

    #[test]
    fn an_event_byte_by_byte() {
        let bytes = event(1.5, 3, &Content::Scalars(&[("lr", 0.5)]));
        let expected = [
            &[0x09][..],
            &1.5_f64.to_le_bytes(),
            &[0x10, 3, 0x2a, 11, 0x0a, 9, 0x0a, 2, b'l', b'r', 0x15],
            &0.5_f32.to_le_bytes(),
        ];
        assert_eq!(bytes, expected.concat());
        let mut file = Vec::new();
        record(&mut file, &bytes);
        assert_eq!(file.len(), 8 + 4 + bytes.len() + 4);
        assert_eq!(file[..8], (bytes.len() as u64).to_le_bytes());
        assert_eq!(file[12..12 + bytes.len()], bytes);
    }

    #[test]
    fn folders_stay_where_they_are_put() {
        for (word, name) in [
            ("factor_5", "factor_5"),
            ("../../etc", "_.._etc"),
            ("..", "_"),
            ("", "_"),
            ("a/b\\c\0d", "a_b_c_d"),
            (".hidden", "hidden"),
            ("\u{202e}abc", "_abc"),
        ] {
            assert_eq!(folder_name(word), name, "{word:?}");
        }
        assert_eq!(folder_name(&"x".repeat(10_000)).len(), 80);
    }
}
