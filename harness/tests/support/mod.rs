//! What the tests of the program share: starting it in a folder of its own, and small specifications.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod methods;
pub(crate) mod reading;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::experiment::{ExperimentFile, RunSpec};
use toml::Table;

/// A closed loop on the reference workload that trains in a fraction of a second.
pub(crate) const REFERENCE: &str = r#"[data]
set = "synthetic"
train_images = 800
test_images = 200
augment = false

[network]
kind = "reference"
hidden = 8

[optimizer]
kind = "sgd"

[scheduler]
kind = "autolr"
lr = 0.05
factors = "factor_3"

[probe]
batch_size = 32

[training]
epochs = 6
batch_size = 32
device = "cpu"
"#;

/// A ResNet-18 of width 2 on a few synthetic images, for builds with libtorch.
pub(crate) const TINY_RESNET: &str = r#"[data]
set = "synthetic"
train_images = 80
test_images = 32

[network]
kind = "resnet18"
width = 2

[optimizer]
kind = "sgd"
momentum = 0.9

[scheduler]
kind = "autolr"
lr = 0.01
factors = "factor_3"

[probe]
batch_size = 16

[training]
epochs = 3
batch_size = 16
device = "cpu"
"#;

/// The program, in `dir`, without what the caller's environment would change.
pub(crate) fn autolr(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autolr"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env_remove("AUTOLR_DATA").env_remove("COLUMNS");
    command
}

/// What the program does, to its end.
pub(crate) fn output(dir: &Path, args: &[&str]) -> Output {
    autolr(dir, args).output().expect("the program starts")
}

/// Standard output of a call that succeeds and has nothing to complain of.
pub(crate) fn printed(dir: &Path, args: &[&str]) -> String {
    // Without progress, of which a slow machine shows some.
    let output = output(dir, &[&["--quiet"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
    assert_eq!(stderr, "", "{args:?}");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// `text` with the one place that reads `old` replaced.
pub(crate) fn with(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} stands there once");
    text.replace(old, new)
}

/// The only specification of a text.
pub(crate) fn spec(text: &str) -> RunSpec {
    let file = ExperimentFile::parse(text).expect("a sound specification");
    file.spec(&file.series[0], &Table::new())
        .expect("a sound specification")
}

/// The folder of a specification's run under `runs`.
pub(crate) fn run_dir(runs: &Path, text: &str) -> PathBuf {
    runs.join(spec(text).run_name().expect("a specification has a digest"))
}

/// Every file under `dir` with its content: equal before and after means that nothing was written.
pub(crate) fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                // An empty folder would be something written too.
                found.insert(path.clone(), Vec::new());
                folders.push(path);
            } else {
                let content = fs::read(&path).expect("a file");
                found.insert(path, content);
            }
        }
    }
    found
}
