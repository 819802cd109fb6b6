//! `cargo xtask deny`: licences, doubles and origins of all dependencies, as `deny.toml` says.

use crate::command::{Tool, run};
use crate::project::Project;

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    CARGO_DENY.require()?;
    let mut cargo = project.cargo();
    cargo.args(["deny", "--all-features", "--locked", "check"]);
    cargo.args(["licenses", "bans", "sources"]);
    run(&mut cargo)?;
    eprintln!(
        "xtask: known vulnerabilities are not looked up here, since that fetches RustSec's database; \
         `cargo deny check advisories` does"
    );
    Ok(())
}
