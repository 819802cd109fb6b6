//! Where to compute.

use tch::{Cuda, Device};

use crate::error::{Error, Result};
use crate::ffi;

/// The device that a person names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// The first GPU; an error where there is none.
    Cuda,
    /// The first GPU if there is one, else the processor.
    Auto,
}

/// The device chosen. Loads the CUDA half of libtorch if it is there.
///
/// # Errors
/// [`Error::NoCuda`] if CUDA is asked for and not to be had, with the reason.
pub fn select(choice: DeviceChoice) -> Result<Device> {
    if choice == DeviceChoice::Cpu {
        return Ok(Device::Cpu);
    }
    let loaded = ffi::load_cuda();
    if loaded && Cuda::is_available() {
        return Ok(Device::Cuda(0));
    }
    match choice {
        DeviceChoice::Cuda if loaded => Err(Error::NoCuda(
            "libtorch has CUDA, but finds no usable GPU or driver",
        )),
        DeviceChoice::Cuda => Err(Error::NoCuda(
            "libtorch_cuda.so, or a library that it needs, is not to be found; name a libtorch with CUDA in LD_LIBRARY_PATH or LIBTORCH",
        )),
        _ => Ok(Device::Cpu),
    }
}
