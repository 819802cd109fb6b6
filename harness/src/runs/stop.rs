//! When work stops before its end: Ctrl-C, a request to terminate, or a time budget that is spent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};

use clap::Args;

use crate::exit::{ExitStatus, Interrupted, TimeSpent};
use crate::record::EpochRecord;
use crate::train::{Observer, RunSize};
use crate::visible::typed;

/// Whether it is the budget that set the flag.
static OUT_OF_TIME: AtomicBool = AtomicBool::new(false);

/// The signals that ask a program to end: Ctrl-C, a terminal that closes, and `kill`.
const SIGNALS: &[i32] = &[
    signal_hook::consts::SIGINT,
    signal_hook::consts::SIGTERM,
    #[cfg(unix)]
    signal_hook::consts::SIGHUP,
];

/// The flag that Ctrl-C, SIGTERM, SIGHUP and a spent budget set. A second signal ends the program at once. A signal that
/// the program was started to ignore, as `nohup` and a shell's `&` do it, stays ignored, where the system tells (Linux).
pub(crate) fn interrupt_flag() -> &'static AtomicBool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    static HANDLER: Once = Once::new();
    let flag = FLAG.get_or_init(Arc::default);
    HANDLER.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = ignored_signals(&status);
        let signalled = Arc::default();
        for signal in SIGNALS {
            if ignored >> (signal - 1) & 1 == 0 {
                // Without a handler a signal ends the program, and the last checkpoint stands: no error worth stopping
                // for.
                let _ = take(*signal, &signalled, flag);
            }
        }
    });
    flag
}

/// Has a signal set the flag, and end the program where one came before.
fn take(signal: i32, signalled: &Arc<AtomicBool>, flag: &Arc<AtomicBool>) -> std::io::Result<()> {
    use signal_hook::flag::{register, register_conditional_shutdown};
    // In this order when the signal comes.
    let status = ExitStatus::Interrupted as i32;
    register_conditional_shutdown(signal, status, Arc::clone(signalled))?;
    register(signal, Arc::clone(signalled))?;
    register(signal, Arc::clone(flag))?;
    Ok(())
}

/// The signals that a process ignores, by its `/proc/PID/status`: bit 0 is signal 1.
fn ignored_signals(status: &str) -> u64 {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether work is to stop.
pub(crate) fn is_due() -> bool {
    interrupt_flag().load(Ordering::Relaxed)
}

/// The reason for which work was stopped.
pub(crate) fn reason() -> anyhow::Error {
    if OUT_OF_TIME.load(Ordering::Relaxed) {
        TimeSpent.into()
    } else {
        Interrupted.into()
    }
}

/// An error of a training, with the true reason where it was stopped.
pub(crate) fn with_reason(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Interrupted>() {
        reason()
    } else {
        error
    }
}

/// Whether an error says no more than that work was stopped.
pub(crate) fn is_stop(error: &anyhow::Error) -> bool {
    error.is::<Interrupted>() || error.is::<TimeSpent>()
}

fn out_of_time() {
    // Whoever was interrupted before stays interrupted.
    if !is_due() {
        OUT_OF_TIME.store(true, Ordering::Relaxed);
        interrupt_flag().store(true, Ordering::Relaxed);
    }
}

/// `--time-budget`
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct BudgetArgs {
    /// Stop in good order before so much time has passed (30m, 1h 30m), with exit code 75; the same command resumes
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time_budget: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be above zero".into()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!(
            "{}; write 30m, 1h 30m, 90s",
            typed(&error.to_string())
        )),
    }
}

impl BudgetArgs {
    /// Starts the clock. At its end everything stops where it is; [`WithinBudget`] stops trainings somewhat before.
    pub(crate) fn start(self) -> Budget {
        let end = self.end(Instant::now());
        if let Some(end) = end {
            std::thread::spawn(move || {
                std::thread::sleep(end.saturating_duration_since(Instant::now()));
                out_of_time();
            });
        }
        Budget { end }
    }

    /// When work has to stop that starts now.
    fn end(self, now: Instant) -> Option<Instant> {
        let time = self.time_budget?;
        now.checked_add(time - reserve(time))
    }
}

/// What of a budget is kept for the program itself, which takes its time to start and to leave: a second, or half of
/// what is less than two.
fn reserve(budget: Duration) -> Duration {
    Duration::from_secs(1).min(budget / 2)
}

/// The time until which work has to stop, if there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    end: Option<Instant>,
}

impl Budget {
    /// What is left.
    pub(crate) fn left(self) -> Option<Duration> {
        self.end
            .map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether something that takes so long fits in, with a tenth to spare.
    fn fits(self, time: Duration) -> bool {
        let needed = 1.1 * time.as_secs_f64();
        self.left().is_none_or(|left| left.as_secs_f64() >= needed)
    }
}

/// Stops a training before its budget is spent: at a step, when what may come before the next one, such as a
/// validation, a decision and a checkpoint, would not fit into the time left.
pub(crate) struct WithinBudget<'a> {
    budget: Budget,
    observer: &'a mut dyn Observer,
    /// When the last step was done.
    last: Instant,
    /// The longest time from one step to the next so far.
    longest: Duration,
}

impl<'a> WithinBudget<'a> {
    pub(crate) fn new(budget: Budget, observer: &'a mut dyn Observer) -> Self {
        Self {
            budget,
            observer,
            last: Instant::now(),
            longest: Duration::ZERO,
        }
    }
}

impl Observer for WithinBudget<'_> {
    fn begin(&mut self, size: RunSize) {
        self.observer.begin(size);
        self.last = Instant::now();
        // Not left to the clock's thread, which may be late: a step would be taken.
        if self.budget.left() == Some(Duration::ZERO) {
            out_of_time();
        }
    }

    fn step(&mut self) {
        self.observer.step();
        self.longest = self.longest.max(self.last.elapsed());
        self.last = Instant::now();
        if !self.budget.fits(self.longest) {
            out_of_time();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        for text in ["", "30", "half an hour", "-1s", "0s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_program_itself_has_its_share_of_a_budget() {
        for (budget, work) in [(10_000, 9_000), (2_000, 1_000), (400, 200)] {
            let time_budget = Some(Duration::from_millis(budget));
            let left = Budget {
                end: BudgetArgs { time_budget }.end(Instant::now()),
            }
            .left();
            let left = left.unwrap();
            assert!(left <= Duration::from_millis(work), "{left:?} of {budget}");
        }
        assert_eq!(BudgetArgs { time_budget: None }.end(Instant::now()), None);
    }

    #[test]
    fn ignored_signals_are_read_from_the_processs_status() {
        let status =
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!(ignored_signals(status), 0x1001);
        assert_eq!(ignored_signals(""), 0);
    }

    #[test]
    fn a_tenth_is_spared() {
        let in_ten = Budget {
            end: Some(Instant::now() + Duration::from_secs(10)),
        };
        assert!(in_ten.fits(Duration::from_secs(9)));
        assert!(!in_ten.fits(Duration::from_millis(9200)));
        assert!(Budget { end: None }.fits(Duration::MAX / 2));
    }
}
