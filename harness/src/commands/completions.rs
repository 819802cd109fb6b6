//! `autolr completions`: what a shell needs to complete the command line.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::exit::ExitStatus;

/// Print a shell's completions: autolr completions bash > ~/.local/share/bash-completion/completions/autolr
#[derive(Debug, Clone, Copy, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// `autolr completions`, for the command line `command`.
///
/// # Errors
/// What the output refuses.
pub fn completions(
    args: CompletionsArgs,
    mut command: clap::Command,
    out: &mut dyn Write,
) -> Result<ExitStatus> {
    // Into memory first: clap_complete panics where the output refuses.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "autolr", &mut text);
    out.write_all(&text)?;
    Ok(ExitStatus::Success)
}
