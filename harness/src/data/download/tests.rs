//! Downloads from a loopback server that answers as it is told.

use super::*;
use crate::data::loopback::{answer, md5, rest, serve, whole};

/// Not a real gzip file, but it starts like one.
fn archive() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..200_000_u32)
        .map(|i| (u64::from(i).pow(2) % 253) as u8)
        .collect();
    bytes[..2].copy_from_slice(&GZIP_MAGIC);
    bytes
}

struct Outcome {
    result: Result<(), DataError>,
    /// What is in the file afterwards, if it is there.
    file: Option<Vec<u8>>,
    requests: Vec<String>,
}

/// Downloads onto a file that holds `before` already, from a server that gives `answers`.
fn run(before: &[u8], answers: Vec<Vec<u8>>) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("archive.partial");
    if !before.is_empty() {
        fs::write(&file, before).unwrap();
    }
    let server = serve(answers);
    let source = Source {
        url: server.url(),
        md5: md5(&archive()),
        bytes: archive().len() as u64,
    };
    let result = download(&source, &file, &mut |_| {});
    Outcome {
        result,
        file: fs::read(&file).ok(),
        requests: server.requests(),
    }
}

#[test]
fn from_nothing() {
    let outcome = run(b"", vec![whole(&archive())]);
    outcome.result.unwrap();
    assert_eq!(outcome.file.unwrap(), archive());
    assert!(
        !outcome.requests[0].contains("range:"),
        "{}",
        outcome.requests[0]
    );
}

#[test]
fn a_partial_file_is_completed() {
    let outcome = run(&archive()[..70_001], vec![rest(&archive(), 70_001)]);
    outcome.result.unwrap();
    assert_eq!(outcome.file.unwrap(), archive());
    assert!(
        outcome.requests[0].contains("range: bytes=70001-\r\n"),
        "{}",
        outcome.requests[0]
    );
}

#[test]
fn a_server_that_ignores_the_range_is_read_from_the_start() {
    let outcome = run(&archive()[..70_001], vec![whole(&archive())]);
    outcome.result.unwrap();
    assert_eq!(outcome.file.unwrap(), archive());
}

#[test]
fn a_lost_connection_is_resumed() {
    let mut cut = whole(&archive());
    cut.truncate(100_000);
    let head = cut
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    let outcome = run(b"", vec![cut, rest(&archive(), 100_000 - head)]);
    outcome.result.unwrap();
    assert_eq!(outcome.file.unwrap(), archive());
}

#[test]
fn a_whole_file_is_not_asked_for_again() {
    let outcome = run(&archive(), vec![]);
    outcome.result.unwrap();
    assert!(outcome.requests.is_empty());
}

#[test]
fn a_wrong_checksum_leaves_nothing_behind() {
    let mut wrong = archive();
    wrong[123_456] ^= 1;
    let outcome = run(b"", vec![whole(&wrong)]);
    let Err(DataError::Checksum {
        expected, found, ..
    }) = outcome.result
    else {
        panic!("{:?}", outcome.result)
    };
    assert_eq!((expected, found), (md5(&archive()), md5(&wrong)));
    assert_eq!(outcome.file, None);
    // The same when the damage is in what was there before.
    let outcome = run(&wrong[..150_000], vec![rest(&archive(), 150_000)]);
    assert!(matches!(outcome.result, Err(DataError::Checksum { .. })));
    assert_eq!(outcome.file, None);
}

#[test]
fn a_web_page_is_no_archive_and_costs_no_received_byte() {
    let page = b"<html>Moved</html>";
    let pages = [
        answer(
            "200 OK",
            "Content-Type: text/html; charset=utf-8\r\nContent-Length: 18\r\n",
            page,
        ),
        answer("200 OK", "Content-Length: 18\r\n", page),
        answer("200 OK", "", page),
    ];
    let reasons = [
        "a web page (text/html; charset=utf-8)",
        "announced 18 bytes, expected 200000",
        "not a gzip archive",
    ];
    for (page, reason) in pages.into_iter().zip(reasons) {
        let outcome = run(&archive()[..1000], vec![page]);
        let message = outcome.result.unwrap_err().to_string();
        assert!(
            message.contains(reason) && message.contains("--from"),
            "{message}"
        );
        assert_eq!(outcome.file.unwrap(), &archive()[..1000]);
    }
}

/// An answer that goes on for ever is read to one byte beyond the archive's size, and buffers: not a megabyte.
#[test]
fn an_endless_answer_is_not_read() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/archive.tar.gz", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = socket.read(&mut head).unwrap();
        let mut sent = 0_u64;
        let mut chunk = archive();
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        let mut outcome = socket.write_all(head);
        // The client hangs up; until then the kernel's buffers take what it does not read.
        while outcome.is_ok() && sent < 1 << 30 {
            outcome = socket.write_all(&chunk);
            sent += chunk.len() as u64;
            chunk.fill(0);
        }
        sent
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("archive.partial");
    let source = Source {
        url,
        md5: md5(&archive()),
        bytes: archive().len() as u64,
    };
    let error = download(&source, &file, &mut |_| {}).unwrap_err();
    assert!(
        error.to_string().contains("more than the 200000 bytes"),
        "{error}"
    );
    let kept = fs::metadata(&file).map_or(0, |file| file.len());
    assert!(kept <= source.bytes, "{kept} bytes kept");
    let sent = server.join().unwrap();
    println!("{sent} bytes sent before the connection was closed, {kept} kept");
    assert!(sent < 1 << 30, "the answer was read on and on");
}

#[test]
fn answers_that_are_not_the_archive() {
    let gone = run(
        b"",
        vec![answer("404 Not Found", "Content-Length: 0\r\n", b"")],
    );
    assert!(
        gone.result
            .unwrap_err()
            .to_string()
            .contains("the server answered 404 Not Found")
    );

    let other_place = run(&archive()[..1000], vec![rest(&archive(), 999)]);
    assert!(
        other_place
            .result
            .unwrap_err()
            .to_string()
            .contains("asked for bytes from 1000, was sent \"bytes 999-")
    );

    let mut longer = archive();
    longer.push(0);
    let endless = run(b"", vec![answer("200 OK", "", &longer)]);
    assert!(
        endless
            .result
            .unwrap_err()
            .to_string()
            .contains("more than the 200000 bytes")
    );
}

#[test]
fn a_server_that_fails_twice_is_given_up_and_the_bytes_are_kept() {
    let failure = || answer("503 Service Unavailable", "Content-Length: 0\r\n", b"");
    let outcome = run(&archive()[..1000], vec![failure(), failure()]);
    let message = outcome.result.unwrap_err().to_string();
    assert!(
        message.contains("503") && message.contains("1000 of 200000 bytes; the next attempt"),
        "{message}"
    );
    assert_eq!(outcome.file.unwrap().len(), 1000);
    let recovered = run(b"", vec![failure(), whole(&archive())]);
    recovered.result.unwrap();
}

#[test]
fn without_a_server_the_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    // Bound and dropped: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{address}/archive.tar.gz");
    let source = Source {
        url: url.clone(),
        md5: String::new(),
        bytes: 10,
    };
    let message = download(&source, &folder.path().join("partial"), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with(&url) && message.contains("--from") && message.contains("AUTOLR_DATA"),
        "{message}"
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing came, nothing is left"
    );
}
