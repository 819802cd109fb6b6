//! How the threads of libtorch wait for each other.
//!
//! GNU OpenMP's threads spin for milliseconds while they wait. On busy cores they spin on the core that the thread they
//! wait for needs: next to another training with two threads, a step took up to eighteen times as long
//! (docs/PERFORMANCE.md). With a short spin, after which they sleep, both trainings get their share.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::experiment::RunSpec;

/// If the user sets one of these, it is left alone.
const SET_BY_USER: [&str; 2] = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];

/// Iterations of the spin loop: a small number that costs nothing on idle cores.
const SPIN_COUNT: (&str, &str) = ("GOMP_SPINCOUNT", "2000");

/// Whether a training in this process would spin for long.
fn spins(spec: &RunSpec, threads: usize) -> bool {
    cfg!(feature = "tch")
        && threads > 1
        && spec.network.uses_libtorch()
        && SET_BY_USER.iter().all(|name| env::var_os(name).is_none())
}

/// Restarts this program in the same process with a short spin, if it is to train with several threads: OpenMP reads its
/// variables before `main`. To be called before any file is open.
pub(crate) fn wait_briefly(spec: &RunSpec, threads: usize) {
    if !spins(spec, threads) {
        return;
    }
    // Not if the program was started through a loader, or has been deleted since.
    let program = env::current_exe().ok();
    let Some(program) =
        program.filter(|path| path.file_stem() == Some("autolr".as_ref()) && path.is_file())
    else {
        return;
    };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let (name, value) = SPIN_COUNT;
    // Returns only on failure; then the threads spin.
    let _ = command.args(arguments).env(name, value).exec();
}
