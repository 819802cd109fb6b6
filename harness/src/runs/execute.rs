//! One run in this process: what it leaves in its folder when it fails, and waiting for one that is at work elsewhere.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::stop::{self, Budget, WithinBudget, interrupt_flag};
use crate::arguments::check_threads;
use crate::data::{DataError, Location};
use crate::exit::{BadInput, Busy, say};
use crate::experiment::{RunSpec, SpecError};
use crate::record::{EpochRecord, Failure, begun_as};
use crate::regular_file;
use crate::train::{self, Observer, RunOptions, RunSize, RunStatus};
use crate::workload;

/// Passes all on. What failed before has not failed any more once this attempt takes a step.
struct ClearsFailure<'a> {
    dir: &'a Path,
    stepped: bool,
    observer: &'a mut dyn Observer,
}

impl Observer for ClearsFailure<'_> {
    fn begin(&mut self, size: RunSize) {
        self.observer.begin(size);
    }

    fn step(&mut self) {
        if !std::mem::replace(&mut self.stepped, true) {
            // If it cannot be removed now, the end of the run says so.
            let _ = Failure::clear(self.dir);
        }
        self.observer.step();
    }

    fn trial_step(&mut self) {
        self.observer.trial_step();
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.observer.epoch(record);
    }

    fn note(&mut self, text: &str) {
        self.observer.note(text);
    }
}

/// Carries out a specification in its folder, with `threads` unless it was begun with others. An error that is the run's
/// own is left there as `failed.json`, until an attempt takes a step or comes to its end.
///
/// # Errors
/// As [`train::run`]; [`crate::exit::TimeSpent`] if the budget is.
pub(crate) fn execute(
    spec: &RunSpec,
    dir: &Path,
    location: &Location,
    threads: usize,
    budget: Budget,
    observer: &mut dyn Observer,
) -> Result<RunStatus> {
    regular_file::check_folder(dir)
        .map_err(|error| BadInput(format!("{}: {error}", dir.display())))?;
    let log = dir.join("events.jsonl");
    let begun = spec.digest().ok().and_then(|spec| begun_as(&spec, &log));
    let threads = begun.map_or(threads, |begun| begun.threads);
    if spec.network.uses_libtorch() {
        let asked = format!("{}: begun with {threads} threads", log.display());
        check_threads(threads, &asked)?;
    }
    let mut observer = ClearsFailure {
        dir,
        stepped: false,
        observer,
    };
    let mut observer = WithinBudget::new(budget, &mut observer);
    let mut options = RunOptions::new(interrupt_flag(), threads, &mut observer);
    let outcome = train::run(
        spec,
        dir,
        &|| workload::build(spec, location, threads),
        &mut options,
    );
    match &outcome {
        Ok(_) => Failure::clear(dir)?,
        Err(error) if is_the_runs_own(error) && dir.is_dir() => {
            // The error itself is what counts, whether or not it can be written.
            let _ = Failure::of(error).write(dir);
        }
        Err(_) => {}
    }
    outcome.map_err(stop::with_reason)
}

/// Whether an error is a failure of the run: not a stop, not bad input, not that another process is at work on it.
fn is_the_runs_own(error: &anyhow::Error) -> bool {
    !(stop::is_stop(error) || is_bad_input(error) || error.is::<Busy>())
}

/// Whether the input is to blame, the data included.
pub(crate) fn is_bad_input(error: &anyhow::Error) -> bool {
    let data = error.downcast_ref::<DataError>();
    error.is::<BadInput>() || error.is::<SpecError>() || data.is_some_and(DataError::is_bad_input)
}

/// Waits as long as another process is at work on a run. Says which, once: nobody may see it end.
pub(crate) fn or_wait(mut attempt: impl FnMut() -> Result<RunStatus>) -> Result<RunStatus> {
    let mut said = false;
    loop {
        match attempt() {
            Err(error) if error.is::<Busy>() => {
                if !std::mem::replace(&mut said, true)
                    && let Some(Busy { text, remedy }) = error.downcast_ref()
                {
                    say(&format!("note: {text}, and is waited for{remedy}"));
                }
                for _ in 0..5 {
                    if stop::is_due() {
                        return Err(stop::reason());
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            outcome => return outcome,
        }
    }
}
