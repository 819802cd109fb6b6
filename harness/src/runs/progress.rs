//! Progress on a terminal; nothing in a pipe.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::exit::say;
use crate::number::{loss, percent, rate};
use crate::record::EpochRecord;
use crate::train::{Observer, RunSize};

const RUN: &str = "{prefix} {wide_bar} {percent:>3} %  {eta} left  {msg}";
const ALL: &str = "{prefix} {wide_bar} {pos}/{len} epochs  {elapsed}, {eta} left";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
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

/// The bar of one run, step by step. Drawn on standard error if that is a terminal.
pub(crate) struct RunBar(ProgressBar);

impl RunBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        bar.set_style(style(RUN));
        Self(bar)
    }
}

impl Observer for RunBar {
    fn begin(&mut self, size: RunSize) {
        self.0.set_length(size.epochs * size.steps_per_epoch);
        self.0
            .set_position(size.epochs_done * size.steps_per_epoch + size.steps_done);
        self.0.reset_eta();
    }

    fn step(&mut self) {
        self.0.inc(1);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.0.set_message(glance(record));
    }

    fn note(&mut self, text: &str) {
        self.0.suspend(|| say(&format!("note: {text}")));
    }
}

impl Drop for RunBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// One bar over the epochs of all runs, and a line for each that is under way.
pub(crate) struct Overview {
    bars: MultiProgress,
    all: ProgressBar,
}

impl Overview {
    pub(crate) fn new(epochs: u64, done: u64) -> Self {
        let bars = MultiProgress::new();
        let all = bars.add(ProgressBar::new(epochs));
        all.set_style(style(ALL));
        all.set_prefix("all runs");
        all.set_position(done);
        all.reset_eta();
        Self { bars, all }
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
    }

    pub(crate) fn finish(&self) {
        self.all.finish_and_clear();
    }
}
