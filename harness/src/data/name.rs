//! What a data set is, and the names of all of them.

use std::fmt;

use super::text::Text;
use super::{DataSet, DataSetName, Points};

/// What a data set is. Each has one, in its module.
#[derive(Debug)]
pub struct Definition {
    /// The name for a reader, such as `CIFAR-10`.
    pub title: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// Number of classes; 0 where nothing is classified.
    pub classes: usize,
    /// Training and test examples, where a specification does not say how many.
    pub examples: (usize, usize),
    /// What its examples can be; most sets have one form.
    pub forms: &'static [Form],
}

/// Where examples come from, for one kind of input. What is drawn is drawn from a seed: so many training and test examples.
#[derive(Debug)]
pub enum Form {
    /// Images in official files.
    Files(Cifar),
    /// Images that are drawn.
    Images(fn(u64, usize, usize) -> DataSet),
    /// Labelled points that are drawn.
    Points {
        /// For a reader.
        name: &'static str,
        /// Numbers a point.
        features: usize,
        /// Draws them.
        draw: fn(u64, usize, usize) -> (Points, Points),
    },
    /// Text that is drawn; the last number is the symbols of a sequence.
    Text(fn(u64, usize, usize, usize) -> (Text, Text)),
    /// Text in a file that a specification names.
    TextFile,
    /// Nothing but noise, which a problem in closed form draws itself.
    Noise,
}

/// What a network is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// 3 × 32 × 32 images.
    Images,
    /// Vectors of numbers.
    Points,
    /// Sequences of symbols.
    Text,
    /// Nothing.
    Noise,
}

impl Input {
    /// In an error: what a network takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Points => "points",
            Self::Text => "text",
            Self::Noise => "noise alone",
        }
    }
}

impl Form {
    /// What it feeds.
    pub fn input(&self) -> Input {
        match self {
            Self::Files(_) | Self::Images(_) => Input::Images,
            Self::Points { .. } => Input::Points,
            Self::Text(_) | Self::TextFile => Input::Text,
            Self::Noise => Input::Noise,
        }
    }
}

impl DataSetName {
    /// The name for a reader, such as `CIFAR-10`.
    pub fn title(self) -> &'static str {
        self.definition().title
    }

    /// Number of classes; 0 where nothing is classified.
    pub fn classes(self) -> usize {
        self.definition().classes
    }

    /// Its form for a kind of input.
    pub fn form(self, input: Input) -> Option<&'static Form> {
        let mut forms = self.definition().forms.iter();
        forms.find(|form| form.input() == input)
    }

    /// The CIFAR set of that name, if it is one.
    pub fn cifar(self) -> Option<Cifar> {
        match self.form(Input::Images) {
            Some(Form::Files(cifar)) => Some(*cifar),
            _ => None,
        }
    }

    /// Whether it is a file that a specification names.
    pub fn is_named_file(self) -> bool {
        matches!(self.form(Input::Text), Some(Form::TextFile))
    }

    /// Numbers of a point, where there are points.
    pub fn features(self) -> usize {
        match self.form(Input::Points) {
            Some(Form::Points { features, .. }) => *features,
            _ => 0,
        }
    }
}

impl fmt::Display for DataSetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}

/// The names of the data sets: modules, the enum, and the definition of each.
macro_rules! data_sets {
    ($($module:ident: $($Name:ident = $key:literal as $DEFINITION:ident),+;)+) => {
        $(pub mod $module;)+

        /// The data sets that a run can be trained on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum DataSetName {
            $($(
                #[doc = concat!("`set = \"", $key, "\"`")]
                #[serde(rename = $key)]
                $Name,
            )+)+
        }

        impl DataSetName {
            /// All of them.
            pub const ALL: &[Self] = &[$($(Self::$Name),+),+];

            /// Their names in files.
            pub const KEYS: &[&str] = &[$($($key),+),+];

            /// The name in files and on the command line, such as `cifar10`.
            pub fn key(self) -> &'static str {
                match self { $($(Self::$Name => $key),+),+ }
            }

            /// What it is.
            pub fn definition(self) -> &'static Definition {
                match self { $($(Self::$Name => &$module::$DEFINITION),+),+ }
            }
        }
    };
}
pub(super) use data_sets;

/// One of the two CIFAR sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Cifar {
    /// Ten classes.
    Cifar10,
    /// A hundred classes.
    Cifar100,
}

impl Cifar {
    /// The data set's name.
    pub fn name(self) -> DataSetName {
        match self {
            Self::Cifar10 => DataSetName::Cifar10,
            Self::Cifar100 => DataSetName::Cifar100,
        }
    }

    /// The name on the command line: "cifar10" or "cifar100".
    pub fn key(self) -> &'static str {
        self.name().key()
    }

    /// The folder that the official archive unpacks to.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar-10-batches-bin",
            Self::Cifar100 => "cifar-100-binary",
        }
    }
}

impl fmt::Display for Cifar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name().title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_definitions() {
        for (name, key) in DataSetName::ALL.iter().zip(DataSetName::KEYS) {
            assert_eq!(name.key(), *key);
            assert_eq!(serde_json::to_string(name).unwrap(), format!("\"{key}\""));
            let Definition { forms, classes, .. } = name.definition();
            assert!(!forms.is_empty());
            for form in *forms {
                let Form::Points { features, draw, .. } = form else {
                    continue;
                };
                let (train, test) = draw(1, 40, 20);
                assert_eq!(train.features.dim(), (40, *features));
                assert_eq!(test.features.dim(), (20, *features));
                assert!(
                    train
                        .labels
                        .iter()
                        .all(|&label| usize::from(label) < *classes)
                );
            }
        }
    }
}
