//! A small decoder-only transformer over characters.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

use crate::error::{Error, Result};
use crate::network::{Mode, Network};
use crate::parameters::{Init, ParameterSpec};

/// Standard deviation of the embeddings' start, as in GPT-2.
const EMBEDDING_STD: f64 = 0.02;
/// Added to the variance in `LayerNorm`: PyTorch's default.
const EPSILON: f64 = 1e-5;

/// Where the first layer's parameters begin: after the two embeddings.
const FIRST_LAYER: usize = 2;
/// Parameters of a layer, weights with their biases, in PyTorch's order.
const PER_LAYER: usize = 12;
const IN_PROJ: usize = 0;
const OUT_PROJ: usize = 2;
const LINEAR1: usize = 4;
const LINEAR2: usize = 6;
const NORM1: usize = 8;
const NORM2: usize = 10;

/// Size of a [`Transformer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformerConfig {
    /// Tokens that there are: 0 to `vocabulary` − 1.
    pub vocabulary: i64,
    /// Tokens of the longest sequence.
    pub context: i64,
    /// Numbers a token, between the layers.
    pub width: i64,
    /// Heads of each attention; they divide `width`.
    pub heads: i64,
    /// Layers.
    pub layers: i64,
}

/// A decoder-only transformer: from each token and those before it, logits of the one that follows.
///
/// With E the token and P the position embeddings, x = E\[token\] + P\[position\]. Each layer takes
/// x ← x + attention(norm₁(x)), then x ← x + W₂ gelu(W₁ norm₂(x)), where the hidden width is 4 · `width`. The
/// logits are a linear layer of norm(x), with weights of its own and a bias. Norms are `LayerNorm`, gelu is the exact
/// one, and there is no dropout, so [`Mode`] makes no difference.
///
/// In a head of d = `width` / `heads` numbers, attention is softmax(q kᵀ / √d) v over the token and those before it.
///
/// # Shapes
/// Tokens `[batch, length]`, int64, with `length` at most `context`; logits `[batch · length, vocabulary]`.
///
/// # Parameters
/// Embeddings are `token_embedding.weight` and `position_embedding.weight`. A layer's have the names and the order of
/// PyTorch's `TransformerEncoderLayer` (`layers.0.self_attn.in_proj_weight`, `layers.0.linear1.bias`,
/// `layers.0.norm2.weight`), and the end is `norm` and `head`. Embeddings start normal with standard deviation 0.02,
/// weights and biases of linear layers as PyTorch's `Linear`, norms at 1 and 0.
///
/// Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762; norms first, and the start of the
/// embeddings, as in Radford et al., "Language models are unsupervised multitask learners" (GPT-2).
#[derive(Debug, Clone)]
pub struct Transformer {
    config: TransformerConfig,
    parameters: Vec<ParameterSpec>,
}

impl TransformerConfig {
    fn validate(&self) -> Result<()> {
        let check = |key, value: i64, max: i64, rule| {
            if (1..=max).contains(&value) {
                return Ok(());
            }
            let value = value as f64;
            Err(Error::Value { key, value, rule })
        };
        check(
            "vocabulary",
            self.vocabulary,
            100_000,
            "a vocabulary must have from 1 to 100000 tokens",
        )?;
        check(
            "context",
            self.context,
            65_536,
            "a context must have from 1 to 65536 tokens",
        )?;
        check(
            "width",
            self.width,
            16_384,
            "a width must be from 1 to 16384",
        )?;
        check(
            "heads",
            self.heads,
            self.width,
            "there must be from 1 head to as many as the width has numbers",
        )?;
        if self.width % self.heads != 0 {
            return Err(Error::Value {
                key: "heads",
                value: self.heads as f64,
                rule: "the number of heads must divide the width",
            });
        }
        check(
            "layers",
            self.layers,
            1024,
            "there must be from 1 to 1024 layers",
        )
    }
}

/// Weight and bias of a linear layer, with the names in PyTorch.
fn linear_specs(weight: String, bias: String, output: i64, input: i64) -> [ParameterSpec; 2] {
    let init = Init::Uniform { fan_in: input };
    [(weight, vec![output, input]), (bias, vec![output])].map(|(name, shape)| ParameterSpec {
        name,
        shape,
        init,
    })
}

fn norm_specs(name: &str, width: i64) -> [ParameterSpec; 2] {
    [("weight", 1.0), ("bias", 0.0)].map(|(suffix, value)| ParameterSpec {
        name: format!("{name}.{suffix}"),
        shape: vec![width],
        init: Init::Constant(value),
    })
}

fn embedding_spec(name: &str, count: i64, width: i64) -> ParameterSpec {
    ParameterSpec {
        name: format!("{name}.weight"),
        shape: vec![count, width],
        init: Init::Normal { std: EMBEDDING_STD },
    }
}

impl Transformer {
    /// The network's structure; its parameters live in a [`crate::Model`].
    ///
    /// # Errors
    /// [`Error::Value`] with the key of a number that is not positive or is too large (`vocabulary` at most 100,000,
    /// `context` 65,536, `width` 16,384, `layers` 1,024), or if `heads` does not divide `width`.
    pub fn new(config: TransformerConfig) -> Result<Self> {
        config.validate()?;
        let TransformerConfig {
            vocabulary,
            context,
            width,
            layers,
            ..
        } = config;
        let linear = |name: &str, output, input| {
            let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
            linear_specs(weight, bias, output, input)
        };
        let mut parameters = vec![
            embedding_spec("token_embedding", vocabulary, width),
            embedding_spec("position_embedding", context, width),
        ];
        for layer in 0..layers {
            let name = |part: &str| format!("layers.{layer}.{part}");
            parameters.extend(linear_specs(
                name("self_attn.in_proj_weight"),
                name("self_attn.in_proj_bias"),
                3 * width,
                width,
            ));
            parameters.extend(linear(&name("self_attn.out_proj"), width, width));
            parameters.extend(linear(&name("linear1"), 4 * width, width));
            parameters.extend(linear(&name("linear2"), width, 4 * width));
            parameters.extend(norm_specs(&name("norm1"), width));
            parameters.extend(norm_specs(&name("norm2"), width));
        }
        parameters.extend(norm_specs("norm", width));
        parameters.extend(linear("head", vocabulary, width));
        Ok(Self { config, parameters })
    }

    /// Its size.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// Attention of `x`, shape `[batch, length, width]`, to itself.
    fn attention(&self, x: &Tensor, layer: &[Tensor], future: &Tensor) -> Result<Tensor, TchError> {
        let TransformerConfig { width, heads, .. } = self.config;
        let (batch, length, _) = x.size3()?;
        let size = width / heads;
        // Queries, keys and values, each [batch, heads, length, size].
        let all = linear(x, layer, IN_PROJ)?
            .f_view_([batch, length, 3, heads, size])?
            .f_permute([2, 0, 3, 1, 4])?;
        let [queries, keys, values] = [0, 1, 2].map(|part| all.f_select(0, part));
        let scores = queries?
            .f_mul_scalar(1.0 / (size as f64).sqrt())?
            .f_matmul(&keys?.f_transpose(-2, -1)?)?;
        // A plain product of the weights: its bits are the same in each run, and a future token's weight is 0.
        scores
            .f_masked_fill(future, f64::NEG_INFINITY)?
            .f_softmax(-1, None)?
            .f_matmul(&values?)?
            .f_transpose(1, 2)?
            .f_reshape([batch, length, width])
            .and_then(|mixed| linear(&mixed, layer, OUT_PROJ))
    }
}

/// The linear layer whose weight is the parameter `at`, and whose bias follows.
fn linear(x: &Tensor, parameters: &[Tensor], at: usize) -> Result<Tensor, TchError> {
    x.f_linear(&parameters[at], Some(&parameters[at + 1]))
}

/// `LayerNorm` over the last dimension; weight and bias as in [`linear`].
fn norm(x: &Tensor, parameters: &[Tensor], at: usize) -> Result<Tensor, TchError> {
    let (weight, bias) = (&parameters[at], &parameters[at + 1]);
    x.f_layer_norm(weight.size(), Some(weight), Some(bias), EPSILON, true)
}

impl Network for Transformer {
    fn parameters(&self) -> Vec<ParameterSpec> {
        self.parameters.clone()
    }

    fn buffers(&self) -> Vec<ParameterSpec> {
        Vec::new()
    }

    fn forward(
        &self,
        parameters: &[Tensor],
        _buffers: &[Tensor],
        tokens: &Tensor,
        _mode: Mode,
    ) -> Result<Tensor, TchError> {
        let (_, length) = tokens.size2()?;
        // Refused by libtorch if the sequence is longer than the context.
        let positions = parameters[1].f_narrow(0, 0, length)?;
        let mut x =
            Tensor::f_embedding(&parameters[0], tokens, -1, false, false)?.f_add(&positions)?;
        let future = Tensor::f_ones([length, length], (Kind::Bool, tokens.device()))?.f_triu(1)?;
        let end = self.parameters.len() - 4;
        for layer in parameters[FIRST_LAYER..end].chunks_exact(PER_LAYER) {
            x = x.f_add(&self.attention(&norm(&x, layer, NORM1)?, layer, &future)?)?;
            let hidden = linear(&norm(&x, layer, NORM2)?, layer, LINEAR1)?.f_gelu("none")?;
            x = x.f_add(&linear(&hidden, layer, LINEAR2)?)?;
        }
        linear(&norm(&x, parameters, end)?, parameters, end + 2)?.f_flatten(0, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: TransformerConfig = TransformerConfig {
        vocabulary: 11,
        context: 8,
        width: 12,
        heads: 3,
        layers: 2,
    };

    #[test]
    fn a_size_out_of_range_is_named_with_its_value() {
        type Change = fn(&mut TransformerConfig, i64);
        let changes: [(&str, Change, i64); 5] = [
            ("vocabulary", |c, v| c.vocabulary = v, 100_001),
            ("context", |c, v| c.context = v, 65_537),
            ("width", |c, v| c.width = v, 16_385),
            ("heads", |c, v| c.heads = v, 13),
            ("layers", |c, v| c.layers = v, 1025),
        ];
        for (key, change, above) in changes {
            for value in [0, -1, i64::MIN, above, i64::MAX] {
                let mut config = SMALL;
                change(&mut config, value);
                let error = Transformer::new(config).unwrap_err().to_string();
                let start = format!("{key} = {}: ", value as f64);
                assert!(error.starts_with(&start), "{error}");
            }
            let mut config = SMALL;
            change(&mut config, 1);
            // Three heads do not divide a width of one.
            assert_eq!(Transformer::new(config).is_ok(), key != "width", "{key}");
        }
    }

    #[test]
    fn heads_have_to_divide_the_width() {
        let with = |heads| Transformer::new(TransformerConfig { heads, ..SMALL });
        for heads in [1, 2, 3, 4, 6, 12] {
            with(heads).unwrap();
        }
        let error = with(5).unwrap_err().to_string();
        assert_eq!(
            error,
            "heads = 5: the number of heads must divide the width"
        );
    }

    #[test]
    fn it_has_as_many_parameters_as_the_formula_says() {
        let network = Transformer::new(SMALL).unwrap();
        let count: i64 = network.parameters().iter().map(ParameterSpec::len).sum();
        // A layer: 12 w² weights, 9 w biases, 4 w of norms.
        let (w, v, c, layers) = (12, 11, 8, 2);
        let layer = 12 * w * w + 13 * w;
        assert_eq!(count, (v + c) * w + layers * layer + 2 * w + (w + 1) * v);
    }
}
