//! Tasks through libtorch.

use std::ops::Range;

use anyhow::{Result, bail, ensure};
use autolr_core::optimizer::Objective;
use autolr_tch::{Batch, FlatTensor, InMode, Mode, Model, NamedArray, Network, Tally};
use tch::{Device, Tensor};

use super::{DataIdentity, LayerKind, Part, Score, StateArray, StateValues, Sums, Task};
use crate::data::Stream;

/// Images sent through at once where no gradient is taken.
const EVALUATION_BATCH: usize = 256;

/// A network of libtorch with examples to learn from.
#[derive(Debug)]
pub struct Torch<N, E> {
    examples: E,
    model: Model<N>,
    device: Device,
    frozen: bool,
    /// Mean loss of the last training batch.
    loss: Option<Tensor>,
}

/// Examples for a network of libtorch.
pub trait Examples {
    /// Whether there are as many as the specification asks for, so that no subset of them is drawn.
    const DRAWN_TO_SIZE: bool;

    /// What they are.
    fn identity(&self) -> DataIdentity;

    /// Number of examples of a part.
    fn count(&self, part: Part) -> usize;

    /// Those of these indices; what is random about them comes from `random`, or is left out.
    ///
    /// # Errors
    /// If libtorch refuses.
    fn batch(
        &self,
        part: Part,
        indices: &[u32],
        random: Option<&mut Stream>,
        device: Device,
    ) -> Result<Batch>;

    /// A batch as arrays, whose names begin with `name`.
    ///
    /// # Errors
    /// If libtorch refuses.
    fn arrays(&self, name: &str, batch: &Batch) -> Result<Vec<StateArray>>;
}

impl<N: Network, E: Examples> Torch<N, E> {
    /// A network initialised from a seed.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new(network: N, examples: E, seed: u64, device: Device) -> Result<Self> {
        Ok(Self {
            examples,
            model: Model::new(network, seed, device)?,
            device,
            frozen: false,
            loss: None,
        })
    }

    fn mode(&self, unfrozen: Mode) -> Mode {
        if self.frozen { Mode::Eval } else { unfrozen }
    }

    fn probed(&mut self) -> InMode<'_, N> {
        let mode = self.mode(Mode::Probe);
        let model = &mut self.model;
        InMode { model, mode }
    }
}

impl<N: Network, E: Examples> Objective for Torch<N, E> {
    type Vector = FlatTensor;
    type Batch = Batch;
    type Random = Tensor;
    type Error = anyhow::Error;

    fn vectors(&mut self) -> (&mut FlatTensor, &mut FlatTensor) {
        self.model.vectors()
    }

    fn set_gradient(&mut self, batches: &[Batch]) -> Result<()> {
        Ok(self.probed().set_gradient(batches)?)
    }

    fn loss(&mut self, batch: &Batch) -> Result<f64> {
        Ok(self.probed().loss(batch)?)
    }

    fn random(&self) -> Result<Tensor> {
        Ok(autolr_tch::rng_state(self.device)?)
    }

    fn set_random(&mut self, random: &Tensor) -> Result<()> {
        Ok(autolr_tch::set_rng_state(self.device, random)?)
    }
}

impl<N: Network, E: Examples> Task for Torch<N, E> {
    type Tally = Tally;

    const LOSS_READ_EVERY: u64 = 32;
    const DRAWN_TO_SIZE: bool = E::DRAWN_TO_SIZE;

    fn data(&self) -> DataIdentity {
        self.examples.identity()
    }

    fn examples(&self, part: Part) -> usize {
        self.examples.count(part)
    }

    fn parameters(&self) -> usize {
        self.model.parameters().count()
    }

    /// The last module's parameters are the head; of the others, those of one dimension are biases, gains and shifts.
    fn layers(&self) -> Vec<(LayerKind, Range<usize>)> {
        let module = |name: &str| {
            name.rsplit_once('.')
                .map_or("", |(module, _)| module)
                .to_owned()
        };
        let parameters = self.model.parameters();
        let last = parameters.specs().last().map(|spec| module(&spec.name));
        let kinds = parameters.ranges().map(|(spec, range)| {
            let kind = if Some(module(&spec.name)) == last {
                LayerKind::Head
            } else if spec.shape.len() == 1 {
                LayerKind::BiasesAndNorms
            } else {
                LayerKind::Weights
            };
            (kind, range)
        });
        kinds.collect()
    }

    fn device(&self) -> String {
        match self.device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        }
    }

    fn libtorch(&self) -> Option<String> {
        Some(autolr_tch::libtorch_version())
    }

    fn batch(&self, part: Part, indices: &[u32], random: Option<&mut Stream>) -> Result<Batch> {
        self.examples.batch(part, indices, random, self.device)
    }

    fn batch_arrays(&self, name: &str, batch: &Batch) -> Result<Vec<StateArray>> {
        self.examples.arrays(name, batch)
    }

    fn tally(&self, sums: Sums) -> Result<Tally> {
        let Sums {
            samples,
            loss,
            correct,
        } = sums;
        Ok(Tally::of(loss, correct, samples, self.device)?)
    }

    fn sums(&self, tally: &Tally) -> Result<Sums> {
        Ok(Sums {
            samples: tally.images(),
            loss: tally.loss_sum()?,
            correct: tally.correct()?,
        })
    }

    fn train(&mut self, batch: &Batch, tally: &mut Tally) -> Result<()> {
        let mode = self.mode(Mode::Train);
        self.loss = Some(self.model.loss_and_gradient(batch, mode, Some(tally))?);
        Ok(())
    }

    fn batch_loss(&self) -> Result<f64> {
        match &self.loss {
            Some(loss) => Ok(loss.f_double_value(&[])?),
            None => Ok(f64::NAN),
        }
    }

    fn evaluate(&mut self, part: Part, indices: &[u32]) -> Result<Score> {
        let mut tally = Tally::new(self.device)?;
        for chunk in indices.chunks(EVALUATION_BATCH) {
            let batch = self.examples.batch(part, chunk, None, self.device)?;
            self.model.evaluate(&batch, Mode::Eval, &mut tally)?;
        }
        Ok(Score {
            loss: tally.loss()?,
            accuracy: Some(tally.accuracy()?),
        })
    }

    fn freeze_batch_norm(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    fn save(&self) -> Result<Vec<StateArray>> {
        let arrays = self.model.export()?.into_iter();
        Ok(arrays
            .map(|array| StateArray {
                name: array.name,
                shape: array.shape.iter().map(|&side| side as usize).collect(),
                values: StateValues::F32(array.values),
            })
            .collect())
    }

    fn load(&mut self, state: &[StateArray]) -> Result<()> {
        let arrays: Vec<NamedArray> = state
            .iter()
            .filter_map(|array| match &array.values {
                StateValues::F32(values) => Some(NamedArray {
                    name: array.name.clone(),
                    shape: array.shape.iter().map(|&side| side as i64).collect(),
                    values: values.clone(),
                }),
                _ => None,
            })
            .collect();
        Ok(self.model.import(&arrays)?)
    }

    fn save_vector(&self, name: &str, vector: &FlatTensor) -> Result<StateArray> {
        let vector = self.model.parameters().to_c_order(vector.tensor())?;
        let values: Vec<f32> = Vec::try_from(vector.f_to(Device::Cpu)?)?;
        Ok(StateArray {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: StateValues::F32(values),
        })
    }

    fn vector(&self, values: &[f64]) -> Result<FlatTensor> {
        let values = Tensor::f_from_slice(values)?.f_to_kind(tch::Kind::Float)?;
        Ok(FlatTensor::new(values.f_to(self.device)?))
    }

    fn load_vector(&self, array: &StateArray) -> Result<FlatTensor> {
        // Of the flat buffer, with the gaps between parameters.
        let n = self.model.parameters().flat().numel();
        let StateValues::F32(values) = &array.values else {
            bail!("saved state: {} is not float32", array.name);
        };
        ensure!(
            values.len() == n,
            "saved state: {} has {} entries, the network {n}",
            array.name,
            values.len()
        );
        let tensor = Tensor::f_from_slice(values)?.f_to(self.device)?;
        let tensor = self.model.parameters().from_c_order(&tensor)?;
        Ok(FlatTensor::new(tensor))
    }
}
