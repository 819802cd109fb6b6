//! `cargo xtask`: sets this repository up, tests it, and runs its main job.

mod data;
mod libtorch;
mod project;
mod python;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::data::Fetched;
use crate::project::Project;

const ENVIRONMENT: &str = "\
Environment:
  LIBTORCH              a libtorch 2.11.0 of your own: the folder with include/ and lib/
  LIBTORCH_USE_PYTORCH  1: the PyTorch 2.11.0 of the Python at hand
  AUTOLR_PYTHON         the Python to use, instead of python3
  AUTOLR_DATA           the folder with the data sets, instead of data/
  LIBTORCH_BYPASS_VERSION_CHECK
                        set: take a libtorch of another version

With neither of the first two, libtorch is fetched once, from the Python package index, into
.libtorch/. After the set-up, cargo needs no environment variable.";

/// Sets this repository up, tests it, and runs its main job
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up what is missing: libtorch and the data sets
    Setup {
        /// Leave the data sets out
        #[arg(long)]
        no_data: bool,
    },
    /// Set up what is missing, then regenerate the experiments, up to the report
    Reproduce {
        /// Passed on to `autolr reproduce` [default: all --scale quick --protocol both]
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Set up what is missing, then run all tests, those that need libtorch included
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let project = Project::find()?;
    libtorch::set_up(&project)?;
    match task {
        Task::Setup { no_data } => {
            if !no_data {
                // Without libtorch, fetching takes a smaller build.
                data::set_up(&project, &["--no-default-features"]);
            }
            Ok(())
        }
        Task::Reproduce { args } => {
            if data::set_up(&project, &["--release"]) == Fetched::Incomplete {
                eprintln!("xtask: the synthetic set stands in for the data that is missing");
            }
            project.reproduce(args)
        }
        Task::Test { args } => {
            data::set_up(&project, &[]);
            project.test(args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_task_is_passed_on() {
        let parse = |line: &[&str]| Cli::try_parse_from(line).map(|cli| cli.command);
        let Ok(Task::Reproduce { args }) =
            parse(&["xtask", "reproduce", "table1", "--scale", "full"])
        else {
            panic!("reproduce takes arguments");
        };
        assert_eq!(args, ["table1", "--scale", "full"]);
        let Ok(Task::Test { args }) = parse(&["xtask", "test", "-p", "xtask", "--", "--nocapture"])
        else {
            panic!("test takes arguments that begin with a hyphen");
        };
        assert_eq!(args, ["-p", "xtask", "--", "--nocapture"]);
        assert!(parse(&["xtask", "setup", "table1"]).is_err());
        assert!(parse(&["xtask"]).is_err());
    }
}
