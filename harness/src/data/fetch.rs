//! Brings a CIFAR set into the data folder, and says what is there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::cifar;
use crate::data::download::{self, Source};
use crate::data::error::DataError;
use crate::data::install::{self, Wanted};
use crate::data::name::Cifar;

/// Where a data set is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supply {
    /// Its archive on the network.
    Network(Source),
    /// An archive (`.tar.gz`) or a folder on this machine. The archive need not be the official
    /// one: each file in it has to be.
    Local(PathBuf),
}

/// What [`fetch`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// All files were in place already.
    AlreadyThere,
    /// This many files were put in place.
    Installed(usize),
}

/// Puts the data set's files under `root`, those that are not there and right already. `progress`
/// is told how many bytes of the archive have arrived.
///
/// An interrupted download stays in `root` beside the data, as `<folder>.tar.gz.partial`, and the
/// next call goes on from there. Every file is checked by size and SHA-256 before it appears.
///
/// # Errors
/// Those of [`download::download`]; [`DataError::Archive`] if archive or folder lack a file;
/// [`DataError::Size`] and [`DataError::Digest`] if a file is not the official one;
/// [`DataError::Io`].
pub fn fetch(
    set: Cifar,
    supply: &Supply,
    root: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Fetched, DataError> {
    fetch_files(Wanted::all(set), supply, root, progress)
}

fn fetch_files(
    mut wanted: Vec<Wanted>,
    supply: &Supply,
    root: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Fetched, DataError> {
    let expected = wanted.iter().map(|file| file.bytes).sum();
    wanted.retain(|file| !file.is_in_place(root));
    let Some(first) = wanted.first() else {
        return Ok(Fetched::AlreadyThere);
    };
    match supply {
        Supply::Network(source) => {
            fs::create_dir_all(root).map_err(DataError::io(root, "cannot make the folder"))?;
            let partial = root.join(format!("{}.tar.gz.partial", first.folder));
            download::download(source, &partial, progress)?;
            install::from_archive(&partial, &wanted, expected, root)?;
            fs::remove_file(&partial).map_err(DataError::io(&partial, "cannot remove"))?;
        }
        Supply::Local(path) if path.is_dir() => install::from_folder(path, &wanted, root)?,
        Supply::Local(path) => install::from_archive(path, &wanted, expected, root)?,
    }
    Ok(Fetched::Installed(wanted.len()))
}

/// One official file and whether it is in place and right.
#[derive(Debug)]
pub struct FileStatus {
    /// Where it lies or should lie.
    pub path: PathBuf,
    /// What is wrong with it, if anything: missing, size, label, digest, unreadable.
    pub fault: Option<DataError>,
}

/// Checks every file of the data set under `root`.
pub fn status(set: Cifar, root: &Path) -> Vec<FileStatus> {
    let check = |file: &cifar::OfficialFile| {
        let path = root.join(set.folder()).join(file.name);
        let fault = cifar::check_file(set, file, &path).err();
        FileStatus { path, fault }
    };
    set.files().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::install::archives;
    use crate::data::loopback;

    fn source(url: String, archive: &[u8]) -> Supply {
        Supply::Network(Source {
            url,
            md5: loopback::md5(archive),
            bytes: archive.len() as u64,
        })
    }

    #[test]
    fn a_download_is_unpacked_once_and_leaves_no_archive() {
        let root = tempfile::tempdir().unwrap();
        let (wanted, contents) = archives::two_files();
        let archive = archives::tar_gz(&wanted, &contents);
        let server = loopback::serve(vec![loopback::whole(&archive)]);
        let supply = source(server.url(), &archive);
        let mut last = 0;
        let fetched = fetch_files(wanted.clone(), &supply, root.path(), &mut |bytes| {
            last = bytes
        })
        .unwrap();
        assert_eq!(
            (fetched, last),
            (Fetched::Installed(2), archive.len() as u64)
        );
        assert_eq!(server.requests().len(), 1);
        for (file, content) in wanted.iter().zip(&contents) {
            assert_eq!(&fs::read(file.path(root.path())).unwrap(), content);
        }
        assert_eq!(
            fs::read_dir(root.path()).unwrap().count(),
            1,
            "only the data set's folder is left"
        );
        // The server is gone: a second call must not need it.
        assert_eq!(
            fetch_files(wanted, &supply, root.path(), &mut |_| {}).unwrap(),
            Fetched::AlreadyThere
        );
    }

    #[test]
    fn a_damaged_file_is_replaced_from_a_local_archive_or_folder() {
        let root = tempfile::tempdir().unwrap();
        let (wanted, contents) = archives::two_files();
        let elsewhere = tempfile::tempdir().unwrap();
        let archive = elsewhere.path().join("copy.tar.gz");
        fs::write(&archive, archives::tar_gz(&wanted, &contents)).unwrap();
        let from_archive = Supply::Local(archive);
        assert_eq!(
            fetch_files(wanted.clone(), &from_archive, root.path(), &mut |_| {}).unwrap(),
            Fetched::Installed(2)
        );

        let damaged = wanted[1].path(root.path());
        let mut bytes = contents[1].clone();
        bytes[3] ^= 1;
        fs::write(&damaged, &bytes).unwrap();
        for (file, content) in wanted.iter().zip(&contents) {
            fs::write(elsewhere.path().join(file.name), content).unwrap();
        }
        let from_folder = Supply::Local(elsewhere.path().into());
        assert_eq!(
            fetch_files(wanted, &from_folder, root.path(), &mut |_| {}).unwrap(),
            Fetched::Installed(1)
        );
        assert_eq!(fs::read(&damaged).unwrap(), contents[1]);
    }

    #[test]
    fn status_tells_missing_from_wrong() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(Cifar::Cifar100.folder());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("test.bin"), b"short").unwrap();
        let files = status(Cifar::Cifar100, root.path());
        assert_eq!(files.len(), 2);
        assert!(
            matches!(files[0].fault, Some(DataError::MissingFile { .. })),
            "{:?}",
            files[0]
        );
        let Some(DataError::Size {
            expected: 30_740_000,
            found: 5,
            ..
        }) = files[1].fault
        else {
            panic!("{:?}", files[1]);
        };
    }
}
