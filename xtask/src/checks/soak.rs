//! `cargo xtask soak`: the long run. Every property of `autolr-core` with very many cases, the fuzzer, and trainings of
//! the harness that are killed hundreds of times.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::CRATE;
use super::fuzz;
use super::properties::Properties;
use crate::command::{has_toolchain, output, run};
use crate::project::Project;

/// How long, and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// At least so many cases of all properties together.
    pub(crate) cases: u64,
    /// How long to fuzz, in seconds.
    pub(crate) fuzz: u64,
    /// How often to kill a training of the reference workload; a tenth of it on libtorch.
    pub(crate) kills: u64,
}

/// A test program with the properties that it really has.
#[derive(Debug)]
struct Program {
    /// `--lib`, or `--test` and its name.
    selection: Vec<String>,
    /// Their full names, as the program lists them.
    counted: Vec<String>,
    of_their_own: Vec<String>,
}

pub(crate) fn run_all(project: &Project, extent: Extent) -> anyhow::Result<()> {
    if extent.cases > 0 {
        properties(project, extent.cases)?;
    }
    if extent.fuzz > 0 {
        fuzzer(project, extent.fuzz)?;
    }
    if extent.kills > 0 {
        kills(project, extent.kills)?;
    }
    Ok(())
}

/// `harness/tests/run_killed.rs`, with more kills; on libtorch too where that is set up.
fn kills(project: &Project, kills: u64) -> anyhow::Result<()> {
    let mut test = project.cargo();
    test.args(["test", "--package", "harness", "--test", "run_killed"]);
    if project.libtorch().exists() {
        test.env("AUTOLR_KILLS_LIBTORCH", kills.div_ceil(10).to_string());
    } else {
        eprintln!("xtask: none killed on libtorch: `cargo xtask setup` sets it up");
        test.arg("--no-default-features");
        test.env("LIBTORCH", "/nowhere");
    }
    test.env("AUTOLR_KILLS", kills.to_string());
    run(test.args(["--", "--nocapture", "--test-threads=1"]))
}

fn fuzzer(project: &Project, seconds: u64) -> anyhow::Result<()> {
    if fuzz::CARGO_FUZZ.is_there() && has_toolchain(fuzz::TOOLCHAIN) {
        return fuzz::check(project, seconds);
    }
    eprintln!(
        "xtask: not fuzzed: that takes {} and the toolchain {}. The committed corpus was run all the same, \
         by the test `serde_corpus`",
        fuzz::CARGO_FUZZ.name,
        fuzz::TOOLCHAIN
    );
    Ok(())
}

fn properties(project: &Project, cases: u64) -> anyhow::Result<()> {
    let programs = programs(project)?;
    let count: u64 = programs.iter().map(|it| it.counted.len() as u64).sum();
    ensure!(count > 0, "{CRATE} has no properties");
    let each = cases.div_ceil(count);
    // What proptest takes as a number of cases.
    let each = u32::try_from(each).context("so many cases are too many")?;
    let total = u64::from(each) * count;
    let line = format!("{count} properties × {each} cases = {total}");
    println!("{line}");
    let begin = Instant::now();
    let mut failed = Vec::new();
    for program in &programs {
        if !program.of_their_own.is_empty() {
            let names = program.of_their_own.join(", ");
            println!("run too, but not counted, since they set their own number of cases: {names}");
        }
        let mut test = test(project);
        test.args(&program.selection);
        test.args(["--", "--exact"]);
        test.args(&program.counted).args(&program.of_their_own);
        test.env("PROPTEST_CASES", each.to_string());
        // A case that an assumption turns away does not count as one, and more cases turn more away.
        test.env("PROPTEST_MAX_GLOBAL_REJECTS", u32::MAX.to_string());
        test.env("PROPTEST_MAX_LOCAL_REJECTS", u32::MAX.to_string());
        // One that fails does not keep the others from being tried.
        failed.extend(run(&mut test).err().map(|_| program.selection.join(" ")));
    }
    ensure!(failed.is_empty(), "{line}: failed: {}", failed.join(", "));
    println!(
        "{line}: all passed, in {:.0} s",
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// `cargo test` of the crate, optimised, still with overflow checks.
fn test(project: &Project) -> Command {
    let mut cargo = project.cargo();
    cargo.args(["test", "--release", "--package", CRATE, "--all-features"]);
    cargo.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    cargo
}

/// The test programs that hold properties.
fn programs(project: &Project) -> anyhow::Result<Vec<Program>> {
    let mut build = test(project);
    build.args(["--lib", "--tests", "--no-run", "--message-format=json"]);
    eprintln!("xtask: building the properties");
    let mut programs = Vec::new();
    for artifact in artifacts(&output(&mut build)?)? {
        let mut written = Properties::default();
        for file in artifact.sources()? {
            let source = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            written.extend(Properties::read(&source));
        }
        let mut list = Command::new(&artifact.executable);
        let listed = output(
            list.args(["--list", "--format=terse"])
                .current_dir(project.core()),
        )?;
        let program = Program {
            selection: artifact.selection(),
            counted: listed_of(&written.counted, &listed)?,
            of_their_own: listed_of(&written.of_their_own, &listed)?,
        };
        if !(program.counted.is_empty() && program.of_their_own.is_empty()) {
            programs.push(program);
        }
    }
    Ok(programs)
}

/// The full names under which a test program lists these functions.
fn listed_of(functions: &[String], list: &str) -> anyhow::Result<Vec<String>> {
    let mut full = Vec::new();
    for function in functions {
        let mut matching = list
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .filter(|name| name.rsplit("::").next() == Some(function));
        let name = matching
            .next()
            .with_context(|| format!("the property {function} is in no test program's list"))?;
        ensure!(
            matching.next().is_none(),
            "several tests are called {function}: a property needs a name of its own"
        );
        full.push(name.to_owned());
    }
    Ok(full)
}

/// A test program, as cargo describes it.
#[derive(Debug, PartialEq, Eq)]
struct Artifact {
    name: String,
    is_library: bool,
    source: PathBuf,
    executable: PathBuf,
}

impl Artifact {
    fn selection(&self) -> Vec<String> {
        match self.is_library {
            true => vec!["--lib".to_owned()],
            false => vec!["--test".to_owned(), self.name.clone()],
        }
    }

    /// Its source files: one, or a folder where the root is `lib.rs` or `main.rs`.
    fn sources(&self) -> anyhow::Result<Vec<PathBuf>> {
        let of_folder = self.is_library || self.source.file_name() == Some(OsStr::new("main.rs"));
        match self.source.parent() {
            Some(folder) if of_folder => rust_files(folder),
            _ => Ok(vec![self.source.clone()]),
        }
    }
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension() == Some(OsStr::new("rs")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The test programs among cargo's messages, one JSON object a line.
fn artifacts(messages: &str) -> anyhow::Result<Vec<Artifact>> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("a message of cargo")?;
        let target = &message["target"];
        if let (Some(executable), Some(name), Some(source)) = (
            message["executable"].as_str(),
            target["name"].as_str(),
            target["src_path"].as_str(),
        ) {
            found.push(Artifact {
                name: name.to_owned(),
                is_library: target["kind"][0] == "lib",
                source: source.into(),
                executable: executable.into(),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_found_among_the_messages() -> anyhow::Result<()> {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"serde","kind":["lib"],"src_path":"/s/lib.rs"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"autolr_core","kind":["lib"],"src_path":"/c/src/lib.rs"},"executable":"/t/autolr_core-1"}
{"reason":"compiler-artifact","target":{"name":"properties","kind":["test"],"src_path":"/c/tests/properties.rs"},"executable":"/t/properties-1"}
{"reason":"build-finished","success":true}
"#;
        let found = artifacts(messages)?;
        let selections: Vec<_> = found.iter().map(Artifact::selection).collect();
        assert_eq!(selections, [vec!["--lib"], vec!["--test", "properties"]]);
        assert_eq!(found[1].executable, Path::new("/t/properties-1"));
        assert_eq!(found[1].sources()?, [Path::new("/c/tests/properties.rs")]);
        Ok(())
    }

    #[test]
    fn a_property_is_counted_only_if_its_program_lists_it() -> anyhow::Result<()> {
        let list = "a::one: test\ntwo: test\nother: benchmark\nb::three: test\nthree: test\n";
        let names = |name: &str| listed_of(&[name.to_owned()], list);
        assert_eq!(names("one")?, ["a::one"]);
        assert_eq!(names("two")?, ["two"]);
        for absent in ["other", "ne", "three"] {
            assert!(names(absent).is_err(), "{absent}");
        }
        Ok(())
    }
}
