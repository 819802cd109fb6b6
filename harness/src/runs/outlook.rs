//! What runs are going to cost, all told: for `autolr plan` and `autolr sweep --dry-run`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::forecast::{Forecast, KnownTimes, Range};
use super::job::Job;
use super::state::{RunState, State};
use crate::exit::BadInput;
use crate::experiment::Cost;
use crate::json_output::path_text;
use crate::number::{self, plural};
use crate::text_table::TextTable;

/// A run that is planned, with its cost and its state.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    name: String,
    #[serde(serialize_with = "path_text")]
    dir: PathBuf,
    state: State,
    epochs_done: u64,
    #[serde(flatten)]
    forecast: Forecast,
    /// As runs alike took them.
    seconds_per_epoch: Option<f64>,
    /// For what is left of it.
    seconds_left: Option<f64>,
}

/// The whole plan.
#[derive(Debug, Serialize)]
pub(crate) struct Outlook {
    runs: Vec<Planned>,
    finished: usize,
    to_do: usize,
    /// Of all runs, as far as they are not finished.
    steps_left: u64,
    forwards: Range,
    backwards: Range,
    compute: Range,
    disk: u64,
    /// Of all runs one after another; none if it is not known of each.
    seconds_left: Option<f64>,
    /// The same with as many at a time as are asked for.
    seconds_at_once: Option<f64>,
    /// How many at a time there can be: no more than are to do.
    at_once: usize,
}

impl Outlook {
    /// Of these jobs, `at_once` at a time; times are taken from the runs in `folders`.
    pub(crate) fn of(jobs: &[Job], at_once: usize, folders: &[PathBuf]) -> Result<Self> {
        let known = KnownTimes::gather(folders);
        let mut outlook = Self {
            runs: Vec::new(),
            finished: 0,
            to_do: 0,
            steps_left: 0,
            forwards: Range::default(),
            backwards: Range::default(),
            compute: Range::default(),
            disk: 0,
            seconds_left: Some(0.0),
            seconds_at_once: None,
            at_once: 1,
        };
        for job in jobs {
            let forecast = Forecast::of(&job.spec)
                .map_err(|error| BadInput(format!("{}: {error}", job.name)))?;
            let state = RunState::read(&job.dir, Some(&job.name));
            let (there, epochs_done) = match state.state {
                // There is no folder yet.
                State::Unreadable if !job.dir.exists() => (State::NotBegun, 0),
                there => (there, state.epochs_done),
            };
            let seconds_per_epoch = state
                .seconds_per_epoch
                .or_else(|| known.seconds_per_epoch(&job.spec));
            let left = if there.is_done() {
                0
            } else {
                forecast.epochs.saturating_sub(epochs_done)
            };
            let seconds_left = match left {
                0 => Some(0.0),
                left => seconds_per_epoch.map(|seconds| left as f64 * seconds),
            };
            if there.is_done() {
                outlook.finished += 1;
            } else {
                outlook.to_do += 1;
            }
            outlook.steps_left += forecast.steps / forecast.epochs.max(1) * left;
            outlook.forwards += forecast.forwards;
            outlook.backwards += forecast.backwards;
            outlook.compute += forecast.compute;
            outlook.disk += forecast.disk;
            outlook.seconds_left = outlook.seconds_left.zip(seconds_left).map(|(a, b)| a + b);
            outlook.runs.push(Planned {
                name: job.name.clone(),
                dir: job.dir.clone(),
                state: there,
                epochs_done,
                forecast,
                seconds_per_epoch,
                seconds_left,
            });
        }
        let times = outlook.runs.iter().filter(|run| !run.state.is_done());
        let times: Option<Vec<f64>> = times.map(|run| run.seconds_left).collect();
        outlook.at_once = at_once.min(outlook.to_do).max(1);
        outlook.seconds_at_once = times.map(|times| time_at_once(&times, outlook.at_once));
        Ok(outlook)
    }

    pub(crate) fn print(&self, out: &mut dyn Write) -> Result<()> {
        let mut table = TextTable::new(&[
            ("run", false),
            ("epochs", true),
            ("steps", true),
            ("compute", true),
            ("by probes", true),
            ("disk", true),
            ("time left", true),
            ("state", false),
        ]);
        for run in &self.runs {
            let forecast = &run.forecast;
            let probes = Cost {
                forwards: forecast.probe_forwards.most,
                backwards: forecast.probe_backwards.most,
            };
            let share = probes.compute() as f64 / forecast.compute.most.max(1) as f64;
            table.row([
                run.name.clone(),
                match run.epochs_done {
                    0 => forecast.epochs.to_string(),
                    done => format!("{done}/{}", forecast.epochs),
                },
                number::count(forecast.steps),
                range(forecast.compute),
                format!("{} %", number::percent(share)),
                bytes(forecast.disk),
                time(run.seconds_left),
                run.state.name().into(),
            ]);
        }
        write!(out, "{table}")?;
        writeln!(
            out,
            "Compute is in forward passes of an example: a forward pass costs 1, a backward pass 2; validation and tests are free."
        )?;
        let one = match self.seconds_left.zip(self.seconds_at_once) {
            Some((seconds, together)) if self.at_once > 1 => format!(
                "about {} one after another, {} with {} at a time",
                number::duration(seconds),
                number::duration(together),
                self.at_once
            ),
            Some((seconds, _)) => format!("about {}", number::duration(seconds)),
            None => "unknown, until an epoch of each network and size has been timed".into(),
        };
        writeln!(
            out,
            "{}: {} finished, {} to do, {} steps left. Disk: about {}. Time left: {one}.",
            plural(self.runs.len(), "run"),
            self.finished,
            self.to_do,
            number::count(self.steps_left),
            bytes(self.disk),
        )?;
        Ok(())
    }
}

/// When the last of some runs ends that are begun in their order, each as soon as one of `at_once` places is free, as
/// [`super::pool`] does it. Seconds.
fn time_at_once(times: &[f64], at_once: usize) -> f64 {
    let mut free: BinaryHeap<Reverse<Duration>> = (0..at_once.min(times.len()))
        .map(|_| Reverse(Duration::ZERO))
        .collect();
    let mut end = Duration::ZERO;
    for &seconds in times {
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let Reverse(begin) = free.pop().unwrap_or_default();
        let done = begin.saturating_add(time);
        free.push(Reverse(done));
        end = end.max(done);
    }
    end.as_secs_f64()
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "unknown".into(),
        Some(0.0) => "–".into(),
        Some(seconds) => number::duration(seconds),
    }
}

/// The most, with a sign where it may be less.
fn range(range: Range) -> String {
    let most = number::count(range.most);
    if number::count(range.least) == most {
        most
    } else {
        format!("≤ {most}")
    }
}

/// Bytes as a person reads them.
fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        _ if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.0} kB", (bytes / 1e3).ceil()),
    }
}

/// Where runs are whose times say something about others: in the folder itself, and where the commands put them.
pub(crate) fn time_folders(folder: &Path) -> Vec<PathBuf> {
    let usual = ["runs", "sweep", "report"].map(PathBuf::from);
    [folder.to_owned()].into_iter().chain(usual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_runs_side_by_side_is_when_the_last_one_ends() {
        for (times, at_once, end) in [
            (&[10.0][..], 1, 10.0),
            // No run is shorter for more places.
            (&[10.0], 8, 10.0),
            (&[10.0, 1.0, 1.0], 4, 10.0),
            (&[3.0, 3.0, 3.0], 2, 6.0),
            (&[1.0, 1.0, 10.0], 2, 11.0),
            (&[4.0, 1.0, 2.0, 1.0], 2, 4.0),
            (&[], 3, 0.0),
        ] {
            assert_eq!(time_at_once(times, at_once), end, "{times:?} {at_once}");
        }
        assert!(time_at_once(&[f64::MAX, f64::NAN, 1.0], 2).is_finite());
    }
}
