//! `cargo xtask`: sets this repository up, tests it, checks it, and runs its main job.

mod bench;
mod checks;
mod command;
mod data;
mod libtorch;
mod project;
mod python;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::checks::python::Extent;
use crate::data::Fetched;
use crate::project::Project;

const ENVIRONMENT: &str = "\
Environment:
  LIBTORCH              a libtorch 2.11.0 of your own: the folder with include/ and lib/
  LIBTORCH_USE_PYTORCH  1: the PyTorch 2.11.0 of the Python at hand
  AUTOLR_PYTHON         the Python to use, instead of python3; for bench, one with PyTorch 2.11
  AUTOLR_DATA           the folder with the data sets, instead of data/
  LIBTORCH_BYPASS_VERSION_CHECK
                        set: take a libtorch of another version
  AUTOLR_BROWSER        for browser: a Chromium, where it is not on the path
  AUTOLR_MSRV_RUSTC     for msrv: a rustc of the oldest version that autolr-core promises

With neither of the first two, libtorch is fetched once, from the Python package index, into
.libtorch/. After the set-up, cargo needs no environment variable.";

/// Sets this repository up, tests it, checks it, and runs its main job
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
    /// Set up what is missing, then run all tests, those that need libtorch and PyTorch included
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// autolr-core: build the documentation, every warning an error
    Doc,
    /// autolr-core: check what would be published, and publish as far as the upload
    Package {
        /// Passed on to cargo; `--allow-dirty`, say
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// autolr-core: build with the oldest Rust that it promises
    Msrv,
    /// All crates: check the dependencies' licences, doubles and origins
    Deny,
    /// autolr-core: compare the public API with the last release's
    Semver {
        /// The revision to compare with [default: the last release, or what its manifest names]
        #[arg(long, value_name = "REV")]
        baseline: Option<String>,
    },
    /// autolr-core: change the code in small ways, and look whether a test notices
    Mutants {
        /// Passed on to `cargo mutants`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// autolr-core: feed the deserialisers with what a fuzzer makes up
    Fuzz {
        /// How long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// The long run: all properties of autolr-core, its fuzzer, trainings that are killed
    Soak {
        /// At least so many cases, of all properties together; 0 for none
        #[arg(long, default_value_t = 1_000_000)]
        cases: u64,
        /// How long to fuzz; 0 for not at all
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        fuzz: u64,
        /// How often to kill trainings of the reference workload, and a tenth of it on libtorch; 0 for not at all
        #[arg(long, default_value_t = 500)]
        kills: u64,
    },
    /// Measure speed and memory, against PyTorch where there is something to compare
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Train the example back ends: by hand, candle, burn
    Examples,
    /// The report: look at it in headless Chromium, and work with it
    Browser,
    /// The report: read its event files with the Python package tensorboard
    Tensorboard,
    /// autolr-torch: build the wheel for PyTorch, install it in an environment of its own, and run its tests
    Python,
    /// autolr: carry out a sweep through GNU parallel and through Slurm, and kill them in the middle
    Engines,
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
    match task {
        Task::Setup { no_data } => {
            libtorch::set_up(&project)?;
            if !no_data {
                // Without libtorch, fetching takes a smaller build.
                data::set_up(&project, &["--no-default-features"]);
            }
            Ok(())
        }
        Task::Reproduce { args } => {
            libtorch::set_up(&project)?;
            if data::set_up(&project, &["--release"]) == Fetched::Incomplete {
                eprintln!("xtask: the synthetic set stands in for the data that is missing");
            }
            project.reproduce(args)
        }
        Task::Test { args } => {
            libtorch::set_up(&project)?;
            data::set_up(&project, &[]);
            if args.is_empty() {
                // With the features that the other tests build anyway.
                checks::python::check(&project, &[], Extent::Tests)?;
            }
            project.test(args)
        }
        Task::Doc => checks::doc::check(&project),
        Task::Package { args } => checks::package::check(&project, &args),
        Task::Msrv => checks::msrv::check(&project),
        Task::Deny => checks::deny::check(&project),
        Task::Semver { baseline } => checks::semver::check(&project, baseline),
        Task::Mutants { args } => checks::mutants::run_all(&project, &args),
        Task::Fuzz { seconds } => checks::fuzz::check(&project, seconds),
        Task::Soak { cases, fuzz, kills } => {
            checks::soak::run_all(&project, checks::soak::Extent { cases, fuzz, kills })
        }
        Task::Bench(bench) => bench::run(&project, bench),
        Task::Examples => checks::examples::check(&project),
        Task::Browser => checks::browser::check(&project),
        Task::Tensorboard => checks::tensorboard::check(&project),
        Task::Python => checks::python::check(&project, &["--no-default-features"], Extent::All),
        Task::Engines => checks::engines::check(&project),
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
        let Ok(Task::Mutants { args }) = parse(&["xtask", "mutants", "-f", "mean.rs"]) else {
            panic!("mutants takes arguments that begin with a hyphen");
        };
        assert_eq!(args, ["-f", "mean.rs"]);
        let line = ["xtask", "bench", "core", "--no-run"];
        let Ok(Task::Bench(bench::Bench::Core { args })) = parse(&line) else {
            panic!("bench core takes arguments that begin with a hyphen");
        };
        assert_eq!(args, ["--no-run"]);
        assert!(parse(&["xtask", "bench"]).is_err());
        assert!(parse(&["xtask", "setup", "table1"]).is_err());
        assert!(parse(&["xtask"]).is_err());
    }
}
