//! A specification as this machine runs it: with a scale and a device laid over it, and its errors at their lines.

use std::path::Path;

use anyhow::Result;
use toml::Table;

use crate::device::DeviceName;
use crate::exit::BadInput;
use crate::experiment::{ExperimentFile, RunSpec, Scale, SeriesSpec, SpecError};
use crate::workload;

/// The specification of a file, with a scale and a device laid over it.
pub(crate) fn resolve(
    path: &Path,
    series: Option<&str>,
    scale: Option<Scale>,
    device: Option<DeviceName>,
) -> Result<RunSpec> {
    let file = ExperimentFile::load(path)?;
    let overlay = match scale {
        Some(scale) => scale.overlay()?.0,
        None => Table::new(),
    };
    let series = file.find(series)?;
    let mut spec = file.spec(series, &overlay)?;
    let Some(device) = device else {
        resolve_device(&mut spec).map_err(|error| locate(error, &file, series, &overlay))?;
        return Ok(spec);
    };
    spec.training.device = device;
    resolve_device(&mut spec)?;
    Ok(spec)
}

/// Bad input of a file that was found after it was read, at its line in the file.
fn locate(
    error: anyhow::Error,
    file: &ExperimentFile,
    series: &SeriesSpec,
    over: &Table,
) -> anyhow::Error {
    match error.downcast::<SpecError>() {
        Ok(error) => file.locate(series, &[over], &error).into(),
        Err(error) => error,
    }
}

/// Bad input that was found only when a run was built, such as a batch larger than the data, at its line in the file.
pub(crate) fn locate_in(
    path: &Path,
    series: Option<&str>,
    scale: Option<Scale>,
    error: anyhow::Error,
) -> anyhow::Error {
    let file = ExperimentFile::load(path);
    let overlay = scale.map_or(Ok(Table::new()), |scale| Ok(scale.overlay()?.0));
    let (Ok(file), Ok(overlay)) = (file, overlay as Result<Table, BadInput>) else {
        return error;
    };
    match file.find(series) {
        Ok(series) => locate(error, &file, series, &overlay),
        Err(_) => error,
    }
}

/// Replaces `auto` by what this machine has, and refuses CUDA where there is none: the device is part of a run's
/// identity, since results differ in the last bits.
pub(crate) fn resolve_device(spec: &mut RunSpec) -> Result<()> {
    if !spec.network.uses_libtorch() {
        if spec.training.device == DeviceName::Cuda {
            let rule = format!(
                "network.kind = \"{}\" runs on the CPU only",
                spec.network.kind()
            );
            return Err(SpecError::set("training.device", "cuda", rule).into());
        }
        spec.training.device = DeviceName::Cpu;
        return Ok(());
    }
    workload::check_libtorch(spec)?;
    #[cfg(feature = "tch")]
    {
        use autolr_tch::{DeviceChoice, select};
        let choice = match spec.training.device {
            DeviceName::Cpu => return Ok(()),
            DeviceName::Cuda => DeviceChoice::Cuda,
            DeviceName::Auto => DeviceChoice::Auto,
        };
        let device = select(choice).map_err(|error| match error {
            autolr_tch::Error::NoCuda(reason) => SpecError::set("training.device", "cuda", reason),
            other => SpecError::whole(other.to_string()),
        })?;
        spec.training.device = if device.is_cuda() {
            DeviceName::Cuda
        } else {
            DeviceName::Cpu
        };
        Ok(())
    }
    #[cfg(not(feature = "tch"))]
    Ok(())
}
