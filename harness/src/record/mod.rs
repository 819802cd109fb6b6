//! What a run leaves behind: its event log, its provenance, its directory.

mod event;
mod failure;
mod lock_holder;
mod log;
mod replay;
mod timings;

pub use event::{
    AnswerRecord, Build, ChangeRecord, DataProvenance, DecisionRecord, EpochRecord, Evaluation,
    Event, LOG_FORMAT, MoveRecord, Outcome, Provenance, RateRange, Summary,
};
pub use failure::Failure;
pub use lock_holder::Holder;
pub(crate) use log::check_begun;
pub use log::{Entry, LogMark, LogWriter, RunLog, begun_as};
pub use replay::{Difference, Record, Replayed};
pub use timings::{Timing, computed_epochs, read_seconds, read_timings, typical_seconds};
pub(crate) use timings::{begin_timing, check_timings, end_timing, has_ended_line};
