//! `cargo xtask semver`: whether the public API still is what the version number says.

use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use super::CRATE;
use crate::command::{Tool, output, run};
use crate::project::Project;

const CARGO_SEMVER_CHECKS: Tool = Tool {
    name: "cargo-semver-checks",
    version: "0.51.0",
};

/// Where the manifest names the revision to compare with, until there is a release.
const KEY: &str = "package.metadata.semver.baseline";

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

/// The last release's tag; before the first release, the revision that the crate's manifest names.
fn released(project: &Project) -> anyhow::Result<(String, &'static str)> {
    let mut git = Command::new("git");
    git.args(["describe", "--tags", "--abbrev=0", "--match=v[0-9]*"]);
    // Fails where no tag fits, and that is no error.
    if let Ok(tag) = output(git.current_dir(project.root())) {
        return Ok((tag.trim().to_owned(), "the last release"));
    }
    let mut metadata = project.cargo();
    metadata.args(["metadata", "--no-deps", "--format-version=1"]);
    metadata.current_dir(project.root());
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)?;
    let revision = named(&metadata).with_context(|| {
        format!(
            "nothing is released: the manifest of {CRATE} has to name the revision to compare with, as {KEY}, or \
             --baseline does"
        )
    })?;
    Ok((revision.to_owned(), "which the manifest names"))
}

/// What `cargo metadata` says under [`KEY`].
fn named(metadata: &Value) -> Option<&str> {
    let mut packages = metadata["packages"].as_array()?.iter();
    let core = packages.find(|package| package["name"] == CRATE)?;
    core["metadata"]["semver"]["baseline"].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn git(folder: &Path, args: &[&str]) -> anyhow::Result<()> {
        let mut git = Command::new("git");
        git.current_dir(folder);
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
        output(git.args(args)).map(drop)
    }

    #[test]
    fn the_last_tag_comes_before_the_manifest() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let folder = dir.path();
        let manifest =
            "[package]\nname = \"autolr-core\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        fs::write(folder.join("Cargo.toml"), manifest)?;
        fs::create_dir(folder.join("src"))?;
        fs::write(folder.join("src/lib.rs"), "")?;
        let project = Project::at(folder);
        let error = released(&project).unwrap_err().to_string();
        assert!(
            error.contains("package.metadata.semver.baseline"),
            "{error}"
        );

        let named = format!("{manifest}[package.metadata.semver]\nbaseline = \"1234abc\"\n");
        fs::write(folder.join("Cargo.toml"), named)?;
        git(folder, &["init", "--quiet"])?;
        git(folder, &["add", "."])?;
        git(folder, &["commit", "--quiet", "--message=a"])?;
        git(folder, &["tag", "other"])?;
        let expected = ("1234abc".to_owned(), "which the manifest names");
        assert_eq!(released(&project)?, expected);

        git(folder, &["tag", "v0.1.0"])?;
        git(
            folder,
            &["commit", "--quiet", "--allow-empty", "--message=b"],
        )?;
        assert_eq!(
            released(&project)?,
            ("v0.1.0".to_owned(), "the last release")
        );
        Ok(())
    }
}
