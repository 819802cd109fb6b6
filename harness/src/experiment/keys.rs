//! The tables of a specification and their keys: type, range, default and purpose of each, once. The check of a
//! specification, `--set` and the tables of docs/SPECIFICATION.md come from here; the keys of methods and schedules are
//! autolr-core's.

use autolr_core::KeyDefault::{Core, Required};
use autolr_core::ValueKind::{Number, OneOf, Seed, Switch, Text, Whole};
use autolr_core::{Key, Kind, Range};

use autolr_core::optimizer::OptimizerConfig;
use toml::{Table, Value};

use crate::data::DataSetName;
use crate::task::NetworkSpec;

/// A table of a specification.
#[derive(Debug, Clone, Copy)]
pub struct TableKeys {
    /// As the file has it.
    pub name: &'static str,
    /// Its keys.
    pub keys: Keys,
    /// Whether a specification can be without it.
    pub optional: bool,
    /// What `kind` is where it is not given.
    pub default_kind: Option<&'static str>,
    /// Whether there can be several, each in double brackets.
    pub list: bool,
}

/// The keys of a table.
#[derive(Debug, Clone, Copy)]
pub enum Keys {
    /// The same ones always.
    Same(&'static [Key]),
    /// The key `kind`, and those of that kind.
    OfKind(fn() -> Vec<&'static Kind>),
}

impl TableKeys {
    /// All keys that the table can have, one that several kinds have several times.
    pub(super) fn all(&self) -> Vec<&'static Key> {
        match self.keys {
            Keys::Same(keys) => keys.iter().collect(),
            Keys::OfKind(kinds) => kinds().into_iter().flat_map(of_kind).collect(),
        }
    }
}

/// The keys of a kind; a schedule also says what it counts.
pub(super) fn of_kind(kind: &'static Kind) -> impl Iterator<Item = &'static Key> {
    let unit = kind.key(UNIT).filter(|_| kind.is_schedule);
    kind.keys.iter().chain(unit)
}

/// Fills in the kind of each table that has keys and says none, if there is a default.
pub(super) fn fill_in_kinds(tables: &mut Table) {
    for known in &TABLES {
        if let (Some(kind), Some(Value::Table(table))) =
            (known.default_kind, tables.get_mut(known.name))
        {
            table.entry("kind").or_insert(kind.into());
        }
    }
}

/// The scheduler of a specification that has none.
pub(super) fn fill_in_scheduler(tables: &mut Table) {
    tables.entry(SCHEDULER).or_insert_with(|| {
        let kind = ("kind".to_owned(), "robust".into());
        Value::Table(Table::from_iter([kind]))
    });
}

/// What the outermost schedule counts.
pub(super) const UNIT: &str = "unit";
/// The table of the method.
pub(super) const SCHEDULER: &str = "scheduler";

const BATCH: Range = Range::new(1.0, 100_000.0, "must be from 1 to 100000");
const IMAGES: Range = Range::new(1.0, 1_000_000.0, "must be from 1 to 1000000");

/// All tables.
pub const TABLES: [TableKeys; 7] = [
    TableKeys {
        name: "data",
        keys: Keys::Same(&[
            Key::new("set", OneOf(DataSetName::KEYS), Required)
                .about("what is trained on"),
            Key::new("file", Text, Core("none"))
                .about("of `text`: the file in UTF-8, in the data folder unless its path is absolute"),
            Key::new("split", OneOf(&["disjoint", "independent"]), Core("disjoint")).about(
                "`independent`: three separate random splits, so that most validation images are trained on",
            ),
            Key::new("validation_fraction", Number, Core("0.2"))
                .within(
                    Range::new(0.0, 1.0, "must be above 0 and below 1")
                        .without_least()
                        .without_most(),
                )
                .about("share of the training images that validates"),
            Key::new("train_images", Whole, Core("all, or the set's own"))
                .within(IMAGES)
                .about("take only so many, before the split; at least a batch"),
            Key::new("test_images", Whole, Core("all, or the set's own"))
                .within(IMAGES)
                .about("take only so many; at least a batch"),
            Key::new("augment", Switch, Core("true")).about(
                "random flip and rotation of training and scoring images; of others, `false` is needed",
            ),
            Key::new("downsample", Switch, Core("false"))
                .about("halve images to 16 × 16: means of 2 × 2 pixels"),
            Key::new("drop_last", Switch, Core("true"))
                .about("leave out the incomplete last batch, in validation and test too"),
        ]),
        optional: false,
        default_kind: None,
        list: false,
    },
    TableKeys {
        name: "network",
        keys: Keys::OfKind(|| NetworkSpec::KINDS.iter().collect()),
        optional: false,
        default_kind: None,
        list: false,
    },
    TableKeys {
        name: "optimizer",
        keys: Keys::OfKind(|| OptimizerConfig::KINDS.iter().collect()),
        optional: true,
        default_kind: Some("sgd"),
        list: false,
    },
    TableKeys {
        name: SCHEDULER,
        keys: Keys::OfKind(|| autolr_core::kinds().collect()),
        optional: true,
        default_kind: None,
        list: false,
    },
    TableKeys {
        name: "probe",
        keys: Keys::Same(&[
            Key::new("batch_size", Whole, Core("32"))
                .within(BATCH)
                .about("images of a scoring batch"),
            Key::new("loss", OneOf(&["after-step", "before-step"]), Core("after-step")).about(
                "where along a trial its loss is taken; `before-step` makes it independent of the rate",
            ),
            Key::new("batches", OneOf(&["shared", "per-candidate"]), Core("shared"))
                .about("one scoring batch for all candidates, or another for each"),
            Key::new("gradient", OneOf(&["scoring", "own"]), Core("scoring")).about(
                "which batch gives it: the scoring batch, or another of `training.batch_size` images",
            ),
            Key::new("evaluate", OneOf(&["all", "parabola"]), Core("all")).about(
                "`parabola`: of five candidates or more, four at first, and the others only where the four do not lie near a parabola",
            ),
        ]),
        optional: true,
        default_kind: None,
        list: false,
    },
    TableKeys {
        name: "training",
        keys: Keys::Same(&[
            Key::new("epochs", Whole, Required)
                .within(IMAGES)
                .about("passes over the training images"),
            Key::new("budget", Text, Core("none")).about(
                "what the run may cost, as `\"500 steps\"` or `\"2.5 epochs\"` of training, probing and search included",
            ),
            Key::new("batch_size", Whole, Core("32"))
                .within(BATCH)
                .about("images of a training batch"),
            Key::new("seed", Seed, Core("0")).about("everything random is derived from it"),
            Key::new("device", OneOf(&["cpu", "cuda", "auto"]), Core("auto"))
                .about("`auto`: the GPU if there is one"),
            Key::new(
                "batch_norm_after_validation",
                OneOf(&["batch-statistics", "frozen"]),
                Core("batch-statistics"),
            )
            .about("`frozen`: the running statistics of epoch 0 from then on"),
            Key::new(
                "tested_checkpoint",
                OneOf(&["best-validation", "last"]),
                Core("best-validation"),
            )
            .about("whose test accuracy is reported"),
        ]),
        optional: false,
        default_kind: None,
        list: false,
    },
    TableKeys {
        name: "groups",
        keys: Keys::Same(&[
            Key::new("kind", OneOf(&["weights", "biases-and-norms", "head"]), Required).about(
                "which parameters: `head` is the last layer, `weights` the matrices, kernels and embeddings of the others",
            ),
            Key::new("multiplier", Number, Core("1"))
                .within(Range::NOT_NEGATIVE)
                .about("their rate is the scheduler's times this"),
            Key::new("weight_decay", Number, Core("the optimiser's"))
                .within(Range::NOT_NEGATIVE)
                .about("their weight decay"),
        ]),
        optional: true,
        default_kind: None,
        list: true,
    },
];

/// What a file has beside its tables.
pub(super) const OF_THE_FILE: [&str; 3] = ["title", "description", "series"];

#[cfg(test)]
mod tests;
