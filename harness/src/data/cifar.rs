//! CIFAR-10 and CIFAR-100 in their official binary records.
//!
//! A record is the label bytes followed by 3,072 bytes of pixels, shape `[3, 32, 32]`. CIFAR-10 has
//! one label byte; CIFAR-100 has two, the coarse one and the fine one, and the fine one is used.
//!
//! ## References
//! A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009,
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::data::error::DataError;
use crate::data::images::{DataSet, IMAGE_BYTES, ImageSet};
use crate::data::name::{Cifar, Definition, Form};
use crate::regular_file::{self, Links};

/// CIFAR-10: 50,000 + 10,000 images of ten classes.
pub const CIFAR10: Definition = Definition {
    title: "CIFAR-10",
    what: "photographs of ten classes",
    classes: 10,
    examples: (50_000, 10_000),
    forms: &[Form::Files(Cifar::Cifar10)],
};

/// CIFAR-100: 50,000 + 10,000 images of a hundred (fine) classes.
pub const CIFAR100: Definition = Definition {
    title: "CIFAR-100",
    what: "photographs of a hundred classes",
    classes: 100,
    examples: (50_000, 10_000),
    forms: &[Form::Files(Cifar::Cifar100)],
};

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
        Layout {
            label_bytes: self.label_bytes(),
            classes: self.name().classes(),
            records: file.records,
        }
    }
}

/// Loads a data set from `root`, the folder that holds `cifar-10-batches-bin/` or
/// `cifar-100-binary/`.
///
/// Every file is checked before anything is returned: size, labels, SHA-256.
///
/// # Errors
/// [`DataError::MissingFile`], [`DataError::Size`], [`DataError::Label`], [`DataError::Digest`] or
/// [`DataError::Io`], each naming the file.
pub fn load(set: Cifar, root: &Path) -> Result<DataSet, DataError> {
    Ok(DataSet {
        train: load_part(set, root, set.train_files())?,
        test: load_part(set, root, set.test_files())?,
    })
}

fn load_part(set: Cifar, root: &Path, files: &[OfficialFile]) -> Result<ImageSet, DataError> {
    let records = files.iter().map(|file| file.records).sum::<usize>();
    let (mut pixels, mut labels) = (
        Vec::with_capacity(records * IMAGE_BYTES),
        Vec::with_capacity(records),
    );
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
            return Err(DataError::MissingFile {
                set,
                path: path.into(),
            });
        }
        Err(error) => return Err(DataError::io(path, "cannot read")(error)),
    };
    let expected = set.file_bytes(file);
    if found != expected {
        return Err(DataError::Size {
            path: path.into(),
            expected,
            found,
        });
    }
    let bytes = regular_file::read(path, Links::Follow, expected)
        .map_err(DataError::io(path, "cannot read"))?;
    check_records(&bytes, set.layout(file), path)?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != file.sha256 {
        return Err(DataError::Digest {
            path: path.into(),
            expected: file.sha256.to_owned(),
            found,
        });
    }
    Ok(bytes)
}

fn check_records(bytes: &[u8], layout: Layout, path: &Path) -> Result<(), DataError> {
    let record_bytes = layout.label_bytes + IMAGE_BYTES;
    let expected = (layout.records * record_bytes) as u64;
    if bytes.len() as u64 != expected {
        return Err(DataError::Size {
            path: path.into(),
            expected,
            found: bytes.len() as u64,
        });
    }
    for (record, content) in bytes.chunks_exact(record_bytes).enumerate() {
        let value = content[layout.label_bytes - 1];
        if usize::from(value) >= layout.classes {
            let offset = record * record_bytes + layout.label_bytes - 1;
            return Err(DataError::Label {
                path: path.into(),
                record,
                offset,
                value,
                classes: layout.classes,
            });
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Layout = Layout {
        label_bytes: 1,
        classes: 10,
        records: 3,
    };
    const HUNDRED: Layout = Layout {
        label_bytes: 2,
        classes: 100,
        records: 3,
    };

    /// Three records: labels 7, 8, 9 (behind coarse labels of 255), pixels counting up from the
    /// record's number.
    fn records(layout: Layout) -> Vec<u8> {
        let record = |i: usize| {
            let mut record = vec![255; layout.label_bytes - 1];
            record.push(7 + i as u8);
            record.extend((0..IMAGE_BYTES).map(|p| (i + p) as u8));
            record
        };
        (0..layout.records).flat_map(record).collect()
    }

    fn check(bytes: &[u8], layout: Layout) -> Result<(), DataError> {
        check_records(bytes, layout, Path::new("some/file.bin"))
    }

    #[test]
    fn the_last_label_byte_counts_and_pixels_keep_their_order() {
        for layout in [TEN, HUNDRED] {
            let bytes = records(layout);
            check(&bytes, layout).unwrap();
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            decode(&bytes, layout, &mut pixels, &mut labels);
            assert_eq!(labels, [7, 8, 9]);
            let expected: Vec<u8> = (0..3)
                .flat_map(|i| (0..IMAGE_BYTES).map(move |p| (i + p) as u8))
                .collect();
            assert_eq!(pixels, expected);
        }
    }

    #[test]
    fn one_byte_more_or_less_is_told() {
        for layout in [TEN, HUNDRED] {
            let mut bytes = records(layout);
            let right = bytes.len();
            bytes.push(0);
            let error = check(&bytes, layout).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("some/file.bin: {} bytes, expected {right}", right + 1)
            );
            bytes.truncate(right - 1);
            let error = check(&bytes, layout).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("some/file.bin: {} bytes, expected {right}", right - 1)
            );
        }
    }

    #[test]
    fn a_label_beyond_the_classes_is_told_with_its_place() {
        let mut bytes = records(TEN);
        bytes[2 * 3073] = 10;
        let error = check(&bytes, TEN).unwrap_err().to_string();
        assert_eq!(
            error,
            "some/file.bin: record 2 (byte 6146): label 10, expected 0 to 9"
        );

        let mut bytes = records(HUNDRED);
        bytes[3074 + 1] = 99;
        check(&bytes, HUNDRED).unwrap();
        bytes[3074 + 1] = 100;
        let error = check(&bytes, HUNDRED).unwrap_err().to_string();
        assert_eq!(
            error,
            "some/file.bin: record 1 (byte 3075): label 100, expected 0 to 99"
        );
    }

    #[test]
    fn official_sizes() {
        assert!(
            Cifar::Cifar10
                .files()
                .all(|file| Cifar::Cifar10.file_bytes(file) == 30_730_000)
        );
        let sizes: Vec<u64> = Cifar::Cifar100
            .files()
            .map(|file| Cifar::Cifar100.file_bytes(file))
            .collect();
        assert_eq!(sizes, [153_700_000, 30_740_000]);
    }

    #[test]
    fn a_missing_file_is_named_with_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let error = load(Cifar::Cifar10, root.path()).unwrap_err();
        assert!(matches!(error, DataError::MissingFile { .. }) && !error.is_not_found());
        let message = error.to_string();
        for part in [
            "cifar-10-batches-bin",
            "data_batch_1.bin",
            "autolr data fetch cifar10",
            "AUTOLR_DATA",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_file_of_the_right_size_with_other_content_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (set, file) = (Cifar::Cifar10, &CIFAR10_TEST[0]);
        let path = root.path().join(file.name);
        fs::write(&path, vec![0; 30_730_000]).unwrap();
        assert!(matches!(
            check_file(set, file, &path),
            Err(DataError::Digest { .. })
        ));
        fs::write(&path, vec![0; 30_729_999]).unwrap();
        assert!(matches!(
            check_file(set, file, &path),
            Err(DataError::Size {
                found: 30_729_999,
                ..
            })
        ));
    }
}
