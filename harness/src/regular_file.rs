//! Opening files that somebody else may have put in their place: regular files alone, read up to a limit.
//!
//! A link leads anywhere, a FIFO may never answer, a device may never end.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

/// What to do about a link in a file's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// The file is one that the user named.
    Follow,
    /// The file is one that a folder is expected to hold.
    Refuse,
}

/// Opens a file for reading.
///
/// With [`Links::Follow`], standard input and what the shell makes of `<(command)` are taken as well: the user named
/// them, and they have a writer.
///
/// # Errors
/// If it is not a regular file; those of the system. None of them names the path.
pub(crate) fn open(path: &Path, links: Links) -> io::Result<File> {
    if links == Links::Follow && is_inherited(path) {
        return File::open(path);
    }
    open_as(OpenOptions::new().read(true), path, links)
}

/// Opens a file for writing in place, as `options` say; they are not to truncate, which would come before the check.
///
/// # Errors
/// As [`open`] without links; if the file has another name too, under which it would be changed as well.
pub(crate) fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = open_in_place(options, path)?;
    check_only_name(&file)?;
    Ok(file)
}

/// The same, also if the file has another name too.
///
/// # Errors
/// As [`open`] without links.
pub(crate) fn open_in_place(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    open_as(options, path, Links::Refuse)
}

/// Whether a file has one name alone. Elsewhere than on Unix that cannot be asked.
///
/// # Errors
/// If it has another, under which it would be changed as well.
pub(crate) fn check_only_name(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) > 1 {
        return Err(refused(
            "has a second name (a hard link), under which it would be changed too; put a copy in its place, or remove it",
        ));
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// The content of a file of at most `limit` bytes; links as in [`open`].
///
/// # Errors
/// As [`open`]; if the file is larger, with the limit.
pub(crate) fn read(path: &Path, links: Links, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path, links)?;
    if file.metadata()?.len() > limit {
        return Err(too_large(limit));
    }
    let mut content = Vec::new();
    // It may grow while it is read, and a pipe has no length.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(content)
}

/// The text of a file, as [`read`].
///
/// # Errors
/// As [`read`]; if it is not UTF-8.
pub(crate) fn read_text(path: &Path, links: Links, limit: u64) -> io::Result<String> {
    let content = read(path, links, limit)?;
    String::from_utf8(content).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("byte {byte} is not UTF-8"),
        )
    })
}

/// Reads the next line of at most `limit` bytes, its line feed included, behind what `line` holds. Returns its length, 0
/// at the end.
///
/// # Errors
/// If the line is longer, with the limit; those of `input`.
pub(crate) fn read_line(
    input: &mut dyn BufRead,
    line: &mut Vec<u8>,
    limit: u64,
) -> io::Result<usize> {
    let read = input
        .take(limit.saturating_add(1))
        .read_until(b'\n', line)?;
    if read as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("longer than {limit} bytes, the limit of a line"),
        ));
    }
    Ok(read)
}

/// A path that the user named: if a link is there, what it leads to.
pub(crate) fn named(path: &Path) -> PathBuf {
    let real = path.is_symlink().then(|| path.canonicalize().ok());
    real.flatten().unwrap_or_else(|| path.to_owned())
}

/// Whether what is at `path`, if anything is, is a regular file.
///
/// # Errors
/// What it is instead.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => check_type(&metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a folder, if there is one, is one and not a link to one.
///
/// # Errors
/// If it is a link.
pub(crate) fn check_folder(path: &Path) -> io::Result<()> {
    if path.is_symlink() {
        return Err(refused("is a link, and links are not followed here"));
    }
    Ok(())
}

/// Whether `path` still names the open `file`. Elsewhere than on Unix that cannot be asked.
///
/// # Errors
/// If it was removed or replaced; those of the system.
pub(crate) fn check_in_place(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let there = match std::fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refused(
                    "removed by somebody else while the run was at work",
                ));
            }
            Err(error) => return Err(error),
        };
        let own = file.metadata()?;
        if (there.dev(), there.ino()) != (own.dev(), own.ino()) {
            return Err(refused(
                "replaced by somebody else while the run was at work",
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = (file, path);
    Ok(())
}

/// That a file of more than `limit` bytes was found.
pub(crate) fn too_large(limit: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("larger than {limit} bytes, the limit of such a file"),
    )
}

fn open_as(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<File> {
    // Asked first: opening a device may do something, and the errors of opening do not say what was found.
    let found = match links {
        Links::Follow => std::fs::metadata(path),
        Links::Refuse => std::fs::symlink_metadata(path),
    };
    match found {
        Ok(found) => check_type(&found)?,
        // It may be about to be made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // In between, something else may have taken its place.
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let mut flags = OFlags::NONBLOCK;
        if links == Links::Refuse {
            flags |= OFlags::NOFOLLOW;
        }
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    check_type(&file.metadata()?)?;
    Ok(file)
}

fn check_type(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(refused(if kind.is_symlink() {
        "is a link, and links are not followed here"
    } else if kind.is_dir() {
        "is a folder, not a file"
    } else {
        name_of_special(kind)
    }))
}

#[cfg(unix)]
fn name_of_special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "is a FIFO, not a regular file"
    } else if kind.is_socket() {
        "is a socket, not a regular file"
    } else {
        "is a device, not a regular file"
    }
}

#[cfg(not(unix))]
fn name_of_special(_: FileType) -> &'static str {
    "is not a regular file"
}

fn refused(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Whether a path names a file that this process was started with.
fn is_inherited(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

#[cfg(test)]
mod tests;
