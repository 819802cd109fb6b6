//! `cargo xtask mutants`: changes `autolr-core` in small ways, and looks whether a test notices.

use std::ffi::OsString;

use super::CRATE;
use crate::command::{Tool, run};
use crate::project::Project;

const CARGO_MUTANTS: Tool = Tool {
    name: "cargo-mutants",
    version: "27.1.0",
};

/// Of each property; fewer would miss mutants that only a rare case shows.
const CASES: &str = "128";

/// `args` go to `cargo mutants`; the rest stands in `.cargo/mutants.toml`.
pub(crate) fn run_all(project: &Project, args: &[OsString]) -> anyhow::Result<()> {
    CARGO_MUTANTS.require()?;
    let mut cargo = project.cargo();
    cargo.args(["mutants", "--package", CRATE]).args(args);
    // A failure is enough: neither its smallest example is wanted, nor a file that records it.
    cargo.env("PROPTEST_MAX_SHRINK_ITERS", "0");
    cargo.env("PROPTEST_CASES", CASES);
    run(&mut cargo)
}
