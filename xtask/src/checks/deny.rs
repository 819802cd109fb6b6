//! `cargo xtask deny`: licences, doubles and origins of all dependencies, as `deny.toml` says.

use crate::command::{Tool, run};
use crate::project::Project;

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    CARGO_DENY.require()?;
    let mut all = project.cargo();
    all.args(["deny", "--all-features", "--locked", "check"]);
    run(all.args(["--allow=duplicate", "licenses", "bans", "sources"]))?;
    // Whoever depends on the core shall not have to build anything twice.
    let mut core = project.cargo();
    core.args(["deny", "--all-features", "--locked", "--exclude-dev"]);
    core.arg("--manifest-path");
    core.arg(project.core().join("Cargo.toml"));
    run(core.args(["check", "--deny=duplicate", "bans"]))?;
    eprintln!(
        "xtask: known vulnerabilities are not looked up here, since that fetches RustSec's database; \
         `cargo deny check advisories` does"
    );
    Ok(())
}
