//! Commands that a task runs to their end, and the cargo subcommands that it may find missing.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::project::Project;

/// A cargo subcommand that is installed apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// Its crate; the program has the same name.
    pub(crate) name: &'static str,
    /// The release that this repository's configuration was tried with.
    pub(crate) version: &'static str,
}

impl Tool {
    /// Fails, with what to do, unless the program is there.
    pub(crate) fn require(&self) -> anyhow::Result<()> {
        if self.is_there() {
            return Ok(());
        }
        bail!(
            "{0} is not there; to have it: cargo install --locked {0}@{1}",
            self.name,
            self.version
        );
    }

    /// Whether cargo would find the program: beside its own programs, or on the path.
    pub(crate) fn is_there(&self) -> bool {
        let home = env::var_os("CARGO_HOME")
            .map(Into::into)
            .or_else(|| Some(env::home_dir()?.join(".cargo")));
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .chain(home.map(|home| home.join("bin")))
            .any(|folder| folder.join(self.name).is_file())
    }
}

/// The cargo of a rustup toolchain other than the one at hand; fails, with what to do, if it is not installed.
pub(crate) fn cargo_of(toolchain: &str, project: &Project) -> anyhow::Result<Command> {
    ensure!(
        has_toolchain(toolchain),
        "the toolchain {toolchain} is not there; to have it: rustup toolchain install {toolchain}"
    );
    let mut command = Command::new("rustup");
    command
        .args(["run", toolchain, "cargo"])
        .current_dir(project.root());
    // Cargo names these for the programs that it starts; they are of the toolchain at hand.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    Ok(command)
}

/// Whether rustup has a toolchain of that name.
pub(crate) fn has_toolchain(toolchain: &str) -> bool {
    let mut command = Command::new("rustup");
    command.args(["which", "--toolchain", toolchain, "rustc"]);
    // Rustup would set out to fetch what is missing.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command.output().is_ok_and(|output| output.status.success())
}

/// Runs a command to its end, and says which before.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    eprintln!("xtask: {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot start {shown}"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

/// What a command prints on standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).with_context(|| format!("{shown} prints no UTF-8"))
}

/// A command as a person would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words: Vec<_> = std::iter::once(name)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_says_how_to_get_it() {
        let tool = Tool {
            name: "cargo-no-such-tool",
            version: "1.2.3",
        };
        assert!(!tool.is_there());
        assert_eq!(
            tool.require().unwrap_err().to_string(),
            "cargo-no-such-tool is not there; to have it: cargo install --locked cargo-no-such-tool@1.2.3"
        );
    }

    #[test]
    fn a_toolchain_that_is_missing_says_how_to_get_it() -> anyhow::Result<()> {
        let error = cargo_of("0.1.0", &Project::find()?).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the toolchain 0.1.0 is not there; to have it: rustup toolchain install 0.1.0"
        );
        Ok(())
    }

    #[test]
    fn what_failed_is_named_with_what_it_said() {
        let mut ends = Command::new("/bin/sh");
        ends.args(["-c", "echo why >&2; exit 3"]);
        let error = output(&mut ends).unwrap_err().to_string();
        assert_eq!(error, "sh -c echo why >&2; exit 3: exit status: 3\nwhy");
        let error = run(&mut ends).unwrap_err().to_string();
        assert_eq!(error, "sh -c echo why >&2; exit 3: exit status: 3");
        let error = run(&mut Command::new("/nowhere/cargo")).unwrap_err();
        assert_eq!(error.to_string(), "cannot start cargo");
    }

    #[test]
    fn what_a_command_prints_is_given_back() -> anyhow::Result<()> {
        let mut echo = Command::new("/bin/sh");
        echo.args(["-c", "echo one; echo two"]);
        assert_eq!(output(&mut echo)?, "one\ntwo\n");
        Ok(())
    }
}
