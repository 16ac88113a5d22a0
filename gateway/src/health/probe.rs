//! One health check: connect, ask for the path, read the status.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::routing::Target;

/// Longest status line that is read.
const STATUS_LINE_BYTES_MAX: usize = 1 << 10;
/// How much of the rest is read, so that the service does not see its connection reset.
const REST_BYTES_MAX: u64 = 64 << 10;

/// Why a node is not healthy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it answered status {0}")]
    Status(u16),
    #[error("it did not answer as HTTP does")]
    NotHttp,
    #[error("no answer in time")]
    Timeout,
}

/// Checks a node. All of it together takes at most `timeout`.
pub(crate) async fn probe(
    target: &Target,
    expected_status: u16,
    timeout: Duration,
) -> Result<(), ProbeError> {
    tokio::time::timeout(timeout, ask(target, expected_status)).await.map_err(|_| ProbeError::Timeout)?
}

async fn ask(target: &Target, expected_status: u16) -> Result<(), ProbeError> {
    let mut stream = TcpStream::connect((target.host.as_str(), target.port.get())).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: kenger-gateway/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        target.path,
        target.host.authority(target.port),
        env!("CARGO_PKG_VERSION"),
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    loop {
        if line.len() >= STATUS_LINE_BYTES_MAX {
            return Err(ProbeError::NotHttp);
        }
        if stream.read_buf(&mut line).await? == 0 {
            return Err(ProbeError::NotHttp);
        }
        if let Some(status) = status(&line)? {
            if status != expected_status {
                return Err(ProbeError::Status(status));
            }
            break;
        }
    }
    // What comes now changes nothing.
    let _ = tokio::io::copy(&mut stream.take(REST_BYTES_MAX), &mut tokio::io::sink()).await;
    Ok(())
}

/// The status in the first line; `None` while it is not complete.
fn status(bytes: &[u8]) -> Result<Option<u16>, ProbeError> {
    let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(None) };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| ProbeError::NotHttp)?;
    let mut words = line.trim_end().split(' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse().ok());
    match status {
        Some(status) if is_http => Ok(Some(status)),
        _ => Err(ProbeError::NotHttp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line_alone() {
        assert!(matches!(status(b"HTTP/1.1 20"), Ok(None)));
        assert!(matches!(status(b"HTTP/1.1 200 OK\r\nX: 500\r\n"), Ok(Some(200))));
        assert!(matches!(status(b"HTTP/1.0 503\r\n"), Ok(Some(503))));
        for line in ["SSH-2.0-200\r\n", "HTTP/1.1 2000 OK\r\n", "HTTP/1.1\r\n", "HTTP/2 200\r\n"] {
            assert!(matches!(status(line.as_bytes()), Err(ProbeError::NotHttp)), "{line:?}");
        }
    }
}
