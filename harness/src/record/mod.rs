//! What a run leaves behind: its event log, its provenance, its directory.

mod event;
mod log;
mod replay;

pub use event::{
    Build, DataProvenance, DecisionRecord, EpochRecord, Event, Outcome, Provenance, Summary, Tested,
};
pub use log::{LogMark, LogWriter, RunLog, read_seconds, read_timings};
pub use replay::{Difference, Record, Replayed};
