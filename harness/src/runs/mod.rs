//! What is around runs and is no command: which runs there are to be, carrying them out, and how they stand.
//!
//! A specification is made fit for this machine (`resolve`), alone, as a combination of a `sweep` or as one of the
//! `paper`'s experiments; each becomes a `job`. The `pool` carries jobs out, one by one in this process (`execute`) or
//! as processes of their own, until it is time to `stop`. Afterwards all that counts stands in the runs' folders.

pub(crate) mod execute;
pub(crate) mod folder;
pub(crate) mod forecast;
pub(crate) mod headline;
pub(crate) mod job;
pub(crate) mod job_file;
mod merge;
pub(crate) mod outlook;
pub(crate) mod paper;
pub(crate) mod pool;
pub(crate) mod progress;
pub(crate) mod resolve;
pub(crate) mod sensitivity;
pub(crate) mod state;
pub(crate) mod stop;
pub(crate) mod sweep;
