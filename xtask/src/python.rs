//! Which Python is used, and what is wrong with those that are not.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// The versions that PyTorch 2.11.0 has wheels for: 3.10 to 3.14.
const MINOR_VERSIONS: std::ops::RangeInclusive<u32> = 10..=14;

/// The names that are tried when `AUTOLR_PYTHON` names none.
const NAMES: [&str; 6] = [
    "python3",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
];

const FIND_TORCH: &str = "\
import importlib.util
spec = importlib.util.find_spec('torch')
print(spec.submodule_search_locations[0] if spec else '')";

/// A Python that can make a virtual environment with PyTorch in it.
pub(crate) fn for_wheel() -> anyhow::Result<OsString> {
    let named = env::var_os("AUTOLR_PYTHON").filter(|name| !name.is_empty());
    let names = named.map_or_else(|| NAMES.map(OsString::from).to_vec(), |name| vec![name]);
    let mut refused = Vec::new();
    for name in names {
        match examine(&name) {
            Ok(()) => return Ok(name),
            Err(problem) => refused.push((name, problem)),
        }
    }
    bail!(advice(&refused))
}

/// The folder of the PyTorch that `LIBTORCH_USE_PYTORCH` means. PyTorch is not imported, so a lean one will do.
pub(crate) fn torch_folder() -> anyhow::Result<PathBuf> {
    let python = env::var_os("AUTOLR_PYTHON")
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| match env::var_os("VIRTUAL_ENV") {
            Some(_) => "python".into(),
            None => "python3".into(),
        });
    let shown = Path::new(&python).display();
    let advice =
        "AUTOLR_PYTHON can name another Python; without LIBTORCH_USE_PYTORCH, libtorch is fetched";
    let output = Command::new(&python)
        .args(["-c", FIND_TORCH])
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!("LIBTORCH_USE_PYTORCH is set, but {shown} does not start ({advice})")
        })?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(
        output.status.success() && !folder.is_empty(),
        "LIBTORCH_USE_PYTORCH is set, but {shown} has no PyTorch ({advice})"
    );
    Ok(folder.into())
}

/// Why a Python is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Absent,
    Version(u32, u32),
    NoVenv,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "is not there"),
            Self::Version(major, minor) => write!(f, "is Python {major}.{minor}"),
            Self::NoVenv => write!(f, "lacks the modules venv and ensurepip"),
        }
    }
}

fn examine(python: &OsStr) -> Result<(), Problem> {
    let answer = |args: &[&str]| {
        let output = Command::new(python)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        output.status.success().then_some(output.stdout)
    };
    let version = answer(&["--version"]).ok_or(Problem::Absent)?;
    let (major, minor) =
        parse_version(&String::from_utf8_lossy(&version)).ok_or(Problem::Absent)?;
    if major != 3 || !MINOR_VERSIONS.contains(&minor) {
        return Err(Problem::Version(major, minor));
    }
    answer(&["-c", "import ensurepip, venv"])
        .map(drop)
        .ok_or(Problem::NoVenv)
}

/// `Python 3.11.7` → (3, 11).
fn parse_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.trim().strip_prefix("Python ")?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

/// One error for all that was tried: what is missing, and what to do.
fn advice(refused: &[(OsString, Problem)]) -> String {
    let mut text = String::from("no suitable Python, and fetching libtorch takes one:\n");
    // Of the names that were guessed, those that are not there say nothing.
    for (index, (name, problem)) in refused.iter().enumerate() {
        if index == 0 || *problem != Problem::Absent {
            text += &format!("  {} {problem}\n", Path::new(name).display());
        }
    }
    text += &format!(
        "Do one of these:\n  \
         install Python 3.{} to 3.{} with venv and pip (Debian, Ubuntu: apt install python3-venv)\n  \
         name such a Python with AUTOLR_PYTHON\n  \
         name the folder of a libtorch {} with LIBTORCH",
        MINOR_VERSIONS.start(),
        MINOR_VERSIONS.end(),
        crate::libtorch::RELEASE,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("Python 3.11.7\n"), Some((3, 11)));
        assert_eq!(parse_version("Python 3.15.0a1+\n"), Some((3, 15)));
        assert_eq!(parse_version("Python 2.7.18"), Some((2, 7)));
        for line in ["", "3.11.7", "Python 3", "Python x.y", "PyPy 3.11"] {
            assert_eq!(parse_version(line), None, "{line}");
        }
    }

    #[test]
    fn a_python_that_is_not_there_is_absent() {
        assert_eq!(
            examine(OsStr::new("/nowhere/python3")),
            Err(Problem::Absent)
        );
        // A program that answers, but not as Python does.
        assert_eq!(examine(OsStr::new("true")), Err(Problem::Absent));
    }

    #[test]
    fn the_advice_says_what_is_wrong_and_what_to_do() {
        let text = advice(&[
            ("python3".into(), Problem::Version(3, 9)),
            ("python3.14".into(), Problem::Absent),
            ("python3.12".into(), Problem::NoVenv),
        ]);
        assert_eq!(
            text,
            "no suitable Python, and fetching libtorch takes one:\n  \
             python3 is Python 3.9\n  \
             python3.12 lacks the modules venv and ensurepip\n\
             Do one of these:\n  \
             install Python 3.10 to 3.14 with venv and pip (Debian, Ubuntu: apt install python3-venv)\n  \
             name such a Python with AUTOLR_PYTHON\n  \
             name the folder of a libtorch 2.11.0 with LIBTORCH"
        );
        assert!(advice(&[("python3".into(), Problem::Absent)]).contains("python3 is not there"));
    }
}
