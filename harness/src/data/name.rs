//! The names of the data sets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The data sets that a run can be trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataSetName {
    /// CIFAR-10: 50,000 + 10,000 images of ten classes.
    Cifar10,
    /// CIFAR-100: 50,000 + 10,000 images of a hundred (fine) classes.
    Cifar100,
    /// Images of ten classes drawn by [`crate::data::synthetic`].
    Synthetic,
}

impl DataSetName {
    /// The name for a reader: "CIFAR-10", "CIFAR-100" or "synthetic".
    pub fn title(self) -> &'static str {
        match self {
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
            Self::Synthetic => "synthetic",
        }
    }

    /// The name in files and on the command line: "cifar10", "cifar100" or "synthetic".
    pub fn key(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Synthetic => "synthetic",
        }
    }

    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Cifar10 | Self::Synthetic => 10,
            Self::Cifar100 => 100,
        }
    }

    /// The CIFAR set of that name, if it is one.
    pub fn cifar(self) -> Option<Cifar> {
        match self {
            Self::Cifar10 => Some(Cifar::Cifar10),
            Self::Cifar100 => Some(Cifar::Cifar100),
            Self::Synthetic => None,
        }
    }
}

impl fmt::Display for DataSetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}

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
    fn names_in_files() {
        for name in [
            DataSetName::Cifar10,
            DataSetName::Cifar100,
            DataSetName::Synthetic,
        ] {
            assert_eq!(
                serde_json::to_string(&name).unwrap(),
                format!("\"{}\"", name.key())
            );
        }
    }
}
