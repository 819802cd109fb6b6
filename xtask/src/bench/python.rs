//! Which Python has the PyTorch to compare with.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::libtorch::RELEASE;
use crate::project::Project;

/// A Python that can `import torch` of the release that the bindings are made for, patches aside.
pub(crate) fn with_torch(project: &Project) -> anyhow::Result<OsString> {
    let named = env::var_os("AUTOLR_PYTHON").filter(|name| !name.is_empty());
    let candidates = named.map_or_else(
        || {
            let own = project.libtorch().join("venv/bin/python");
            vec![own.into_os_string(), OsString::from("python3")]
        },
        |name| vec![name],
    );
    let mut refused = Vec::new();
    for python in candidates {
        match check(torch_version(&python)) {
            Ok(()) => return Ok(python),
            Err(problem) => refused.push((python, problem)),
        }
    }
    bail!(advice(&refused))
}

/// The version of its PyTorch, or why there is none.
fn torch_version(python: &OsStr) -> Result<String, String> {
    let output = Command::new(python)
        .args(["-c", "import torch; print(torch.__version__)"])
        .stdin(Stdio::null())
        .output()
        .map_err(|_| "does not start".to_owned())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    Err(format!("cannot import torch: {last}"))
}

fn check(version: Result<String, String>) -> Result<(), String> {
    let version = version?;
    let series = RELEASE
        .rsplit_once('.')
        .map_or(RELEASE, |(series, _)| series);
    let fits = version
        .strip_prefix(series)
        .is_some_and(|rest| rest.starts_with('.'));
    match fits {
        true => Ok(()),
        false if version.is_empty() => Err("is no Python".to_owned()),
        false => Err(format!("has PyTorch {version}")),
    }
}

/// One error for all that was tried: what is missing, and what to do.
fn advice(refused: &[(OsString, String)]) -> String {
    let mut text = format!("the comparison takes a Python with PyTorch {RELEASE}:\n");
    for (python, problem) in refused {
        text += &format!("  {} {problem}\n", Path::new(python).display());
    }
    text += &format!(
        "To have one:\n  \
         python3 -m venv VENV && VENV/bin/pip install numpy torch=={RELEASE}\n  \
         then name it: AUTOLR_PYTHON=VENV/bin/python"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_has_to_fit_patches_aside() {
        for version in ["2.11.0", "2.11.0+cpu", "2.11.3+cu130"] {
            assert_eq!(check(Ok(version.to_owned())), Ok(()), "{version}");
        }
        for version in ["2.1.0", "2.12.0", "2.110.0", "12.11.0"] {
            let problem = format!("has PyTorch {version}");
            assert_eq!(check(Ok(version.to_owned())), Err(problem));
        }
    }

    #[test]
    fn a_program_that_is_no_python_is_refused() {
        let problem = torch_version(OsStr::new("/nowhere/python3"));
        assert_eq!(problem, Err("does not start".to_owned()));
        let problem = check(torch_version(OsStr::new("true")));
        assert_eq!(problem, Err("is no Python".to_owned()));
        assert!(torch_version(OsStr::new("false")).is_err());
    }

    #[test]
    fn the_advice_says_what_is_wrong_and_what_to_do() {
        assert_eq!(
            advice(&[
                ("a/python".into(), "has PyTorch 2.9.1+cpu".to_owned()),
                ("python3".into(), "does not start".to_owned()),
            ]),
            "the comparison takes a Python with PyTorch 2.11.0:\n  \
             a/python has PyTorch 2.9.1+cpu\n  \
             python3 does not start\n\
             To have one:\n  \
             python3 -m venv VENV && VENV/bin/pip install numpy torch==2.11.0\n  \
             then name it: AUTOLR_PYTHON=VENV/bin/python"
        );
    }
}
