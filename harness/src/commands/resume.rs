//! `autolr resume` goes on with what is not finished, `autolr retry` with what failed: from the folders alone.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::arguments::{TrainingArgs, at_once, data_location};
use crate::exit::{BadInput, ExitStatus, say};
use crate::json_output::print_json;
use crate::number::plural;
use crate::record::Holder;
use crate::runs::folder::{FoundRun, find_runs, is_not_begun, read_spec};
use crate::runs::job::Job;
use crate::runs::pool::{self, Unfinished};
use crate::runs::state::{RunState, State};

/// Resume all unfinished runs of a folder
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// A run's folder, a folder of runs, or one above such folders
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    how: TrainingArgs,
}

/// Retry the runs of a folder that failed
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Those that ended with an error; a diverged run is a result and stays as it is
    #[arg(long, required = true)]
    failed: bool,
    /// A run's folder, a folder of runs, or one above such folders
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    how: TrainingArgs,
}

/// `autolr resume`
///
/// # Errors
/// Bad input before any training; [`crate::exit::Interrupted`] after Ctrl-C, [`crate::exit::TimeSpent`] at the end of
/// the budget; otherwise a run that failed does not take the others along, and the status is a failure.
pub fn resume(args: &ResumeArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let runs = find_runs(&args.dir)?;
    let open = |state: State| !state.is_done() && state != State::Running;
    let (unwritten, runs): (Vec<_>, Vec<_>) =
        runs.into_iter().partition(|run| is_not_begun(&run.dir));
    for run in unwritten {
        // One at work has just begun.
        if !Holder::of(&run.dir).is_at_work() {
            say(&format!("note: {}", unwritten_words(&run.dir)));
        }
    }
    go_on(&runs, open, &args.how, out)
}

/// `autolr retry`
///
/// # Errors
/// As [`resume`].
pub fn retry(args: &RetryArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let runs = find_runs(&args.dir)?;
    go_on(&runs, |state| state == State::Failed, &args.how, out)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed {
    /// Runs that were resumed, as they are now.
    runs: Vec<RunState>,
    finished_before: usize,
    /// Runs that other processes are at work on.
    running: usize,
    failed: usize,
}

fn go_on(
    runs: &[FoundRun],
    open: impl Fn(State) -> bool,
    how: &TrainingArgs,
    out: &mut dyn Write,
) -> Result<ExitStatus> {
    let location = data_location(how.data.as_ref())?;
    let (mut jobs, mut finished_before, mut running) = (Vec::new(), 0, 0);
    // What cannot even be begun takes no other along.
    let mut unfinished = Vec::new();
    for run in runs {
        let state = RunState::read(&run.dir, run.name.as_deref());
        finished_before += usize::from(state.state.is_done());
        running += usize::from(state.state == State::Running);
        if open(state.state) {
            match job(run, &state) {
                Ok(job) => jobs.push(job),
                Err(error) => unfinished.push(Unfinished {
                    name: state.name.clone(),
                    error,
                }),
            }
        }
    }
    if jobs.is_empty()
        && let [Unfinished { error, .. }] = &unfinished[..]
        && let Some(BadInput(text)) = error.downcast_ref()
    {
        // The only one there is.
        return Err(BadInput(text.clone()).into());
    }
    let at_once = at_once(how.jobs, &jobs);
    let budget = how.budget.start();
    unfinished.extend(pool::carry_out(&jobs, &location, at_once, budget));
    let failed = unfinished.iter().filter(|run| run.is_failure()).count();
    let states: Vec<RunState> = jobs
        .iter()
        .map(|job| RunState::read(&job.dir, Some(&job.name)))
        .collect();
    let done = states.iter().filter(|run| run.state.is_done()).count();
    if how.json {
        let result = Printed {
            runs: states,
            finished_before,
            running,
            failed,
        };
        print_json(out, &result)?;
    } else {
        write!(
            out,
            "{}: {finished_before} finished before, {} resumed, {done} of them finished now, {failed} failed",
            plural(runs.len(), "run"),
            jobs.len()
        )?;
        match running {
            0 => writeln!(out)?,
            others => writeln!(out, "; other processes are at work on {others}")?,
        }
    }
    pool::status(&unfinished)
}

fn unwritten_words(dir: &Path) -> String {
    format!(
        "{}: ended before its specification was written: `autolr run` with that specification begins it; else remove the \
         folder",
        dir.display()
    )
}

/// A run as its folder has it, under the conditions that it was begun under.
fn job(run: &FoundRun, state: &RunState) -> Result<Job> {
    if is_not_begun(&run.dir) {
        return Err(BadInput(unwritten_words(&run.dir)).into());
    }
    let spec = read_spec(&run.dir)?;
    let name = spec.run_name()?;
    let dir = std::path::absolute(&run.dir)?;
    if dir.file_name().is_none_or(|folder| folder != name.as_str()) {
        return Err(BadInput(format!(
            "{}: its spec.toml is that of the run {name}, which belongs into a folder of that name",
            run.dir.display()
        ))
        .into());
    }
    Ok(Job::new(state.name.clone(), spec, dir))
}
