//! `[network]` of a specification: the kinds that there are.

use autolr_core::KeyDefault::Core;
use autolr_core::ValueKind::{Switch, Whole};
use autolr_core::{Key, Kind, Range};

/// The kinds of networks, with their keys.
pub(super) const KINDS: &[Kind] = &[
    Kind::new(
        "resnet18",
        &[
            Key::new("width", Whole, Core("64"))
                .within(Range::new(1.0, 1024.0, "must be from 1 to 1024"))
                .about("channels of the first stage; the paper's is 64"),
            Key::new("batch_norm", Switch, Core("true")).about("whether there is BatchNorm"),
        ],
        "ResNet-18 for 32 × 32 images, through libtorch",
    ),
    Kind::new(
        "reference",
        &[Key::new("hidden", Whole, Core("32"))
            .within(Range::new(1.0, 4096.0, "must be from 1 to 4096"))
            .about("units of each of its two hidden layers")],
        "pure Rust, in float64, for the synthetic points: wants `data.set = \"synthetic\"` and `data.augment = false`",
    ),
];
