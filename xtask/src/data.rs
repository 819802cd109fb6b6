//! Puts the data sets where `autolr` finds them.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::project::Project;

/// The files of a data set, and how many bytes each has: records of labels and 3072 bytes of pixels.
#[derive(Debug)]
struct DataSet {
    /// What `unpack` and `autolr data fetch` call it.
    name: &'static str,
    folder: &'static str,
    files: &'static [(&'static str, u64)],
}

const CIFAR_10: u64 = 10_000 * 3073;
const CIFAR_100: u64 = 10_000 * 3074;

const DATA_SETS: [DataSet; 2] = [
    DataSet {
        name: "cifar10",
        folder: "cifar-10-batches-bin",
        files: &[
            ("data_batch_1.bin", CIFAR_10),
            ("data_batch_2.bin", CIFAR_10),
            ("data_batch_3.bin", CIFAR_10),
            ("data_batch_4.bin", CIFAR_10),
            ("data_batch_5.bin", CIFAR_10),
            ("test_batch.bin", CIFAR_10),
        ],
    },
    DataSet {
        name: "cifar100",
        folder: "cifar-100-binary",
        files: &[("train.bin", 5 * CIFAR_100), ("test.bin", CIFAR_100)],
    },
];

/// Whether the data sets are there now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    All,
    Incomplete,
}

/// Unpacks or fetches the data sets that are missing. Going without is no error: a synthetic set stands in.
///
/// `build` says how `autolr`, which fetches them, is built: as it is needed afterwards, so that nothing is built twice.
pub(crate) fn set_up(project: &Project, build: &[&str]) -> Fetched {
    if env::var_os("AUTOLR_DATA").is_some_and(|folder| !folder.is_empty()) {
        return Fetched::All; // the user's own business
    }
    let data = project.data();
    let mut absent = missing(&data);
    if !absent.is_empty() {
        unpack(project, &absent);
        absent = missing(&data);
    }
    for name in absent {
        let mut fetch = project.cargo();
        fetch.args(["run", "--quiet", "--package", "harness"]);
        fetch.args(build).args(["--", "data", "fetch", name]);
        run(
            &format!("fetching {name} into {}", data.display()),
            &mut fetch,
        );
    }
    let absent = missing(&data);
    if absent.is_empty() {
        return Fetched::All;
    }
    eprintln!(
        "xtask: going on without {}. To have it, put the official binary files into {}, or name their folder with \
         AUTOLR_DATA",
        absent.join(" and "),
        data.display()
    );
    Fetched::Incomplete
}

/// Unpacks from the archive that lies beside this repository, where there is one.
fn unpack(project: &Project, names: &[&str]) {
    let archive = project.root().join("../shared/data/unpack");
    if archive.is_file() {
        let data = project.data();
        let what = format!("unpacking {} into {}", names.join(" and "), data.display());
        run(&what, Command::new(archive).arg(data).args(names));
    }
}

/// Says what is done, and whether it went wrong; the files show how far it came.
fn run(what: &str, command: &mut Command) {
    eprintln!("xtask: {what}");
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("xtask: {what} failed: {status}"),
        Err(error) => eprintln!("xtask: {what} failed: {error}"),
    }
}

/// The data sets of which a file is not there, or not whole.
fn missing(data: &Path) -> Vec<&'static str> {
    let whole = |set: &DataSet| {
        set.files.iter().all(|(file, bytes)| {
            fs::metadata(data.join(set.folder).join(file)).is_ok_and(|found| found.len() == *bytes)
        })
    };
    DATA_SETS
        .iter()
        .filter(|set| !whole(set))
        .map(|set| set.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_that_is_short_or_absent_makes_its_data_set_missing() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        assert_eq!(missing(dir.path()), ["cifar10", "cifar100"]);
        for set in &DATA_SETS {
            let folder = dir.path().join(set.folder);
            fs::create_dir(&folder)?;
            for (file, bytes) in set.files {
                // Sparse: no bytes are written.
                File::create(folder.join(file))?.set_len(*bytes)?;
            }
        }
        assert!(missing(dir.path()).is_empty());

        let test = dir.path().join("cifar-100-binary/test.bin");
        File::options()
            .write(true)
            .open(&test)?
            .set_len(CIFAR_100 - 1)?;
        assert_eq!(missing(dir.path()), ["cifar100"]);
        fs::remove_file(dir.path().join("cifar-10-batches-bin/test_batch.bin"))?;
        assert_eq!(missing(dir.path()), ["cifar10", "cifar100"]);
        Ok(())
    }
}
