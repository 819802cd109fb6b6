//! Writes into `autolr` which revision it is built from, and (with the feature `tch`) the folder of libtorch, so that it
//! needs no `LD_LIBRARY_PATH`.

use std::path::Path;
use std::process::Command;

/// What a command prints, if it succeeds.
fn printed(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// For the provenance of runs. Without git or a repository they say nothing of it.
fn revision() {
    let told = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            println!("cargo::rustc-env={name}={value}");
        }
    };
    let commit = printed("git", &["rev-parse", "HEAD"]);
    if commit.is_some() {
        let state = printed("git", &["status", "--porcelain", "--untracked-files=no"]);
        told(
            "AUTOLR_MODIFIED",
            state.map(|state| (!state.is_empty()).to_string()),
        );
    }
    told("AUTOLR_COMMIT", commit);
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    told("AUTOLR_RUSTC", printed(&rustc, &["--version"]));
    for file in ["HEAD", "index"] {
        let path = printed("git", &["rev-parse", "--git-path", file]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for sources in [
        "src",
        "../autolr-core/src",
        "../autolr-tch/src",
        "../Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={sources}");
    }
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    revision();
    // autolr-tch tells its direct dependents where the libraries lie.
    if let Ok(folder) = std::env::var("DEP_AUTOLR_SHIM_RPATH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
        if std::env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|os| os != "macos") {
            // RUNPATH instead of RPATH: LD_LIBRARY_PATH comes before it, so that another libtorch can be named at start.
            println!("cargo::rustc-link-arg=-Wl,--enable-new-dtags");
        }
    }
}
