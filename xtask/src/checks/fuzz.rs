//! `cargo xtask fuzz`: feeds the deserialisers of `autolr-core` with what a fuzzer makes up.

use std::fs;

use super::CRATE;
use crate::command::{Tool, cargo_of, run};
use crate::project::Project;

pub(crate) const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
};
/// The fuzzer's instrumentation is not in stable Rust.
pub(crate) const TOOLCHAIN: &str = "nightly";
const TARGET: &str = "serde";

/// Fuzzes for that long, beginning with the committed corpus. New inputs go to `found/`, a crash to `artifacts/`.
pub(crate) fn check(project: &Project, seconds: u64) -> anyhow::Result<()> {
    CARGO_FUZZ.require()?;
    let fuzz = project.root().join(CRATE).join("fuzz");
    let mut cargo = cargo_of(TOOLCHAIN, project)?;
    let found = fuzz.join("found").join(TARGET);
    fs::create_dir_all(&found)?;
    // No `unsafe` here for the address sanitizer to watch, and without it there are several times as many inputs.
    cargo.args(["fuzz", "run", "--sanitizer=none", "--fuzz-dir"]);
    cargo.arg(&fuzz).arg(TARGET);
    cargo.arg(found).arg(fuzz.join("corpus").join(TARGET));
    cargo.arg("--");
    cargo.arg(format!("-dict={}", fuzz.join("json.dict").display()));
    cargo.arg(format!("-max_total_time={seconds}"));
    cargo.args(["-print_final_stats=1", "-timeout=10"]);
    run(&mut cargo)
}
