//! The paper's ResNet-18 for 32 × 32 images.

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use crate::batch_norm::{BatchNorm, PostOps};
use crate::error::{Error, Result};
use crate::network::{Mode, Network};
use crate::parameters::{Init, ParameterSpec};

/// Size of a [`ResNet18`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResNetConfig {
    /// Channels of the first stage; the others have 2, 4 and 8 times as many. The paper's is 64.
    pub width: i64,
    /// Classes to tell apart.
    pub classes: i64,
    /// Whether there is BatchNorm after each convolution; without it, nothing stands in its place.
    pub batch_norm: bool,
}

/// ResNet-18 for 32 × 32 images: a 3 × 3 stem of stride 1 without max-pool, four stages of two basic blocks with
/// width, 2·width, 4·width and 8·width channels, a 1 × 1 convolution with BatchNorm on the shortcut where the shape
/// changes, 4 × 4 average pool, one linear layer.
///
/// Parameters have the names and the order of the usual PyTorch modules (`conv1.weight`, `layer1.0.bn1.bias`,
/// `layer2.0.shortcut.0.weight`, `linear.bias`).
///
/// Source: He et al., "Deep residual learning for image recognition", arXiv:1512.03385, in the variant of the
/// paper's released code.
#[derive(Debug, Clone)]
pub struct ResNet18 {
    parameters: Vec<ParameterSpec>,
    buffers: Vec<ParameterSpec>,
    stem: Convolution,
    blocks: Vec<Block>,
    linear: usize,
}

#[derive(Debug, Clone)]
struct Convolution {
    weight: usize,
    norm: Option<BatchNorm>,
    stride: i64,
    padding: i64,
}

#[derive(Debug, Clone)]
struct Block {
    first: Convolution,
    second: Convolution,
    shortcut: Option<Convolution>,
}

#[derive(Default)]
struct Builder {
    parameters: Vec<ParameterSpec>,
    buffers: Vec<ParameterSpec>,
    batch_norm: bool,
}

impl Builder {
    #[allow(clippy::too_many_arguments, reason = "the numbers of a convolution")]
    fn convolution(
        &mut self,
        name: &str,
        norm: &str,
        input: i64,
        output: i64,
        kernel: i64,
        stride: i64,
    ) -> Convolution {
        let weight = self.parameters.len();
        self.parameters.push(ParameterSpec {
            name: format!("{name}.weight"),
            shape: vec![output, input, kernel, kernel],
            init: Init::Uniform {
                fan_in: input * kernel * kernel,
            },
        });
        let norm = self
            .batch_norm
            .then(|| BatchNorm::new(norm, output, &mut self.parameters, &mut self.buffers));
        Convolution {
            weight,
            norm,
            stride,
            padding: kernel / 2,
        }
    }

    fn block(&mut self, name: &str, input: i64, output: i64, stride: i64) -> Block {
        let mut part = |conv: &str, norm: &str, input, kernel, stride| {
            let (conv, norm) = (format!("{name}.{conv}"), format!("{name}.{norm}"));
            self.convolution(&conv, &norm, input, output, kernel, stride)
        };
        let first = part("conv1", "bn1", input, 3, stride);
        let second = part("conv2", "bn2", output, 3, 1);
        let reshapes = stride != 1 || input != output;
        let shortcut = reshapes.then(|| part("shortcut.0", "shortcut.1", input, 1, stride));
        Block {
            first,
            second,
            shortcut,
        }
    }
}

impl ResNet18 {
    /// The network's structure; its parameters live in a [`crate::Model`].
    ///
    /// # Errors
    /// [`Error::Value`] if `width` is not from 1 to 4096, or `classes` not from 2 to 100,000.
    pub fn new(config: ResNetConfig) -> Result<Self> {
        let check = |key, value: i64, min: i64, max: i64, rule| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            let value = value as f64;
            Err(Error::Value { key, value, rule })
        };
        let ResNetConfig {
            width,
            classes,
            batch_norm,
        } = config;
        check("width", width, 1, 4096, "a width must be from 1 to 4096")?;
        check(
            "classes",
            classes,
            2,
            100_000,
            "there must be from 2 to 100000 classes",
        )?;
        let mut builder = Builder {
            batch_norm,
            ..Builder::default()
        };
        let stem = builder.convolution("conv1", "bn1", 3, width, 3, 1);
        let mut blocks = Vec::new();
        let mut input = width;
        for stage in 0..4 {
            let output = width << stage;
            for index in 0..2 {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let name = format!("layer{}.{index}", stage + 1);
                blocks.push(builder.block(&name, input, output, stride));
                input = output;
            }
        }
        let linear = builder.parameters.len();
        for (name, shape) in [
            ("linear.weight", vec![classes, input]),
            ("linear.bias", vec![classes]),
        ] {
            builder.parameters.push(ParameterSpec {
                name: name.to_owned(),
                shape,
                init: Init::Uniform { fan_in: input },
            });
        }
        Ok(Self {
            parameters: builder.parameters,
            buffers: builder.buffers,
            stem,
            blocks,
            linear,
        })
    }
}

/// What a forward pass carries along.
struct Pass<'a> {
    parameters: &'a [Tensor],
    buffers: &'a [Tensor],
    mode: Mode,
}

impl Pass<'_> {
    fn layer(
        &self,
        layer: &Convolution,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor, TchError> {
        let weight = &self.parameters[layer.weight];
        let (stride, padding) = ([layer.stride; 2], [layer.padding; 2]);
        let y = x.f_conv2d(weight, None::<&Tensor>, stride, padding, [1, 1], 1)?;
        let post_ops = PostOps { residual, relu };
        match layer.norm {
            Some(norm) => norm.forward(&y, (self.parameters, self.buffers), self.mode, post_ops),
            None => post_ops.apply(y),
        }
    }

    fn block(&self, block: &Block, x: &Tensor) -> Result<Tensor, TchError> {
        let y = self.layer(&block.first, x, None, true)?;
        match &block.shortcut {
            Some(shortcut) => {
                let shortcut = self.layer(shortcut, x, None, false)?;
                self.layer(&block.second, &y, Some(&shortcut), true)
            }
            None => self.layer(&block.second, &y, Some(x), true),
        }
    }
}

impl Network for ResNet18 {
    fn parameters(&self) -> Vec<ParameterSpec> {
        self.parameters.clone()
    }

    fn buffers(&self) -> Vec<ParameterSpec> {
        self.buffers.clone()
    }

    fn forward(
        &self,
        parameters: &[Tensor],
        buffers: &[Tensor],
        images: &Tensor,
        mode: Mode,
    ) -> Result<Tensor, TchError> {
        let pass = Pass {
            parameters,
            buffers,
            mode,
        };
        let mut x = pass.layer(&self.stem, images, None, true)?;
        for block in &self.blocks {
            x = pass.block(block, &x)?;
        }
        // Of 32 × 32 images, 4 × 4 are left; of 16 × 16, 2 × 2.
        let left = &x.size()[2..];
        x.f_avg_pool2d(left, left, [0, 0], false, true, None)?
            .f_flatten(1, -1)?
            .f_linear(&parameters[self.linear], Some(&parameters[self.linear + 1]))
    }
}
