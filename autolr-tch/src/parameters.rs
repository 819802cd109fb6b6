//! All parameters in one flat buffer, all gradients in another.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::ffi;
use crate::flat::FlatTensor;

/// How a parameter starts; the formulas are those of PyTorch's modules.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// Uniform in ±1/√fan_in: `Conv2d` and `Linear`, weight and bias (`kaiming_uniform_` with a = √5).
    Uniform {
        /// Inputs of one output unit.
        fan_in: i64,
    },
    /// Normal of mean 0: embeddings (`normal_`; that of PyTorch's `Embedding` has a standard deviation of 1).
    Normal {
        /// Standard deviation, not negative.
        std: f64,
    },
    /// A constant: 1 and 0 in `BatchNorm2d` and `LayerNorm`.
    Constant(f64),
}

/// Name, shape and start of one parameter or buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Name as in PyTorch's `state_dict`.
    pub name: String,
    /// Shape.
    pub shape: Vec<i64>,
    /// Start.
    pub init: Init,
}

impl ParameterSpec {
    /// Number of entries.
    pub fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A piece of a flat buffer in this shape. On the CPU the weights of convolutions are channels-last, in the order
    /// `[output, height, width, input]`. libtorch then keeps images channels-last too, and convolutions are faster.
    fn view(&self, piece: &Tensor) -> Result<Tensor> {
        match self.shape[..] {
            [output, input, height, width] if piece.device() == Device::Cpu => Ok(piece
                .f_view([output, height, width, input])?
                .f_permute([0, 3, 1, 2])?),
            _ => Ok(piece.f_view_(&self.shape)?),
        }
    }
}

/// The same numbers, from their order in a buffer into C order, or back.
fn reordered(specs: &[ParameterSpec], flat: &Tensor, to_c_order: bool) -> Result<Tensor> {
    let length: i64 = specs.iter().map(padded).sum();
    if flat.size() != [length] {
        return Err(Error::State(format!(
            "a vector has shape {:?}, the parameters [{length}]",
            flat.size()
        )));
    }
    // The gaps stay zero.
    let other = flat.f_zeros_like()?;
    let mut offset = 0;
    for spec in specs {
        let from = flat.f_narrow(0, offset, spec.len())?;
        let to = other.f_narrow(0, offset, spec.len())?;
        if to_c_order {
            to.f_view_(&spec.shape)?.f_copy_(&spec.view(&from)?)?;
        } else {
            spec.view(&to)?.f_copy_(&from.f_view_(&spec.shape)?)?;
        }
        offset += padded(spec);
    }
    Ok(other)
}

/// Each parameter starts at a multiple of 16 floats, so that every view is aligned for vector instructions.
const ALIGNMENT: i64 = 16;

/// A flat float32 buffer cut into named views.
#[derive(Debug)]
pub(crate) struct FlatBuffer {
    specs: Vec<ParameterSpec>,
    flat: Tensor,
    views: Vec<Tensor>,
}

/// Entries of a parameter with the gap behind it.
fn padded(spec: &ParameterSpec) -> i64 {
    (spec.len() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
}

impl FlatBuffer {
    pub(crate) fn zeros(specs: Vec<ParameterSpec>, device: Device) -> Result<Self> {
        let total: i64 = specs.iter().map(padded).sum();
        let flat = Tensor::f_zeros([total], (Kind::Float, device))?;
        let mut offset = 0;
        let mut views = Vec::with_capacity(specs.len());
        for spec in &specs {
            views.push(spec.view(&flat.f_narrow(0, offset, spec.len())?)?);
            offset += padded(spec);
        }
        Ok(Self { specs, flat, views })
    }

    pub(crate) fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// The whole buffer, shape `[total]`, padding included (which stays zero).
    pub(crate) fn flat(&self) -> &Tensor {
        &self.flat
    }

    pub(crate) fn views(&self) -> &[Tensor] {
        &self.views
    }

    /// Named copies of all entries in host memory.
    pub(crate) fn export(&self) -> Result<Vec<NamedArray>> {
        let rows = self.specs.iter().zip(&self.views);
        rows.map(|(spec, view)| NamedArray::of(&spec.name, &spec.shape, view))
            .collect()
    }

    /// Takes the entries of these names from `arrays`.
    pub(crate) fn import(&mut self, arrays: &[NamedArray]) -> Result<()> {
        let find = |spec: &ParameterSpec| {
            let array = arrays
                .iter()
                .find(|array| array.name == spec.name)
                .ok_or_else(|| Error::State(format!("{} is missing", spec.name)))?;
            if array.shape != spec.shape {
                return Err(Error::State(format!(
                    "{} has shape {:?}, the model {:?}",
                    spec.name, array.shape, spec.shape
                )));
            }
            Ok(array)
        };
        let found: Vec<&NamedArray> = self.specs.iter().map(find).collect::<Result<_>>()?;
        for (view, array) in self.views.iter_mut().zip(found) {
            let values = Tensor::f_from_slice(&array.values)?;
            tch::no_grad(|| view.f_copy_(&values.f_reshape(&array.shape)?))?;
        }
        Ok(())
    }
}

/// A float32 array with a name, in host memory, as a checkpoint holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedArray {
    /// Name.
    pub name: String,
    /// Shape.
    pub shape: Vec<i64>,
    /// Entries in C order.
    pub values: Vec<f32>,
}

impl NamedArray {
    /// A copy of a float32 tensor.
    pub(crate) fn of(name: &str, shape: &[i64], tensor: &Tensor) -> Result<Self> {
        let host = tensor.f_detach()?.f_to(Device::Cpu)?.f_contiguous()?;
        let mut values = vec![0.0; host.numel()];
        let count = values.len();
        host.f_copy_data(&mut values, count)?;
        Ok(Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values,
        })
    }
}

/// Trained parameters: one flat buffer, one flat gradient, and a leaf a parameter that views both.
#[derive(Debug)]
pub struct Parameters {
    buffer: FlatBuffer,
    /// Weights and gradient as an optimiser takes them: the same numbers.
    vectors: (FlatTensor, FlatTensor),
    leaves: Vec<Tensor>,
}

impl Parameters {
    /// Parameters drawn from a generator of PyTorch's seeded with `seed`, in the order of the specifications: with
    /// the modules in the same order, the same bits that `torch.manual_seed(seed)` and the modules' constructors
    /// give. The global generator is not touched.
    ///
    /// # Errors
    /// If libtorch refuses (memory, device).
    pub fn new(specs: Vec<ParameterSpec>, seed: u64, device: Device) -> Result<Self> {
        let mut buffer = FlatBuffer::zeros(specs, device)?;
        buffer.draw(&mut ffi::Generator::new(seed)?)?;
        let grad = FlatBuffer::zeros(buffer.specs.clone(), device)?;
        let mut leaves = Vec::with_capacity(buffer.views.len());
        for (view, grad) in buffer.views.iter().zip(&grad.views) {
            let leaf = view.f_detach()?.f_set_requires_grad(true)?;
            ffi::set_grad(&leaf, grad)?;
            leaves.push(leaf);
        }
        let weights = FlatTensor(buffer.flat.shallow_clone());
        Ok(Self {
            buffer,
            vectors: (weights, FlatTensor(grad.flat)),
            leaves,
        })
    }

    /// All parameters, shape `[total]`; the leaves view it. On the CPU, those of four dimensions are channels-last;
    /// [`Parameters::to_c_order`] gives C order.
    pub fn flat(&self) -> &Tensor {
        self.buffer.flat()
    }

    /// All gradients, shape `[total]`; backward passes accumulate into it.
    pub fn grad(&self) -> &Tensor {
        &self.vectors.1.0
    }

    /// One differentiable tensor a specification, in their order. On the CPU, those of four dimensions are channels-last:
    /// `reshape` them, `view` refuses.
    pub fn leaves(&self) -> &[Tensor] {
        &self.leaves
    }

    /// The specifications.
    pub fn specs(&self) -> &[ParameterSpec] {
        self.buffer.specs()
    }

    /// Where each parameter lies in [`Parameters::flat`], with the gap behind it: the ranges cover all of it.
    pub fn ranges(&self) -> impl Iterator<Item = (&ParameterSpec, Range<usize>)> {
        let mut start = 0;
        self.specs().iter().map(move |spec| {
            let end = start + padded(spec) as usize;
            (spec, std::mem::replace(&mut start, end)..end)
        })
    }

    /// A vector in the layout of [`Parameters::flat`], such as an optimiser's state, with each parameter's entries in C
    /// order instead: the layout of checkpoints.
    ///
    /// # Errors
    /// [`Error::State`] for another length; or if libtorch refuses.
    pub fn to_c_order(&self, vector: &Tensor) -> Result<Tensor> {
        reordered(self.specs(), vector, true)
    }

    /// The inverse of [`Parameters::to_c_order`].
    ///
    /// # Errors
    /// [`Error::State`] for another length; or if libtorch refuses.
    pub fn from_c_order(&self, vector: &Tensor) -> Result<Tensor> {
        reordered(self.specs(), vector, false)
    }

    /// Number of trained numbers, padding not counted.
    pub fn count(&self) -> usize {
        self.specs().iter().map(|spec| spec.len() as usize).sum()
    }

    pub(crate) fn zero_grad(&self) -> Result<()> {
        // A shallow clone shares the storage: the in-place call wants `mut`.
        let _ = self.grad().shallow_clone().f_zero_()?;
        Ok(())
    }

    /// Weights and gradient, as an optimiser takes them.
    pub(crate) fn vectors(&mut self) -> (&mut FlatTensor, &mut FlatTensor) {
        (&mut self.vectors.0, &mut self.vectors.1)
    }

    /// The same, as further handles.
    pub(crate) fn handles(&self) -> (FlatTensor, FlatTensor) {
        (self.vectors.0.handle(), self.vectors.1.handle())
    }

    pub(crate) fn buffer(&self) -> &FlatBuffer {
        &self.buffer
    }

    pub(crate) fn buffer_mut(&mut self) -> &mut FlatBuffer {
        &mut self.buffer
    }
}

impl FlatBuffer {
    /// Gives every entry its start.
    pub(crate) fn draw(&mut self, random: &mut ffi::Generator) -> Result<()> {
        for (spec, view) in self.specs.iter().zip(&mut self.views) {
            // Drawn on the CPU into memory of its own, as PyTorch does: the same numbers on any device.
            let memory = || Tensor::f_empty(&spec.shape, (Kind::Float, Device::Cpu));
            match spec.init {
                Init::Uniform { fan_in } => {
                    let bound = 1.0 / (fan_in as f64).sqrt();
                    let drawn = memory()?;
                    random.uniform(&drawn, -bound, bound)?;
                    view.f_copy_(&drawn)?;
                }
                Init::Normal { std } => {
                    let drawn = memory()?;
                    random.normal(&drawn, std)?;
                    view.f_copy_(&drawn)?;
                }
                Init::Constant(value) => {
                    let _ = view.f_fill_(value)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_order_is_that_of_the_shapes_and_back_again() {
        let spec = |name: &str, shape: &[i64]| ParameterSpec {
            name: name.into(),
            shape: shape.to_vec(),
            init: Init::Constant(0.0),
        };
        let specs = vec![spec("weight", &[2, 3, 2, 2]), spec("bias", &[5])];
        let parameters = Parameters::new(specs, 0, Device::Cpu).unwrap();
        // In the order of the shapes.
        let weight = Tensor::arange(24, (Kind::Float, Device::Cpu)).reshape([2, 3, 2, 2]);
        let bias = Tensor::arange(5, (Kind::Float, Device::Cpu)) + 100.0;
        tch::no_grad(|| {
            parameters.leaves()[0].shallow_clone().copy_(&weight);
            parameters.leaves()[1].shallow_clone().copy_(&bias);
        });
        let flat = Vec::<f32>::try_from(parameters.flat()).unwrap();
        // The second input channel's first entry is the buffer's second number.
        assert_eq!(flat[..4], [0.0, 4.0, 8.0, 1.0]);
        let ordered = parameters.to_c_order(parameters.flat()).unwrap();
        let mut expected = vec![0.0; 48];
        for (index, number) in expected[..24].iter_mut().enumerate() {
            *number = index as f32;
        }
        expected[32..37].copy_from_slice(&[100.0, 101.0, 102.0, 103.0, 104.0]);
        assert_eq!(Vec::<f32>::try_from(&ordered).unwrap(), expected);
        assert!(
            parameters
                .from_c_order(&ordered)
                .unwrap()
                .equal(parameters.flat())
        );
        let long = Tensor::zeros([64], (Kind::Float, Device::Cpu));
        let error = parameters.to_c_order(&long).unwrap_err().to_string();
        assert!(error.contains("[64]") && error.contains("[48]"), "{error}");
    }
}
