//! Tasks in pure Rust, float64.

/// Which examples an index counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Those that train and validate.
    Train,
    /// Those that test.
    Test,
}

/// What a batch comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Mean loss of an example.
    pub loss: f64,
    /// Examples classified rightly, where the task classifies.
    pub correct: Option<u64>,
}

/// Kind of a layer's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// Matrices of the layers before the last.
    Weights,
    /// Biases of the layers before the last, gains and biases of normalisations.
    BiasesAndNorms,
    /// The last layer, matrix and bias.
    Head,
}

/// Data and model of a problem in pure Rust: no batches' order, no optimiser, no probe.
pub trait PureTask {
    /// Examples of one batch, ready to be looked at.
    type Batch;

    /// Name of the data for a reader, such as `synthetic points`.
    fn data_name(&self) -> String;

    /// SHA-256 of the data, in hex.
    fn digest(&self) -> String;

    /// Number of examples of a part.
    fn examples(&self, part: Part) -> usize;

    /// Initial weights for a seed, shape `[parameters]`.
    fn start(&self, seed: u64) -> ndarray::Array1<f64>;

    /// Parameter groups: for each layer kind (`weights`, `biases-and-norms`, `head`) the ranges of the weights that are
    /// of it. Together they cover all.
    fn layers(&self) -> Vec<(LayerKind, std::ops::Range<usize>)>;

    /// The examples of these indices. What is random about an example (noise, augmentation) comes from `random`;
    /// without, it is left out.
    ///
    /// # Panics
    /// If an index is not that of an example.
    fn batch(
        &self,
        part: Part,
        indices: &[u32],
        random: Option<&mut crate::data::Stream>,
    ) -> Self::Batch;

    /// Mean loss over a batch at `weights`, and its gradient into `gradient` (overwritten) if given; NaN if the batch is
    /// empty.
    ///
    /// # Panics
    /// If `weights` or `gradient` is not of shape `[parameters]`.
    fn evaluate(
        &self,
        weights: &ndarray::Array1<f64>,
        batch: &Self::Batch,
        gradient: Option<&mut ndarray::Array1<f64>>,
    ) -> Outcome;
}
