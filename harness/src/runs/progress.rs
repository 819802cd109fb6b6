//! Progress on standard error: bars on a terminal, elsewhere a plain line now and then; nothing with `--quiet`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::exit::say;
use crate::number::{duration, loss, percent, plural, rate};
use crate::record::EpochRecord;
use crate::train::{Observer, RunSize};

const RUN: &str = "{wide_bar} {percent:>3} %  {left} left";
const ALL: &str = "{prefix} {wide_bar} {pos}/{len} epochs  {elapsed}, {left} left";

/// The least time between two lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(30);
/// The least time between two epochs' lines on a terminal.
const LINE_EVERY: Duration = Duration::from_millis(500);

static QUIET: AtomicBool = AtomicBool::new(false);

/// Shows no progress from now on.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

fn target() -> ProgressDrawTarget {
    if QUIET.load(Ordering::Relaxed) {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    }
}

fn style(template: &str) -> ProgressStyle {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key(
        "left",
        |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let left = state.eta();
            let is_unknown = left.is_zero() && state.fraction() < 1.0;
            let text = if is_unknown {
                "–".to_owned()
            } else {
                duration(left.as_secs_f64())
            };
            // A bar that cannot be drawn is no reason to stop.
            let _ = out.write_str(&text);
        },
    )
}

/// Lines that come at least so far apart.
struct Pace(Instant);

impl Pace {
    fn new() -> Self {
        Self(Instant::now())
    }

    /// Whether it is time for a line.
    fn is_due(&mut self, every: Duration) -> bool {
        let due = self.0.elapsed() >= every;
        if due {
            self.0 = Instant::now();
        }
        due
    }
}

/// What is worth a glance after an epoch.
pub(crate) fn glance(record: &EpochRecord) -> String {
    let accuracy = record.validation_accuracy;
    let accuracy = accuracy.map_or_else(String::new, |share| format!(" ({} %)", percent(share)));
    format!(
        "epoch {}: lr {}, training {}, validation {}{accuracy}",
        record.epoch,
        rate(record.lr),
        loss(record.train_loss),
        loss(record.validation_loss),
    )
}

/// The bar of one run, step by step, and above it a line an epoch.
pub(crate) struct RunBar {
    bar: ProgressBar,
    pace: Pace,
    epochs: u64,
}

impl RunBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target());
        bar.set_style(style(RUN));
        Self {
            bar,
            pace: Pace::new(),
            epochs: 0,
        }
    }
}

impl Observer for RunBar {
    fn begin(&mut self, size: RunSize) {
        self.epochs = size.epochs;
        self.bar.set_length(size.epochs * size.steps_per_epoch);
        self.bar
            .set_position(size.epochs_done * size.steps_per_epoch + size.steps_done);
        self.bar.reset_eta();
    }

    fn step(&mut self) {
        self.bar.inc(1);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let is_last = record.epoch + 1 == self.epochs;
        if !self.bar.is_hidden() {
            if self.pace.is_due(LINE_EVERY) || is_last {
                self.bar.println(glance(record));
            }
        } else if !QUIET.load(Ordering::Relaxed) && self.pace.is_due(PLAIN_EVERY) {
            let left = duration(self.bar.eta().as_secs_f64());
            say(&format!("{}; {left} left", glance(record)));
        }
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| say(&format!("note: {text}")));
    }
}

impl Drop for RunBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// One bar over the epochs of all runs, and a line for each that is under way.
pub(crate) struct Overview {
    bars: MultiProgress,
    all: ProgressBar,
    pace: Mutex<Pace>,
}

impl Overview {
    pub(crate) fn new(epochs: u64, done: u64) -> Self {
        let bars = MultiProgress::with_draw_target(target());
        let all = bars.add(ProgressBar::new(epochs));
        all.set_style(style(ALL));
        all.set_prefix("all runs");
        all.set_position(done);
        all.reset_eta();
        let pace = Mutex::new(Pace::new());
        Self { bars, all, pace }
    }

    /// A line for a run that begins.
    pub(crate) fn line(&self, name: &str) -> ProgressBar {
        let line = self
            .bars
            .insert_before(&self.all, ProgressBar::new_spinner());
        line.set_style(style("  {prefix}  {wide_msg}"));
        line.set_prefix(name.to_owned());
        line.set_message("starting");
        line
    }

    pub(crate) fn epochs(&self, more: u64) {
        self.all.inc(more);
        if self.bars.is_hidden() && !QUIET.load(Ordering::Relaxed) {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            if pace.is_due(PLAIN_EVERY) {
                let epochs = self.all.length().unwrap_or_default();
                let left = duration(self.all.eta().as_secs_f64());
                let done = self.all.position();
                say(&format!(
                    "{done} of {}; {left} left",
                    plural(epochs as usize, "epoch")
                ));
            }
        }
    }

    pub(crate) fn finish(&self) {
        self.all.finish_and_clear();
    }
}
