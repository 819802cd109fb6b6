//! A text file of one's own, by characters.

use std::path::Path;

use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use super::{DataError, Definition, Form};
use crate::data::stream::{Purpose, stream};
use crate::regular_file::{self, Links};

/// A file in UTF-8.
pub const DEFINITION: Definition = Definition {
    title: "text",
    what: "a UTF-8 file of your own by characters (`file`), at most 256 different ones; its last tenth tests",
    classes: CHARACTERS,
    examples: (1_000, 100),
    forms: &[Form::TextFile],
};

/// Different characters that a file may have.
pub const CHARACTERS: usize = 256;

/// Index of the streams that choose the training and the test sequences.
const PARTS: [u64; 2] = [11, 12];
/// One part in so many is for tests: the last.
const TEST_SHARE: usize = 10;

/// Sequences of equally many symbols, each a small number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    symbols: Vec<u8>,
    length: usize,
    digest: String,
}

impl Text {
    /// Sequences of `length` symbols, one after another; what is left at the end does not count.
    pub fn new(symbols: Vec<u8>, length: usize) -> Self {
        let mut hash = Sha256::new();
        hash.update((length as u64).to_le_bytes());
        hash.update(&symbols);
        let digest = hex::encode(hash.finalize());
        Self {
            symbols,
            length: length.max(1),
            digest,
        }
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.symbols.len() / self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Symbols of sequence `index`.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn sequence(&self, index: usize) -> &[u8] {
        &self.symbols[index * self.length..(index + 1) * self.length]
    }

    /// SHA-256 in hex over the length (64 bits, little-endian) and the symbols.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// `train` and `test` sequences of `length` characters of a file: its last tenth is for tests. Each part is cut into
/// sequences that do not overlap, and the seed chooses among them. A symbol is the place of a character among all of the
/// file, in the order of Unicode.
///
/// # Errors
/// [`DataError`] that names the file, if it cannot be read, is empty or not UTF-8, has more than 256 different characters
/// or fewer sequences than are asked for.
pub fn load(
    path: &Path,
    seed: u64,
    (train, test): (usize, usize),
    length: usize,
) -> Result<(Text, Text), DataError> {
    let symbols = read(path)?;
    let (first, last) = symbols.split_at(symbols.len() - symbols.len() / TEST_SHARE);
    let choose = |part: &[u8], key, wanted: usize, index| {
        let mut all: Vec<&[u8]> = part.chunks_exact(length.max(1)).collect();
        if all.len() < wanted {
            return Err(error(path, format!(
                "data.{key} = {wanted}, but there are only {} sequences of {length} characters",
                all.len()
            )));
        }
        let mut rng = stream(seed, Purpose::Synthetic, 0, index);
        let (chosen, _) = all.partial_shuffle(&mut rng, wanted);
        Ok(Text::new(chosen.concat(), length))
    };
    Ok((
        choose(first, "train_images", train, PARTS[0])?,
        choose(last, "test_images", test, PARTS[1])?,
    ))
}

/// What a file of text may have.
const BYTES: u64 = 1 << 30;

/// The symbols of a file.
///
/// # Errors
/// As [`load`], but for the number of sequences.
pub fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let bytes = regular_file::read(path, Links::Follow, BYTES)
        .map_err(DataError::io(path, "data.file: cannot read"))?;
    let text = String::from_utf8(bytes).map_err(|bad| {
        let byte = bad.utf8_error().valid_up_to();
        error(path, format!("byte {byte} is not UTF-8"))
    })?;
    let mut known: Vec<char> = text.chars().collect();
    known.sort_unstable();
    known.dedup();
    if known.is_empty() {
        return Err(error(path, "the file is empty".to_owned()));
    }
    if known.len() > CHARACTERS {
        let found = known.len();
        let reason = format!("{found} different characters, at most {CHARACTERS} are possible");
        return Err(error(path, reason));
    }
    let symbol = |c| known.binary_search(&c).unwrap_or_default() as u8;
    Ok(text.chars().map(symbol).collect())
}

fn error(path: &Path, reason: String) -> DataError {
    DataError::Text {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use tempfile::TempDir;

    fn written(content: &[u8]) -> (TempDir, std::path::PathBuf) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("text.txt");
        fs::write(&path, content).unwrap();
        (dir, path)
    }

    #[test]
    fn sequences_are_of_the_file_and_do_not_overlap() {
        let content: String = (0..1000).map(|i| char::from(b'a' + (i / 10 % 26) as u8)).collect();
        let (_dir, path) = written(content.as_bytes());
        let (train, test) = load(&path, 1, (90, 10), 10).unwrap();
        assert_eq!((train.len(), test.len()), (90, 10));
        // Every ten characters are the same letter, and all 90 tens of the first nine tenths are there.
        let mut firsts: Vec<u8> = (0..90).map(|i| train.sequence(i)[0]).collect();
        for i in 0..90 {
            assert!(train.sequence(i).iter().all(|&s| s == train.sequence(i)[0]));
        }
        assert!(!firsts.is_sorted(), "in the order that the seed draws");
        firsts.sort_unstable();
        let mut expected: Vec<u8> = (0..90).map(|i| (i % 26) as u8).collect();
        expected.sort_unstable();
        assert_eq!(firsts, expected);
        assert_eq!(load(&path, 1, (90, 10), 10).unwrap(), (train.clone(), test));
        assert_ne!(load(&path, 2, (90, 10), 10).unwrap().0, train);
    }

    #[test]
    fn what_is_no_text_is_named() {
        let many: String = (0..300).filter_map(|i| char::from_u32(0x4e00 + i)).collect();
        for (content, said) in [
            (&b""[..], "the file is empty"),
            (b"abc\xff", "byte 3 is not UTF-8"),
            (many.as_bytes(), "300 different characters, at most 256 are possible"),
            (
                b"abcdefghijklmnopqrst",
                "data.train_images = 5, but there are only 4 sequences of 4 characters",
            ),
        ] {
            let (_dir, path) = written(content);
            let error = load(&path, 0, (5, 1), 4).unwrap_err().to_string();
            assert_eq!(error, format!("data.file: {}: {said}", path.display()));
        }
        #[cfg(unix)]
        {
            let error = load(Path::new("/dev/null"), 0, (5, 1), 4).unwrap_err();
            let error = anyhow::Error::from(error);
            assert!(format!("{error:#}").contains("is a device"), "{error:#}");
        }
        let error = load(Path::new("/nowhere.txt"), 0, (5, 1), 4).unwrap_err();
        assert!(error.to_string().contains("/nowhere.txt"), "{error}");
    }
}
