//! SGD and AdamW on the flat buffers, with their state in reach.
//!
//! Both move the weights by `θ ← θ − lr · u`, where the direction u does not depend on lr: one gradient serves all
//! candidates of a probe, and a trial is one kernel.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::{Error, Result};
use crate::ffi::add_scaled_out;
use crate::parameters::{NamedArray, Parameters};

/// An optimiser's settings; the learning rate is not among them, it comes with each step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// PyTorch's `SGD` (dampening 0): g ← g + λθ; b ← μb + g; u = b, or g + μb with Nesterov.
    Sgd {
        /// μ, in \[0, 1).
        #[serde(default)]
        momentum: f64,
        /// Nesterov's variant; wants a momentum.
        #[serde(default)]
        nesterov: bool,
        /// λ, not negative.
        #[serde(default)]
        weight_decay: f64,
    },
    /// PyTorch's `AdamW`: m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; u = λθ + m̂ / (√v̂ + ε), with
    /// m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).
    AdamW {
        /// β₁, in \[0, 1).
        #[serde(default = "default_beta1")]
        beta1: f64,
        /// β₂, in \[0, 1).
        #[serde(default = "default_beta2")]
        beta2: f64,
        /// ε, not negative.
        #[serde(default = "default_eps")]
        eps: f64,
        /// λ, not negative.
        #[serde(default = "default_weight_decay")]
        weight_decay: f64,
    },
}

fn default_beta1() -> f64 {
    0.9
}

fn default_beta2() -> f64 {
    0.999
}

fn default_eps() -> f64 {
    1e-8
}

fn default_weight_decay() -> f64 {
    0.01
}

impl OptimizerConfig {
    /// Plain gradient descent.
    pub const PLAIN_SGD: Self = Self::Sgd {
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    };

    /// AdamW with PyTorch's defaults.
    pub const ADAM_W: Self = Self::AdamW {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.01,
    };

    /// # Errors
    /// [`Error::Value`] for a value outside its range.
    pub fn validate(&self) -> Result<()> {
        let share = |key, value: f64| {
            let rule = "must be from 0 to below 1";
            let good = (0.0..1.0).contains(&value);
            good.then_some(()).ok_or(Error::Value { key, value, rule })
        };
        let size = |key, value: f64| {
            let rule = "must be finite and not negative";
            let good = value >= 0.0 && value.is_finite();
            good.then_some(()).ok_or(Error::Value { key, value, rule })
        };
        match *self {
            Self::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                share("momentum", momentum)?;
                if nesterov && momentum == 0.0 {
                    return Err(Error::Value {
                        key: "momentum",
                        value: momentum,
                        rule: "nesterov wants a momentum above 0",
                    });
                }
                size("weight_decay", weight_decay)
            }
            Self::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                size("eps", eps)?;
                size("weight_decay", weight_decay)
            }
        }
    }
}

/// An optimiser and its state: flat buffers in the layout of [`Parameters::flat`].
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Steps taken.
    steps: u64,
    /// SGD's b (with a momentum) or AdamW's m.
    first: Option<Tensor>,
    /// AdamW's v.
    second: Option<Tensor>,
}

impl Optimizer {
    /// An optimiser that has not stepped yet: its state is zero.
    ///
    /// # Errors
    /// [`Error::Value`] for a value outside its range; or if libtorch refuses.
    pub fn new(config: OptimizerConfig, parameters: &Parameters) -> Result<Self> {
        config.validate()?;
        let (first, second) = match config {
            OptimizerConfig::Sgd { momentum, .. } => (momentum > 0.0, false),
            OptimizerConfig::AdamW { .. } => (true, true),
        };
        let zeros = |wanted: bool| wanted.then(|| parameters.flat().f_zeros_like()).transpose();
        Ok(Self {
            config,
            steps: 0,
            first: zeros(first)?,
            second: zeros(second)?,
        })
    }

    /// The settings.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step at rate `lr` along the gradient that the parameters hold, which is used up: its buffer serves as
    /// work space.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn step(&mut self, parameters: &Parameters, lr: f64) -> Result<()> {
        let direction = self.advance(parameters, self.first.as_ref(), self.second.as_ref())?;
        let theta = parameters.flat();
        add_scaled_out(theta, theta, &direction, -lr)?;
        self.steps += 1;
        Ok(())
    }

    /// The direction u along which [`Optimizer::step`] would move, by the same arithmetic, bit for bit; neither
    /// weights nor state change. The gradient is used up: the result is its buffer, or a new one of the same size.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn direction(&self, parameters: &Parameters) -> Result<Tensor> {
        let empty_like = |state: &Tensor| state.f_empty_like();
        let scratch = self.first.as_ref().map(empty_like).transpose()?;
        self.advance(parameters, scratch.as_ref(), None)
    }

    /// Turns the gradient into the direction. The new first moment goes to `first_out` (which may be the state
    /// itself), the new second moment to `second_out` if given.
    fn advance(
        &self,
        parameters: &Parameters,
        first_out: Option<&Tensor>,
        second_out: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (theta, mut grad) = (parameters.flat(), parameters.grad().shallow_clone());
        match self.config {
            OptimizerConfig::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                if weight_decay > 0.0 {
                    add_scaled_out(&grad, &grad, theta, weight_decay)?;
                }
                let (Some(first), Some(first_out)) = (&self.first, first_out) else {
                    return Ok(grad);
                };
                add_scaled_out(first_out, &grad, first, momentum)?;
                if !nesterov {
                    return Ok(first_out.shallow_clone());
                }
                add_scaled_out(&grad, &grad, first_out, momentum)?;
            }
            OptimizerConfig::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => {
                let (Some(first), Some(second), Some(first_out)) =
                    (&self.first, &self.second, first_out)
                else {
                    return Ok(grad);
                };
                let t = i32::try_from(self.steps + 1).unwrap_or(i32::MAX);
                let (correction1, correction2) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
                let _ = first.f_lerp_scalar_out(first_out, &grad, 1.0 - beta1)?;
                // From here the gradient's buffer holds g², v, √v̂ + ε, and at last u.
                let _ = grad.f_mul_out(&grad, &grad)?;
                let _ = grad.f_mul_scalar_(1.0 - beta2)?;
                add_scaled_out(&grad, &grad, second, beta2)?;
                if let Some(second_out) = second_out {
                    second_out.shallow_clone().f_copy_(&grad)?;
                }
                let _ = grad.f_sqrt_()?;
                let _ = grad.f_div_scalar_(correction2.sqrt())?;
                let _ = grad.f_add_scalar_(eps)?;
                let _ = first_out.f_div_out(&grad, &grad)?;
                let _ = grad.f_div_scalar_(correction1)?;
                if weight_decay > 0.0 {
                    add_scaled_out(&grad, &grad, theta, weight_decay)?;
                }
            }
        }
        Ok(grad)
    }

    /// The state's tensors, for a checkpoint, as `optimizer.first` and `optimizer.second`; the number of steps is
    /// kept beside them.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn export(&self) -> Result<Vec<NamedArray>> {
        let slots = [
            ("optimizer.first", &self.first),
            ("optimizer.second", &self.second),
        ];
        let present = slots
            .into_iter()
            .filter_map(|(name, slot)| slot.as_ref().map(|t| (name, t)));
        present
            .map(|(name, tensor)| NamedArray::of(name, &tensor.size(), tensor))
            .collect()
    }

    /// Takes a state that [`Optimizer::export`] gave after `steps` steps.
    ///
    /// # Errors
    /// [`Error::State`] if it is not one of this optimiser and these parameters; the state is then as before.
    pub fn import(&mut self, arrays: &[NamedArray], steps: u64) -> Result<()> {
        let mut loaded = Vec::new();
        for (name, slot) in [
            ("optimizer.first", &self.first),
            ("optimizer.second", &self.second),
        ] {
            let Some(slot) = slot else { continue };
            let array = arrays
                .iter()
                .find(|array| array.name == name)
                .ok_or_else(|| Error::State(format!("{name} is missing")))?;
            if array.shape != slot.size() {
                let (found, wanted) = (&array.shape, slot.size());
                return Err(Error::State(format!(
                    "{name} has shape {found:?}, the model {wanted:?}"
                )));
            }
            loaded.push((slot.shallow_clone(), Tensor::f_from_slice(&array.values)?));
        }
        for (mut slot, values) in loaded {
            slot.f_copy_(&values)?;
        }
        self.steps = steps;
        Ok(())
    }

    /// Tensors of the state, for those who compare it.
    pub fn state(&self) -> impl Iterator<Item = &Tensor> {
        self.first.iter().chain(&self.second)
    }
}
