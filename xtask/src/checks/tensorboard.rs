//! `cargo xtask tensorboard`: the event files of `autolr report --tensorboard`, read by TensorBoard's own reader.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use crate::command::run;
use crate::project::Project;

pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    let python = env::var_os("AUTOLR_PYTHON")
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| OsString::from("python3"));
    let reader = "from tensorboard.backend.event_processing import event_accumulator";
    let there = Command::new(&python).args(["-c", reader]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "xtask: left out: {} has no package tensorboard (pip install tensorboard; AUTOLR_PYTHON can name another)",
            python.display()
        );
        return Ok(());
    }
    let report = project.root().join("target").join("tensorboard-check");
    if report.exists() {
        fs::remove_dir_all(&report)?;
    }
    fs::create_dir_all(&report)?;
    let mut make = project.cargo();
    make.args(["run", "--package", "harness", "--no-default-features"]);
    make.args(["--example", "synthetic_report", "--"]);
    run(make.arg(&report).env("LIBTORCH", "/nowhere"))?;
    let mut write = project.cargo();
    write.args(["run", "--package", "harness", "--no-default-features"]);
    write.args(["--bin", "autolr", "--", "report", "--tensorboard"]);
    run(write.arg(&report).env("LIBTORCH", "/nowhere"))?;
    let script = project.root().join("harness/tests/tensorboard/read.py");
    run(Command::new(&python).arg(script).arg(&report))
}
