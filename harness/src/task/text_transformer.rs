//! A small transformer that predicts the next symbol of a text.

use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::Whole;
use autolr_core::{Key, Kind, Range, SettingsError};
use serde::{Deserialize, Serialize};

use super::{Metric, Network, Parts, Visitor};
use crate::data::{DataSetName, Input};

/// A decoder-only transformer on text, through libtorch; the loss is in nats a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerSettings {
    /// Layers.
    pub layers: u32,
    /// Numbers a symbol, between the layers.
    pub width: u32,
    /// Heads of each attention.
    pub heads: u32,
    /// Symbols of a sequence.
    pub context: u32,
}

impl Default for TransformerSettings {
    fn default() -> Self {
        Self {
            layers: 2,
            width: 64,
            heads: 4,
            context: 64,
        }
    }
}

impl Network for TransformerSettings {
    const KIND: Kind = Kind::new(
        "text-transformer",
        &[
            Key::new("layers", Whole, Core("2"))
                .within(Range::new(1.0, 64.0, "must be from 1 to 64"))
                .about("layers, each of an attention and two linear maps"),
            Key::new("width", Whole, Core("64"))
                .within(Range::new(1.0, 4096.0, "must be from 1 to 4096"))
                .about("numbers a symbol, between the layers"),
            Key::new("heads", Whole, Core("4"))
                .within(Range::new(1.0, 4096.0, "must be from 1 to 4096"))
                .about("heads of each attention; they divide `width`"),
            Key::new("context", Whole, Core("64"))
                .within(Range::new(1.0, 4096.0, "must be from 1 to 4096"))
                .about("symbols that are predicted in a sequence"),
        ],
        "decoder-only transformer on text, through libtorch; what the tables call an image is a sequence",
    );
    const TAKES: Input = Input::Text;
    const METRIC: Metric = Metric::Loss;
    const USES_LIBTORCH: bool = true;

    fn check(&self) -> Result<(), SettingsError> {
        if self.width.is_multiple_of(self.heads) {
            return Ok(());
        }
        let rule = format!("must divide width, which is {}", self.width);
        Err(SettingsError::value("heads", self.heads, rule))
    }

    fn size(&self) -> String {
        format!("{} × {}", self.layers, self.width)
    }

    fn parameters(&self, set: DataSetName) -> u64 {
        let [layers, width, context] =
            [self.layers, self.width, self.context].map(u64::from);
        let vocabulary = set.classes() as u64;
        let layer = 12 * width * width + 13 * width;
        let embeddings = (vocabulary + context) * width;
        embeddings + layers * layer + 2 * width + (width + 1) * vocabulary
    }

    #[cfg(feature = "tch")]
    fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> anyhow::Result<V::Output> {
        let device = parts.torch_device()?;
        // The symbol after the last is predicted too.
        let (train, test) = parts.text(self.context as usize + 1)?;
        let examples = torch::Sequences::new(parts.set, train, test);
        let network = autolr_tch::Transformer::new(autolr_tch::TransformerConfig {
            vocabulary: parts.set.classes() as i64,
            context: i64::from(self.context),
            width: i64::from(self.width),
            heads: i64::from(self.heads),
            layers: i64::from(self.layers),
        })?;
        visitor.visit(super::Torch::new(network, examples, parts.seed, device)?)
    }

    #[cfg(not(feature = "tch"))]
    fn open<V: Visitor>(&self, _: &Parts<'_>, _: V) -> anyhow::Result<V::Output> {
        anyhow::bail!("built without libtorch")
    }
}

#[cfg(feature = "tch")]
mod torch {
    use anyhow::Result;
    use autolr_tch::Batch;
    use tch::Device;

    use crate::data::text::Text;
    use crate::data::{DataSetName, Stream};
    use crate::task::{DataIdentity, Examples, Part, StateArray, StateValues};

    /// Sequences of symbols; in each, a symbol is to be predicted from those before it.
    #[derive(Debug)]
    pub(super) struct Sequences {
        set: DataSetName,
        train: Text,
        test: Text,
    }

    impl Sequences {
        pub(super) fn new(set: DataSetName, train: Text, test: Text) -> Self {
            Self { set, train, test }
        }

        fn of(&self, part: Part) -> &Text {
            match part {
                Part::Train => &self.train,
                Part::Test => &self.test,
            }
        }
    }

    impl Examples for Sequences {
        const DRAWN_TO_SIZE: bool = true;

        fn identity(&self) -> DataIdentity {
            DataIdentity {
                name: self.set.title().to_owned(),
                synthetic: self.set != DataSetName::Text,
                digest: format!("{}+{}", self.train.digest(), self.test.digest()),
            }
        }

        fn count(&self, part: Part) -> usize {
            self.of(part).len()
        }

        fn batch(
            &self,
            part: Part,
            indices: &[u32],
            _: Option<&mut Stream>,
            device: Device,
        ) -> Result<Batch> {
            let (mut inputs, mut targets) = (Vec::new(), Vec::new());
            let mut length = 1;
            for &index in indices {
                let symbols = self.of(part).sequence(index as usize);
                let wide = |symbols: &[u8]| symbols.iter().map(|&s| i64::from(s)).collect::<Vec<_>>();
                if let ([before @ .., _], [_, after @ ..]) = (symbols, symbols) {
                    inputs.extend(wide(before));
                    targets.extend(wide(after));
                    length = before.len();
                }
            }
            Ok(Batch::tokens(&inputs, &targets, length, device)?)
        }

        fn arrays(&self, name: &str, batch: &Batch) -> Result<Vec<StateArray>> {
            let host = |tensor: &tch::Tensor| -> Result<Vec<i64>> {
                Ok(Vec::try_from(tensor.f_to(Device::Cpu)?.f_flatten(0, -1)?)?)
            };
            let shape: Vec<usize> = batch.images.size().iter().map(|&n| n as usize).collect();
            let array = |suffix: &str, values| StateArray {
                name: format!("{name}.{suffix}"),
                shape: shape.clone(),
                values: StateValues::I64(values),
            };
            Ok(vec![
                array("symbols", host(&batch.images)?),
                array("next", host(&batch.labels)?),
            ])
        }
    }
}
