//! Puts libtorch where plain cargo finds it.
//!
//! Which libtorch: the folder that `LIBTORCH` names; else the PyTorch of a Python, with `LIBTORCH_USE_PYTORCH`; else
//! the one that an earlier set-up was told to use; else PyTorch's wheel, fetched once. Whichever it is, the result is:
//!
//! ```text
//! .libtorch/
//!   link/                what `.cargo/config.toml` names as LIBTORCH
//!     include         -> the libtorch's headers
//!     lib/               a real folder with links to the few libraries that are linked against:
//!       libtorch_cpu.so  -> …  libc10.so -> …  libgomp.so.1 -> …
//!       libtorch.so      a text that the linker reads: INPUT(-ltorch_cpu)
//!     build-version      2.11.0+cu130; torch-sys checks it, and build scripts watch it for a change
//!   nvidia            -> the NVIDIA packages beside PyTorch, if any
//!   venv/                the fetched wheel, if any; its file `complete` is written last
//!   lock                 held while a set-up runs
//! ```
//!
//! Why links, one by one, instead of the folder itself: torch-sys links against `libtorch_cuda.so` wherever it sees
//! one. The default linker then drops it again as not needed, and GNU ld fails, since the packages that it needs
//! (cuBLAS, cuDNN, …: 3.5 GB) are not installed for the CPU. Without it in sight both linkers do the same, and one
//! executable runs with and without CUDA: it loads `libtorch_cuda.so` when it starts, if that can be loaded. It finds
//! it because the executables' rpath is the folder that the links lead to. `libtorch.so` itself only pulls in the two
//! others; hence the text. GNU ld looks for what `libtorch_cpu.so` needs at `../../nvidia` from where it found it;
//! hence the link `nvidia`.

mod found;
mod link;
mod wheel;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::project::Project;
use crate::python;
use found::Libtorch;

/// The release that torch-sys is made for; it has no way to tell.
pub(crate) const RELEASE: &str = "2.11.0";

/// Which libtorch the user wants.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// The folder that `LIBTORCH` names.
    Folder(PathBuf),
    /// The PyTorch of a Python.
    Python,
    /// Nothing is said.
    Open,
}

impl Choice {
    /// `link` is the project's own folder: cargo names it as `LIBTORCH` when the user names none.
    fn new(libtorch: Option<OsString>, use_pytorch: Option<OsString>, link: &Path) -> Self {
        let folder = libtorch
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        match folder {
            Some(folder) if !same(&folder, link) => Self::Folder(folder),
            _ if use_pytorch.is_some_and(|value| !value.is_empty() && value != "0") => Self::Python,
            _ => Self::Open,
        }
    }
}

/// Whether two paths are one folder, however it is spelled.
fn same(a: &Path, b: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    a == b || real(a).is_some_and(|a| real(b) == Some(a))
}

/// Makes the folder of links, and before that what it links to, where they are not there yet.
pub(crate) fn set_up(project: &Project) -> anyhow::Result<()> {
    let home = project.libtorch();
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let lock = lock(&home)?;
    let link = home.join("link");
    let choice = Choice::new(
        env::var_os("LIBTORCH"),
        env::var_os("LIBTORCH_USE_PYTORCH"),
        &link,
    );
    let libtorch = match choice {
        Choice::Folder(folder) => Libtorch::open(&folder).context("LIBTORCH is set")?,
        Choice::Python => Libtorch::open(&python::torch_folder()?)?,
        Choice::Open => match link::earlier_choice(&home) {
            Some(libtorch) => libtorch,
            None => Libtorch::open(&wheel::install(&home, &lock)?)?,
        },
    };
    check_release(
        &libtorch,
        env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some(),
    )?;
    if link::update(&home, &libtorch)? == link::Outcome::OtherRelease {
        // Same path, other headers: cargo cannot see that.
        for profile in ["dev", "release"] {
            let mut clean = project.cargo();
            clean.args([
                "clean",
                "--quiet",
                "--package",
                "torch-sys",
                "--profile",
                profile,
            ]);
            let status = clean.status().context("cannot start cargo")?;
            ensure!(status.success(), "cargo clean: {status}");
        }
    }
    eprintln!(
        "xtask: libtorch {} in {}",
        libtorch.version,
        libtorch.root.display()
    );
    Ok(())
}

/// The folder of Python packages with PyTorch's wheel in it, which is fetched if it is not there yet.
///
/// # Errors
/// As a set-up: there is no Python for it, or no network.
pub(crate) fn pytorch(project: &Project) -> anyhow::Result<PathBuf> {
    let home = project.libtorch();
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let torch = wheel::install(&home, &lock(&home)?)?;
    let packages = torch.parent().context("PyTorch lies in no folder")?;
    Ok(packages.to_owned())
}

/// One set-up at a time; released when the file is closed, by the end of the process at the latest.
fn lock(home: &Path) -> anyhow::Result<File> {
    let path = home.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    // A file system that knows no locks goes without.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        eprintln!("xtask: waiting for another set-up to end");
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

fn check_release(libtorch: &Libtorch, bypass: bool) -> anyhow::Result<()> {
    ensure!(
        bypass || libtorch.release() == RELEASE,
        "{} is libtorch {}; the bindings are made for {RELEASE}. Do one of these:\n  \
         name a libtorch {RELEASE} with LIBTORCH\n  \
         unset LIBTORCH and LIBTORCH_USE_PYTORCH, remove .libtorch/link, and one is fetched\n  \
         set LIBTORCH_BYPASS_VERSION_CHECK=1, here and for cargo, to try this one all the same",
        libtorch.root.display(),
        libtorch.version,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(libtorch: &str, use_pytorch: &str) -> Choice {
        let set = |value: &str| (value != "unset").then(|| OsString::from(value));
        Choice::new(
            set(libtorch),
            set(use_pytorch),
            Path::new("/project/.libtorch/link"),
        )
    }

    #[test]
    fn libtorch_comes_before_python_and_both_before_the_wheel() {
        let folder = Choice::Folder(PathBuf::from("/opt/libtorch"));
        assert_eq!(choice("/opt/libtorch", "unset"), folder);
        assert_eq!(choice("/opt/libtorch", "1"), folder);
        assert_eq!(choice("unset", "1"), Choice::Python);
        assert_eq!(choice("unset", "unset"), Choice::Open);
    }

    #[test]
    fn what_cargo_itself_sets_and_what_is_empty_says_nothing() {
        for link in ["/project/.libtorch/link", "/project/.libtorch/link/"] {
            assert_eq!(choice(link, "unset"), Choice::Open);
            assert_eq!(choice(link, "1"), Choice::Python);
        }
        assert_eq!(choice("", ""), Choice::Open);
        assert_eq!(choice("unset", "0"), Choice::Open);
    }

    #[test]
    fn the_link_is_recognised_however_it_is_spelled() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let link = dir.path().join("link");
        fs::create_dir(&link)?;
        let spelled = dir.path().join("link/../link").into_os_string();
        assert_eq!(Choice::new(Some(spelled), None, &link), Choice::Open);
        Ok(())
    }

    #[test]
    fn another_release_is_refused_unless_the_check_is_waived() {
        let libtorch = |version: &str| Libtorch {
            root: "/opt/libtorch".into(),
            version: version.into(),
        };
        for version in ["2.11.0", "2.11.0+cu130", "2.11.0+cpu"] {
            assert!(
                check_release(&libtorch(version), false).is_ok(),
                "{version}"
            );
        }
        for version in ["2.11.1", "2.1.0", "12.11.0", "2.13.0+cpu", "unknown"] {
            assert!(check_release(&libtorch(version), true).is_ok(), "{version}");
            let error = check_release(&libtorch(version), false).map_err(|error| error.to_string());
            let text = error.expect_err(version);
            assert!(
                text.starts_with(&format!(
                    "/opt/libtorch is libtorch {version}; the bindings are made for 2.11.0."
                )),
                "{text}"
            );
        }
    }

    /// Another torch-sys is made for another libtorch: whoever changes the one looks at the other, and at the
    /// packages in `wheel.rs`.
    #[test]
    fn the_release_fits_torch_sys() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains("torch-sys = { version = \"=0.24.0\""));
    }
}
