use std::fs;

use super::*;

/// A folder with one thing in it.
fn with(make: impl FnOnce(&Path)) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    make(&path);
    (dir, path)
}

fn said<T>(result: io::Result<T>) -> String {
    result.map(|_| "no error").unwrap_err().to_string()
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    let (_dir, path) = with(|path| fs::write(path, "12345").unwrap());
    assert_eq!(read(&path, Links::Refuse, 5).unwrap(), b"12345");
    assert_eq!(
        said(read(&path, Links::Refuse, 4)),
        "larger than 4 bytes, the limit of such a file"
    );
    // Sparse: read to its end it would take a day.
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1 << 42)
        .unwrap();
    assert!(said(read(&path, Links::Refuse, 1 << 20)).starts_with("larger than 1048576 bytes"));
}

#[test]
fn a_line_is_read_up_to_its_limit() {
    let (mut input, mut line) = (&b"1234\n12345\n"[..], Vec::new());
    assert_eq!(read_line(&mut input, &mut line, 5).unwrap(), 5);
    assert_eq!(line, b"1234\n");
    line.clear();
    assert_eq!(
        said(read_line(&mut input, &mut line, 5)),
        "longer than 5 bytes, the limit of a line"
    );
    assert_eq!(read_line(&mut &b""[..], &mut line, 5).unwrap(), 0);
}

#[test]
fn what_is_not_there_and_what_is_a_folder_are_told_apart() {
    let (dir, path) = with(|_| ());
    assert_eq!(
        open(&path, Links::Refuse).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    assert!(check(&path).is_ok());
    assert_eq!(
        said(open(dir.path(), Links::Refuse)),
        "is a folder, not a file"
    );
}

#[cfg(unix)]
mod special {
    use super::*;

    fn fifo(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    }

    #[test]
    fn a_link_is_followed_where_the_user_named_it_alone() {
        let (dir, path) = with(|path| {
            fs::write(path.with_file_name("other"), "text").unwrap();
            std::os::unix::fs::symlink("other", path).unwrap();
        });
        assert_eq!(read_text(&path, Links::Follow, 9).unwrap(), "text");
        let why = "is a link, and links are not followed here";
        assert_eq!(said(read_text(&path, Links::Refuse, 9)), why);
        assert_eq!(
            said(open_to_write(File::options().append(true), &path)),
            why
        );
        assert_eq!(said(check(&path)), why);
        std::os::unix::fs::symlink(".", dir.path().join("folder")).unwrap();
        assert_eq!(said(check_folder(&dir.path().join("folder"))), why);
        assert!(check_folder(dir.path()).is_ok());
    }

    #[test]
    fn a_fifo_or_a_device_is_refused_at_once() {
        let (_dir, path) = with(fifo);
        let why = "is a FIFO, not a regular file";
        for links in [Links::Follow, Links::Refuse] {
            assert_eq!(said(read(&path, links, 9)), why);
        }
        assert_eq!(said(open_to_write(File::options().write(true), &path)), why);
        assert_eq!(said(check(&path)), why);
        let zero = Path::new("/dev/zero");
        assert_eq!(
            said(read(zero, Links::Follow, 9)),
            "is a device, not a regular file"
        );
    }

    #[test]
    fn a_file_with_a_second_name_is_read_but_not_written() {
        let (_dir, path) = with(|path| {
            fs::write(path, "text").unwrap();
            fs::hard_link(path, path.with_file_name("other")).unwrap();
        });
        assert_eq!(read_text(&path, Links::Refuse, 9).unwrap(), "text");
        assert!(said(open_to_write(File::options().append(true), &path)).contains("hard link"));
    }
}
