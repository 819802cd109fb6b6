//! The paper's network.

use anyhow::Result;
use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::{Switch, Whole};
use autolr_core::{Key, Kind, Range};
use serde::{Deserialize, Serialize};

use super::{LayerKind, Network, Parts, Visitor};
use crate::data::{DataSetName, Input};

/// ResNet-18 for 32 × 32 and 16 × 16 images, through libtorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResNet18Settings {
    /// Channels of the first stage; the paper's is 64.
    pub width: u32,
    /// Whether there is BatchNorm.
    pub batch_norm: bool,
}

impl Default for ResNet18Settings {
    fn default() -> Self {
        Self {
            width: 64,
            batch_norm: true,
        }
    }
}

impl Network for ResNet18Settings {
    const KIND: Kind = Kind::new(
        "resnet18",
        &[
            Key::new("width", Whole, Core("64"))
                .within(Range::new(1.0, 1024.0, "must be from 1 to 1024"))
                .about("channels of the first stage; the paper's is 64"),
            Key::new("batch_norm", Switch, Core("true")).about("whether there is BatchNorm"),
        ],
        "ResNet-18 for small images, through libtorch",
    );
    const TAKES: Input = Input::Images;
    const USES_LIBTORCH: bool = true;

    fn layer_kinds(&self) -> &'static [LayerKind] {
        if self.batch_norm {
            &[LayerKind::Weights, LayerKind::BiasesAndNorms, LayerKind::Head]
        } else {
            // Its convolutions have no bias.
            &[LayerKind::Weights, LayerKind::Head]
        }
    }

    fn size(&self) -> String {
        self.width.to_string()
    }

    fn parameters(&self, set: DataSetName) -> u64 {
        let norm = |channels: u64| if self.batch_norm { 2 * channels } else { 0 };
        let convolution =
            |input: u64, output: u64, kernel: u64| input * output * kernel + norm(output);
        let width = u64::from(self.width);
        let mut total = convolution(3, width, 9);
        let mut input = width;
        for stage in 0..4 {
            let output = width << stage;
            for block in 0..2 {
                let from = if block == 0 { input } else { output };
                total += convolution(from, output, 9) + convolution(output, output, 9);
                if from != output {
                    total += convolution(from, output, 1);
                }
            }
            input = output;
        }
        total + (input + 1) * set.classes() as u64
    }

    #[cfg(feature = "tch")]
    fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> Result<V::Output> {
        let device = parts.torch_device()?;
        let set = parts.images()?;
        let examples = super::Images::new(set, parts.augment, parts.downsample, device)?;
        let network = autolr_tch::ResNet18::new(autolr_tch::ResNetConfig {
            width: i64::from(self.width),
            classes: parts.set.classes() as i64,
            batch_norm: self.batch_norm,
        })?;
        visitor.visit(super::Torch::new(network, examples, parts.seed, device)?)
    }

    #[cfg(not(feature = "tch"))]
    fn open<V: Visitor>(&self, _: &Parts<'_>, _: V) -> Result<V::Output> {
        anyhow::bail!("built without libtorch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_network_has_the_parameters_that_everyone_counts() {
        let mut network = ResNet18Settings::default();
        // ResNet-18 for CIFAR-10, width 64.
        assert_eq!(network.parameters(DataSetName::Cifar10), 11_173_962);
        network.batch_norm = false;
        // 4,800 channels with a scale and a shift each.
        assert_eq!(network.parameters(DataSetName::Cifar10), 11_173_962 - 9_600);
    }
}
