//! `cargo xtask engines`: job files of `autolr plan --emit`, carried out by GNU parallel and by Slurm on this machine, both
//! killed in the middle.

use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::project::Project;

const ENGINES: [&str; 2] = ["parallel", "slurm"];

/// The exit code of a script whose engine is not there.
const MISSING: i32 = 3;

pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    let autolr = project.reference_program()?;
    let scripts = project.root().join("harness/tests/engines");
    let mut missing = Vec::new();
    for engine in ENGINES {
        eprintln!("xtask: {engine}");
        let status = Command::new(scripts.join(format!("{engine}.sh")))
            .arg(&autolr)
            .status()
            .with_context(|| format!("cannot start {engine}.sh"))?;
        match status.code() {
            Some(MISSING) => missing.push(engine),
            _ => ensure!(status.success(), "{engine}.sh: {status}"),
        }
    }
    if !missing.is_empty() {
        bail!("not tested, since it is not there: {}", missing.join(", "));
    }
    Ok(())
}
