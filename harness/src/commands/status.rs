//! `autolr status`: how far runs are, who is at work on them, how they ended. From another terminal, while they run.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::exit::ExitStatus;
use crate::json_output::print_json;
use crate::number::{self, plural};
use crate::record::{Holder, Summary};
use crate::runs::folder::{find_runs, folder_name};
use crate::runs::state::{RunState, State};
use crate::runs::stop;
use crate::task::Metric;
use crate::text_table::{TextTable, plain};
use crate::visible::visible;

/// Show the state of runs: progress, processes, results
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// A run's folder, a folder of runs, or one above such folders
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Refresh every two seconds until nothing is running
    #[arg(long)]
    watch: bool,
    /// Print one JSON object; with --watch, one a line
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Status {
    counts: Counts,
    runs: Vec<RunState>,
}

/// Runs in each state.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Counts {
    finished: usize,
    diverged: usize,
    running: usize,
    stopped: usize,
    stale: usize,
    failed: usize,
    not_begun: usize,
    unreadable: usize,
}

impl Counts {
    fn of(runs: &[RunState]) -> Self {
        let mut counts = Self::default();
        for run in runs {
            *match run.state {
                State::Finished => &mut counts.finished,
                State::Diverged => &mut counts.diverged,
                State::Running => &mut counts.running,
                State::Stopped => &mut counts.stopped,
                State::Stale => &mut counts.stale,
                State::Failed => &mut counts.failed,
                State::NotBegun => &mut counts.not_begun,
                State::Unreadable => &mut counts.unreadable,
            } += 1;
        }
        counts
    }

    /// Those that there are, in words.
    fn words(&self) -> String {
        let all = [
            (self.finished, State::Finished),
            (self.diverged, State::Diverged),
            (self.running, State::Running),
            (self.stopped, State::Stopped),
            (self.stale, State::Stale),
            (self.failed, State::Failed),
            (self.not_begun, State::NotBegun),
            (self.unreadable, State::Unreadable),
        ];
        let words: Vec<String> = all
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{count} {}", state.name()))
            .collect();
        words.join(", ")
    }
}

/// `autolr status`
///
/// # Errors
/// Bad input if there is no run.
pub fn status(args: &StatusArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    loop {
        let runs: Vec<RunState> = find_runs(&args.dir)?
            .iter()
            .map(|run| RunState::read(&run.dir, run.name.as_deref()))
            .collect();
        let counts = Counts::of(&runs);
        let last = !args.watch || counts.running == 0;
        if args.json {
            print_json(out, &Status { counts, runs })?;
        } else {
            if args.watch && std::io::stdout().is_terminal() {
                // Clears the screen, and goes to its top.
                write!(out, "\u{1b}[2J\u{1b}[H")?;
            }
            show(&runs, &counts, out)?;
        }
        out.flush()?;
        if last {
            return Ok(ExitStatus::Success);
        }
        for _ in 0..20 {
            if stop::is_due() {
                return Ok(ExitStatus::Success);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn show(runs: &[RunState], counts: &Counts, out: &mut dyn Write) -> Result<()> {
    let has = |metric| runs.iter().any(|run| run.metric == metric);
    // Runs of tasks without accuracy are judged by their loss.
    let (losses, accuracies) = (has(Metric::Loss), has(Metric::Accuracy));
    let mut head = vec![
        ("run", false),
        ("state", false),
        ("epochs", true),
        ("lr", true),
        ("training loss", true),
        ("validation loss", true),
    ];
    head.extend(accuracies.then_some(("test (%)", true)));
    head.extend(losses.then_some(("test loss", true)));
    head.extend([("s/epoch", true), ("left", true), ("process", false)]);
    let mut table = TextTable::new(&head);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    for run in runs {
        // Runs of one name are told apart by their folders.
        let twins = runs.iter().filter(|other| other.name == run.name);
        let name = match twins.count() {
            1 => run.name.clone(),
            _ => format!("{}, {}", run.name, folder_name(&run.dir)),
        };
        let last = run.last.as_ref();
        let epochs = run.epochs.map_or_else(|| "?".into(), |n| n.to_string());
        // What a run reached before it diverged is no result of it.
        let tested = |metric, words: fn(f64) -> String| {
            let tested = run.summary.as_ref().and_then(Summary::reported);
            let tested = tested.filter(|_| run.metric == metric && run.state != State::Diverged);
            let value = tested.and_then(|tested| match metric {
                Metric::Accuracy => tested.accuracy,
                Metric::Loss => Some(tested.loss),
            });
            or_none(value.map(words))
        };
        let mut row = vec![
            name,
            run.state.name().into(),
            format!("{}/{epochs}", run.epochs_done),
            or_none(last.map(|last| number::rate(last.lr))),
            or_none(last.map(|last| number::loss(last.train_loss))),
            or_none(last.map(|last| number::loss(last.validation_loss))),
        ];
        row.extend(accuracies.then(|| tested(Metric::Accuracy, number::percent)));
        row.extend(losses.then(|| tested(Metric::Loss, number::loss)));
        row.extend([
            or_none(run.seconds_per_epoch.map(seconds)),
            or_none(
                run.seconds_left()
                    .filter(|_| run.state == State::Running)
                    .map(number::duration),
            ),
            process(&run.process),
        ]);
        table.row(row);
    }
    write!(out, "{table}")?;
    writeln!(out, "{}: {}", plural(runs.len(), "run"), counts.words())?;
    let unsealed = runs.iter().filter(|run| run.sealed == Some(false)).count();
    if unsealed > 0 {
        writeln!(
            out,
            "{unsealed} of them without a seal (log format 1): an edit of such a log is not noticed"
        )?;
    }
    for run in runs {
        if let Some(error) = &run.error {
            writeln!(out, "{}: {}", plain(&run.name), visible(error))?;
        }
    }
    Ok(())
}

fn seconds(seconds: f64) -> String {
    if seconds < 100.0 {
        number::to_digits(seconds, 3)
    } else {
        number::plain(seconds)
    }
}

fn process(holder: &Holder) -> String {
    match holder {
        Holder::Nobody => "–".into(),
        Holder::Gone { pid, host } => format!("{} is gone", place(Some(*pid), host.as_deref())),
        Holder::Process { pid, host } => place(*pid, host.as_deref()),
    }
}

fn place(pid: Option<u32>, host: Option<&str>) -> String {
    match (pid, host) {
        (Some(pid), Some(host)) => format!("{pid} on {host}"),
        (Some(pid), None) => pid.to_string(),
        (None, Some(host)) => format!("one on {host}"),
        (None, None) => "one, unknown".into(),
    }
}
