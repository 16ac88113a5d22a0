//! A client that writes exactly the bytes that a test wants.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest wait for bytes.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response, read to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<String>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of an answer that the gateway gave itself.
    pub(crate) fn error_code(&self) -> Option<&str> {
        self.header("x-kenger-gateway-error")
    }
}

/// One request over a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut raw = Raw::connect(address).await;
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")).await;
    raw.answer().await
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// One more read; `false` at the end of the stream or after a reset.
    async fn read_more(&mut self) -> bool {
        let read = tokio::time::timeout(READ_TIMEOUT, self.stream.read_buf(&mut self.buffer)).await;
        matches!(read.expect("no bytes came in time"), Ok(count) if count > 0)
    }

    /// Up to and including `end`.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Exactly this many bytes, or fewer if the stream ends.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.read_more().await {}
        self.buffer.drain(..count.min(self.buffer.len())).collect()
    }

    /// The head of a response: status and headers.
    pub(crate) async fn head(&mut self) -> Option<Answer> {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await?).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Answer { status, headers, ..Answer::default() })
    }

    /// A response to any request but HEAD.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("the connection ended without a response")
    }

    /// A response; `None` if the stream ends before its head does. A body that breaks off is a panic.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        if answer.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            (answer.body, answer.trailers) = self.chunks().await.expect("the body broke off");
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.take(length).await;
            assert_eq!(answer.body.len(), length, "the body broke off");
        } else if !matches!(answer.status, 101 | 204 | 304) {
            while self.read_more().await {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        Some(answer)
    }

    /// A chunked body with its trailers; `None` if it breaks off.
    pub(crate) async fn chunks(&mut self) -> Option<(Vec<u8>, Vec<String>)> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n").await?;
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            let chunk = self.take(size + 2).await;
            if chunk.len() < size + 2 {
                return None;
            }
            body.extend_from_slice(&chunk[..size]);
        }
        let mut trailers = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).unwrap();
            if line == "\r\n" {
                return Some((body, trailers));
            }
            trailers.push(line.trim_end().to_owned());
        }
    }

    /// Whether the other side has closed the connection and sent nothing before that.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.read_more().await
    }
}
