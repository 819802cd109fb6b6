//! `autolr sweep`: every combination of some values for the keys of a specification.

mod manifest;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use toml::{Table, Value};

pub(crate) use manifest::write_manifest;
pub use manifest::{SweepManifest, SweepRun};

use super::TrainingArgs;
use super::plan::{Outlook, time_folders};
use super::pool::{self, Job};
use super::run::resolve_device;
use super::run_state::{RunState, State, headline, series_headline};
use super::text_table::TextTable;
use super::{check_folder, cores, data_location, print_json};
use crate::data::{DataSetName, Location, cifar};
use crate::exit::{BadInput, ExitStatus};
use crate::experiment::sweep::{self, Axis, Point};
use crate::experiment::{DeviceName, ExperimentFile, RunSpec, Scale, SeriesSpec};
use crate::number;
use crate::statistics::Estimate;
use crate::workload;

/// Train every combination of some values for the keys of a specification
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Specification (TOML)
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    #[command(flatten)]
    variation: VariationArgs,
    /// Folder of the sweep and its runs
    #[arg(long, value_name = "DIR", default_value = "sweep")]
    out: PathBuf,
    #[command(flatten)]
    training: TrainingArgs,
    /// Show what would run, as `autolr plan` does, and train nothing
    #[arg(long)]
    dry_run: bool,
}

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

const SEED: &str = "training.seed";

/// A specification and what is varied in it: every combination, checked.
#[derive(Debug)]
pub(crate) struct Sweep {
    file: PathBuf,
    keys: Vec<String>,
    combinations: Vec<Combination>,
}

#[derive(Debug)]
struct Combination {
    series: String,
    point: Point,
    spec: RunSpec,
}

impl Combination {
    /// The values without the seed.
    fn setting(&self) -> String {
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

    fn name(&self) -> String {
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
                resolve_device(spec).map_err(|error| match error.downcast::<BadInput>() {
                    Ok(error) => {
                        let error = file.locate(series, &[&overlay, &settings], error);
                        with_combination(point, error).into()
                    }
                    Err(error) => error,
                })?;
                workload::sizes(spec).map_err(|error| {
                    let error = file.locate(series, &[&overlay, &settings], error);
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
    fn check_data(&self, location: &Location) -> Result<()> {
        let mut checked: Vec<DataSetName> = Vec::new();
        for combination in &self.combinations {
            let set = combination.spec.data.set;
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
            BadInput(format!("{} (with {with}){hint}", error.0))
        }
    }
}

/// `autolr sweep`
///
/// # Errors
/// Bad input before any training; [`crate::exit::Interrupted`] after Ctrl-C, [`crate::exit::TimeSpent`] at the end of
/// the budget; otherwise a run that failed does not take the others along, and the status is a failure.
pub fn sweep(args: &SweepArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let sweep = Sweep::read(&args.spec, &args.variation)?;
    check_folder("--out", &args.out)?;
    let location = data_location(args.training.data.as_ref())?;
    sweep.check_data(&location)?;
    let jobs = sweep.jobs(&args.out.join("runs"))?;
    let cuda = jobs
        .iter()
        .any(|job| job.spec.training.device == DeviceName::Cuda);
    let at_once = args.training.jobs.unwrap_or(if cuda { 1 } else { cores() });
    if args.dry_run {
        let outlook = Outlook::of(&jobs, at_once, &time_folders(&args.out))?;
        if args.training.json {
            print_json(out, &outlook)?;
        } else {
            outlook.print(out)?;
        }
        return Ok(ExitStatus::Success);
    }
    let budget = args.training.budget.start();
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot be made", args.out.display()))?;
    // Found before anything is written.
    SweepManifest::read(&args.out)?;
    pool::lay_out(&jobs)?;
    write_manifest(std::slice::from_ref(&sweep), &args.out)?;
    let unfinished = pool::carry_out(&jobs, &location, at_once, budget);
    let result = SweepResult::read(&sweep, &args.out)?;
    if args.training.json {
        print_json(out, &result)?;
    } else {
        result.print(out)?;
    }
    pool::status(&unfinished)
}

/// What a sweep has come to.
#[derive(Debug, Serialize)]
struct SweepResult {
    dir: PathBuf,
    settings: Vec<Setting>,
}

/// A combination over its seeds.
#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    /// Of the runs that finished.
    validation_accuracy: Option<Mean>,
    test_accuracy: Option<Mean>,
    runs: Vec<RunState>,
}

/// Mean accuracy of the weights that the protocol reports, in percent.
#[derive(Debug, Clone, Copy, Serialize)]
struct Mean {
    /// Runs.
    n: usize,
    mean: f64,
    /// Of the mean, by Student's t; none of one run.
    interval_95: Option<(f64, f64)>,
}

impl Setting {
    fn of(name: String, runs: Vec<RunState>) -> Self {
        let mean = |of: fn(&RunState) -> Option<f64>| {
            // A run that diverged has no accuracy.
            let finished = runs.iter().filter(|run| run.state == State::Finished);
            let values: Vec<f64> = finished.filter_map(of).map(|share| 100.0 * share).collect();
            let estimate = Estimate::of(&values)?;
            Some(Mean {
                n: estimate.n,
                mean: estimate.mean,
                interval_95: estimate.interval(),
            })
        };
        Self {
            name,
            validation_accuracy: mean(|run| run.validation_accuracy),
            test_accuracy: mean(RunState::accuracy),
            runs,
        }
    }

    fn count(&self, states: &[State]) -> String {
        let runs = self.runs.iter();
        let with = runs.filter(|run| states.contains(&run.state)).count();
        with.to_string()
    }
}

/// `27.80 ± 1.20`, `27.80` of one run.
fn words(mean: Option<Mean>) -> String {
    match mean {
        None => "–".into(),
        Some(Mean {
            mean,
            interval_95: Some((_, high)),
            ..
        }) => format!(
            "{} ± {}",
            number::hundredths(mean),
            number::hundredths(high - mean)
        ),
        Some(Mean { mean, .. }) => number::hundredths(mean),
    }
}

impl SweepResult {
    fn read(sweep: &Sweep, dir: &Path) -> Result<Self> {
        let mut settings: Vec<(String, Vec<RunState>)> = Vec::new();
        for combination in &sweep.combinations {
            let run = dir.join("runs").join(combination.spec.run_name()?);
            let name = match combination.setting() {
                name if name.is_empty() => series_headline(&combination.spec),
                name => name,
            };
            let state = RunState::read(&run, Some(&combination.name()));
            match settings.iter_mut().find(|(other, _)| *other == name) {
                Some((_, runs)) => runs.push(state),
                None => settings.push((name, vec![state])),
            }
        }
        let settings = settings.into_iter();
        Ok(Self {
            dir: dir.to_owned(),
            settings: settings
                .map(|(name, runs)| Setting::of(name, runs))
                .collect(),
        })
    }

    fn print(&self, out: &mut dyn Write) -> Result<()> {
        let mut table = TextTable::new(&[
            ("setting", false),
            ("runs", true),
            ("finished", true),
            ("diverged", true),
            ("failed", true),
            ("to do", true),
            ("validation (%)", true),
            ("test (%)", true),
        ]);
        use State::{Diverged, Failed, Finished, NotBegun, Running, Stale, Stopped, Unreadable};
        for setting in &self.settings {
            table.row([
                setting.name.clone(),
                setting.runs.len().to_string(),
                setting.count(&[Finished]),
                setting.count(&[Diverged]),
                setting.count(&[Failed, Unreadable]),
                setting.count(&[NotBegun, Running, Stale, Stopped]),
                words(setting.validation_accuracy),
                words(setting.test_accuracy),
            ]);
        }
        write!(out, "{table}")?;
        writeln!(
            out,
            "Accuracy: mean over the finished runs, ± half its 95 % interval, of the weights that the protocol reports. \
             Choose by validation: the test accuracy of what was chosen by it is too good."
        )?;
        let runs = || self.settings.iter().flat_map(|setting| &setting.runs);
        if runs().any(|run| run.state == Diverged) {
            writeln!(
                out,
                "A diverged run has no accuracy: a setting with any is not the better for what the others reached."
            )?;
        }
        writeln!(out, "{}", self.dir.join(manifest::MANIFEST).display())?;
        Ok(())
    }
}
