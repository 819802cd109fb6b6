//! A libtorch that is on this machine, and its version.

use std::env::consts::DLL_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A libtorch: its folder, which holds `include` and `lib`, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Libtorch {
    /// Canonical: no links on the way.
    pub(super) root: PathBuf,
    /// As it calls itself, say `2.11.0+cu130`; `unknown` where it does not say.
    pub(super) version: String,
}

impl Libtorch {
    /// Looks whether all is there that is compiled and linked against.
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        let root =
            fs::canonicalize(root).with_context(|| format!("there is no {}", root.display()))?;
        for file in [
            String::from("include/torch/csrc/api/include/torch/torch.h"),
            library("torch_cpu"),
            library("c10"),
        ] {
            if !root.join(&file).is_file() {
                bail!(
                    "{} is no libtorch: {file} is not there. A libtorch is the folder with include and lib; \
                     that of an installed PyTorch is site-packages/torch",
                    root.display()
                );
            }
        }
        let version = version(&root).unwrap_or_else(|| String::from("unknown"));
        Ok(Self { root, version })
    }

    /// The version without what follows the plus.
    pub(super) fn release(&self) -> &str {
        self.version.split('+').next().unwrap_or_default()
    }
}

/// `torch_cpu` → `lib/libtorch_cpu.so`, on macOS `lib/libtorch_cpu.dylib`.
pub(super) fn library(name: &str) -> String {
    format!("lib/lib{name}{DLL_SUFFIX}")
}

/// Libtorch's archives say it in `build-version`, PyTorch's wheels in `version.py`, and the headers of either say the
/// release.
fn version(root: &Path) -> Option<String> {
    let read = |file: &str| fs::read_to_string(root.join(file)).ok();
    read("build-version")
        .map(|text| text.trim().to_owned())
        .or_else(|| quoted_after(&read("version.py")?, "__version__ ="))
        .or_else(|| {
            quoted_after(
                &read("include/torch/headeronly/version.h")?,
                "define TORCH_VERSION ",
            )
        })
        .filter(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

/// The first text in quotation marks, single or double, that follows `name`.
fn quoted_after(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(name)?;
    let start = rest.find(['\'', '"'])?;
    let (quote, rest) = rest[start..].split_at(1);
    Some(rest.split_once(quote)?.0.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The files of a libtorch, empty.
    pub(in super::super) fn fake(root: &Path, version: &str) -> std::io::Result<()> {
        fs::create_dir_all(root.join("include/torch/csrc/api/include/torch"))?;
        fs::create_dir_all(root.join("lib"))?;
        fs::write(
            root.join("include/torch/csrc/api/include/torch/torch.h"),
            "",
        )?;
        for name in ["torch_cpu", "torch_cuda", "torch", "c10"] {
            fs::write(root.join(library(name)), "")?;
        }
        fs::write(root.join("build-version"), format!("{version}\n"))
    }

    #[test]
    fn a_libtorch_is_recognised_by_what_is_linked_against() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        fake(dir.path(), "2.11.0+cpu")?;
        let libtorch = Libtorch::open(dir.path())?;
        assert_eq!(libtorch.version, "2.11.0+cpu");
        assert_eq!(libtorch.release(), "2.11.0");

        fs::remove_file(dir.path().join(library("c10")))?;
        let error = Libtorch::open(dir.path()).map_err(|error| error.to_string());
        let text = error.expect_err("c10 is missing");
        assert!(
            text.contains(&format!("{} is not there", library("c10"))),
            "{text}"
        );
        assert!(Libtorch::open(&dir.path().join("nowhere")).is_err());
        Ok(())
    }

    #[test]
    fn the_version_is_read_from_whatever_says_it() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        fake(dir.path(), "")?;
        assert_eq!(Libtorch::open(dir.path())?.version, "unknown");

        fs::remove_file(dir.path().join("build-version"))?;
        assert_eq!(Libtorch::open(dir.path())?.version, "unknown");

        let headers = dir.path().join("include/torch/headeronly");
        fs::create_dir_all(&headers)?;
        fs::write(
            headers.join("version.h"),
            "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION \\\n  \"2.11.0\"\n",
        )?;
        assert_eq!(Libtorch::open(dir.path())?.version, "2.11.0");

        fs::write(
            dir.path().join("version.py"),
            "__all__ = ['__version__', 'debug']\n__version__ = '2.11.0+cu130'\ndebug = False\n",
        )?;
        assert_eq!(Libtorch::open(dir.path())?.version, "2.11.0+cu130");
        Ok(())
    }
}
