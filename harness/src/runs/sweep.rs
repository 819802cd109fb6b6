//! Every combination of some values for the keys of a specification, as runs.

mod manifest;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use clap::Args;
use toml::{Table, Value};

pub(crate) use manifest::{SweepManifest, SweepRun};

use super::headline::headline;
use super::job::Job;
use super::resolve::resolve_device;
use crate::data::{DataSetName, Location, cifar, text};
use crate::device::DeviceName;
use crate::exit::BadInput;
use crate::experiment::sizes;
use crate::experiment::sweep::{self, Axis, Point, SEED};
use crate::experiment::{ExperimentFile, RunSpec, Scale, SeriesSpec, SpecError};
use crate::visible::typed;

/// What is varied.
#[derive(Debug, Clone, Args)]
pub(crate) struct VariationArgs {
    /// Values for a key: scheduler.lr=1e-4,1e-3. Given for several keys, every combination
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = sweep::axis)]
    set: Vec<Axis>,
    /// Seeds: 0..6 (which is 0 to 5), 0..=5, or 0,1,7 [default: the specification's]
    #[arg(long, value_name = "SEEDS", value_parser = seeds)]
    seeds: Option<Seeds>,
    /// Values and seeds from a file: seeds = "0..6", [set] with a list for each key
    #[arg(long, value_name = "FILE.toml")]
    sweep: Option<PathBuf>,
    /// Which [[series]] of the file [default: all]
    #[arg(long, value_name = "NAME")]
    series: Option<String>,
    /// Lay a scale over the specification, before the values
    #[arg(long, value_enum)]
    pub(crate) scale: Option<Scale>,
    /// Override training.device
    #[arg(long, value_enum)]
    pub(crate) device: Option<DeviceName>,
}

impl VariationArgs {
    /// The seeds on the command line, if there are any.
    pub(crate) fn seeds(&self) -> Option<&[u64]> {
        Some(&self.seeds.as_ref()?.0)
    }

    /// The first option that means nothing for the paper's experiments.
    pub(crate) fn without_paper(&self) -> Option<&'static str> {
        [
            ("--set", !self.set.is_empty()),
            ("--sweep", self.sweep.is_some()),
            ("--series", self.series.is_some()),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }
}

#[derive(Debug, Clone)]
struct Seeds(Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    crate::experiment::seeds(text).map(Seeds)
}

/// A specification and what is varied in it: every combination, checked.
#[derive(Debug)]
pub(crate) struct Sweep {
    file: PathBuf,
    keys: Vec<String>,
    combinations: Vec<Combination>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Combination {
    series: String,
    point: Point,
    pub(crate) spec: RunSpec,
}

impl Combination {
    /// The values without the seed.
    pub(crate) fn setting(&self) -> String {
        let point: Point = self
            .point
            .iter()
            .filter(|(key, _)| key != SEED)
            .cloned()
            .collect();
        let words = [self.series.clone(), sweep::describe(&point)];
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(", ")
    }

    /// The values, or the specification in a few words where none is varied.
    pub(crate) fn name(&self) -> String {
        match (self.setting().as_str(), self.seed()) {
            ("", None) => headline(&self.spec),
            ("", Some(seed)) => format!("seed {seed}"),
            (setting, None) => setting.to_owned(),
            (setting, Some(seed)) => format!("{setting}, seed {seed}"),
        }
    }

    /// What the manifest says of it.
    fn in_manifest(&self, file: &Path) -> Result<SweepRun> {
        let mut settings = BTreeMap::new();
        for (key, value) in &self.point {
            settings.insert(key.clone(), serde_json::to_value(value)?);
        }
        // `./spec.toml` is `spec.toml`.
        let file = file.components().filter(|part| *part != Component::CurDir);
        Ok(SweepRun {
            run: self.spec.run_name()?,
            name: self.name(),
            spec: file.collect::<PathBuf>().display().to_string(),
            series: self.series.clone(),
            settings,
            seed: self.spec.training.seed,
        })
    }

    fn seed(&self) -> Option<u64> {
        let varied = self.point.iter().any(|(key, _)| key == SEED);
        varied.then_some(self.spec.training.seed)
    }
}

impl Sweep {
    /// Reads a specification file and checks every combination: keys, values, sizes, device. No data is looked at.
    ///
    /// # Errors
    /// [`BadInput`] that names the key, in the first combination that is wrong.
    pub(crate) fn read(path: &Path, variation: &VariationArgs) -> Result<Self> {
        let file = ExperimentFile::load(path)?;
        let overlay = match variation.scale {
            Some(scale) => scale.overlay()?.0,
            None => Table::new(),
        };
        let mut axes = Vec::new();
        let mut seeds = None;
        if let Some(path) = &variation.sweep {
            (axes, seeds) = sweep::read(path)?;
        }
        axes.extend(variation.set.iter().cloned());
        if let Some(Seeds(given)) = &variation.seeds {
            if seeds.is_some() {
                return Err(BadInput("--seeds: the sweep file has seeds too".into()).into());
            }
            seeds = Some(given.clone());
        }
        if let Some(seeds) = seeds {
            let value = |seed: u64| i64::try_from(seed).map(Value::Integer).ok();
            axes.push(Axis {
                key: SEED.into(),
                values: seeds.into_iter().filter_map(value).collect(),
            });
        }
        let series: Vec<&SeriesSpec> = match &variation.series {
            Some(name) => vec![file.find(Some(name))?],
            None => file.series.iter().collect(),
        };
        let mut combinations = Vec::new();
        let points = sweep::points(&axes)?;
        for series in series {
            for point in &points {
                let settings = sweep::settings(point);
                let mut combination = Combination {
                    series: series.name.clone(),
                    point: point.clone(),
                    spec: file
                        .spec_with(series, &overlay, &settings)
                        .map_err(|error| with_combination(point, error))?,
                };
                let spec = &mut combination.spec;
                if let Some(device) = variation.device {
                    spec.training.device = device;
                }
                resolve_device(spec).map_err(|error| match error.downcast::<SpecError>() {
                    Ok(error) => {
                        let error = file.locate(series, &[&overlay, &settings], &error);
                        with_combination(point, error).into()
                    }
                    Err(error) => error,
                })?;
                sizes::sizes(spec).map_err(|error| {
                    let error = file.locate(series, &[&overlay, &settings], &error);
                    with_combination(point, error)
                })?;
                combinations.push(combination);
            }
        }
        refuse_twins(&combinations)?;
        Ok(Self {
            file: path.to_owned(),
            keys: axes.into_iter().map(|axis| axis.key).collect(),
            combinations,
        })
    }

    /// The specification's file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn combinations(&self) -> &[Combination] {
        &self.combinations
    }

    /// The runs, each once, in folders under `runs`.
    pub(crate) fn jobs(&self, runs: &Path) -> Result<Vec<Job>> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for combination in &self.combinations {
            let run = combination.spec.run_name()?;
            if !seen.insert(run.clone()) {
                continue;
            }
            let dir = runs.join(run);
            jobs.push(Job::new(combination.name(), combination.spec.clone(), dir));
        }
        Ok(jobs)
    }

    /// Checks that the data is there, whole.
    pub(crate) fn check_data(&self, location: &Location) -> Result<()> {
        let mut checked: Vec<DataSetName> = Vec::new();
        let mut files: Vec<&Path> = Vec::new();
        for combination in &self.combinations {
            let data = &combination.spec.data;
            if let Some(file) = data.file.as_deref().filter(|file| !files.contains(file)) {
                text::read(&location.folder.join(file))?;
                files.push(file);
            }
            let set = data.set;
            if let Some(cifar) = set.cifar()
                && !checked.contains(&set)
            {
                cifar::load(cifar, location.find(cifar)?)?;
                checked.push(set);
            }
        }
        Ok(())
    }
}

/// Refuses values that make one run twice, such as 1e-3 and 0.001. Series of a file may be the same run: they have
/// names of their own.
fn refuse_twins(combinations: &[Combination]) -> Result<()> {
    let mut seen = std::collections::HashMap::new();
    for combination in combinations {
        let key = (&combination.series, combination.spec.run_name()?);
        if let Some(other) = seen.insert(key, combination) {
            let (one, two) = (
                sweep::describe(&other.point),
                sweep::describe(&combination.point),
            );
            let (one, two) = (typed(&one), typed(&two));
            return Err(BadInput(if one == two {
                format!("{one} stands there twice")
            } else {
                format!("{one} and {two} are the same run")
            })
            .into());
        }
    }
    Ok(())
}

/// An error of a combination, which is named unless the error says it all.
fn with_combination(point: &Point, error: BadInput) -> BadInput {
    match sweep::describe(point) {
        with if error.0.contains(&with) => error,
        with => {
            let kind = point.iter().any(|(key, _)| key == "scheduler.kind");
            let lacks = error.0.contains("scheduler.") && error.0.contains(": missing");
            let hint = if kind && lacks {
                "; another kind has keys of its own: set its table as a whole, --set 'scheduler={kind=\"cosine\", lr=0.1}'"
            } else {
                ""
            };
            BadInput(format!("{} (with {}){hint}", error.0, typed(&with)))
        }
    }
}

/// Adds the combinations of `sweeps` to those that `sweep.json` in `dir` holds, and writes it if that changes it.
///
/// # Errors
/// [`BadInput`] if what it holds cannot be read; if the disk fails.
pub(crate) fn write_manifest(sweeps: &[Sweep], dir: &Path) -> Result<()> {
    let mut runs = Vec::new();
    for sweep in sweeps {
        for combination in &sweep.combinations {
            runs.push(combination.in_manifest(&sweep.file)?);
        }
    }
    let keys: Vec<&String> = sweeps.iter().flat_map(|sweep| &sweep.keys).collect();
    SweepManifest::write(dir, &keys, &runs)
}
