//! What can be wrong with data or with a request for it.

use std::io;
use std::path::PathBuf;

use crate::data::name::Cifar;
use crate::number::exact;

/// An error of the data layer; each names the thing and the value that is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// None of a data set's files is where it was looked for. The only case in which another data
    /// set may stand in.
    #[error(
        "{set} is not in {folder} ({origin}): put it there with `autolr data fetch {key}`, or set AUTOLR_DATA to the folder that holds {subfolder}/",
        key = .set.key(),
        subfolder = .set.folder(),
        folder = .folder.display()
    )]
    NotFound {
        /// The data set.
        set: Cifar,
        /// The folder looked into.
        folder: PathBuf,
        /// Why that folder, in words.
        origin: &'static str,
    },
    /// Some of a data set's files are there, this one is not.
    #[error(
        "{}: missing: `autolr data fetch {}` completes the data set; AUTOLR_DATA names the folder that is looked into",
        .path.display(),
        .set.key()
    )]
    MissingFile {
        /// The data set.
        set: Cifar,
        /// The file.
        path: PathBuf,
    },
    /// A file is longer or shorter than the official one.
    #[error("{}: {found} bytes, expected {expected}", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes of the official file.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A label outside the data set's classes.
    #[error("{}: record {record} (byte {offset}): label {value}, expected 0 to {}", .path.display(), classes - 1)]
    Label {
        /// The file.
        path: PathBuf,
        /// Number of the record, from 0.
        record: usize,
        /// Offset of the label byte in the file.
        offset: usize,
        /// The label found.
        value: u8,
        /// Classes of the data set.
        classes: usize,
    },
    /// A file of the right size whose content is not the official one.
    #[error("{}: SHA-256 {found}, expected {expected}: not the official file", .path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// SHA-256 of the official file, in hex.
        expected: String,
        /// SHA-256 found, in hex.
        found: String,
    },
    /// A text file that cannot be trained on.
    #[error("data.file: {}: {reason}", .path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Images that do not form a set.
    #[error("{what}: {found}, expected {expected}")]
    Images {
        /// Which quantity.
        what: &'static str,
        /// Its value.
        found: usize,
        /// What it has to be.
        expected: String,
    },
    /// A split with a part that would be empty, or with sizes that do not fit.
    #[error("{what} = {}: {reason}", exact(*value))]
    Split {
        /// Which quantity.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What is wrong with it.
        reason: String,
    },
    /// A batch larger than what it is drawn from, or of no image.
    #[error("batch size {size}: it must lie between 1 and the {pool} images of the {what}")]
    Batch {
        /// Images wanted.
        size: usize,
        /// Images there are.
        pool: usize,
        /// What they are drawn from.
        what: &'static str,
    },
    /// The download did not get through.
    #[error(
        "{url}: {reason}\nIf this machine has no network, fetch the archive elsewhere and pass it with `--from ARCHIVE`, or set AUTOLR_DATA to a folder that holds the data set"
    )]
    Download {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// An archive whose MD5 is not the published one.
    #[error("{from}: MD5 {found}, published {expected}")]
    Checksum {
        /// Address or file.
        from: String,
        /// The published MD5, in hex.
        expected: String,
        /// The MD5 found, in hex.
        found: String,
    },
    /// An archive that cannot be unpacked or lacks a file.
    #[error("{}: {reason}", .path.display())]
    Archive {
        /// The archive or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file system refused.
    #[error("{}: {action}: {error}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as in "cannot read".
        action: &'static str,
        /// The system's error. Not a source: the message has it.
        error: io::Error,
    },
}

impl DataError {
    /// An error of the file system at `path`, for `map_err`.
    pub(crate) fn io(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io {
            path,
            action,
            error,
        }
    }

    /// Whether the input is to blame: not the network, nor a disk that refuses what was asked for rightly.
    pub fn is_bad_input(&self) -> bool {
        use io::ErrorKind::{
            AlreadyExists, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        };
        match self {
            Self::Download { .. } => false,
            // Of an address: what came over the network is not what was published.
            Self::Checksum { from, .. } => !from.contains("://"),
            Self::Io { error, .. } => matches!(
                error.kind(),
                AlreadyExists
                    | NotFound
                    | PermissionDenied
                    | NotADirectory
                    | IsADirectory
                    | InvalidInput
            ),
            _ => true,
        }
    }

    /// Whether the data is simply not there, so that another data set may stand in for it.
    ///
    /// False for anything that is there and wrong: that is reported, never worked around.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}
