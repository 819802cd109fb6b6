//! The paper's experiments, built into the program.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::ExperimentFile;
use crate::exit::BadInput;

/// An experiment of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExperimentName {
    /// Table 1: test accuracy on CIFAR-10 by scheduler.
    Table1,
    /// Figure 2: number of factors, CIFAR-100.
    Fig2,
    /// Figure 3: size of the scoring batch.
    Fig3,
    /// Section 3.2.4: initial rate 1.
    Divergence,
}

impl ExperimentName {
    /// All, in the paper's order.
    pub const ALL: [Self; 4] = [Self::Table1, Self::Fig2, Self::Fig3, Self::Divergence];

    /// Name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table1 => "table1",
            Self::Fig2 => "fig2",
            Self::Fig3 => "fig3",
            Self::Divergence => "divergence",
        }
    }
}

/// What a run follows: the paper's text, or the code released with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Algorithm 1 as the paper states it.
    Published,
    /// What the released code does, slips included.
    Released,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Published, Self::Released];

    /// Name as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Released => "released",
        }
    }
}

/// How large the experiments are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// All in under a minute, on the pure-Rust reference workload
    Smoke,
    /// All in some ten minutes on two CPU cores, on real images
    Quick,
    /// Everything of the paper but the network's width: about three hours a run on one CPU core
    Desk,
    /// The paper's own sizes
    Paper,
}

impl Scale {
    /// Name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Desk => "desk",
            Self::Paper => "paper",
        }
    }

    /// The scale of a name, if it is one.
    pub fn named(name: &str) -> Option<Self> {
        let mut scales = Self::value_variants().iter().copied();
        scales.find(|scale| scale.name() == name)
    }

    /// The tables that are laid over every specification, and sentences that say what they change.
    ///
    /// # Errors
    /// None in practice: the files are built in, and a test reads them all.
    pub fn overlay(self) -> Result<(Table, Vec<String>), BadInput> {
        let text = match self {
            Self::Smoke => include_str!("../../../experiments/scales/smoke.toml"),
            Self::Quick => include_str!("../../../experiments/scales/quick.toml"),
            Self::Desk => include_str!("../../../experiments/scales/desk.toml"),
            Self::Paper => include_str!("../../../experiments/scales/paper.toml"),
        };
        let mut table: Table = text.parse().map_err(BadInput::from_error)?;
        let notes = match table.remove("notes") {
            Some(Value::Array(notes)) => notes
                .into_iter()
                .filter_map(|note| note.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        Ok((table, notes))
    }
}

/// The built-in file of an experiment under a protocol.
///
/// # Errors
/// None in practice: the files are built in, and a test reads them all.
pub fn experiment_file(
    experiment: ExperimentName,
    protocol: Protocol,
) -> Result<ExperimentFile, BadInput> {
    use ExperimentName::{Divergence, Fig2, Fig3, Table1};
    use Protocol::{Published, Released};
    ExperimentFile::parse(match (protocol, experiment) {
        (Published, Table1) => include_str!("../../../experiments/published/table1.toml"),
        (Published, Fig2) => include_str!("../../../experiments/published/fig2.toml"),
        (Published, Fig3) => include_str!("../../../experiments/published/fig3.toml"),
        (Published, Divergence) => include_str!("../../../experiments/published/divergence.toml"),
        (Released, Table1) => include_str!("../../../experiments/released/table1.toml"),
        (Released, Fig2) => include_str!("../../../experiments/released/fig2.toml"),
        (Released, Fig3) => include_str!("../../../experiments/released/fig3.toml"),
        (Released, Divergence) => include_str!("../../../experiments/released/divergence.toml"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceName;

    /// What a scale makes of a specification is what it made of it when the records were computed.
    #[test]
    fn recorded_runs_have_the_digests_of_the_experiments_at_their_scale() {
        let (quick, _) = Scale::Quick.overlay().unwrap();
        let mut known = std::collections::BTreeSet::new();
        for protocol in Protocol::ALL {
            for experiment in ExperimentName::ALL {
                let file = experiment_file(experiment, protocol).unwrap();
                for series in &file.series {
                    let mut spec = file.spec(series, &quick).unwrap();
                    spec.training.device = DeviceName::Cpu;
                    for seed in 0..10 {
                        spec.training.seed = seed;
                        known.insert(spec.run_name().unwrap());
                    }
                }
            }
        }
        let records = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/records");
        let mut found = 0;
        for folder in ["table1-quick", "figures-quick"] {
            for run in std::fs::read_dir(format!("{records}/{folder}/runs")).unwrap() {
                let name = run.unwrap().file_name().into_string().unwrap();
                assert!(known.contains(&name), "{folder}/runs/{name}");
                found += 1;
            }
        }
        assert!(found >= 96, "{found}");
    }

    #[test]
    fn every_experiment_is_sound_at_every_scale() {
        // Published also has the tuned schedules and robust.
        let experiments = [
            (ExperimentName::Table1, [10, 5]),
            (ExperimentName::Fig2, [3, 3]),
            (ExperimentName::Fig3, [3, 3]),
            (ExperimentName::Divergence, [3, 2]),
        ];
        for (i, protocol) in Protocol::ALL.into_iter().enumerate() {
            for (experiment, counts) in experiments {
                let file = experiment_file(experiment, protocol).unwrap();
                assert_eq!(file.series.len(), counts[i]);
                assert!(!file.description.is_empty() && !file.title.is_empty());
                for scale in Scale::value_variants() {
                    let (overlay, notes) = scale.overlay().unwrap();
                    assert!(!notes.is_empty());
                    for series in &file.series {
                        file.spec(series, &overlay).unwrap();
                    }
                }
            }
        }
    }
}
