//! How far a comparison is, on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// A line that is written over: what is being done, and when all will be done. Silent where nobody looks.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    begin: Instant,
    /// Estimated seconds of work, done and altogether; only their ratio counts.
    done: f64,
    total: f64,
}

impl Progress {
    pub(crate) fn new(total: f64) -> Self {
        Self {
            shown: io::stderr().is_terminal(),
            begin: Instant::now(),
            done: 0.0,
            total,
        }
    }

    /// Says what is being done.
    pub(crate) fn say(&self, what: &str) {
        if self.shown {
            let percent = 100.0 * (self.done / self.total).min(1.0);
            let left = left(self.begin.elapsed().as_secs_f64(), self.done, self.total);
            eprint!("\r\x1b[K{percent:3.0} %  {what}{left}");
            // Without it the line stays in the buffer; where the terminal is gone there is nothing to do.
            let _ = io::stderr().flush();
        }
    }

    /// So much of the work is done.
    pub(crate) fn advance(&mut self, work: f64) {
        self.done += work;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// The time left, as a text; nothing before there is something to go by.
fn left(elapsed: f64, done: f64, total: f64) -> String {
    if done < 0.01 * total {
        return String::new();
    }
    let seconds = (elapsed * (total - done).max(0.0) / done).round() as u64;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!(", {seconds} s left"),
        (0, _) => format!(", {minutes} min left"),
        _ => format!(", {hours} h {minutes} min left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_share_that_is_done() {
        assert_eq!(left(10.0, 0.0, 100.0), "");
        assert_eq!(left(10.0, 50.0, 100.0), ", 10 s left");
        assert_eq!(left(60.0, 25.0, 100.0), ", 3 min left");
        assert_eq!(left(3600.0, 40.0, 100.0), ", 1 h 30 min left");
        assert_eq!(left(10.0, 110.0, 100.0), ", 0 s left");
    }
}
