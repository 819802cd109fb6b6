//! Job files for GNU parallel and Slurm. Each task is an `autolr run` of one specification: idempotent, so that
//! whatever is started twice is computed once.

use std::fmt::Write;
use std::path::Path;

use clap::ValueEnum;

use super::job::Job;
use crate::number::plural;
use crate::shell::quoted;

/// For which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// One command a line, for GNU parallel
    Parallel,
    /// A script with a job array, for Slurm's sbatch
    Slurm,
}

/// The largest index of a job array that Slurm takes by default is 1000.
const MOST_TASKS: usize = 1000;

/// What all tasks have in common.
pub(crate) struct Tasks<'a> {
    pub(crate) jobs: &'a [Job],
    /// The program.
    pub(crate) program: &'a Path,
    /// The folder of the runs; absolute.
    pub(crate) runs: &'a Path,
    /// The folder of the data sets; absolute.
    pub(crate) data: &'a Path,
    /// Cores for each task.
    pub(crate) threads: usize,
}

impl Tasks<'_> {
    pub(crate) fn text(&self, engine: Engine) -> String {
        match engine {
            Engine::Parallel => self.parallel(),
            Engine::Slurm => self.slurm(),
        }
    }

    /// The call for the run that the shell word `run` names.
    fn call(&self, run: &str) -> String {
        format!(
            "{} run {}/{run}/spec.toml --out {} --data {} --threads {} --wait",
            quoted(self.program),
            quoted(self.runs),
            quoted(self.runs),
            quoted(self.data),
            self.threads
        )
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.jobs.iter().filter_map(|job| {
            let name = job.dir.file_name()?;
            Some(name.to_string_lossy().into_owned())
        })
    }

    fn parallel(&self) -> String {
        self.names().map(|run| self.call(&run) + "\n").collect()
    }

    fn slurm(&self) -> String {
        let names: Vec<String> = self.names().collect();
        let tasks = names.len().min(MOST_TASKS);
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _ = write!(
            text,
            "#!/bin/bash\n\
             # {} of autolr. Submit it again whenever it has ended: finished runs are not computed again.\n\
             #SBATCH --job-name=autolr\n\
             #SBATCH --array=0-{}\n\
             #SBATCH --ntasks=1\n\
             #SBATCH --cpus-per-task={}\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             # Time to stop in good order, before the limit and when a node is wanted back.\n\
             #SBATCH --signal=B:TERM@60\n\
             set -u\n\
             runs=(\n",
            plural(names.len(), "run"),
            tasks.saturating_sub(1),
            self.threads
        );
        for name in &names {
            let _ = writeln!(text, "  {name}");
        }
        text.push_str(")\n");
        let call = self.call("\"${runs[$i]}\"");
        if names.len() <= tasks {
            let _ = write!(text, "i=$SLURM_ARRAY_TASK_ID\nexec {call}\n");
        } else {
            // A job array has at most so many tasks: each carries out every so-manieth run.
            let _ = write!(
                text,
                "stop() {{ kill -TERM \"$child\" 2>/dev/null; stopped=1; }}\n\
                 trap stop TERM INT\n\
                 failed=0 stopped=0 child=\n\
                 for ((i = SLURM_ARRAY_TASK_ID; i < ${{#runs[@]}}; i += {tasks})); do\n\
                 \x20 {call} &\n\
                 \x20 child=$!\n\
                 \x20 wait \"$child\" || failed=$?\n\
                 \x20 if [ \"$stopped\" = 1 ]; then wait \"$child\"; exit 130; fi\n\
                 done\n\
                 exit \"$failed\"\n"
            );
        }
        text
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::Command;

    use crate::experiment::{ExperimentName, Protocol, experiment_file};

    #[test]
    fn of_more_runs_than_tasks_each_task_takes_several_and_none_takes_another_along() {
        let dir = tempfile::tempdir().unwrap();
        // Says what it is called with, and fails for one of the runs.
        let program = dir.path().join("program");
        std::fs::write(
            &program,
            "#!/bin/sh\necho \"$2\"\ncase $2 in */r0003/*) exit 1;; esac\n",
        )
        .unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
        let file = experiment_file(ExperimentName::Table1, Protocol::Published).unwrap();
        let spec = file.spec(&file.series[0], &toml::Table::new()).unwrap();
        let job = |number: usize| Job {
            dir: PathBuf::from(format!("/runs/r{number:04}")),
            name: String::new(),
            spec: spec.clone(),
            threads: 1,
            finished: false,
            epochs_done: 0,
        };
        let text = |count: usize| {
            let jobs: Vec<Job> = (0..count).map(job).collect();
            let tasks = Tasks {
                jobs: &jobs,
                program: &program,
                runs: Path::new("/runs"),
                data: Path::new("/data"),
                threads: 1,
            };
            tasks.text(Engine::Slurm)
        };
        let carry_out = |script: &str, task: usize| {
            let mut shell = Command::new("bash");
            shell
                .args(["-c", script])
                .env("SLURM_ARRAY_TASK_ID", task.to_string());
            let output = shell.output().unwrap();
            (
                String::from_utf8(output.stdout).unwrap(),
                output.status.success(),
            )
        };
        let many = text(2004);
        assert!(many.contains("#SBATCH --array=0-999\n"));
        let of_three = "/runs/r0003/spec.toml\n/runs/r1003/spec.toml\n/runs/r2003/spec.toml\n";
        assert_eq!(carry_out(&many, 3), (of_three.to_owned(), false));
        let of_four = "/runs/r0004/spec.toml\n/runs/r1004/spec.toml\n";
        assert_eq!(carry_out(&many, 4), (of_four.to_owned(), true));
        let few = text(1000);
        assert!(few.contains("#SBATCH --array=0-999\n"));
        assert_eq!(
            carry_out(&few, 999),
            ("/runs/r0999/spec.toml\n".to_owned(), true)
        );
    }
}
