//! PyTorch's wheel, fetched into the project's own folder.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::RELEASE;
use crate::python;

/// The wheel, and what its `libtorch_cpu` needs at the least. On Linux the wheel is the build for CUDA: it needs two
/// small NVIDIA packages beside it, in the versions that it asks for. All that it would ask for is 2.7 GB.
const PACKAGES: &[&str] = if cfg!(target_os = "macos") {
    &["torch==2.11.0"]
} else {
    &[
        "torch==2.11.0",
        "nvidia-cuda-runtime==13.0.96",
        "nvidia-cuda-cupti==13.0.85",
    ]
};

/// What is fetched, in words.
const SIZE: &str = if cfg!(target_os = "macos") {
    "81 MB to download, 0.4 GB on disk"
} else if cfg!(target_arch = "aarch64") {
    "434 MB to download, 1 GB on disk"
} else {
    "544 MB to download, 1.25 GB on disk"
};

/// Fetches the wheel, unless that was done; gives the folder of its libtorch.
///
/// `lock` is open for the programs that are started, too: if this one is killed and pip is not, the next set-up waits
/// for pip to end before it clears up.
pub(super) fn install(home: &Path, lock: &File) -> anyhow::Result<PathBuf> {
    let venv = home.join("venv");
    if let Some(torch) = installed(&venv) {
        return Ok(torch);
    }
    let python = python::for_wheel()?;
    if venv.exists() {
        eprintln!("xtask: {} is not complete; it is made anew", venv.display());
        clear(&venv)?;
    }
    eprintln!(
        "xtask: fetching libtorch {RELEASE} from the Python package index: {SIZE}, in {}",
        venv.display()
    );
    let torch = fetch(&python, &venv, lock);
    if torch.is_err() {
        clear(&venv)?;
    }
    torch
}

fn fetch(python: &OsStr, venv: &Path, lock: &File) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(python);
    run(command.args(["-m", "venv"]).arg(venv), lock)
        .context("cannot make a virtual environment for libtorch")?;
    // The downloads go here first; the system's own folder is often a small one in memory.
    let downloads = venv.join("downloads");
    fs::create_dir(&downloads).with_context(|| format!("cannot make {}", downloads.display()))?;
    if let Err(error) = run(&mut pip(venv, &downloads), lock) {
        bail!(
            "cannot fetch libtorch: {error:#}; pip says why, above. Do one of these:\n  \
             see to the network, to a mirror (PIP_INDEX_URL) and to the space on disk, and run this again\n  \
             name the folder of a libtorch {RELEASE} with LIBTORCH\n  \
             set LIBTORCH_USE_PYTORCH=1 where python3 has PyTorch {RELEASE}"
        );
    }
    clear(&downloads)?;
    let torch =
        torch_in(venv).with_context(|| format!("pip left no torch in {}", venv.display()))?;
    let stamp = stamp(venv);
    fs::write(&stamp, contents()).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(torch)
}

fn pip(venv: &Path, downloads: &Path) -> Command {
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-cache-dir",
        "--only-binary=:all:",
    ])
    .args(["--no-input", "--disable-pip-version-check"])
    .args((!stdout().is_terminal()).then_some("--quiet"))
    .args(PACKAGES)
    .env("TMPDIR", downloads)
    // A user's own settings may ask for an installation outside of the environment.
    .env("PIP_USER", "0")
    .env_remove("PIP_TARGET")
    .env_remove("PIP_PREFIX");
    pip
}

fn run(command: &mut Command, lock: &File) -> anyhow::Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let status = command
        .stdin(lock.try_clone()?)
        .status()
        .with_context(|| format!("{program} does not start"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// The folder of the wheel's libtorch, if the stamp says that all of it is there, in the versions wanted.
fn installed(venv: &Path) -> Option<PathBuf> {
    let found = fs::read_to_string(stamp(venv)).ok()?;
    (found == contents()).then(|| torch_in(venv)).flatten()
}

fn torch_in(venv: &Path) -> Option<PathBuf> {
    let pythons = fs::read_dir(venv.join("lib")).ok()?;
    pythons
        .flatten()
        .map(|python| python.path().join("site-packages/torch"))
        .find(|torch| torch.is_dir())
}

/// Written last: without it, or with anything else in it, the rest is not to be relied on.
fn stamp(venv: &Path) -> PathBuf {
    venv.join("complete")
}

fn contents() -> String {
    PACKAGES.join("\n") + "\n"
}

fn clear(folder: &Path) -> anyhow::Result<()> {
    if let Err(error) = fs::remove_dir_all(folder)
        && folder.exists()
    {
        bail!("cannot remove {}: {error}", folder.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_stamp_beside_a_torch_is_an_installation() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let venv = dir.path();
        assert_eq!(installed(&venv.join("nowhere")), None);

        let torch = venv.join("lib/python3.11/site-packages/torch");
        fs::create_dir_all(&torch)?;
        fs::create_dir_all(venv.join("lib/python3.11/site-packages/pip"))?;
        assert_eq!(installed(venv), None, "no stamp: interrupted");

        let torn = &contents()[..contents().len() - 1];
        for stamp in ["", torn, "torch==2.9.0\n"] {
            fs::write(venv.join("complete"), stamp)?;
            assert_eq!(installed(venv), None, "{stamp:?}");
        }
        fs::write(venv.join("complete"), contents())?;
        assert_eq!(installed(venv), Some(torch.clone()));

        fs::remove_dir_all(&torch)?;
        assert_eq!(installed(venv), None, "a stamp and no torch");
        Ok(())
    }

    #[test]
    fn the_wheel_is_of_the_release() {
        assert_eq!(PACKAGES[0], format!("torch=={RELEASE}"));
    }

    #[test]
    fn clearing_what_is_not_there_is_no_error() -> anyhow::Result<()> {
        clear(&tempfile::tempdir()?.path().join("nowhere"))
    }
}
