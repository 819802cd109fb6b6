//! How the threads of libtorch wait for each other.
//!
//! GNU OpenMP's threads wait by spinning, for milliseconds. On cores that are busy with something else the one that
//! is waited for is not running, since the one that waits is: beside another training of two threads, a step took up to
//! eighteen times as long (docs/PERFORMANCE.md). With a short spin, and sleep after it, both get their share.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::experiment::RunSpec;

/// Either says how threads wait; what the user set stands.
const SET_BY_USER: [&str; 2] = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];

/// Turns of the loop that waits: as few as cost nothing on idle cores.
const SPIN_COUNT: (&str, &str) = ("GOMP_SPINCOUNT", "2000");

/// Whether the threads of a training in this process would wait by spinning for long.
fn spins(spec: &RunSpec, threads: usize) -> bool {
    cfg!(feature = "tch")
        && threads > 1
        && spec.network.uses_libtorch()
        && SET_BY_USER.iter().all(|name| env::var_os(name).is_none())
}

/// Starts this program anew, with threads that wait briefly, if it is to train on several: OpenMP reads its variables
/// before `main`. The process stays the same one. To be called before any file is open.
pub(crate) fn wait_briefly(spec: &RunSpec, threads: usize) {
    if !spins(spec, threads) {
        return;
    }
    // Not where a loader was started with this program as its argument, or where another one stands by now.
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
    // Returns only if it failed; then the threads spin.
    let _ = command.args(arguments).env(name, value).exec();
}
