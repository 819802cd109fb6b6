//! BatchNorm whose running statistics a probe cannot touch.

use tch::{TchError, Tensor};

use crate::network::Mode;
use crate::parameters::{Init, ParameterSpec};

/// Weight of the newest batch in the running statistics: PyTorch's default.
const MOMENTUM: f64 = 0.1;
/// Added to the variance: PyTorch's default.
const EPSILON: f64 = 1e-5;

/// `BatchNorm2d` as PyTorch defines it: where its parameters and buffers stand in the network's lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchNorm {
    weight: usize,
    running_mean: usize,
}

impl BatchNorm {
    /// Appends weight and bias to `parameters`, running mean and variance to `buffers`.
    pub(crate) fn new(
        name: &str,
        channels: i64,
        parameters: &mut Vec<ParameterSpec>,
        buffers: &mut Vec<ParameterSpec>,
    ) -> Self {
        let spec = |suffix: &str, value: f64| ParameterSpec {
            name: format!("{name}.{suffix}"),
            shape: vec![channels],
            init: Init::Constant(value),
        };
        let (weight, running_mean) = (parameters.len(), buffers.len());
        parameters.extend([spec("weight", 1.0), spec("bias", 0.0)]);
        buffers.extend([spec("running_mean", 0.0), spec("running_var", 1.0)]);
        Self {
            weight,
            running_mean,
        }
    }

    pub(crate) fn forward(
        self,
        x: &Tensor,
        parameters: &[Tensor],
        buffers: &[Tensor],
        mode: Mode,
    ) -> Result<Tensor, TchError> {
        let (mean, variance) = match mode {
            // Momentum 0 would not do: 0 · NaN poisons the buffers.
            Mode::Probe => (None, None),
            Mode::Train | Mode::Eval => (
                Some(&buffers[self.running_mean]),
                Some(&buffers[self.running_mean + 1]),
            ),
        };
        x.f_batch_norm(
            Some(&parameters[self.weight]),
            Some(&parameters[self.weight + 1]),
            mean,
            variance,
            mode != Mode::Eval,
            MOMENTUM,
            EPSILON,
            true,
        )
    }
}
