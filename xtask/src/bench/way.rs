//! The ways of training that are compared, and how the process of each is started.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::python;
use super::worker::Worker;
use crate::command;
use crate::project::Project;

/// How long our threads spin.
const SPIN_COUNT: (&str, &str) = ("GOMP_SPINCOUNT", "2000");

/// One side, in one of its ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Ours,
    Eager,
    ChannelsLast,
    Compiled,
    CompiledChannelsLast,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Eager => "eager",
            Self::ChannelsLast => "channels-last",
            Self::Compiled => "compiled",
            Self::CompiledChannelsLast => "compiled, channels-last",
        }
    }

    /// Whether it takes a compiler that may be missing: then the others go on without it.
    pub(crate) fn is_compiled(self) -> bool {
        matches!(self, Self::Compiled | Self::CompiledChannelsLast)
    }
}

/// The programs of both sides.
#[derive(Debug)]
pub(crate) struct Programs {
    ours: PathBuf,
    python: OsString,
    script: PathBuf,
    /// Where PyTorch keeps what it compiled.
    cache: PathBuf,
}

impl Programs {
    /// Finds a Python, then builds ours.
    pub(crate) fn prepare(project: &Project) -> anyhow::Result<Self> {
        let python = python::with_torch(project)?;
        eprintln!("xtask: building ours");
        let mut build = project.cargo();
        build
            .args(["bench", "--no-run", "--package", "autolr-tch"])
            .args(["--bench", "training"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(project.root());
        Ok(Self {
            ours: executable(&command::output(&mut build)?)?,
            python,
            script: project.root().join("xtask/src/bench/pytorch.py"),
            cache: project.root().join("target/bench-torch-compile"),
        })
    }

    /// Starts a way's process and reads what it says about itself.
    pub(crate) fn start(&self, way: Way, threads: usize) -> anyhow::Result<(Worker, Value)> {
        let mut command = match way {
            Way::Ours => {
                let mut command = Command::new(&self.ours);
                command.arg("--worker");
                // As `autolr run` does, see harness/src/openmp.rs.
                let (name, value) = SPIN_COUNT;
                let set = |name| env::var_os(name).is_some();
                if !set("OMP_WAIT_POLICY") && !set(name) {
                    command.env(name, value);
                }
                command
            }
            _ => self.pytorch(way),
        };
        command.env("OMP_NUM_THREADS", threads.to_string());
        let name = format!("{}, threads {threads}", way.name());
        let mut worker = Worker::start(&name, command)?;
        let about = worker.answer()?;
        ensure!(
            about["threads"].as_u64() == Some(threads as u64),
            "{name}: it has {} threads",
            about["threads"]
        );
        Ok((worker, about))
    }

    fn pytorch(&self, way: Way) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(&self.script);
        command.arg(match way {
            Way::ChannelsLast | Way::CompiledChannelsLast => "channels-last",
            _ => "contiguous",
        });
        command.arg(match way.is_compiled() {
            true => "compiled",
            false => "eager",
        });
        if env::var_os("TORCHINDUCTOR_CACHE_DIR").is_none() {
            command.env("TORCHINDUCTOR_CACHE_DIR", &self.cache);
        }
        command
    }
}

/// The program among cargo's messages.
fn executable(messages: &str) -> anyhow::Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "training")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .context("cargo built no bench program")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spin_count_is_that_of_autolr() {
        let source = include_str!("../../../harness/src/openmp.rs");
        assert!(source.contains(&format!("(&str, &str) = {SPIN_COUNT:?};")));
    }

    #[test]
    fn the_program_is_found_among_the_messages() -> anyhow::Result<()> {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"autolr_tch"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"training"},"executable":"/t/training-1"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages)?, PathBuf::from("/t/training-1"));
        assert!(executable("").is_err());
        Ok(())
    }
}
