//! A server for tests: answers each connection in turn as it is told, then stops.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use md5::{Digest, Md5};

pub(crate) struct Server {
    address: String,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://{}/archive.tar.gz", self.address)
    }

    /// The request heads, once every answer has been given.
    pub(crate) fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

pub(crate) fn serve(answers: Vec<Vec<u8>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let answer = |answer: Vec<u8>| {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(socket.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap() > 2 {}
            // The client hangs up on what it does not want.
            let _ = socket.write_all(&answer);
            head.to_lowercase()
        };
        answers.into_iter().map(answer).collect()
    });
    Server { address, thread }
}

pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").into_bytes();
    answer.extend_from_slice(body);
    answer
}

pub(crate) fn whole(body: &[u8]) -> Vec<u8> {
    answer(
        "200 OK",
        &format!("Content-Length: {}\r\n", body.len()),
        body,
    )
}

/// The rest of `body` from `start` on.
pub(crate) fn rest(body: &[u8], start: usize) -> Vec<u8> {
    let headers = format!(
        "Content-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\n",
        body.len() - start,
        body.len() - 1,
        body.len()
    );
    answer("206 Partial Content", &headers, &body[start..])
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}
