//! A network with its parameters and buffers: forward, gradient, evaluation.

use tch::{Device, Kind, Reduction, Tensor};

use crate::error::{Error, Result};
use crate::ffi::Generator;
use crate::flat::FlatTensor;
use crate::network::{Mode, Network};
use crate::parameters::{FlatBuffer, NamedArray, Parameters};

/// Images and their classes, or tokens and those that follow them, on one device.
#[derive(Debug)]
pub struct Batch {
    /// Images, float32, shape `[batch, channels, height, width]`; or tokens, int64, shape `[batch, length]`.
    pub images: Tensor,
    /// Int64: of images, shape `[batch]`; of tokens, shape `[batch · length]`, sequence after sequence.
    pub labels: Tensor,
}

impl Batch {
    /// A batch of normalised square images of three channels, given in C order, put on a device. Their side comes from
    /// the numbers of pixels and labels: 3,072 numbers a label are 3 × 32 × 32.
    ///
    /// # Errors
    /// If libtorch refuses: memory, the device, numbers of images and labels that do not fit.
    pub fn new(images: &[f32], labels: &[i64], device: Device) -> Result<Self> {
        let pixels = images.len() / (3 * labels.len().max(1));
        let side = pixels.isqrt() as i64;
        let shape = [labels.len() as i64, 3, side, side];
        Ok(Self {
            images: Tensor::f_from_slice(images)?
                .f_reshape(shape)?
                .f_to(device)?,
            labels: Tensor::f_from_slice(labels)?.f_to(device)?,
        })
    }

    /// A batch of sequences of `length` tokens, one after another, and for each token the one to be predicted there
    /// (as a rule, the next), put on a device.
    ///
    /// `inputs` and `targets` have shape `[batch · length]`. Whether a token is one of the vocabulary shows in the
    /// forward pass.
    ///
    /// # Errors
    /// [`Error::Value`] if `length` is 0 or the number of targets not a multiple of it, and what libtorch refuses:
    /// memory, the device, another number of inputs than of targets.
    pub fn tokens(inputs: &[i64], targets: &[i64], length: usize, device: Device) -> Result<Self> {
        if length == 0 || !targets.len().is_multiple_of(length) {
            return Err(Error::Value {
                key: "length",
                value: length as f64,
                rule: "sequences have at least one token, and the targets fill whole ones",
            });
        }
        let shape = [(targets.len() / length) as i64, length as i64];
        Ok(Self {
            images: Tensor::f_from_slice(inputs)?
                .f_reshape(shape)?
                .f_to(device)?,
            labels: Tensor::f_from_slice(targets)?.f_to(device)?,
        })
    }

    /// The same batch.
    pub(crate) fn handle(&self) -> Self {
        Self {
            images: self.images.shallow_clone(),
            labels: self.labels.shallow_clone(),
        }
    }

    /// `length` of its images or sequences from `start` on, which share its memory.
    pub(crate) fn narrow(&self, start: i64, length: i64) -> Result<Self> {
        let count = self.images.size().first().copied().unwrap_or(0);
        let each = self.labels.numel() as i64 / count.max(1);
        Ok(Self {
            images: self.images.f_narrow(0, start, length)?,
            labels: self.labels.f_narrow(0, start * each, length * each)?,
        })
    }

    /// Number of images, or of tokens.
    pub fn len(&self) -> usize {
        self.labels.numel()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Sum of losses and number of right answers over some images, or tokens, kept on the device until asked for.
#[derive(Debug)]
pub struct Tally {
    loss: Tensor,
    correct: Tensor,
    images: u64,
}

impl Tally {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new(device: Device) -> Result<Self> {
        Self::of(0.0, 0, 0, device)
    }

    /// What was counted before: [`Tally::loss_sum`], [`Tally::correct`] and [`Tally::images`] of another. Counted on,
    /// it gives the same bits as that one.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn of(loss_sum: f64, correct: u64, images: u64, device: Device) -> Result<Self> {
        Ok(Self {
            loss: Tensor::f_full([], loss_sum, (Kind::Double, device))?,
            correct: Tensor::f_full([], correct as i64, (Kind::Int64, device))?,
            images,
        })
    }

    /// Adds a batch's mean loss and its right answers.
    fn add(&mut self, loss: &Tensor, logits: &Tensor, labels: &Tensor) -> Result<()> {
        let count = labels.numel() as u64;
        let loss = loss
            .f_detach()?
            .f_to_kind(Kind::Double)?
            .f_mul_scalar(count as f64)?;
        let _ = self.loss.f_add_(&loss)?;
        let right = logits.f_detach()?.f_argmax(1, false)?.f_eq_tensor(labels)?;
        let _ = self.correct.f_add_(&right.f_sum(Kind::Int64)?)?;
        self.images += count;
        Ok(())
    }

    /// Sum of the images' losses (nats).
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn loss_sum(&self) -> Result<f64> {
        Ok(self.loss.f_double_value(&[])?)
    }

    /// Right answers.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn correct(&self) -> Result<u64> {
        Ok(self.correct.f_int64_value(&[])?.unsigned_abs())
    }

    /// Mean loss over the images (nats), NaN before the first.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn loss(&self) -> Result<f64> {
        Ok(self.loss_sum()? / self.images as f64)
    }

    /// Share of right answers, NaN before the first.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn accuracy(&self) -> Result<f64> {
        Ok(self.correct()? as f64 / self.images as f64)
    }

    /// Images, or tokens, counted.
    pub fn images(&self) -> u64 {
        self.images
    }
}

/// A network with its parameters and buffers.
#[derive(Debug)]
pub struct Model<N> {
    network: N,
    parameters: Parameters,
    buffers: FlatBuffer,
}

impl<N: Network> Model<N> {
    /// A network initialised as PyTorch initialises it after `torch.manual_seed(seed)`.
    ///
    /// # Errors
    /// If libtorch refuses: memory, the device.
    pub fn new(network: N, seed: u64, device: Device) -> Result<Self> {
        let parameters = Parameters::new(network.parameters(), seed, device)?;
        let mut buffers = FlatBuffer::zeros(network.buffers(), device)?;
        // Constants: nothing is drawn.
        buffers.draw(&mut Generator::new(seed)?)?;
        Ok(Self {
            network,
            parameters,
            buffers,
        })
    }

    /// The parameters and their gradients.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Weights and gradient, as an optimiser takes them.
    pub fn vectors(&mut self) -> (&mut FlatTensor, &mut FlatTensor) {
        self.parameters.vectors()
    }

    /// Running statistics, flat, shape `[total]`.
    pub fn buffers(&self) -> &Tensor {
        self.buffers.flat()
    }

    /// Whether a pass may take means and variances of its batch: whether there are running ones.
    pub(crate) fn takes_batch_statistics(&self) -> bool {
        !self.buffers.specs().is_empty()
    }

    /// Where it lives.
    pub fn device(&self) -> Device {
        self.parameters.flat().device()
    }

    /// Logits, shape `[examples, classes]`, of a batch's `images`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let leaves = self.parameters.leaves();
        Ok(self
            .network
            .forward(leaves, self.buffers.views(), images, mode)?)
    }

    /// Sets the gradient to that of the mean cross-entropy over the batch, and adds the batch to the tally.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn gradient(&self, batch: &Batch, mode: Mode, tally: Option<&mut Tally>) -> Result<()> {
        self.loss_and_gradient(batch, mode, tally).map(drop)
    }

    /// The same, and returns that mean (nats), on the device: reading it waits.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn loss_and_gradient(
        &self,
        batch: &Batch,
        mode: Mode,
        tally: Option<&mut Tally>,
    ) -> Result<Tensor> {
        self.parameters.zero_grad()?;
        self.accumulate_gradient(batch, mode, 1.0, tally)
    }

    /// Adds `share` times that gradient to the one there is.
    pub(crate) fn accumulate_gradient(
        &self,
        batch: &Batch,
        mode: Mode,
        share: f64,
        tally: Option<&mut Tally>,
    ) -> Result<Tensor> {
        let logits = self.forward(&batch.images, mode)?;
        let loss = cross_entropy(&logits, &batch.labels)?;
        if share == 1.0 {
            loss.f_backward()?;
        } else {
            loss.f_mul_scalar(share)?.f_backward()?;
        }
        let loss = loss.f_detach()?;
        if let Some(tally) = tally {
            tally.add(&loss, &logits, &batch.labels)?;
        }
        Ok(loss)
    }

    /// Adds a batch to the tally, without a gradient.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn evaluate(&self, batch: &Batch, mode: Mode, tally: &mut Tally) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let logits = self.forward(&batch.images, mode)?;
        let loss = cross_entropy(&logits, &batch.labels)?;
        tally.add(&loss, &logits, &batch.labels)
    }

    /// Mean cross-entropy over a batch (nats), without a gradient.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn loss(&self, batch: &Batch, mode: Mode) -> Result<f64> {
        let _guard = tch::no_grad_guard();
        let logits = self.forward(&batch.images, mode)?;
        Ok(cross_entropy(&logits, &batch.labels)?.f_double_value(&[])?)
    }

    /// Copies of parameters and running statistics under the names of PyTorch's `state_dict`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn export(&self) -> Result<Vec<NamedArray>> {
        let mut arrays = self.parameters.buffer().export()?;
        arrays.extend(self.buffers.export()?);
        Ok(arrays)
    }

    /// Takes parameters and running statistics that [`Model::export`] gave.
    ///
    /// # Errors
    /// [`crate::Error::State`] if an array is missing or has another shape.
    pub fn import(&mut self, arrays: &[NamedArray]) -> Result<()> {
        self.parameters.buffer_mut().import(arrays)?;
        self.buffers.import(arrays)
    }
}

fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(logits.f_cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, 0.0)?)
}
