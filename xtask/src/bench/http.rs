//! Single HTTP requests to servers on this machine. The load comes from `kengerctl`, not from here.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Most of an answer that is read.
const ANSWER_MAX_BYTES: u64 = 1 << 20;

/// Where requests go, and what proves who sends them.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) token: Option<&'static str>,
}

/// Status and body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

impl Server {
    pub(super) fn get(&self, path: &str, limit: Duration) -> io::Result<Answer> {
        self.exchange("GET", path, "", limit)
    }

    pub(super) fn post(&self, path: &str, body: &Value, limit: Duration) -> io::Result<Answer> {
        self.exchange("POST", path, &body.to_string(), limit)
    }

    /// Each over a connection of its own, in the words of HTTP/1.0: the answer ends with the connection.
    fn exchange(&self, method: &str, path: &str, body: &str, limit: Duration) -> io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&self.address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_nodelay(true)?;
        let authorization =
            self.token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let (host, length) = (self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.take(ANSWER_MAX_BYTES).read_to_string(&mut text)?;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(malformed)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
        Ok(Answer { status, body: body.to_owned() })
    }
}
