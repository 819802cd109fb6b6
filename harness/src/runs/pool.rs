//! Trainings side by side, each a process of its own: one that fails or crashes takes no other along.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::execute::{execute, is_bad_input, or_wait};
use super::job::Job;
use super::progress::{Overview, glance};
use super::stop::{self, Budget};
use crate::data::Location;
use crate::exit::{ExitStatus, Interrupted, TimeSpent, say};
use crate::experiment::sizes;
use crate::record::{EpochRecord, Failure};
use crate::text_table::plain;
use crate::train::Observer;

/// How long a training that was told to stop may take over it. What it then loses are the steps since its last
/// checkpoint.
const GRACE: Duration = Duration::from_secs(30);

/// A job that came to no end, and why.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) name: String,
    pub(crate) error: anyhow::Error,
}

impl Unfinished {
    /// Whether it failed; else it was stopped.
    pub(crate) fn is_failure(&self) -> bool {
        !stop::is_stop(&self.error)
    }
}

/// Carries out what is not finished, `at_once` at a time; returns what came to no end, with the reason.
///
/// With one at a time, all are trained in this process.
pub(crate) fn carry_out(
    jobs: &[Job],
    location: &Location,
    at_once: usize,
    budget: Budget,
) -> Vec<Unfinished> {
    let epochs = jobs
        .iter()
        .map(|job| sizes::planned_epochs(&job.spec))
        .sum();
    let done = |job: &Job| {
        if job.finished {
            sizes::planned_epochs(&job.spec)
        } else {
            job.epochs_done
        }
    };
    let overview = Overview::new(epochs, jobs.iter().map(done).sum());
    let queue: Mutex<VecDeque<&Job>> =
        Mutex::new(jobs.iter().filter(|job| !job.finished).collect());
    let unfinished = Mutex::new(Vec::new());
    let worker = || {
        loop {
            // On a line of its own: the lock is then given back before the training.
            let next = lock(&queue).pop_front();
            let Some(job) = next else { break };
            let outcome = if stop::is_due() {
                Err(stop::reason())
            } else {
                let line = overview.line(&job.name);
                let mut on_epoch = |record: &EpochRecord| {
                    line.set_message(glance(record));
                    overview.epochs(u64::from(record.epoch >= job.epochs_done));
                };
                let outcome = if at_once == 1 {
                    in_this_process(job, location, budget, &mut on_epoch)
                } else {
                    in_a_child(job, location, budget, &mut on_epoch)
                };
                line.finish_and_clear();
                outcome
            };
            if let Err(error) = outcome {
                lock(&unfinished).push(Unfinished {
                    name: job.name.clone(),
                    error,
                });
            }
        }
    };
    if at_once == 1 {
        worker();
    } else {
        std::thread::scope(|scope| {
            // No more than there is to do: the number is the user's.
            for _ in 0..at_once.min(jobs.len()) {
                scope.spawn(worker);
            }
        });
    }
    overview.finish();
    unfinished
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says on standard error what failed, and gives the status of the whole: an error where it was stopped.
pub(crate) fn status(unfinished: &[Unfinished]) -> Result<ExitStatus> {
    for run in unfinished.iter().filter(|run| run.is_failure()) {
        say(&format!("{}: {:#}", plain(&run.name), run.error));
    }
    if stop::is_due() {
        return Err(stop::reason());
    }
    // A child may have found before this process that its time is spent.
    if unfinished.iter().any(|run| run.error.is::<TimeSpent>()) {
        return Err(TimeSpent.into());
    }
    Ok(if unfinished.is_empty() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

/// Passes each epoch on.
struct OnEpoch<'a>(&'a mut dyn FnMut(&EpochRecord));

impl Observer for OnEpoch<'_> {
    fn epoch(&mut self, record: &EpochRecord) {
        (self.0)(record);
    }

    fn note(&mut self, text: &str) {
        say(&format!("note: {text}"));
    }
}

fn in_this_process(
    job: &Job,
    location: &Location,
    budget: Budget,
    on_epoch: &mut dyn FnMut(&EpochRecord),
) -> Result<()> {
    let mut observer = OnEpoch(on_epoch);
    let outcome = or_wait(|| {
        execute(
            &job.spec,
            &job.dir,
            location,
            job.threads,
            budget,
            &mut observer,
        )
    });
    if let Err(error) = &outcome
        && is_bad_input(error)
    {
        // `autolr run` writes nothing for bad input; here the run is one of several, and has a folder already.
        Failure::of(error).write(&job.dir)?;
    }
    outcome.map(|_| ())
}

/// `autolr run` in a process of its own.
fn in_a_child(
    job: &Job,
    location: &Location,
    budget: Budget,
    on_epoch: &mut dyn FnMut(&EpochRecord),
) -> Result<()> {
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    // A relative path may begin like an option.
    let absolute = |path: &Path| {
        std::path::absolute(path).with_context(|| format!("{}: no path", path.display()))
    };
    let dir = absolute(&job.dir)?;
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg(dir.join("spec.toml"))
        .arg("--out")
        .arg(dir.parent().unwrap_or(Path::new(".")))
        .arg("--data")
        .arg(absolute(&location.folder)?)
        .args(["--threads", &job.threads.to_string()])
        // Another command may be at work on a run of the same folder.
        .args(["--wait", "--epoch-lines"]);
    if let Some(left) = budget.left() {
        // Spent already is no budget: the least there is.
        let left = left.max(Duration::from_millis(1)).as_millis();
        command.arg("--time-budget").arg(format!("{left}ms"));
    }
    #[cfg(unix)]
    // Ctrl-C on a terminal is for this process, which passes it on once: a second one would cut the child short.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("a training process cannot be started")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let (lines, errors) = (child.stdout.take(), child.stderr.take());
    let (status, said) = std::thread::scope(|scope| -> Result<_> {
        scope.spawn(move || {
            for line in lines
                .map(BufReader::new)
                .into_iter()
                .flat_map(BufRead::lines)
            {
                let record = line.ok().and_then(|line| serde_json::from_str(&line).ok());
                if let Some(record) = record
                    && sender.send(record).is_err()
                {
                    break;
                }
            }
        });
        let said = scope.spawn(move || {
            let mut said = String::new();
            let mut errors = errors.map(BufReader::new);
            let mut line = Vec::new();
            // What could be read is what there is to say.
            while let Some(errors) = &mut errors
                && errors
                    .read_until(b'\n', &mut line)
                    .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line);
                // At once: it may be about what the process waits for.
                if text.starts_with("note: ") {
                    say(text.trim_end());
                } else {
                    said += &text;
                }
                line.clear();
            }
            said
        });
        let mut told = None;
        loop {
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(record) => on_epoch(&record),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop::is_due() {
                let since: &Instant = told.get_or_insert_with(|| {
                    terminate(&mut child);
                    Instant::now()
                });
                if since.elapsed() > GRACE {
                    // Its last checkpoint stands.
                    let _ = child.kill();
                }
            }
        }
        Ok((child.wait()?, said.join().unwrap_or_default()))
    })?;
    if status.success() {
        return Ok(());
    }
    let stopped = match status.code() {
        Some(code) if code == ExitStatus::Interrupted as i32 => Some(Interrupted.into()),
        Some(code) if code == ExitStatus::TimeSpent as i32 => Some(TimeSpent.into()),
        Some(_) => None,
        // Killed, by this process if it had told it to stop.
        None => stop::is_due().then(stop::reason),
    };
    if let Some(reason) = stopped {
        return Err(if stop::is_due() {
            stop::reason()
        } else {
            reason
        });
    }
    let said = said.trim().trim_start_matches("error: ");
    let error = match said {
        "" => format!("the training process ended with {status}"),
        said => format!("the training process ended with {status}: {said}"),
    };
    let error = anyhow!(error);
    let bad_input = status.code() == Some(ExitStatus::BadInput as i32);
    if said.is_empty() || status.code().is_none() || bad_input {
        // The process could not say so itself, or writes nothing for bad input.
        Failure::of(&error).write(&job.dir)?;
    }
    Err(error)
}

/// Tells a training to stop, as Ctrl-C does.
fn terminate(child: &mut Child) {
    #[cfg(unix)]
    if let Some(pid) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // One that has ended already need not be told.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = child.kill();
}
