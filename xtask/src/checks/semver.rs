//! `cargo xtask semver`: whether the public API still is what the version number says.

use anyhow::{Context, ensure};

use super::CRATE;
use crate::command::{Tool, output, run};
use crate::project::Project;

const CARGO_SEMVER_CHECKS: Tool = Tool {
    name: "cargo-semver-checks",
    version: "0.51.0",
};

/// Compares with `baseline`, or with the [revision that counts](released).
pub(crate) fn check(project: &Project, baseline: Option<String>) -> anyhow::Result<()> {
    CARGO_SEMVER_CHECKS.require()?;
    let (revision, what) = match baseline {
        Some(revision) => (revision, "as asked for"),
        None => released(project)?,
    };
    eprintln!("xtask: comparing with {revision}, {what}");
    let mut cargo = project.cargo();
    cargo.args(["semver-checks", "--package", CRATE]);
    run(cargo.args(["--baseline-rev", &revision]))
}

/// The last release's tag; before the first release, the commit that set the present version number.
///
/// So an API that is no longer compatible takes a new version number before the first release too.
fn released(project: &Project) -> anyhow::Result<(String, &'static str)> {
    let git = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        output(git.args(args).current_dir(project.root())).map(|text| text.trim().to_owned())
    };
    // Fails where no tag fits, and that is no error.
    if let Ok(tag) = git(&["describe", "--tags", "--abbrev=0", "--match=v[0-9]*"]) {
        return Ok((tag, "the last release"));
    }
    let commit = git(&[
        "log",
        "--max-count=1",
        "--format=%H",
        "-G^version = ",
        "--",
        "Cargo.toml",
        "autolr-core/Cargo.toml",
    ])
    .context(
        "the revision to compare with is looked up in the history; --baseline names another",
    )?;
    ensure!(
        !commit.is_empty(),
        "no commit sets the version number: name the revision to compare with by --baseline"
    );
    Ok((commit, "where the present version number was set"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    fn git(folder: &Path, args: &[&str]) -> anyhow::Result<String> {
        let mut git = Command::new("git");
        git.current_dir(folder);
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
        Ok(output(git.args(args))?.trim().to_owned())
    }

    fn commit(folder: &Path, manifest: &str) -> anyhow::Result<String> {
        fs::write(folder.join("Cargo.toml"), manifest)?;
        git(folder, &["add", "."])?;
        git(folder, &["commit", "--quiet", "--message=a"])?;
        git(folder, &["rev-parse", "HEAD"])
    }

    #[test]
    fn the_last_tag_comes_before_the_commit_that_set_the_version() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let folder = dir.path();
        let project = Project::at(folder);
        assert!(released(&project).is_err(), "no repository");
        git(folder, &["init", "--quiet"])?;
        let manifest = |version: &str, serde: &str| {
            format!(
                "[workspace.package]\nversion = \"{version}\"\n[dependencies]\nserde = {{ version = \"{serde}\" }}\n"
            )
        };
        commit(folder, &manifest("0.1.0", "1.0"))?;
        let second = commit(folder, &manifest("0.2.0", "1.0"))?;
        commit(folder, &manifest("0.2.0", "1.1"))?;
        assert_eq!(
            released(&project)?,
            (second, "where the present version number was set")
        );
        git(folder, &["tag", "other"])?;
        git(folder, &["tag", "v0.2.0", "HEAD~2"])?;
        assert_eq!(
            released(&project)?,
            ("v0.2.0".to_owned(), "the last release")
        );
        Ok(())
    }
}
