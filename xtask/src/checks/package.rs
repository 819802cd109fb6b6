//! `cargo xtask package`: what would be published, and whether it could be.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use super::CRATE;
use crate::command::{output, run};
use crate::project::Project;

const LICENCES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// `args` go to cargo: `--allow-dirty`, say.
pub(crate) fn check(project: &Project, args: &[OsString]) -> anyhow::Result<()> {
    for name in LICENCES {
        same_text(&project.root().join(name), &project.core().join(name))?;
    }
    let mut list = project.cargo();
    list.args(["package", "--package", CRATE, "--list"])
        .args(args);
    check_list(&output(&mut list)?)?;
    let mut publish = project.cargo();
    publish.args(["publish", "--dry-run", "--package", CRATE]);
    run(publish.args(args))
}

/// A link to the other, or a copy where the file system has no links.
fn same_text(of_repository: &Path, of_crate: &Path) -> anyhow::Result<()> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    ensure!(
        read(of_repository)? == read(of_crate)?,
        "{} and {} differ",
        of_repository.display(),
        of_crate.display()
    );
    Ok(())
}

/// What a package has to hold, and what it must not.
fn check_list(list: &str) -> anyhow::Result<()> {
    let files: BTreeSet<&str> = list.lines().collect();
    for name in LICENCES
        .into_iter()
        .chain(["README.md", "Cargo.toml", "src/lib.rs"])
    {
        ensure!(files.contains(name), "the package holds no {name}");
    }
    let foreign = files.iter().find(|file| {
        ["fuzz/", "tests/", "target/"]
            .iter()
            .any(|folder| file.starts_with(folder))
    });
    ensure!(
        foreign.is_none(),
        "the package holds {}",
        foreign.unwrap_or(&"")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_its_licences_is_refused() {
        let whole = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        assert!(check_list(whole).is_ok());
        for name in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            let error = check_list(&whole.replace(name, "")).unwrap_err();
            assert_eq!(error.to_string(), format!("the package holds no {name}"));
        }
        let error = check_list(&format!("{whole}fuzz/corpus/serde/1\n")).unwrap_err();
        assert_eq!(error.to_string(), "the package holds fuzz/corpus/serde/1");
    }

    #[test]
    fn licences_that_differ_are_refused() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::write(&one, "text")?;
        assert!(same_text(&one, &other).is_err());
        fs::write(&other, "text")?;
        assert!(same_text(&one, &other).is_ok());
        fs::write(&other, "another text")?;
        assert!(same_text(&one, &other).is_err());
        Ok(())
    }
}
