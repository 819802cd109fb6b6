//! The commands of `autolr`, one file each.

pub mod compare;
pub mod data;
mod plan;
pub mod probe;
mod progress;
pub mod replay;
pub mod report;
pub mod reproduce;
pub mod run;
pub mod schedule;
pub mod update;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once, OnceLock};

use crate::data::{DataError, Location};

/// The flag that Ctrl-C sets. A second Ctrl-C ends the program at once.
pub(crate) fn interrupt_flag() -> &'static AtomicBool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    static HANDLER: Once = Once::new();
    let flag = FLAG.get_or_init(Arc::default);
    HANDLER.call_once(|| {
        let flag = Arc::clone(flag);
        // Without a handler Ctrl-C ends the program, and the last checkpoint stands: no error worth stopping for.
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, std::sync::atomic::Ordering::Relaxed) {
                std::process::exit(crate::exit::ExitStatus::Interrupted as i32);
            }
        });
    });
    flag
}

/// Where the data is looked for: the folder given, `AUTOLR_DATA`, the project's own.
pub(crate) fn data_location(folder: Option<&PathBuf>) -> Result<Location, DataError> {
    Location::from_process(folder.map(PathBuf::as_path))
}

/// Cores of this machine that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A count on the command line that cannot be zero.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}
