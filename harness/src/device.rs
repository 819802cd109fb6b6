//! Where a run computes.

use serde::{Deserialize, Serialize};

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DeviceName {
    /// The processor
    Cpu,
    /// The first GPU
    Cuda,
    /// The first GPU if there is one, else the processor
    #[default]
    Auto,
}
