//! Everything of a training run that a resumption needs, as one safetensors file.
//!
//! Weights, running statistics and optimiser state under their names, the weights of the best epoch under
//! `best/…`, and the rest as JSON in the metadata, with a SHA-256 of the whole file, so that damage is always noticed.
//! A file appears whole or not at all, and the one before it is kept.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Result, bail};
use autolr_core::{MethodState, Slot};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::slots::{Best, Rates, SlotMark, SlotState, Slots};
use crate::disk::{Disk, write_whole};
use crate::exit::BadInput;
use crate::experiment::Cost;
use crate::experiment::RunSpec;
use crate::record::LogMark;
use crate::regular_file::{self, Links};
use crate::workload::{EpochSums, StateArray, StateValues, Workload};

const BEST: &str = "best/";
const SLOT: &str = "slot/";

/// A resumable state: after an epoch and its decision, or after some steps of the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The rest.
    pub progress: Progress,
    /// Weights, running statistics, optimiser.
    pub state: Vec<StateArray>,
    /// Weights and running statistics of the best epoch so far.
    pub best: Rc<Vec<StateArray>>,
    /// The copies of the training.
    pub slots: Slots,
}

/// What a checkpoint knows beside arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Digest of the specification.
    pub spec: String,
    /// The epoch to go on with, from 0.
    pub next_epoch: u64,
    /// How often the training has gone back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u64,
    /// Its steps so far; none between two epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<PartialEpoch>,
    /// State of the method; none before the first.
    pub scheduler: Option<MethodState>,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Images sent through, all told.
    pub cost: Cost,
    /// Of those, by probes.
    pub probe_cost: Cost,
    /// The part of the event log that this state vouches for.
    pub log: LogMark,
    /// Why the last epoch would end the run, while the method may still go elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
    /// The copies of the training that the method has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<Slot, SlotMark>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// An epoch that was left before its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartialEpoch {
    /// Its steps so far.
    pub sums: EpochSums,
    /// The wall-clock seconds that they took.
    pub seconds: f64,
    /// Their rates: the first, and the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
}

fn bytes(values: &StateValues) -> (Dtype, Vec<u8>) {
    match values {
        StateValues::F32(values) => (
            Dtype::F32,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        StateValues::F64(values) => (
            Dtype::F64,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        StateValues::I64(values) => (
            Dtype::I64,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
    }
}

fn values(dtype: Dtype, data: &[u8]) -> Result<StateValues> {
    fn each<const N: usize, T>(data: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (chunks, _) = data.as_chunks::<N>();
        chunks.iter().map(|chunk| convert(*chunk)).collect()
    }
    Ok(match dtype {
        Dtype::F32 => StateValues::F32(each(data, f32::from_le_bytes)),
        Dtype::F64 => StateValues::F64(each(data, f64::from_le_bytes)),
        Dtype::I64 => StateValues::I64(each(data, i64::from_le_bytes)),
        other => bail!("arrays of kind {other:?} are not part of a checkpoint"),
    })
}

/// Arrays as a file of safetensors.
fn serialize(
    arrays: &[(String, &StateArray)],
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>> {
    let data: Vec<_> = arrays
        .iter()
        .map(|(_, array)| bytes(&array.values))
        .collect();
    let mut views = Vec::with_capacity(arrays.len());
    for ((name, array), (dtype, data)) in arrays.iter().zip(&data) {
        views.push((
            name.as_str(),
            TensorView::new(*dtype, array.shape.clone(), data)?,
        ));
    }
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// Writes arrays as safetensors, whole or not at all.
///
/// # Errors
/// If the disk does.
pub(crate) fn write_arrays(
    path: &Path,
    arrays: &[(String, &StateArray)],
    metadata: HashMap<String, String>,
) -> Result<()> {
    write_whole(path, &serialize(arrays, metadata)?)
}

/// The metadata of a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata<P> {
    /// SHA-256 of the file, in hex, taken with zeros in this place.
    file_sha256: String,
    progress: P,
}

/// How the hash's place begins in the file: JSON within JSON.
const HASH_KEY: &[u8] = br#"file_sha256\":\""#;
/// Hex digits of a hash.
const HASH_LEN: usize = 64;

/// Where a file has its hash.
fn hash_place(file: &[u8]) -> Option<std::ops::Range<usize>> {
    let key = file
        .windows(HASH_KEY.len())
        .position(|window| window == HASH_KEY)?;
    let start = key + HASH_KEY.len();
    (start + HASH_LEN <= file.len()).then_some(start..start + HASH_LEN)
}

/// The hash of a file, with zeros in the place of the hash.
fn hash_of(file: &[u8], place: &std::ops::Range<usize>) -> String {
    let mut hash = Sha256::new();
    hash.update(&file[..place.start]);
    hash.update([b'0'; HASH_LEN]);
    hash.update(&file[place.end..]);
    hex::encode(hash.finalize())
}

/// The checkpoints of a run's folder: the newest, and the one before it.
#[derive(Debug, Clone)]
pub struct Generations {
    newest: PathBuf,
    previous: PathBuf,
}

impl Generations {
    /// Those of a folder.
    pub fn of(dir: &Path) -> Self {
        Self {
            newest: dir.join("checkpoint.safetensors"),
            previous: dir.join("checkpoint.previous.safetensors"),
        }
    }

    /// Writes the newest; the one that was becomes the one before.
    ///
    /// # Errors
    /// If the disk does; what was there is then there still, under one of the two names.
    pub fn write(&self, disk: &Disk, checkpoint: &Checkpoint) -> Result<()> {
        disk.write_whole(&self.newest, &checkpoint.to_bytes()?, Some(&self.previous))
    }

    /// Removes the older one.
    pub(crate) fn forget_previous(&self) {
        // A finished run does not need it; if it stays, that is no harm.
        let _ = std::fs::remove_file(&self.previous);
    }

    /// The newest checkpoint that `accept` takes, with a sentence on each that it does not take; `None` if there is
    /// none at all. `limit` as in [`Checkpoint::read`].
    ///
    /// # Errors
    /// [`BadInput`] with all those sentences if there are checkpoints and none can be used.
    pub fn read(
        &self,
        spec: &str,
        limit: u64,
        mut accept: impl FnMut(&Checkpoint, &Path) -> Result<()>,
    ) -> Result<Option<(Checkpoint, Vec<String>)>> {
        let mut refused = Vec::new();
        for path in [&self.newest, &self.previous] {
            let found = Checkpoint::read_as(path, Links::Refuse, spec, limit).and_then(|found| {
                if let Some(checkpoint) = &found {
                    accept(checkpoint, path)?;
                }
                Ok(found)
            });
            match found {
                Ok(Some(checkpoint)) => return Ok(Some((checkpoint, refused))),
                Ok(None) => {}
                Err(error) => refused.push(format!("{error:#}")),
            }
        }
        if refused.is_empty() {
            return Ok(None);
        }
        Err(BadInput(refused.join("; ")).into())
    }
}

impl Checkpoint {
    /// That of a run of the specification with the digest `spec` which has not begun.
    pub(super) fn nothing(spec: String) -> Self {
        Self {
            progress: Progress {
                spec,
                next_epoch: 0,
                attempt: 0,
                within: None,
                scheduler: None,
                best: None,
                cost: Cost::default(),
                probe_cost: Cost::default(),
                log: LogMark::nothing(),
                diverged: None,
                slots: BTreeMap::new(),
            },
            state: Vec::new(),
            best: Rc::default(),
            slots: Slots::new(),
        }
    }

    /// The file.
    ///
    /// # Errors
    /// None in practice; those of JSON and safetensors.
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut arrays: Vec<(String, &StateArray)> = Vec::new();
        let mut parts: Vec<(String, &[StateArray])> =
            vec![(String::new(), &self.state), (BEST.to_owned(), &self.best)];
        for (slot, state) in &self.slots {
            parts.push((format!("{SLOT}{}/", slot.0), &state.arrays));
            parts.push((format!("{SLOT}{}/{BEST}", slot.0), &state.best_arrays));
        }
        for (prefix, list) in parts {
            let named = |array| (format!("{prefix}{}", StateArray::name(array)), array);
            arrays.extend(list.iter().map(named));
        }
        let metadata = serde_json::to_string(&Metadata {
            file_sha256: "0".repeat(HASH_LEN),
            progress: &self.progress,
        })?;
        let mut file = serialize(&arrays, HashMap::from([("autolr".to_owned(), metadata)]))?;
        let Some(place) = hash_place(&file) else {
            bail!("a checkpoint without a place for its hash");
        };
        let hash = hash_of(&file, &place);
        file[place].copy_from_slice(hash.as_bytes());
        Ok(file)
    }

    /// Goes back to this state, read from `path`.
    ///
    /// # Errors
    /// [`BadInput`] that names the file and the array that is missing or does not fit.
    pub(crate) fn restore(&self, workload: &mut dyn Workload, path: &Path) -> Result<(), BadInput> {
        workload
            .load(&self.state)
            .map_err(|error| BadInput(format!("{}: {error:#}", path.display())))
    }

    /// Sets `workload` to the weights and optimiser state of a checkpoint file of a run of `spec`, and returns the number
    /// of epochs that the run had finished.
    ///
    /// # Errors
    /// [`BadInput`] that names the file if there is none, or it is not a checkpoint of `spec`.
    pub fn start_from(path: &Path, spec: &RunSpec, workload: &mut dyn Workload) -> Result<u64> {
        let slots = spec.scheduler.method().build().needs().slots;
        let limit = Self::limit(workload, slots)?;
        let checkpoint = Self::read(path, &spec.digest()?, limit)?
            .ok_or_else(|| BadInput(format!("{}: no such file", path.display())))?;
        checkpoint.restore(workload, path)?;
        Ok(checkpoint.progress.next_epoch)
    }

    /// What the checkpoint of a training may have (bytes), whose method holds so many slots: twice its state, now and in
    /// the best epoch, for the training itself and for each slot; and room for what is beside arrays.
    ///
    /// # Errors
    /// When the machinery fails.
    pub(crate) fn limit(workload: &dyn Workload, slots: u32) -> Result<u64> {
        /// Safetensors' own limit, of 100 MB, and some.
        const BESIDE: u64 = 128 << 20;
        let state = workload.save()?;
        let state = state.iter().map(|array| array.values.bytes()).sum::<u64>();
        // An optimiser that has not taken a step may not have its two moments yet.
        let state = state.max((workload.parameters() as u64).saturating_mul(3 * 8));
        let copies = 2 * 2 * (1 + u64::from(slots));
        Ok(state.saturating_mul(copies).saturating_add(BESIDE))
    }

    /// Reads a file of at most `limit` bytes, which may be a link; `None` if there is none.
    ///
    /// # Errors
    /// [`BadInput`] that names the file if it cannot be read, is larger, is not a checkpoint, or one of another
    /// specification than `spec`.
    pub fn read(path: &Path, spec: &str, limit: u64) -> Result<Option<Self>> {
        Self::read_as(path, Links::Follow, spec, limit)
    }

    fn read_as(path: &Path, links: Links, spec: &str, limit: u64) -> Result<Option<Self>> {
        let content = match regular_file::read(path, links, limit) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(
                    BadInput(format!("{}: cannot be read: {error}", path.display())).into(),
                );
            }
        };
        Self::parse(&content, path, spec).map(Some)
    }

    /// A checkpoint from the `content` of a file; `path` is for what is said if it is none.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn parse(content: &[u8], path: &Path, spec: &str) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            BadInput(format!("{}: not a checkpoint: {error}", path.display()))
        };
        let damaged = || BadInput(format!("{}: damaged, by its hash", path.display()));
        let place = hash_place(content).ok_or_else(|| wrong(&"there is no hash in it"))?;
        if hash_of(content, &place).as_bytes() != &content[place] {
            return Err(damaged().into());
        }
        let (_, header) = SafeTensors::read_metadata(content).map_err(|error| wrong(&error))?;
        let text = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get("autolr"))
            .ok_or_else(|| wrong(&"it has no metadata of autolr"))?;
        let Metadata { progress, .. }: Metadata<Progress> =
            serde_json::from_str(text).map_err(|error| wrong(&error))?;
        if progress.spec != spec {
            return Err(BadInput(format!(
                "{}: a checkpoint of another specification (digest {:.16}, this one has {:.16})",
                path.display(),
                progress.spec,
                spec
            ))
            .into());
        }
        let file = SafeTensors::deserialize(content).map_err(|error| wrong(&error))?;
        let (mut state, mut best) = (Vec::new(), Vec::new());
        let mut slots: Slots = progress
            .slots
            .iter()
            .map(|(slot, mark)| (*slot, SlotState::of(*mark)))
            .collect();
        for (name, view) in file.iter() {
            let mut rest = name;
            let mut slot = None;
            if let Some((number, inner)) = name
                .strip_prefix(SLOT)
                .and_then(|name| name.split_once('/'))
            {
                let number = number.parse().map(Slot).map_err(|error| wrong(&error))?;
                let found = slots.get_mut(&number);
                slot = Some(found.ok_or_else(|| wrong(&"it has a slot that it does not name"))?);
                rest = inner;
            }
            let (is_best, rest) = match rest.strip_prefix(BEST) {
                Some(rest) => (true, rest),
                None => (false, rest),
            };
            let list = match (slot, is_best) {
                (Some(slot), false) => Rc::make_mut(&mut slot.arrays),
                (Some(slot), true) => Rc::make_mut(&mut slot.best_arrays),
                (None, false) => &mut state,
                (None, true) => &mut best,
            };
            list.push(StateArray {
                name: rest.to_owned(),
                shape: view.shape().to_vec(),
                values: values(view.dtype(), view.data()).map_err(|error| wrong(&error))?,
            });
        }
        Ok(Self {
            progress,
            state,
            best: Rc::new(best),
            slots,
        })
    }
}
