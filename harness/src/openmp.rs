//! How the threads of libtorch wait for each other.
//!
//! GNU OpenMP's threads wait by spinning, for milliseconds. On cores that are busy with something else the one that
//! is waited for is not running, since the one that waits is: a step takes ten times as long. With a short spin, and
//! sleep after it, a busy machine makes a training slower by its share, and an idle one not at all.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::experiment::RunSpec;

/// Either says how threads wait; what the user set stands.
const SET_BY_USER: [&str; 2] = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];

/// Turns of the loop that waits, some ten microseconds: longer than threads of one operation are apart as a rule.
pub(crate) const SPIN_COUNT: (&str, &str) = ("GOMP_SPINCOUNT", "10000");

/// Whether the threads of a training in this process would wait by spinning for long.
fn spins(spec: &RunSpec, threads: usize) -> bool {
    cfg!(feature = "tch")
        && threads > 1
        && spec.network.uses_libtorch()
        && SET_BY_USER.iter().all(|name| env::var_os(name).is_none())
}

/// Starts this program anew, with threads that wait briefly, if it is to train on several. OpenMP reads its variables
/// before `main`. The process, its open files and its signals stay what they are; where it cannot be started, it goes on
/// as it is.
pub(crate) fn wait_briefly(spec: &RunSpec, threads: usize) {
    if !spins(spec, threads) {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let (name, value) = SPIN_COUNT;
    // Returns only if it failed.
    let _ = command.args(arguments).env(name, value).exec();
}
