//! `cargo xtask examples`: the back ends that show how one is written, trained to their end.

use super::CRATE;
use crate::command::run;
use crate::project::Project;

/// Crates of their own, since their frameworks are large.
const FRAMEWORKS: [&str; 2] = ["candle", "burn"];

pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    let mut own = project.cargo();
    own.args(["run", "--package", CRATE, "--example", "custom_backend"]);
    run(&mut own)?;
    for framework in FRAMEWORKS {
        let folder = project.root().join("examples").join(framework);
        for job in ["test", "run"] {
            // In the folder, as its README says, so that its own settings count.
            run(project.cargo().arg(job).current_dir(&folder))?;
        }
    }
    Ok(())
}
