//! Downloads an archive, resuming where an earlier attempt stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use md5::{Digest, Md5};
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use ureq::http::{HeaderName, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use crate::data::error::DataError;
use crate::data::name::Cifar;
use crate::regular_file::{self, Links};

/// How long a silent server is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Attempts in a row that bring no byte before the download is given up.
const FRUITLESS_ATTEMPTS: u32 = 2;
/// What every gzip file starts with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An archive on the network, and how to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The address, http or https.
    pub url: String,
    /// The published MD5, in hex, lower case.
    pub md5: String,
    /// The archive's size.
    pub bytes: u64,
}

impl Source {
    /// The archive on the data set's own site, <https://www.cs.toronto.edu/~kriz/cifar.html>, with
    /// the MD5 stated there.
    pub fn official(set: Cifar) -> Self {
        let (url, md5, bytes) = match set {
            Cifar::Cifar10 => (
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "c32a1d4ab5d03f1284b67883e8d87530",
                170_052_171,
            ),
            Cifar::Cifar100 => (
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                "03b5dce01913d631647c71ecec9e9cb8",
                168_513_733,
            ),
        };
        Self {
            url: url.to_owned(),
            md5: md5.to_owned(),
            bytes,
        }
    }

    /// The same archive at another address.
    #[must_use]
    pub fn at(self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self
        }
    }

    fn error(&self, reason: impl Into<String>) -> DataError {
        DataError::Download {
            url: self.url.clone(),
            reason: reason.into(),
        }
    }
}

/// Brings `file` to the whole archive: what it already holds is kept and only the rest is asked
/// for. `progress` is told how many bytes there are, at every change.
///
/// A server that does not take up the middle of a file is read from the start. The MD5 is checked
/// at the end.
///
/// # Errors
/// [`DataError::Download`] if the server cannot be reached, answers with anything but the archive
/// or stops early; the bytes received so far stay in `file`. [`DataError::Checksum`] if the MD5 is
/// not the published one; `file` is then removed. [`DataError::Io`] if `file` cannot be written.
pub fn download(
    source: &Source,
    file: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DataError> {
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).read(true).write(true);
    let mut out =
        regular_file::open_to_write(options, file).map_err(DataError::io(file, "cannot write"))?;
    let mut have = out
        .metadata()
        .map_err(DataError::io(file, "cannot read"))?
        .len();
    if have > source.bytes {
        have = 0;
        out.set_len(0)
            .map_err(DataError::io(file, "cannot write"))?;
    }
    progress(have);

    let outcome = complete(source, file, &mut out, &mut have, progress);
    drop(out);
    if have == 0 {
        fs::remove_file(file).map_err(DataError::io(file, "cannot remove"))?;
    }
    outcome?;

    let found = md5_of(file)?;
    if found != source.md5 {
        fs::remove_file(file).map_err(DataError::io(file, "cannot remove"))?;
        return Err(DataError::Checksum {
            from: source.url.clone(),
            expected: source.md5.clone(),
            found,
        });
    }
    Ok(())
}

/// Asks again and again until `out` is whole or the server brings nothing more.
fn complete(
    source: &Source,
    file: &Path,
    out: &mut File,
    have: &mut u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DataError> {
    let agent = agent(&source.url);
    let mut fruitless = 0;
    while *have < source.bytes {
        let before = *have;
        let attempt = request(&agent, source, before).and_then(|(response, start)| {
            receive(source, response, start, out, have, file, progress)
        });
        match attempt {
            Ok(()) => {}
            Err(Interruption::Final(error)) => return Err(error),
            Err(Interruption::Passing(reason)) => {
                fruitless = if *have > before { 0 } else { fruitless + 1 };
                if fruitless >= FRUITLESS_ATTEMPTS {
                    let kept = if *have > 0 {
                        "; the next attempt goes on from there"
                    } else {
                        ""
                    };
                    let received = format!("received {have} of {} bytes{kept}", source.bytes);
                    return Err(source.error(format!("{reason} ({received})")));
                }
            }
        }
    }
    Ok(())
}

/// Why an attempt ended without the whole archive.
enum Interruption {
    /// Another attempt may get further.
    Passing(String),
    /// It would end the same way.
    Final(DataError),
}

fn agent(url: &str) -> Agent {
    let config = Agent::config_builder();
    // A proxy's loopback is not ours.
    let host = url
        .parse::<Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned));
    let config = match host.as_deref() {
        Some("127.0.0.1" | "[::1]" | "localhost") => config.proxy(None),
        _ => config,
    };
    config
        .http_status_as_error(false)
        // The archive is wanted as it is, not unpacked on the way.
        .accept_encoding("identity")
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .build()
        .into()
}

/// Asks for the archive from byte `have` on; returns the answer and the byte that it starts at.
fn request(
    agent: &Agent,
    source: &Source,
    have: u64,
) -> Result<(Response<Body>, u64), Interruption> {
    let mut request = agent.get(&source.url);
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let response = request
        .call()
        .map_err(|error| Interruption::Passing(error.to_string()))?;
    let final_error = |reason: String| Interruption::Final(source.error(reason));
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT => {
            let range = header(&response, CONTENT_RANGE).unwrap_or_default();
            if !range.starts_with(&format!("bytes {have}-")) {
                return Err(final_error(format!(
                    "asked for bytes from {have}, was sent {range:?}"
                )));
            }
            have
        }
        status if status.is_server_error() => {
            return Err(Interruption::Passing(format!(
                "the server answered {status}"
            )));
        }
        status => return Err(final_error(format!("the server answered {status}"))),
    };
    if let Some(kind) = header(&response, CONTENT_TYPE).filter(|kind| kind.starts_with("text/html"))
    {
        return Err(final_error(format!(
            "the server sent a web page ({kind}) instead of the archive"
        )));
    }
    let expected = source.bytes - start;
    match header(&response, CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length != expected => Err(final_error(format!(
            "the server announced {length} bytes, expected {expected}"
        ))),
        _ => Ok((response, start)),
    }
}

fn header(response: &Response<Body>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// Writes the answer's body to `out` from byte `start` on, and keeps `have` at the number of bytes
/// there.
fn receive(
    source: &Source,
    response: Response<Body>,
    start: u64,
    out: &mut File,
    have: &mut u64,
    file: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Interruption> {
    let cannot_write = |error| Interruption::Final(DataError::io(file, "cannot write")(error));
    // One byte more than expected tells a longer answer from a right one.
    let mut body = response
        .into_body()
        .into_reader()
        .take(source.bytes - start + 1);
    let mut buffer = vec![0; 1 << 16];
    let mut fresh = true;
    loop {
        let read = match body.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Interruption::Passing(error.to_string())),
        };
        if fresh && read > 0 {
            let head = &buffer[..read.min(GZIP_MAGIC.len())];
            if start == 0 && !GZIP_MAGIC.starts_with(head) {
                return Err(Interruption::Final(
                    source.error("what the server sent is not a gzip archive"),
                ));
            }
            // Only now, with data in hand, are earlier bytes given up.
            out.set_len(start).map_err(cannot_write)?;
            out.seek(SeekFrom::Start(start)).map_err(cannot_write)?;
            *have = start;
            fresh = false;
        }
        if read == 0 {
            return match *have == source.bytes && !fresh {
                true => Ok(()),
                false => Err(Interruption::Passing(
                    "the connection ended early".to_owned(),
                )),
            };
        }
        if *have + read as u64 > source.bytes {
            let reason = format!(
                "the server sent more than the {} bytes of the archive",
                source.bytes
            );
            return Err(Interruption::Final(source.error(reason)));
        }
        out.write_all(&buffer[..read]).map_err(cannot_write)?;
        *have += read as u64;
        progress(*have);
    }
}

fn md5_of(file: &Path) -> Result<String, DataError> {
    let cannot_read = || DataError::io(file, "cannot read");
    let mut input = regular_file::open(file, Links::Refuse).map_err(cannot_read())?;
    let mut hash = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match input.read(&mut buffer).map_err(cannot_read())? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests;
