//! The paper's experiments on a tiny ResNet-18 through libtorch, as a person reads them: a snapshot an experiment and
//! protocol.
//!
//! libtorch chooses its kernels by the processor, float32 sums then differ in their last bits, and a closed loop carries
//! that on from epoch to epoch. Here it is told to take the kernels that every 64-bit x86 processor has, so that a run
//! has the same bits on each of them; elsewhere these tests are left out. With `AUTOLR_EMULATOR` the runs are started
//! through a program that plays another processor: `qemu-x86_64 -cpu Nehalem`.
#![cfg(all(feature = "tch", target_arch = "x86_64"))]

mod support;

use std::fs;
use std::process::Command;

use harness::experiment::RunSpec;
use harness::record::RunLog;
use support::autolr;
use tempfile::TempDir;

/// The kernels of every 64-bit x86 processor: of libtorch itself, of oneDNN and of MKL.
const PORTABLE: [(&str, &str); 3] = [
    ("ATEN_CPU_CAPABILITY", "default"),
    ("ONEDNN_MAX_CPU_ISA", "SSE41"),
    ("MKL_CBWR", "COMPATIBLE"),
];

/// As small as the scoring batch of 512 allows.
const OVERLAY: &str = r#"
    [data]
    set = "synthetic"
    train_images = 720
    test_images = 128
    [network]
    kind = "resnet18"
    width = 2
    [training]
    epochs = 8
    batch_size = 32
    device = "cpu"
"#;

/// Runs a specification in a process of its own: libtorch looks at the environment once.
fn run(spec: &RunSpec) -> RunLog {
    let temp = TempDir::new().expect("a folder");
    fs::write(temp.path().join("spec.toml"), spec.to_toml().expect("TOML")).expect("written");
    let mut command = autolr(temp.path(), &["run", "spec.toml", "--threads", "1"]);
    if let Ok(emulator) = std::env::var("AUTOLR_EMULATOR") {
        command = through(&emulator, &command);
    }
    let output = command.envs(PORTABLE).output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let run = temp
        .path()
        .join("runs")
        .join(spec.run_name().expect("a digest"));
    let log = RunLog::read(&run.join("events.jsonl"));
    log.expect("a log").expect("with events")
}

/// The same command, started through another program with its own arguments.
fn through(emulator: &str, command: &Command) -> Command {
    let mut words = emulator.split_whitespace();
    let mut emulated = Command::new(words.next().expect("a program"));
    emulated.args(words).arg(command.get_program());
    emulated.args(command.get_args());
    emulated.current_dir(command.get_current_dir().expect("a folder"));
    emulated
}

support::reading::reproductions!(OVERLAY, run);
