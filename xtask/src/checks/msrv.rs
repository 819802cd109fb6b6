//! `cargo xtask msrv`: whether `autolr-core` builds with the oldest Rust that its manifest names.
//!
//! Three looks. What every dependency declares, and clippy's list of what came later, are always there. Syntax that
//! came later is seen by the old compiler alone: it is used where one is found, and its absence is said.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::CRATE;
use crate::command::{has_toolchain, output, run};
use crate::project::Project;

/// Names a rustc of the oldest version, where rustup does not know one.
const RUSTC: &str = "AUTOLR_MSRV_RUSTC";

/// Dependencies that declare no version, and why that is taken.
const UNDECLARED: [(&str, &str); 3] = [
    ("rawpointer 0.2.1", "edition 2015, released in 2019"),
    ("unarray 0.1.4", "edition 2021, released in 2022"),
    (
        "zerocopy-derive 0.8.63",
        "zerocopy declares Rust 1.56, and names this one only to fix its version",
    ),
];

pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    let mut metadata = project.cargo();
    metadata.args(["metadata", "--format-version=1", "--locked"]);
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)?;
    let mut tree = project.cargo();
    tree.args(["tree", "--locked", "--package", CRATE, "--all-features"]);
    tree.args(["--edges=no-dev", "--target=all", "--prefix=none"]);
    tree.args(["--format={p}", "--no-dedupe"]);
    let msrv = dependencies(&metadata, &output(&mut tree)?)?;

    let mut clippy = project.cargo();
    clippy.args(["clippy", "--package", CRATE, "--all-features", "--"]);
    run(clippy.args(["-D", "clippy::incompatible_msrv"]))?;

    let Some(rustc) = oldest(&msrv)? else {
        println!(
            "xtask: NOT built with Rust {msrv}, since there is none: rustup toolchain install {msrv}, or name a \
             rustc {msrv} by {RUSTC}"
        );
        return Ok(());
    };
    let mut build = project.cargo();
    build.args(["check", "--locked", "--package", CRATE]);
    build.env("RUSTC", &rustc);
    build.env("CARGO_TARGET_DIR", project.root().join("target/msrv"));
    run(&mut build)?;
    run(build.arg("--all-features"))?;
    println!("xtask: builds with {}", version(&rustc)?);
    Ok(())
}

/// Checks what the packages of `cargo tree` declare; gives back what the crate itself does.
fn dependencies(metadata: &Value, tree: &str) -> anyhow::Result<String> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let declared = |name: &str, version: &str| {
        let package = packages
            .iter()
            .find(|it| it["name"] == name && it["version"] == version);
        package.map(|it| it["rust_version"].as_str().unwrap_or_default())
    };
    let msrv = packages
        .iter()
        .find(|it| it["name"] == CRATE)
        .and_then(|it| it["rust_version"].as_str())
        .with_context(|| format!("{CRATE} declares no rust-version"))?;
    let mut wrong = Vec::new();
    let mut names: Vec<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    for line in &names {
        // `name v1.2.3 (proc-macro)`
        let mut words = line.split(' ');
        let (Some(name), Some(version)) = (
            words.next(),
            words.next().and_then(|word| word.strip_prefix('v')),
        ) else {
            bail!("cargo tree prints {line:?}");
        };
        let full = format!("{name} {version}");
        match declared(name, version) {
            None => bail!("cargo metadata does not know {full}"),
            Some("") if UNDECLARED.iter().any(|(known, _)| *known == full) => {}
            Some("") => wrong.push(format!("{full} declares no rust-version")),
            Some(needs) if minor(needs)? > minor(msrv)? => {
                wrong.push(format!("{full} needs Rust {needs}"));
            }
            Some(_) => {}
        }
    }
    ensure!(
        wrong.is_empty(),
        "{CRATE} promises Rust {msrv}, but: {}",
        wrong.join("; ")
    );
    println!(
        "xtask: {} packages, {CRATE} included, declare Rust {msrv} or older",
        names.len()
    );
    Ok(msrv.to_owned())
}

/// `1.85.1` → 85; there is no Rust 2.
fn minor(version: &str) -> anyhow::Result<u32> {
    version
        .strip_prefix("1.")
        .and_then(|rest| rest.split('.').next())
        .and_then(|minor| minor.parse().ok())
        .with_context(|| format!("{version:?} is no version of Rust"))
}

/// A rustc of that version: the one that is named, else rustup's.
fn oldest(msrv: &str) -> anyhow::Result<Option<PathBuf>> {
    if let Some(rustc) = env::var_os(RUSTC).filter(|value| !value.is_empty()) {
        let rustc = PathBuf::from(rustc);
        let found = version(&rustc).with_context(|| format!("{RUSTC} is set"))?;
        ensure!(
            found.starts_with(&format!("rustc {msrv}.")),
            "{RUSTC} names a {found}, not a Rust {msrv}"
        );
        return Ok(Some(rustc));
    }
    for toolchain in [msrv.to_owned(), format!("{msrv}.0")] {
        if has_toolchain(&toolchain) {
            let mut which = Command::new("rustup");
            which.args(["which", "--toolchain", &toolchain, "rustc"]);
            return Ok(Some(output(&mut which)?.trim().into()));
        }
    }
    Ok(None)
}

fn version(rustc: &Path) -> anyhow::Result<String> {
    let text = output(Command::new(rustc).arg("--version"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(rawpointer: &str, libm: Option<&str>) -> Value {
        json!({"packages": [
            {"name": "autolr-core", "version": "0.1.0", "rust_version": "1.85"},
            {"name": "rawpointer", "version": rawpointer, "rust_version": null},
            {"name": "libm", "version": "0.2.16", "rust_version": libm},
            {"name": "elsewhere", "version": "1.0.0", "rust_version": "1.95"},
        ]})
    }

    const TREE: &str = "autolr-core v0.1.0 (/project/autolr-core)\nlibm v0.2.16\nrawpointer v0.2.1\nlibm v0.2.16\n";

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_named() -> anyhow::Result<()> {
        for libm in ["1.63", "1.85", "1.85.0"] {
            assert_eq!(dependencies(&metadata("0.2.1", Some(libm)), TREE)?, "1.85");
        }
        let error = dependencies(&metadata("0.2.1", Some("1.86")), TREE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "autolr-core promises Rust 1.85, but: libm 0.2.16 needs Rust 1.86"
        );
        Ok(())
    }

    #[test]
    fn a_dependency_that_declares_nothing_needs_a_reason() {
        let error = dependencies(&metadata("0.2.1", None), TREE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "autolr-core promises Rust 1.85, but: libm 0.2.16 declares no rust-version"
        );
        // The reason is for one release.
        let tree = TREE.replace("0.2.1\n", "0.2.2\n");
        assert!(dependencies(&metadata("0.2.2", Some("1.63")), &tree).is_err());
    }

    #[test]
    fn versions_compare_as_numbers() -> anyhow::Result<()> {
        assert!(minor("1.9")? < minor("1.85")? && minor("1.85.1")? == minor("1.85")?);
        for text in ["", "1", "1.x", "2.0", "nightly"] {
            assert!(minor(text).is_err(), "{text}");
        }
        Ok(())
    }
}
