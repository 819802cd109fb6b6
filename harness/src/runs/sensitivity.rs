//! Methods on problems, from many initial rates, at equal compute: which runs that is.

mod contender;
mod outcome;
mod summary;

use std::path::Path;

use anyhow::Result;
use autolr_core::optimizer::OptimizerConfig;
use toml::{Table, Value};

use contender::GRID;
pub(crate) use contender::{Contender, contenders};
pub(crate) use outcome::{Compared, Row, Tuned, compared, rows};
pub(crate) use summary::{Markdown, summaries};

use super::job::Job;
use crate::did_you_mean::unknown;
use crate::exit::BadInput;
use crate::experiment::{ExperimentFile, RunSpec, SeriesSpec, sizes};

/// Seeds that the tuned reference is chosen on.
pub(crate) const TUNING_SEEDS: std::ops::Range<u64> = 100..104;
/// Added to a seed where the tuned reference is run again, to see how far apart two runs of it are.
pub(crate) const AGAIN: u64 = 200;
/// The problems that defaults of `robust` were set on; nothing is claimed on them.
const DEVELOPMENT: [&str; 3] = ["spirals", "autoencoder", "mlp-adamw"];
/// A problem: its runs differ in seed and scheduler alone.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) steps: u64,
    pub(crate) base: RunSpec,
    file: ExperimentFile,
    series: SeriesSpec,
}

impl Problem {
    /// Problems of the built-in file by their names; `fast` are those in pure Rust, `claim` those of them that no default
    /// was set on, `all` all.
    pub(crate) fn named(text: &str) -> Result<Vec<Self>> {
        let file = ExperimentFile::parse(include_str!("../../../experiments/sensitivity.toml"))?;
        let names: Vec<&str> = file.series.iter().map(|series| &*series.name).collect();
        let mut problems = Vec::new();
        let asked: Vec<&str> = text.split(',').map(str::trim).collect();
        for name in &asked {
            if !names.contains(name) && !["all", "fast", "claim"].contains(name) {
                return Err(BadInput(unknown("problem", name, &names)).into());
            }
        }
        for series in &file.series {
            let problem = Self::of(&file, series)?;
            let fast = !problem.base.network.uses_libtorch();
            let wanted = asked.iter().any(|name| match *name {
                "all" => true,
                "fast" => fast,
                "claim" => fast && !problem.is_development(),
                name => name == series.name,
            });
            if wanted {
                problems.push(problem);
            }
        }
        Ok(problems)
    }

    fn of(file: &ExperimentFile, series: &SeriesSpec) -> Result<Self> {
        let base = file.spec(series, &Table::new())?;
        let steps = sizes::run_steps(&base)?;
        Ok(Self {
            name: series.name.clone(),
            label: series.label.clone(),
            steps,
            base,
            file: file.clone(),
            series: series.clone(),
        })
    }

    /// Whether there is one of that name.
    pub(crate) fn exists(name: &str) -> Result<bool> {
        let problems = Self::named("all")?;
        Ok(problems.iter().any(|problem| problem.name == name))
    }

    /// Whether defaults of `robust` were set on it.
    pub(crate) fn is_development(&self) -> bool {
        DEVELOPMENT.contains(&&*self.name)
    }

    /// The rate that the field usually takes for its optimiser.
    pub(crate) fn usual_rate(&self) -> f64 {
        match &self.base.optimizer {
            OptimizerConfig::Sgd(sgd) if sgd.momentum == 0.0 => 0.1,
            OptimizerConfig::Sgd(_) => 0.05,
            _ => 1e-3,
        }
    }

    /// The run of a contender.
    pub(crate) fn run(&self, of: Contender, lr: f64, seed: u64, runs: &Path) -> Result<Run> {
        self.with(of.settings(lr, self.steps)?, self.steps, seed, runs)
    }

    /// A single step at a rate that moves nothing: its loss is the initial one.
    pub(crate) fn untrained(&self, seed: u64, runs: &Path) -> Result<Run> {
        self.with(Contender::Constant.settings(1e-30, 1)?, 1, seed, runs)
    }

    fn with(&self, mut settings: Table, steps: u64, seed: u64, runs: &Path) -> Result<Run> {
        let mut training = Table::new();
        let whole = i64::try_from(seed).map_err(|_| BadInput(format!("seed {seed}: too large")))?;
        training.insert("seed".into(), Value::Integer(whole));
        training.insert("budget".into(), format!("{steps} steps").into());
        settings.insert("training".into(), Value::Table(training));
        let spec = self
            .file
            .spec_with(&self.series, &Table::new(), &settings)?;
        let name = spec.run_name()?;
        let title = format!("{}, {}, seed {seed}", self.name, spec.scheduler.kind());
        Ok(Run {
            job: Job::new(title, spec, runs.join(&name)),
            seed,
        })
    }
}

/// A run, which may have to be carried out yet.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) job: Job,
    pub(crate) seed: u64,
}

/// Rates of half a decade's distance that the tuned reference is chosen among.
fn grid_rates() -> impl Iterator<Item = f64> {
    (-8..=2).map(|half| rounded(10_f64.powf(f64::from(half) / 2.0)))
}

/// To six digits, as a person would write it.
pub(crate) fn rounded(lr: f64) -> f64 {
    format!("{lr:.5e}").parse().unwrap_or(lr)
}

/// The runs that the tuned reference of a problem is chosen by.
pub(crate) fn grid(problem: &Problem, runs: &Path) -> Result<Vec<(Contender, f64, Vec<Run>)>> {
    let mut all = Vec::new();
    for of in GRID {
        for lr in grid_rates() {
            let of_seeds = TUNING_SEEDS.map(|seed| problem.run(of, lr, seed, runs));
            all.push((of, lr, of_seeds.collect::<Result<_>>()?));
        }
    }
    Ok(all)
}

/// Rates on the command line: `1e-6..1e2:17`, which is 17 of equal ratio, or a list.
pub(crate) fn rates(text: &str) -> Result<Vec<f64>, String> {
    let rule = "write 1e-6..1e2:17, which is 17 rates of equal ratio, or a list such as 1e-3,1e-2";
    let rate = |word: &str| match word.trim().parse::<f64>() {
        Ok(lr) if lr > 0.0 && lr.is_finite() => Ok(lr),
        _ => Err(format!(
            "\"{}\" is no rate; {rule}",
            crate::visible::typed(word)
        )),
    };
    let Some((low, rest)) = text.split_once("..") else {
        let rates: Vec<f64> = text.split(',').map(rate).collect::<Result<_, _>>()?;
        return match rates
            .iter()
            .enumerate()
            .find(|(i, lr)| rates[..*i].contains(lr))
        {
            Some((_, lr)) => Err(format!("{lr} is given twice")),
            None => Ok(rates),
        };
    };
    let (high, n) = rest.split_once(':').ok_or(rule)?;
    let (low, high) = (rate(low)?, rate(high)?);
    let n: u32 = n.trim().parse().map_err(|_| rule.to_owned())?;
    if !(2..=1000).contains(&n) || low >= high {
        return Err(format!("two to 1000 rates, the first the lowest: {rule}"));
    }
    let step = (high / low).ln() / f64::from(n - 1);
    Ok((0..n)
        .map(|i| rounded(low * (f64::from(i) * step).exp()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_range_or_a_list() {
        assert_eq!(rates("1e-3..1e1:5").unwrap(), [1e-3, 1e-2, 0.1, 1.0, 10.0]);
        assert_eq!(rates("0.5, 2").unwrap(), [0.5, 2.0]);
        for text in [
            "", "0", "nan", "0.1,0.1", "1..2", "2..1:3", "1..2:1", "1..2:x", "-1",
        ] {
            assert!(rates(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_problem_runs_under_every_contender() {
        let dir = Path::new("runs");
        let problems = Problem::named("all").unwrap();
        assert_eq!(problems.len(), 15);
        assert!(
            DEVELOPMENT
                .iter()
                .all(|name| problems.iter().any(|of| of.name == *name))
        );
        for problem in &problems {
            for of in Contender::all() {
                let run = problem.run(of, problem.usual_rate(), 3, dir).unwrap();
                assert_eq!(sizes::run_steps(&run.job.spec).unwrap(), problem.steps);
                assert_eq!(run.job.spec.training.seed, 3);
            }
        }
        assert!(
            Problem::named("quadratik")
                .unwrap_err()
                .to_string()
                .contains("quadratic")
        );
        assert!(contenders("robost").unwrap_err().contains("robust"));
        assert_eq!(
            contenders("tuned, robust").unwrap(),
            [Contender::Tuned, Contender::Robust]
        );
    }
}
