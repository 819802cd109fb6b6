//! `autolr sweep`: every combination of some values for the keys of a specification.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::arguments::{TrainingArgs, at_once, check_folder, data_location};
use crate::exit::ExitStatus;
use crate::json_output::{path_text, print_json};
use crate::number;
use crate::runs::headline::series_headline;
use crate::runs::job::lay_out;
use crate::runs::outlook::{Outlook, time_folders};
use crate::runs::pool;
use crate::runs::state::{RunState, State};
use crate::runs::sweep::{Sweep, SweepManifest, VariationArgs, write_manifest};
use crate::statistics::Estimate;
use crate::task::Metric;
use crate::text_table::TextTable;

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
    let at_once = at_once(args.training.jobs, &jobs);
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
    lay_out(&jobs)?;
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
    #[serde(serialize_with = "path_text")]
    dir: PathBuf,
    settings: Vec<Setting>,
}

/// A combination over its seeds.
#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    /// Of the runs that finished.
    metric: Metric,
    #[serde(flatten)]
    means: Means,
    runs: Vec<RunState>,
}

/// Means over the finished runs, by what they are judged by.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
enum Means {
    Accuracy {
        validation_accuracy: Option<Mean>,
        test_accuracy: Option<Mean>,
    },
    Loss {
        validation_loss: Option<Mean>,
        test_loss: Option<Mean>,
    },
}

impl Means {
    /// Validation and test.
    fn pair(self) -> [Option<Mean>; 2] {
        match self {
            Self::Accuracy {
                validation_accuracy: validation,
                test_accuracy: test,
            }
            | Self::Loss {
                validation_loss: validation,
                test_loss: test,
            } => [validation, test],
        }
    }
}

/// Mean of the weights that the protocol reports: of accuracies in percent, or of losses.
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
            // What a run reached that diverged does not count.
            let finished = runs.iter().filter(|run| run.state == State::Finished);
            let values: Vec<f64> = finished.filter_map(of).collect();
            let estimate = Estimate::of(&values)?;
            Some(Mean {
                n: estimate.n,
                mean: estimate.mean,
                interval_95: estimate.interval(),
            })
        };
        let metric = runs.first().map(|run| run.metric).unwrap_or_default();
        let (validation, test) = (mean(RunState::validated), mean(RunState::tested));
        let means = match metric {
            Metric::Accuracy => Means::Accuracy {
                validation_accuracy: validation,
                test_accuracy: test,
            },
            Metric::Loss => Means::Loss {
                validation_loss: validation,
                test_loss: test,
            },
        };
        Self {
            name,
            metric,
            means,
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
fn words(mean: Option<Mean>, metric: Metric) -> String {
    let write = match metric {
        Metric::Accuracy => number::hundredths,
        Metric::Loss => number::significant,
    };
    match mean {
        None => "–".into(),
        Some(Mean {
            mean,
            interval_95: Some((_, high)),
            ..
        }) => format!("{} ± {}", write(mean), write(high - mean)),
        Some(Mean { mean, .. }) => write(mean),
    }
}

impl SweepResult {
    fn read(sweep: &Sweep, dir: &Path) -> Result<Self> {
        let mut settings: Vec<(String, Vec<RunState>)> = Vec::new();
        for combination in sweep.combinations() {
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
        let losses = self.settings.iter().filter(|of| of.metric == Metric::Loss);
        let [validation, test] = match losses.count() {
            0 => ["validation (%)", "test (%)"],
            n if n == self.settings.len() => ["validation loss", "test loss"],
            _ => ["validation (% or loss)", "test (% or loss)"],
        };
        let mut table = TextTable::new(&[
            ("setting", false),
            ("runs", true),
            ("finished", true),
            ("diverged", true),
            ("failed", true),
            ("to do", true),
            (validation, true),
            (test, true),
        ]);
        use State::{Diverged, Failed, Finished, NotBegun, Running, Stale, Stopped, Unreadable};
        for setting in &self.settings {
            let [validation, test] = setting.means.pair().map(|mean| words(mean, setting.metric));
            table.row([
                setting.name.clone(),
                setting.runs.len().to_string(),
                setting.count(&[Finished]),
                setting.count(&[Diverged]),
                setting.count(&[Failed, Unreadable]),
                setting.count(&[NotBegun, Running, Stale, Stopped]),
                validation,
                test,
            ]);
        }
        write!(out, "{table}")?;
        writeln!(
            out,
            "Validation and test: mean over the finished runs, ± half its 95 % interval, of the weights that the protocol reports. \
             Choose by validation: the test result of what was chosen by it is too good."
        )?;
        let runs = || self.settings.iter().flat_map(|setting| &setting.runs);
        if runs().any(|run| run.state == Diverged) {
            writeln!(
                out,
                "A diverged run has no result: a setting with any is not the better for what the others reached."
            )?;
        }
        writeln!(out, "{}", self.dir.join(SweepManifest::FILE).display())?;
        Ok(())
    }
}
