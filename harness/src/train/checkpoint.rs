//! Everything of a training run that a resumption needs, as one safetensors file.
//!
//! Weights, running statistics and optimiser state under their names, the weights of the best epoch under
//! `best/…`, and the rest as JSON in the metadata. The file appears whole or not at all.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, bail};
use autolr_core::SchedulerState;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::exit::BadInput;
use crate::record::Tested;
use crate::whole_file::write_whole;
use crate::workload::{Cost, StateArray, StateValues, Workload};

const BEST: &str = "best/";

/// A resumable state, after a whole epoch and its decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The rest.
    pub progress: Progress,
    /// Weights, running statistics, optimiser.
    pub state: Vec<StateArray>,
    /// Weights and running statistics of the best epoch so far.
    pub best: Vec<StateArray>,
}

/// What a checkpoint knows beside arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Digest of the specification.
    pub spec: String,
    /// The epoch to go on with, from 0.
    pub next_epoch: u64,
    /// State of the closed loop, if there is one.
    pub scheduler: Option<SchedulerState>,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Images sent through, all told.
    pub cost: Cost,
    /// Of those, by probes.
    pub probe_cost: Cost,
    /// Length of the event log that this state vouches for.
    pub log_bytes: u64,
}

/// The epoch with the lowest finite validation loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Which, from 0.
    pub epoch: u64,
    /// Its validation.
    pub validation: Tested,
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

/// Writes arrays as safetensors, whole or not at all.
///
/// # Errors
/// If the disk does.
pub(crate) fn write_arrays(
    path: &Path,
    arrays: &[(String, &StateArray)],
    metadata: HashMap<String, String>,
) -> Result<()> {
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
    let file = safetensors::serialize(views, Some(metadata))?;
    write_whole(path, &file)
}

impl Checkpoint {
    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// If the disk does.
    pub fn write(&self, path: &Path) -> Result<()> {
        let arrays: Vec<(String, &StateArray)> = self
            .state
            .iter()
            .map(|array| (array.name.clone(), array))
            .chain(
                self.best
                    .iter()
                    .map(|array| (format!("{BEST}{}", array.name), array)),
            )
            .collect();
        let progress = serde_json::to_string(&self.progress)?;
        write_arrays(
            path,
            &arrays,
            HashMap::from([("autolr".to_owned(), progress)]),
        )
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

    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// [`BadInput`] that names the file if it cannot be read, is not a checkpoint, or one of another specification than
    /// `spec`.
    pub fn read(path: &Path, spec: &str) -> Result<Option<Self>> {
        let content = match std::fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(
                    BadInput(format!("{}: cannot be read: {error}", path.display())).into(),
                );
            }
        };
        let wrong = |error: &dyn std::fmt::Display| {
            BadInput(format!("{}: not a checkpoint: {error}", path.display()))
        };
        let (_, header) = SafeTensors::read_metadata(&content).map_err(|error| wrong(&error))?;
        let text = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get("autolr"))
            .ok_or_else(|| wrong(&"it has no metadata of autolr"))?;
        let progress: Progress = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        if progress.spec != spec {
            return Err(BadInput(format!(
                "{}: a checkpoint of another specification (digest {:.16}, this one has {:.16})",
                path.display(),
                progress.spec,
                spec
            ))
            .into());
        }
        let file = SafeTensors::deserialize(&content).map_err(|error| wrong(&error))?;
        let (mut state, mut best) = (Vec::new(), Vec::new());
        for (name, view) in file.iter() {
            let (list, name) = match name.strip_prefix(BEST) {
                Some(name) => (&mut best, name),
                None => (&mut state, name),
            };
            list.push(StateArray {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                values: values(view.dtype(), view.data()).map_err(|error| wrong(&error))?,
            });
        }
        Ok(Some(Self {
            progress,
            state,
            best,
        }))
    }
}
