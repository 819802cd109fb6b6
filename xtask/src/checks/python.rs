//! `cargo xtask python`: the wheel of `python/`, built, installed in an environment of its own, and tested there.
//!
//! The environment lies in `target/python`. PyTorch is the wheel in `.libtorch`, which the libraries of this repository
//! are linked against: it would be 544 MB more to fetch a second one.

mod stubs;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::command::{output, run};
use crate::libtorch;
use crate::project::Project;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The package by itself: what `cargo xtask test` has the time for.
    Tests,
    /// Its types and its adapters for other frameworks too.
    All,
}

/// Checks the package; or says why not, where there is no Python for it or no network.
///
/// `build_args` are for building `autolr`, with whose decisions those of the package are compared.
pub(crate) fn check(project: &Project, build_args: &[&str], extent: Extent) -> anyhow::Result<()> {
    let environment = match Environment::set_up(project) {
        Ok(environment) => environment,
        Err(error) => {
            eprintln!("xtask: left out: the tests of python/: {error:#}");
            return Ok(());
        }
    };
    let autolr = project.program(build_args)?;
    environment.install_wheel()?;
    let package = project.root().join("python");
    if extent == Extent::All {
        let types = || environment.python(&package);
        run(types().args(["-m", "mypy"]))?;
        run(types().args(["-m", "mypy.stubtest", "autolr_torch._core"]))?;
    }
    // The program, since `python -m pytest` would find the sources before the wheel.
    let mut tests = Command::new(environment.venv.join("bin/pytest"));
    tests.current_dir(&package).env("AUTOLR_PROGRAM", autolr);
    tests.args(["--doctest-modules", "--pyargs", "autolr_torch", "tests"]);
    if extent == Extent::Tests {
        tests.arg("--ignore=tests/integrations");
        // Its modules import their frameworks.
        tests.arg("--ignore-glob=*/autolr_torch/integrations/*");
    }
    // Some tests run processes of their own.
    run(tests.env("OMP_NUM_THREADS", "1"))
}

/// A virtual environment with all that the tests take.
struct Environment {
    package: PathBuf,
    venv: PathBuf,
    wheels: PathBuf,
}

impl Environment {
    fn set_up(project: &Project) -> anyhow::Result<Self> {
        let packages = libtorch::pytorch(project)?;
        let base = packages
            .ancestors()
            .nth(3)
            .map(|venv| venv.join("bin/python"));
        let base = base.context("PyTorch lies in no environment")?;
        let home = project.root().join("target").join("python");
        let environment = Self {
            package: project.root().join("python"),
            venv: home.join("venv"),
            wheels: home.join("wheels"),
        };
        let tests = environment.package.join("tests");
        let [requirements, frameworks] =
            ["requirements.txt", "requirements-integrations.txt"].map(|name| tests.join(name));
        let contents = format!(
            "{}{}{}",
            fs::read_to_string(&requirements)?,
            fs::read_to_string(&frameworks)?,
            packages.display()
        );
        let stamp = environment.venv.join("complete");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == contents) {
            return Ok(environment);
        }
        if environment.venv.exists() {
            fs::remove_dir_all(&environment.venv)?;
        }
        fs::create_dir_all(&home)?;
        run(Command::new(base)
            .args(["-m", "venv"])
            .arg(&environment.venv))?;
        let mut install = environment.pip();
        run(install
            .args(["--quiet", "--requirement"])
            .arg(&requirements))
        .context("the packages that they take cannot be fetched")?;
        let mut install = environment.pip();
        run(install
            .args(["--quiet", "--no-deps", "--requirement"])
            .arg(&frameworks))
        .context("the frameworks that they take cannot be fetched")?;
        stubs::share(
            &environment.site_packages()?,
            &packages,
            &home.join("stubs"),
        )?;
        fs::write(&stamp, contents)?;
        Ok(environment)
    }

    fn python(&self, folder: &Path) -> Command {
        let mut command = Command::new(self.venv.join("bin/python"));
        command.current_dir(folder);
        command
    }

    fn pip(&self) -> Command {
        let mut command = self.python(&self.package);
        command
            .args([
                "-m",
                "pip",
                "install",
                "--no-input",
                "--disable-pip-version-check",
            ])
            // A user's own settings may ask for an installation outside of the environment.
            .env("PIP_USER", "0")
            .env_remove("PIP_TARGET")
            .env_remove("PIP_PREFIX");
        command
    }

    fn site_packages(&self) -> anyhow::Result<PathBuf> {
        let line = "import sysconfig; print(sysconfig.get_path('purelib'))";
        let path = output(self.python(&self.package).args(["-c", line]))?;
        Ok(path.trim().into())
    }

    /// Builds the wheel, and installs it instead of an earlier one.
    fn install_wheel(&self) -> anyhow::Result<()> {
        if self.wheels.exists() {
            fs::remove_dir_all(&self.wheels)?;
        }
        let mut build = Command::new(self.venv.join("bin/maturin"));
        build
            .current_dir(&self.package)
            .args(["build", "--release", "--locked", "--quiet", "--out"])
            .arg(&self.wheels)
            // Cargo names these for the programs that it starts; they are another workspace's.
            .env_remove("CARGO")
            .env_remove("CARGO_MANIFEST_DIR");
        if env::var_os("CARGO_TARGET_DIR").is_none() {
            build.env("CARGO_TARGET_DIR", self.package.join("target"));
        }
        run(build.arg("--interpreter").arg(self.venv.join("bin/python")))?;
        let mut wheels = Vec::new();
        for entry in fs::read_dir(&self.wheels)? {
            wheels.push(entry?.path());
        }
        ensure!(wheels.len() == 1, "maturin left {} wheels", wheels.len());
        let mut install = self.pip();
        install.args(["--quiet", "--no-deps", "--no-index", "--force-reinstall"]);
        run(install.args(&wheels))
    }
}
