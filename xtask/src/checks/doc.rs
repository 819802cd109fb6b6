//! `cargo xtask doc`: the public documentation, every warning an error.

use super::CRATE;
use crate::command::run;
use crate::project::Project;

pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    let mut cargo = project.cargo();
    cargo
        .args(["doc", "--package", CRATE, "--all-features", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    run(&mut cargo)
}
