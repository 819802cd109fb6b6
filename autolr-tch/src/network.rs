//! What a network has to offer to be trained and probed here.

use tch::{TchError, Tensor};

use crate::parameters::ParameterSpec;

/// How BatchNorm behaves in a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Statistics of the batch, which also move the running statistics.
    Train,
    /// Statistics of the batch; the running statistics are not passed at all, so nothing can touch them.
    Probe,
    /// The running statistics, as they are.
    Eval,
}

/// A network as a pure function of its parameters and buffers.
pub trait Network {
    /// The trained parameters, in the order in which PyTorch would draw them.
    fn parameters(&self) -> Vec<ParameterSpec>;

    /// What is not trained but kept: running statistics.
    fn buffers(&self) -> Vec<ParameterSpec>;

    /// Logits, shape `[examples, classes]`, in the order of a batch's labels: of images
    /// `[batch, channels, height, width]`, an example an image; of tokens `[batch, length]`, an example a token.
    ///
    /// `parameters` and `buffers` are in the order of the specifications; on the CPU, those of four dimensions lie
    /// channels-last in memory. Only [`Mode::Train`] may change `buffers`.
    ///
    /// # Errors
    /// If libtorch refuses.
    fn forward(
        &self,
        parameters: &[Tensor],
        buffers: &[Tensor],
        images: &Tensor,
        mode: Mode,
    ) -> Result<Tensor, TchError>;
}
