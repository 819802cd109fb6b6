//! Where things lie in this repository, and how cargo is called for it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{self, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow};

use crate::command;

/// What `cargo xtask reproduce` does when nothing is said.
const MAIN_JOB: [&str; 5] = ["all", "--scale", "quick", "--protocol", "both"];

/// This repository.
#[derive(Debug)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// The repository that cargo runs this program for.
    pub(crate) fn find() -> anyhow::Result<Self> {
        // At run time where possible: the folder may have moved since the program was built.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        let root = Path::new(&manifest)
            .parent()
            .filter(|root| root.join("Cargo.toml").is_file())
            .with_context(|| {
                format!(
                    "{} lies in no repository: run this as `cargo xtask`",
                    Path::new(&manifest).display()
                )
            })?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The folder that holds all the rest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A repository for a test.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The folder of `autolr-core`.
    pub(crate) fn core(&self) -> PathBuf {
        self.root.join("autolr-core")
    }

    /// The project's own folder for libtorch.
    pub(crate) fn libtorch(&self) -> PathBuf {
        self.root.join(".libtorch")
    }

    /// Where the data sets lie, unless `AUTOLR_DATA` says otherwise.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Cargo, as a user would call it here after the set-up.
    ///
    /// A libtorch that the user named is for the set-up; cargo takes the link to it, by `.cargo/config.toml`, so that
    /// plain `cargo build` finds everything built already.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .env_remove("LIBTORCH")
            .env_remove("LIBTORCH_USE_PYTORCH");
        if let Some(Ok(data)) = env::var_os("AUTOLR_DATA").map(path::absolute) {
            // Tests run in the folder of their package.
            command.env("AUTOLR_DATA", data);
        }
        if env::var_os("OMP_WAIT_POLICY").is_none() {
            // Threads of libtorch that wait by spinning take each other's cores as soon as two processes run.
            command.env("OMP_WAIT_POLICY", "PASSIVE");
        }
        command
    }

    /// Builds `autolr` without libtorch; returns where it lies.
    pub(crate) fn reference_program(&self) -> anyhow::Result<PathBuf> {
        self.program(&["--no-default-features"])
    }

    /// Builds `autolr`; returns where it lies.
    pub(crate) fn program(&self, build_args: &[&str]) -> anyhow::Result<PathBuf> {
        let mut cargo = self.cargo();
        cargo
            .args(["build", "--package", "harness", "--bin", "autolr"])
            .args(build_args)
            .arg("--message-format=json-render-diagnostics")
            .current_dir(self.root());
        let messages = command::output(&mut cargo)?;
        messages
            .lines()
            .filter_map(|line| line.split_once("\"executable\":\"")?.1.split_once('"'))
            .map(|(path, _)| PathBuf::from(path))
            .find(|path| path.file_stem().is_some_and(|name| name == "autolr"))
            .context("cargo built no autolr")
    }

    /// Turns into `autolr reproduce`; returns only if that failed.
    pub(crate) fn reproduce(&self, args: Vec<OsString>) -> anyhow::Result<()> {
        let mut cargo = self.cargo();
        cargo.args([
            "run",
            "--release",
            "--package",
            "harness",
            "--",
            "reproduce",
        ]);
        if args.is_empty() {
            cargo.args(MAIN_JOB);
        } else {
            cargo.args(args);
        }
        turn_into(cargo)
    }

    /// Turns into `cargo test`; returns only if that failed.
    pub(crate) fn test(&self, args: Vec<OsString>) -> anyhow::Result<()> {
        let mut cargo = self.cargo();
        cargo.arg("test");
        if !names_packages(&args) {
            cargo.arg("--workspace");
        }
        cargo.args(args);
        turn_into(cargo)
    }

    /// Turns into `cargo bench` of `autolr-core`; returns only if that failed.
    pub(crate) fn bench_core(&self, args: Vec<OsString>) -> anyhow::Result<()> {
        let mut cargo = self.cargo();
        cargo
            .args(["bench", "--package", "autolr-core", "--benches"])
            .args(args);
        turn_into(cargo)
    }
}

/// Whether arguments of `cargo test` say which packages are meant.
fn names_packages(args: &[OsString]) -> bool {
    args.iter()
        .map(OsString::as_os_str)
        .take_while(|arg| *arg != OsStr::new("--"))
        .filter_map(OsStr::to_str)
        .any(|arg| {
            arg.starts_with("-p")
                || ["--package", "--workspace", "--all"].contains(&arg)
                || arg.starts_with("--package=")
        })
}

/// Replaces this process: exit code, signals and terminal are the command's own, and Ctrl-C reaches it alone.
fn turn_into(mut command: Command) -> anyhow::Result<()> {
    let error = command.exec();
    Err(anyhow!(error).context(format!(
        "cannot start {}",
        Path::new(command.get_program()).display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn packages_are_named_before_the_double_dash_only() {
        for line in [
            "-p xtask",
            "-pxtask",
            "--release --package xtask",
            "--package=xtask",
            "--all",
        ] {
            assert!(names_packages(&args(line)), "{line}");
        }
        for line in ["", "--release", "-- -p", "probe -- --package"] {
            assert!(!names_packages(&args(line)), "{line}");
        }
    }

    #[test]
    fn cargo_sees_no_libtorch_of_the_environment() -> anyhow::Result<()> {
        let cargo = Project::find()?.cargo();
        for name in ["LIBTORCH", "LIBTORCH_USE_PYTORCH"] {
            let removed = cargo
                .get_envs()
                .any(|pair| pair == (OsStr::new(name), None));
            assert!(removed, "{name}");
        }
        Ok(())
    }
}
