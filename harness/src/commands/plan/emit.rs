//! Job files for GNU parallel and Slurm. Each task is an `autolr run` of one specification: idempotent, so that
//! whatever is started twice is computed once.

use std::fmt::Write;
use std::path::Path;

use clap::ValueEnum;

use crate::commands::pool::Job;

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
             # {} runs of autolr. Submit it again whenever it has ended: finished runs are not computed again.\n\
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
            names.len(),
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

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_quoted_path_is_one_word_of_the_shell() {
        for path in [
            "/plain/path",
            "/with space",
            "/it's",
            "/$(rm)`x`;\n&\"",
            "-",
        ] {
            let script = format!("printf %s {}", quoted(Path::new(path)));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), path);
        }
    }
}
