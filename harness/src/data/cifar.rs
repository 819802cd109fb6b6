//! CIFAR-10 and CIFAR-100 in their official binary records.
//!
//! A record is the label bytes followed by 3,072 bytes of pixels, shape `[3, 32, 32]`. CIFAR-10 has one label byte;
//! CIFAR-100 has two, the coarse one and the fine one, and the fine one is used.
//!
//! ## References
//! A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009,
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::data::error::DataError;
use crate::data::images::{DataSet, DataSetName, IMAGE_BYTES, ImageSet};

/// One of the two CIFAR sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Cifar {
    /// Ten classes.
    Cifar10,
    /// A hundred classes.
    Cifar100,
}

/// One official file: where it lies under the data folder, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfficialFile {
    /// File name inside [`Cifar::folder`].
    pub name: &'static str,
    /// Number of records.
    pub records: usize,
    /// SHA-256 of the file in hex.
    pub sha256: &'static str,
}

/// How the records of a file are laid out.
#[derive(Debug, Clone, Copy)]
struct Layout {
    label_bytes: usize,
    classes: usize,
    records: usize,
}

const CIFAR10_TRAIN: [OfficialFile; 5] = [
    OfficialFile {
        name: "data_batch_1.bin",
        records: 10_000,
        sha256: "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    },
    OfficialFile {
        name: "data_batch_2.bin",
        records: 10_000,
        sha256: "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    },
    OfficialFile {
        name: "data_batch_3.bin",
        records: 10_000,
        sha256: "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    },
    OfficialFile {
        name: "data_batch_4.bin",
        records: 10_000,
        sha256: "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    },
    OfficialFile {
        name: "data_batch_5.bin",
        records: 10_000,
        sha256: "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    },
];
const CIFAR10_TEST: [OfficialFile; 1] = [OfficialFile {
    name: "test_batch.bin",
    records: 10_000,
    sha256: "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}];
const CIFAR100_TRAIN: [OfficialFile; 1] = [OfficialFile {
    name: "train.bin",
    records: 50_000,
    sha256: "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
}];
const CIFAR100_TEST: [OfficialFile; 1] = [OfficialFile {
    name: "test.bin",
    records: 10_000,
    sha256: "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
}];

impl Cifar {
    /// The data set's name.
    pub fn name(self) -> DataSetName {
        match self {
            Self::Cifar10 => DataSetName::Cifar10,
            Self::Cifar100 => DataSetName::Cifar100,
        }
    }

    /// The name on the command line: "cifar10" or "cifar100".
    pub fn key(self) -> &'static str {
        self.name().key()
    }

    /// The folder that the official archive unpacks to.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar-10-batches-bin",
            Self::Cifar100 => "cifar-100-binary",
        }
    }

    /// Label bytes of a record; the last of them is the label.
    pub fn label_bytes(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    /// Files of the training images, in their order.
    pub fn train_files(self) -> &'static [OfficialFile] {
        match self {
            Self::Cifar10 => &CIFAR10_TRAIN,
            Self::Cifar100 => &CIFAR100_TRAIN,
        }
    }

    /// Files of the test images.
    pub fn test_files(self) -> &'static [OfficialFile] {
        match self {
            Self::Cifar10 => &CIFAR10_TEST,
            Self::Cifar100 => &CIFAR100_TEST,
        }
    }

    /// All files.
    pub fn files(self) -> impl Iterator<Item = &'static OfficialFile> {
        self.train_files().iter().chain(self.test_files())
    }

    /// Bytes of an official file.
    pub fn file_bytes(self, file: &OfficialFile) -> u64 {
        (file.records * (self.label_bytes() + IMAGE_BYTES)) as u64
    }

    fn layout(self, file: &OfficialFile) -> Layout {
        Layout { label_bytes: self.label_bytes(), classes: self.name().classes(), records: file.records }
    }
}

impl fmt::Display for Cifar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name().title())
    }
}

/// Loads a data set from `root`, the folder that holds `cifar-10-batches-bin/` or `cifar-100-binary/`.
///
/// Every file is checked before anything is returned: size, labels, SHA-256.
///
/// # Errors
/// [`DataError::MissingFile`], [`DataError::Size`], [`DataError::Label`], [`DataError::Digest`] or [`DataError::Io`], each
/// naming the file.
pub fn load(set: Cifar, root: &Path) -> Result<DataSet, DataError> {
    Ok(DataSet { train: load_part(set, root, set.train_files())?, test: load_part(set, root, set.test_files())? })
}

fn load_part(set: Cifar, root: &Path, files: &[OfficialFile]) -> Result<ImageSet, DataError> {
    let records = files.iter().map(|file| file.records).sum::<usize>();
    let (mut pixels, mut labels) = (Vec::with_capacity(records * IMAGE_BYTES), Vec::with_capacity(records));
    for file in files {
        let path = root.join(set.folder()).join(file.name);
        let bytes = read_checked(set, file, &path)?;
        decode(&bytes, set.layout(file), &mut pixels, &mut labels);
    }
    ImageSet::new(set.name(), pixels, labels)
}

/// Checks one file against the official one: size, labels, SHA-256.
///
/// # Errors
/// As [`load`].
pub fn check_file(set: Cifar, file: &OfficialFile, path: &Path) -> Result<(), DataError> {
    read_checked(set, file, path).map(drop)
}

fn read_checked(set: Cifar, file: &OfficialFile, path: &Path) -> Result<Vec<u8>, DataError> {
    // The size is asked for before the content is read: a wrong file may be of any size.
    let found = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DataError::MissingFile { set, path: path.into() });
        }
        Err(error) => return Err(DataError::io(path, "cannot read")(error)),
    };
    let expected = set.file_bytes(file);
    if found != expected {
        return Err(DataError::Size { path: path.into(), expected, found });
    }
    let bytes = fs::read(path).map_err(DataError::io(path, "cannot read"))?;
    check_records(&bytes, set.layout(file), path)?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != file.sha256 {
        return Err(DataError::Digest { path: path.into(), expected: file.sha256, found });
    }
    Ok(bytes)
}

fn check_records(bytes: &[u8], layout: Layout, path: &Path) -> Result<(), DataError> {
    let record_bytes = layout.label_bytes + IMAGE_BYTES;
    let expected = (layout.records * record_bytes) as u64;
    if bytes.len() as u64 != expected {
        return Err(DataError::Size { path: path.into(), expected, found: bytes.len() as u64 });
    }
    for (record, content) in bytes.chunks_exact(record_bytes).enumerate() {
        let value = content[layout.label_bytes - 1];
        if usize::from(value) >= layout.classes {
            let offset = record * record_bytes + layout.label_bytes - 1;
            return Err(DataError::Label { path: path.into(), record, offset, value, classes: layout.classes });
        }
    }
    Ok(())
}

/// Appends the records' pixels and labels; `bytes` has passed [`check_records`].
fn decode(bytes: &[u8], layout: Layout, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) {
    for record in bytes.chunks_exact(layout.label_bytes + IMAGE_BYTES) {
        let (label, image) = record.split_at(layout.label_bytes);
        labels.push(label[layout.label_bytes - 1]);
        pixels.extend_from_slice(image);
    }
}
