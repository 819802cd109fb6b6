//! What the figures were measured on and with.

use std::env;
use std::fs;
use std::process::Command;
use std::thread;

use serde_json::{Map, Value, json};

use super::way::{Programs, Way};
use crate::command;
use crate::project::Project;

/// Facts for the JSON document and for the line above a table.
#[derive(Debug)]
pub(crate) struct Machine(Value);

impl Machine {
    /// Asks the machine, and both sides.
    pub(crate) fn of(project: &Project, programs: &Programs) -> anyhow::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (_, ours) = programs.start(Way::Ours, 1)?;
        let (_, pytorch) = programs.start(Way::Eager, 1)?;
        let environment: Map<String, Value> = env::vars()
            .filter(|(name, _)| {
                ["OMP_", "GOMP_", "KMP_", "MKL_", "ATEN_", "TORCH", "MALLOC_"]
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
            })
            .map(|(name, value)| (name, value.into()))
            .collect();
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            command::output(git.args(args).current_dir(project.root())).ok()
        };
        let modified = git(&["status", "--porcelain", "--untracked-files=no"]);
        Ok(Self(json!({
            "processor": processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            "cores": cores,
            "libtorch": ours["libtorch"],
            "libtorch_kernels": ours["kernels"],
            "torch": pytorch["libtorch"],
            "torch_kernels": pytorch["kernels"],
            "python": pytorch["python"],
            "rustc": command::output(Command::new("rustc").arg("--version")).ok().map(|text| text.trim().to_owned()),
            "revision": git(&["rev-parse", "HEAD"]).map(|text| text.trim().to_owned()),
            "modified": modified.map(|text| !text.is_empty()),
            "environment": environment,
        })))
    }

    pub(crate) fn json(&self) -> &Value {
        &self.0
    }

    /// One line for a person.
    pub(crate) fn shown(&self) -> String {
        let text = |key: &str| self.0[key].as_str().unwrap_or("unknown");
        format!(
            "{}, {} cores; ours with libtorch {} ({}), PyTorch {} ({})",
            text("processor"),
            self.0["cores"],
            text("libtorch"),
            text("libtorch_kernels"),
            text("torch"),
            text("torch_kernels"),
        )
    }

    /// Says on standard error that more threads than cores say little.
    pub(crate) fn warn_of(&self, threads: &[usize]) {
        let cores = self.0["cores"].as_u64().unwrap_or(1);
        for &threads in threads.iter().filter(|&&threads| threads as u64 > cores) {
            eprintln!(
                "xtask: --threads {threads}: there are {cores} cores, so these figures say little"
            );
        }
    }
}

/// The processor's name in `/proc/cpuinfo`.
fn processor(cpuinfo: &str) -> &str {
    cpuinfo
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()))
        .unwrap_or("unknown processor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_a_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: Another\n";
        assert_eq!(processor(cpuinfo), "AMD EPYC");
        assert_eq!(processor(""), "unknown processor");
    }
}
