//! autolr-core's optimisers on the flat buffers, with their state in reach.

use autolr_core::optimizer::{Groups, OptimizerConfig};

use crate::error::{Error, Result};
use crate::flat::FlatTensor;
use crate::parameters::{NamedArray, Parameters};

/// What comes before the name of a vector of the state, in a checkpoint.
const PREFIX: &str = "optimizer.";

/// An optimiser and its state: flat buffers in the layout of [`Parameters::flat`].
#[derive(Debug)]
pub struct Optimizer(autolr_core::optimizer::Optimizer<FlatTensor>);

impl Optimizer {
    /// An optimiser that has not stepped yet: its state is zero.
    ///
    /// # Errors
    /// [`Error::Setting`] for a setting outside its range; or if libtorch refuses.
    pub fn new(config: OptimizerConfig, parameters: &Parameters) -> Result<Self> {
        config.check()?;
        let (weights, _) = parameters.handles();
        let optimizer = autolr_core::optimizer::Optimizer::new(config, &weights)?;
        let tensors = parameters.ranges().map(|(_, range)| range).collect();
        Ok(Self(optimizer.with_tensors(tensors)))
    }

    /// The same, with a rate and a weight decay for each parameter group; [`Parameters::ranges`] says where each
    /// parameter lies in the vectors.
    #[must_use]
    pub fn with_groups(self, groups: Groups<FlatTensor>) -> Self {
        Self(self.0.with_groups(Some(groups)))
    }

    /// The optimiser of autolr-core.
    pub fn inner(&self) -> &autolr_core::optimizer::Optimizer<FlatTensor> {
        &self.0
    }

    /// The settings.
    pub fn config(&self) -> &OptimizerConfig {
        self.0.config()
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.0.steps()
    }

    /// One step at rate `lr` along the gradient that the parameters hold, which is used up: its buffer serves as
    /// work space. Returns the rate that was really taken.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn step(&mut self, parameters: &Parameters, lr: f64) -> Result<f64> {
        self.step_at_loss(parameters, lr, f64::NAN)
    }

    /// The same, for an optimiser that needs the loss that the gradient is of
    /// ([`needs_loss`](OptimizerConfig::needs_loss)).
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn step_at_loss(&mut self, parameters: &Parameters, lr: f64, loss: f64) -> Result<f64> {
        let (mut weights, mut gradient) = parameters.handles();
        self.0.step_at_loss(&mut weights, &mut gradient, lr, loss)
    }

    /// The numbers of the state that are no tensors, one after another, for a checkpoint.
    pub fn numbers(&self) -> Vec<f64> {
        let numbers = self.0.numbers().into_iter();
        numbers.flat_map(|(_, numbers)| numbers.to_vec()).collect()
    }

    /// The state's tensors, for a checkpoint, under the names of their slots, such as `optimizer.first`, each parameter's
    /// entries in C order; the number of steps, and [`Optimizer::numbers`], are kept beside them.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn export(&self, parameters: &Parameters) -> Result<Vec<NamedArray>> {
        let named = |(name, vector): (&str, &FlatTensor)| {
            let vector = parameters.to_c_order(&vector.0)?;
            NamedArray::of(&format!("{PREFIX}{name}"), &vector.size(), &vector)
        };
        self.0.state().map(named).collect()
    }

    /// Takes a state that [`Optimizer::export`] and [`Optimizer::numbers`] gave after `steps` steps.
    ///
    /// # Errors
    /// [`Error::State`] if it is not one of this optimiser and these parameters; the state is then as before.
    pub fn import(
        &mut self,
        parameters: &Parameters,
        arrays: &[NamedArray],
        numbers: &[f64],
        steps: u64,
    ) -> Result<()> {
        let (found, wanted) = (numbers.len(), self.numbers().len());
        if found != wanted {
            let text = format!("{found} numbers, the optimiser has {wanted}");
            return Err(Error::State(text));
        }
        let mut loaded = Vec::new();
        for (name, vector) in self.0.state() {
            let name = format!("{PREFIX}{name}");
            let array = arrays
                .iter()
                .find(|array| array.name == name)
                .ok_or_else(|| Error::State(format!("{name} is missing")))?;
            if array.shape != vector.0.size() {
                let (found, wanted) = (&array.shape, vector.0.size());
                return Err(Error::State(format!(
                    "{name} has shape {found:?}, the model {wanted:?}"
                )));
            }
            let values = tch::Tensor::f_from_slice(&array.values)?.f_to(vector.0.device())?;
            loaded.push(parameters.from_c_order(&values)?);
        }
        let (count, vectors) = self.0.state_mut();
        for ((_, vector), values) in vectors.zip(&loaded) {
            vector.0.f_copy_(values)?;
        }
        *count = steps;
        self.0.numbers_mut().copy_from_slice(numbers);
        Ok(())
    }

    /// Tensors of the state, for those who compare it.
    pub fn state(&self) -> impl Iterator<Item = &tch::Tensor> {
        self.0.state().map(|(_, vector)| &vector.0)
    }
}
