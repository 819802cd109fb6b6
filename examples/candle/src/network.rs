//! The network: two hidden layers, each followed by dropout.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module, VarBuilder, VarMap};

use crate::digits::SIDE;
use crate::stream::Stream;

const WIDTH: usize = 64;
const DROPOUT: f32 = 0.2;

pub struct Network {
    hidden: [Linear; 2],
    output: Linear,
}

impl Network {
    /// The network and its variables.
    pub fn new(seed: u64) -> Result<(Self, Vec<Var>)> {
        let map = VarMap::new();
        let builder = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let network = Self {
            hidden: [
                candle_nn::linear(SIDE * SIDE, WIDTH, builder.pp("hidden.0"))?,
                candle_nn::linear(WIDTH, WIDTH, builder.pp("hidden.1"))?,
            ],
            output: candle_nn::linear(WIDTH, 10, builder.pp("output"))?,
        };
        Ok((network, initialise(&map, seed)?))
    }

    /// Logits of shape `[n, 10]` for images of shape `[n, SIDE²]`; without a stream, nothing is dropped.
    ///
    /// candle's own `Dropout` draws from the thread's generator, which on the CPU can be neither seeded nor saved.
    /// Here the masks come from a stream that the caller names, so that the same step has the same masks.
    pub fn forward(&self, images: &Tensor, mut dropout: Option<Stream>) -> Result<Tensor> {
        let mut x = images.clone();
        for layer in &self.hidden {
            x = layer.forward(&x)?.relu()?;
            if let Some(stream) = &mut dropout {
                x = (&x * mask(&x, stream)?)?;
            }
        }
        self.output.forward(&x)
    }
}

/// 0 with probability `DROPOUT`, else 1 / (1 − `DROPOUT`), in the shape of `x`.
fn mask(x: &Tensor, stream: &mut Stream) -> Result<Tensor> {
    let draw = || match stream.uniform() < DROPOUT {
        true => 0.0,
        false => 1.0 / (1.0 - DROPOUT),
    };
    let values: Vec<f32> = std::iter::repeat_with(draw).take(x.elem_count()).collect();
    Tensor::from_vec(values, x.shape(), x.device())
}

/// Draws all weights again from a seed, in the order of their names, and sets the biases to 0: candle's own
/// initialisation draws from the same generator that cannot be seeded.
fn initialise(map: &VarMap, seed: u64) -> Result<Vec<Var>> {
    let variables = map
        .data()
        .lock()
        .expect("no other thread has the variables");
    let mut named: Vec<_> = variables.iter().collect();
    named.sort_by_key(|(name, _)| name.as_str());
    for (name, var) in &named {
        if name.ends_with("bias") {
            var.set(&var.zeros_like()?)?;
            continue;
        }
        let bound = (6.0 / var.dim(1)? as f32).sqrt(); // He et al. 2015, as a uniform distribution
        let mut stream = Stream::new(seed, name, 0);
        let draw = || bound * (2.0 * stream.uniform() - 1.0);
        let values: Vec<f32> = std::iter::repeat_with(draw)
            .take(var.elem_count())
            .collect();
        var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?;
    }
    Ok(named.into_iter().map(|(_, var)| var.clone()).collect())
}
