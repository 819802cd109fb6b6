//! Puts official files in place, from an archive or a folder.
//!
//! Only files known by name, size and SHA-256 are ever written, each to a path of our own choosing;
//! whatever else an archive holds is passed over. A file appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

use crate::data::error::DataError;
use crate::data::name::Cifar;
use crate::disk::{passing_file, remove_half_written};
use crate::regular_file::{self, Links};

/// What an archive may hold beside the data set's files, unpacked, in bytes: read past, never written.
/// The official ones hold a page and some names; one that unpacks without end is given up.
const OTHER_CONTENT: u64 = 1 << 20;

/// One file to put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Folder and name, the same in the archive and under the data folder.
    pub(crate) folder: &'static str,
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Wanted {
    /// The files of a data set.
    pub(crate) fn all(set: Cifar) -> Vec<Self> {
        let wanted = |file: &crate::data::cifar::OfficialFile| Self {
            folder: set.folder(),
            name: file.name,
            bytes: set.file_bytes(file),
            sha256: file.sha256.to_owned(),
        };
        set.files().map(wanted).collect()
    }

    /// Where the file lies under the data folder `root`.
    pub(crate) fn path(&self, root: &Path) -> PathBuf {
        root.join(self.folder).join(self.name)
    }

    fn member(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }

    /// Whether the file is in place, by size and SHA-256.
    pub(crate) fn is_in_place(&self, root: &Path) -> bool {
        let path = self.path(root);
        let content = regular_file::read(&path, Links::Follow, self.bytes);
        content.is_ok_and(|bytes| hex::encode(Sha256::digest(bytes)) == self.sha256)
    }

    /// Writes the file from `input`, which `origin` names in errors, and checks it on the way.
    fn install(&self, input: &mut dyn Read, origin: &Path, root: &Path) -> Result<(), DataError> {
        let target = self.path(root);
        let folder = root.join(self.folder);
        fs::create_dir_all(&folder).map_err(DataError::io(&folder, "cannot make the folder"))?;
        remove_half_written(&folder);
        let mut out =
            passing_file(&folder).map_err(DataError::io(&folder, "cannot write to the folder"))?;
        let mut hash = Sha256::new();
        let mut found = 0;
        // One byte more than expected tells a longer file from a right one.
        let mut input = input.take(self.bytes + 1);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(DataError::io(origin, "cannot read")(error)),
            };
            hash.update(&buffer[..read]);
            out.write_all(&buffer[..read])
                .map_err(DataError::io(&target, "cannot write"))?;
            found += read as u64;
        }
        if found != self.bytes {
            return Err(DataError::Size {
                path: origin.into(),
                expected: self.bytes,
                found,
            });
        }
        let found = hex::encode(hash.finalize());
        if found != self.sha256 {
            return Err(DataError::Digest {
                path: origin.into(),
                expected: self.sha256.clone(),
                found,
            });
        }
        out.as_file()
            .sync_all()
            .map_err(DataError::io(&target, "cannot write"))?;
        open_to_all(out.as_file())
            .map_err(DataError::io(&target, "cannot set the permissions of"))?;
        out.persist(&target)
            .map_err(|error| DataError::io(&target, "cannot write")(error.error))?;
        Ok(())
    }
}

/// A temporary file is its owner's alone; a data set may be read by everyone.
#[cfg(unix)]
fn open_to_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn open_to_all(_: &File) -> io::Result<()> {
    Ok(())
}

/// Puts the wanted files in place from a gzipped tar archive.
///
/// A member counts by its exact name; the first of a name counts. Members of other names are passed
/// over. Of the unpacked archive, no more is read than `expected` bytes, those of the whole data set,
/// and a megabyte.
///
/// # Errors
/// If the archive cannot be read, unpacks to more than that, lacks a wanted file, or holds a link, a
/// wrong size or a wrong digest in its place. Files that were right before the error stay in place.
pub(crate) fn from_archive(
    archive: &Path,
    wanted: &[Wanted],
    expected: u64,
    root: &Path,
) -> Result<(), DataError> {
    let file = regular_file::open(archive, Links::Follow)
        .map_err(DataError::io(archive, "cannot read"))?;
    let mut unpacked = GzDecoder::new(io::BufReader::new(file));
    from_tar(&mut unpacked, archive, wanted, expected, root)
}

/// The same from the archive's tar stream.
fn from_tar(
    tar: &mut dyn Read,
    archive: &Path,
    wanted: &[Wanted],
    expected: u64,
    root: &Path,
) -> Result<(), DataError> {
    let limit = expected + OTHER_CONTENT;
    let mut limited = tar.take(limit);
    let outcome = install_members(&mut limited, archive, wanted, root);
    if outcome.is_err() && limited.limit() == 0 {
        return Err(DataError::Archive {
            path: archive.into(),
            reason: format!(
                "unpacks to more than {limit} bytes, a megabyte above the data set's files"
            ),
        });
    }
    outcome
}

fn install_members(
    tar: &mut dyn Read,
    archive: &Path,
    wanted: &[Wanted],
    root: &Path,
) -> Result<(), DataError> {
    let broken = |error: io::Error| DataError::Archive {
        path: archive.into(),
        reason: format!("cannot unpack: {error}"),
    };
    let mut tar = Archive::new(tar);
    let mut missing: Vec<&Wanted> = wanted.iter().collect();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path_bytes().into_owned();
        let Some(place) = missing
            .iter()
            .position(|file| file.member().as_bytes() == &*name)
        else {
            continue;
        };
        let file = missing.swap_remove(place);
        if !matches!(
            entry.header().entry_type(),
            EntryType::Regular | EntryType::Continuous
        ) {
            let reason = format!("{} is not a plain file", file.member());
            return Err(DataError::Archive {
                path: archive.into(),
                reason,
            });
        }
        file.install(&mut entry, &archive.join(file.member()), root)?;
        if missing.is_empty() {
            return Ok(());
        }
    }
    let names: Vec<String> = missing.iter().map(|file| file.member()).collect();
    Err(DataError::Archive {
        path: archive.into(),
        reason: format!("lacks {}", names.join(", ")),
    })
}

/// Puts the wanted files in place from a folder that holds them, directly or in their official
/// folder.
///
/// # Errors
/// If one is missing, cannot be read or is wrong. Files that were right before the error stay in
/// place.
pub(crate) fn from_folder(folder: &Path, wanted: &[Wanted], root: &Path) -> Result<(), DataError> {
    for file in wanted {
        let candidates = [file.path(folder), folder.join(file.name)];
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            let reason = format!("holds neither {} nor {}", file.member(), file.name);
            return Err(DataError::Archive {
                path: folder.into(),
                reason,
            });
        };
        let mut input =
            regular_file::open(path, Links::Follow).map_err(DataError::io(path, "cannot read"))?;
        file.install(&mut input, path, root)?;
    }
    Ok(())
}

/// Archives for tests.
#[cfg(test)]
pub(crate) mod archives {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    pub(crate) fn two_files() -> (Vec<Wanted>, Vec<Vec<u8>>) {
        let contents = vec![
            vec![1; 5000],
            (0..70_000).map(|i| (i % 251) as u8).collect(),
        ];
        let wanted = ["a.bin", "b.bin"]
            .into_iter()
            .zip(&contents)
            .map(|(name, content)| Wanted {
                folder: "set",
                name,
                bytes: content.len() as u64,
                sha256: hex::encode(Sha256::digest(content)),
            });
        (wanted.collect(), contents)
    }

    /// One member; the name is written as it is, however evil.
    pub(crate) struct Member<'a> {
        pub(crate) name: &'a str,
        pub(crate) kind: EntryType,
        pub(crate) content: &'a [u8],
    }

    pub(crate) fn pack(members: &[Member<'_>]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for member in members {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..member.name.len()].copy_from_slice(member.name.as_bytes());
            header.set_entry_type(member.kind);
            header.set_size(member.content.len() as u64);
            header.set_mode(0o644);
            if member.kind.is_symlink() || member.kind.is_hard_link() {
                header.set_link_name("/etc/hostname").unwrap();
            }
            header.set_cksum();
            tar.append(&header, member.content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    pub(crate) fn tar_gz(wanted: &[Wanted], contents: &[Vec<u8>]) -> Vec<u8> {
        let names: Vec<String> = wanted.iter().map(Wanted::member).collect();
        let members: Vec<Member<'_>> = names
            .iter()
            .zip(contents)
            .map(|(name, content)| Member {
                name,
                kind: EntryType::Regular,
                content,
            })
            .collect();
        pack(&members)
    }
}

#[cfg(test)]
mod tests {
    use super::archives::{Member, pack, tar_gz, two_files};
    use super::*;

    /// Unpacks into a folder inside an otherwise empty one; returns the outcome and every path that
    /// exists then.
    fn unpack(archive: &[u8], wanted: &[Wanted]) -> (Result<(), DataError>, Vec<String>) {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("data");
        fs::create_dir(&root).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), archive).unwrap();
        let expected = wanted.iter().map(|file| file.bytes).sum();
        let outcome = from_archive(file.path(), wanted, expected, &root);
        let mut paths = Vec::new();
        let mut folders = vec![outer.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => paths.push(
                        path.strip_prefix(outer.path())
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .to_owned(),
                    ),
                }
            }
        }
        paths.sort();
        (outcome, paths)
    }

    #[test]
    fn only_expected_members_are_written() {
        let (wanted, contents) = two_files();
        let plain = |name, content| Member {
            name,
            kind: EntryType::Regular,
            content,
        };
        let archive = pack(&[
            plain("../evil", b"x"),
            plain("/tmp/autolr-evil", b"x"),
            plain("set/../../evil", b"x"),
            plain("set/readme.html", b"x"),
            Member {
                name: "set/link",
                kind: EntryType::Symlink,
                content: b"",
            },
            Member {
                name: "set",
                kind: EntryType::Symlink,
                content: b"",
            },
            plain("set/a.bin", &contents[0]),
            plain("set/b.bin", &contents[1]),
            plain("set/a.bin", b"a second one"),
        ]);
        let (outcome, paths) = unpack(&archive, &wanted);
        outcome.unwrap();
        assert_eq!(paths, ["data/set/a.bin", "data/set/b.bin"]);
        assert!(!Path::new("/tmp/autolr-evil").exists());
    }

    #[test]
    fn a_link_in_a_files_place_is_refused() {
        let (wanted, contents) = two_files();
        for kind in [EntryType::Symlink, EntryType::Link] {
            let archive = pack(&[
                Member {
                    name: "set/a.bin",
                    kind,
                    content: b"",
                },
                Member {
                    name: "set/b.bin",
                    kind: EntryType::Regular,
                    content: &contents[1],
                },
            ]);
            let (outcome, paths) = unpack(&archive, &wanted);
            assert!(
                outcome
                    .unwrap_err()
                    .to_string()
                    .ends_with("set/a.bin is not a plain file")
            );
            assert!(paths.is_empty(), "{paths:?}");
        }
    }

    #[test]
    fn wrong_sizes_and_contents_never_appear() {
        let (wanted, contents) = two_files();
        let check = |first: Vec<u8>| {
            let (outcome, paths) = unpack(&tar_gz(&wanted, &[first, contents[1].clone()]), &wanted);
            assert!(paths.is_empty(), "{paths:?}");
            outcome.unwrap_err()
        };
        assert!(matches!(
            check(vec![1; 4999]),
            DataError::Size {
                expected: 5000,
                found: 4999,
                ..
            }
        ));
        // Read no further than one byte beyond the expected size.
        assert!(matches!(
            check(vec![1; 9000]),
            DataError::Size {
                expected: 5000,
                found: 5001,
                ..
            }
        ));
        assert!(matches!(check(vec![2; 5000]), DataError::Digest { .. }));
    }

    #[test]
    fn an_archive_that_is_cut_short_or_lacks_a_file() {
        let (wanted, contents) = two_files();
        let whole = tar_gz(&wanted, &contents);
        let (outcome, _) = unpack(&whole[..whole.len() / 2], &wanted);
        outcome.unwrap_err();
        let (outcome, paths) = unpack(&tar_gz(&wanted[..1], &contents[..1]), &wanted);
        assert!(
            outcome
                .unwrap_err()
                .to_string()
                .ends_with("lacks set/b.bin")
        );
        assert_eq!(paths, ["data/set/a.bin"]);
        let (outcome, _) = unpack(b"<html>not an archive</html>", &wanted);
        assert!(matches!(outcome.unwrap_err(), DataError::Archive { .. }));
    }

    /// Counts what is read of a stream.
    struct Counted<R> {
        inner: R,
        bytes: u64,
    }

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.inner.read(buffer)?;
            self.bytes += read as u64;
            Ok(read)
        }
    }

    /// A member's header of 512 bytes that claims `size` bytes.
    fn header(name: &str, kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    /// Whatever an archive claims and holds, no more of it is read than the data set's files and a megabyte, and no
    /// byte is written outside of the data folder.
    #[test]
    fn an_archive_without_end_is_given_up_after_a_megabyte() {
        let (wanted, contents) = two_files();
        let expected: u64 = wanted.iter().map(|file| file.bytes).sum();
        let huge = 1 << 40;
        let first = [
            header("set/a.bin", EntryType::Regular, 5000),
            contents[0].clone(),
            vec![0; 120],
        ]
        .concat();
        let heads = [
            ("a stranger", header("bomb", EntryType::Regular, huge)),
            ("outside", header("../../bomb", EntryType::Regular, huge)),
            ("absolute", header("/tmp/bomb", EntryType::Regular, huge)),
            ("wanted", header("set/a.bin", EntryType::Regular, huge)),
            (
                "a long name",
                header("././@LongLink", EntryType::GNULongName, huge),
            ),
            ("extensions", header("pax", EntryType::XHeader, huge)),
            ("sparse", header("set/b.bin", EntryType::GNUSparse, huge)),
            ("a link", header("set/b.bin", EntryType::Link, huge)),
            (
                "after a right one",
                [first, header("bomb", EntryType::Regular, huge)].concat(),
            ),
            ("nothing but zeros", Vec::new()),
        ];
        for (what, head) in heads {
            let outer = tempfile::tempdir().unwrap();
            let root = outer.path().join("data");
            fs::create_dir(&root).unwrap();
            let mut stream = Counted {
                inner: io::Cursor::new(head).chain(io::repeat(0)),
                bytes: 0,
            };
            let archive = Path::new("archive.tar.gz");
            let outcome = from_tar(&mut stream, archive, &wanted, expected, &root);
            let text = outcome.unwrap_err().to_string();
            println!(
                "{what}: {} bytes read, {expected} expected: {text}",
                stream.bytes
            );
            assert!(
                stream.bytes <= expected + (1 << 20),
                "{what}: {} bytes read",
                stream.bytes
            );
            let names: Vec<_> = fs::read_dir(outer.path()).unwrap().collect();
            assert_eq!(names.len(), 1, "{what}");
            let set = fs::read_dir(root.join("set")).map_or(0, |set| set.count());
            assert_eq!(set, usize::from(what == "after a right one"), "{what}");
        }
    }

    /// The same through gzip: 64 MB in 300 kB.
    #[test]
    fn a_bomb_is_given_up() {
        use flate2::Compression;
        use flate2::write::GzEncoder;
        let (wanted, _) = two_files();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed
            .write_all(&header("bomb", EntryType::Regular, 1 << 36))
            .unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..64 {
            packed.write_all(&zeros).unwrap();
        }
        let (outcome, paths) = unpack(&packed.finish().unwrap(), &wanted);
        let text = outcome.unwrap_err().to_string();
        assert!(
            text.contains("unpacks to more than 1123576 bytes"),
            "{text}"
        );
        assert!(paths.is_empty(), "{paths:?}");
    }

    #[test]
    fn what_a_killed_fetch_left_half_written_is_removed() {
        let (wanted, contents) = two_files();
        let (from, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (file, content) in wanted.iter().zip(&contents) {
            fs::write(from.path().join(file.name), content).unwrap();
        }
        let folder = root.path().join("set");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(".writing-aB3dE6"), "half").unwrap();
        from_folder(from.path(), &wanted, root.path()).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), wanted.len());
    }

    #[test]
    fn a_folder_may_hold_the_files_or_the_official_folder() {
        let (wanted, contents) = two_files();
        for prefix in ["", "set"] {
            let (from, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            fs::create_dir_all(from.path().join(prefix)).unwrap();
            for (file, content) in wanted.iter().zip(&contents) {
                fs::write(from.path().join(prefix).join(file.name), content).unwrap();
            }
            from_folder(from.path(), &wanted, root.path()).unwrap();
            assert!(wanted.iter().all(|file| file.is_in_place(root.path())));
        }
        let empty = tempfile::tempdir().unwrap();
        let error = from_folder(empty.path(), &wanted, empty.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("holds neither set/a.bin nor a.bin")
        );
    }
}
