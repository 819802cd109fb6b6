//! The network that tests train: two hidden layers on the synthetic points.

use anyhow::Result;
use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::Whole;
use autolr_core::{Key, Kind, Range};
use serde::{Deserialize, Serialize};

use super::mlp::{Mlp, MlpSettings};
use super::{Network, Parts, Pure, Visitor};
use crate::data::{DataSetName, Input};

/// An [`Mlp`] of two hidden layers, without normalisation. The name is older than the other problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReferenceSettings {
    /// Units of each of its two hidden layers.
    pub hidden: u32,
}

impl Default for ReferenceSettings {
    fn default() -> Self {
        Self { hidden: 32 }
    }
}

impl ReferenceSettings {
    fn network(self) -> MlpSettings {
        MlpSettings {
            hidden: self.hidden,
            ..MlpSettings::default()
        }
    }
}

impl Network for ReferenceSettings {
    const KIND: Kind = Kind::new(
        "reference",
        &[Key::new("hidden", Whole, Core("32"))
            .within(Range::new(1.0, 4096.0, "must be from 1 to 4096"))
            .about("units of each of its two hidden layers")],
        "`mlp` of two hidden layers, without normalisation",
    );
    const TAKES: Input = Input::Points;

    fn size(&self) -> String {
        self.hidden.to_string()
    }

    fn parameters(&self, set: DataSetName) -> u64 {
        self.network().parameters(set)
    }

    fn open<V: Visitor>(&self, parts: &Parts<'_>, visitor: V) -> Result<V::Output> {
        let (name, train, test) = parts.points()?;
        let task = Mlp::new(train, test, parts.set.classes(), self.network())?.named(name);
        visitor.visit(Pure::new(task, parts.seed))
    }
}
