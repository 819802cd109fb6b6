//! autolr for libtorch models, on CPU and CUDA.
//!
//! A [`Model`] is a [`Network`] ([`ResNet18`], [`Transformer`]) whose parameters lie in one flat buffer, their gradients in
//! another, so that an optimiser's step, a probe's snapshot, trial and restore are each a few kernels.
//! [`Optimizer`] is one of autolr-core's on these buffers; [`ModelProbe`] is the back end of
//! [`autolr_core::AutoLr`]:
//!
//! ```
//! use autolr_core::{AutoLr, AutoLrConfig, Factors, ScaleUpdate};
//! use autolr_core::optimizer::{Evaluation, OptimizerConfig, StepProbe, TrialLoss};
//! use autolr_core::schedule::CosineAnnealingLr;
//! use autolr_tch::{Batch, Mode, Model, ModelProbe, Optimizer, ResNet18, ResNetConfig, ScoringBatches};
//! use tch::Device;
//!
//! let config = ResNetConfig { width: 2, classes: 10, batch_norm: true };
//! let mut model = Model::new(ResNet18::new(config)?, 0, Device::Cpu)?;
//! let mut optimizer = Optimizer::new(OptimizerConfig::PLAIN_SGD, model.parameters())?;
//! let base = CosineAnnealingLr::new(0.005, 30, 0.0)?;
//! let rule = ScaleUpdate::new(Factors::powers_of_two(3)?);
//! let mut scheduler = AutoLr::new(AutoLrConfig::over(base, rule).with_bounds(1e-5, 0.5)?);
//!
//! let batch = || Batch::new(&vec![0.1; 4 * 3072], &[0, 1, 2, 3], Device::Cpu);
//! model.gradient(&batch()?, Mode::Train, None)?;
//! optimizer.step(model.parameters(), scheduler.lr())?;
//! let decision = scheduler.step(&mut ModelProbe {
//!     model: &mut model,
//!     optimizer: &optimizer,
//!     probe: StepProbe {
//!         gradient: None,
//!         scoring: ScoringBatches::Shared(vec![batch()?]),
//!         loss: TrialLoss::AfterStep,
//!         evaluate: Evaluation::All,
//!     },
//!     mode: Mode::Probe,
//! })?;
//! println!("{decision}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch_norm;
mod device;
mod error;
mod ffi;
mod flat;
mod model;
mod network;
mod optimizer;
mod parameters;
mod probe;
mod resnet;
mod transformer;

pub use device::{DeviceChoice, select};
pub use error::{Error, Result};
pub use ffi::{
    cpu_capability, keep_freed_memory, libtorch_version, load_cuda, peak_memory, rng_state,
    set_numerics, set_rng_state,
};
pub use flat::FlatTensor;
pub use model::{Batch, Model, Tally};
pub use network::{Mode, Network};
pub use optimizer::Optimizer;
pub use parameters::{Init, NamedArray, ParameterSpec, Parameters};
pub use probe::{InMode, ModelProbe, ScoringBatches};
pub use resnet::{ResNet18, ResNetConfig};
pub use transformer::{Transformer, TransformerConfig};
