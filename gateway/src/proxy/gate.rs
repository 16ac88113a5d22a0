//! Watches the bytes of a client's connection for where each request begins and ends.
//!
//! The HTTP library removes `Content-Length` from a request that has `Transfer-Encoding` too, and
//! merges repeated lengths, before anybody can see them. Such requests are to be refused, because
//! two programs in a row may read them differently. So the gate counts these lines as they come in.
//! To know what a head is, it hands on one head at a time and then waits to be told how the body is
//! framed. Pure: bytes in, a number of bytes out.

use memchr::memchr;

/// What a head holds of the lines that frame a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeadFacts {
    pub(crate) content_lengths: u16,
    pub(crate) transfer_encodings: u16,
    /// The gate lost its place in an earlier body, so that nothing is known of this head.
    pub(crate) is_unknown: bool,
}

/// How the body of the present request is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes; 0 if there is no body.
    Length(u64),
    /// In chunks.
    Chunked,
    /// The connection is no HTTP any more.
    Tunnel,
}

/// Longest beginning of a line that is looked at: longer than both names.
const PREFIX_BYTES: usize = 20;
const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";

#[derive(Debug)]
enum Phase {
    Head(HeadScan),
    /// A whole head was handed on; what follows waits until its framing is known.
    Decide,
    Length(u64),
    Chunks(ChunkScan),
    /// Everything goes through, and nothing is known.
    Lost,
    /// Everything goes through, because it is no HTTP.
    Tunnel,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Gate {
    phase: Phase,
    facts: HeadFacts,
}

impl Default for Gate {
    fn default() -> Self {
        Self { phase: Phase::Head(HeadScan::default()), facts: HeadFacts::default() }
    }
}

impl Gate {
    /// How many of these bytes, the next ones of the connection, may be handed on now. The rest is
    /// to be offered again.
    pub(crate) fn admit(&mut self, bytes: &[u8]) -> usize {
        let mut admitted = 0;
        while let Some(rest) = bytes.get(admitted..).filter(|rest| !rest.is_empty()) {
            match &mut self.phase {
                Phase::Decide => break,
                Phase::Lost | Phase::Tunnel => return bytes.len(),
                Phase::Head(scan) => {
                    let (used, is_complete) = scan.advance(rest);
                    admitted += used;
                    if is_complete {
                        self.facts = scan.facts;
                        self.phase = Phase::Decide;
                    }
                }
                Phase::Length(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    admitted += used;
                    *left -= used as u64;
                    if *left == 0 {
                        self.phase = Phase::Head(HeadScan::default());
                    }
                }
                Phase::Chunks(scan) => {
                    let (used, state) = scan.advance(rest);
                    admitted += used;
                    match state {
                        ChunkState::Within => {}
                        ChunkState::Complete => self.phase = Phase::Head(HeadScan::default()),
                        ChunkState::Malformed => self.phase = Phase::Lost,
                    }
                }
            }
        }
        admitted
    }

    /// Whether nothing can be handed on before the framing is known.
    pub(crate) fn is_shut(&self) -> bool {
        matches!(self.phase, Phase::Decide)
    }

    /// Whether a request has begun to come in whose end has not been seen.
    pub(crate) fn is_within_request(&self) -> bool {
        !matches!(self.phase, Phase::Head(_))
    }

    /// What the head that was handed on last holds.
    pub(crate) fn facts(&self) -> HeadFacts {
        match self.phase {
            Phase::Decide => self.facts,
            _ => HeadFacts { is_unknown: true, ..HeadFacts::default() },
        }
    }

    /// Tells the framing of the request whose head was handed on last.
    pub(crate) fn set_framing(&mut self, framing: Framing) {
        self.phase = match (framing, &self.phase) {
            (Framing::Tunnel, _) => Phase::Tunnel,
            (_, Phase::Lost) => Phase::Lost,
            (Framing::Length(0), _) => Phase::Head(HeadScan::default()),
            (Framing::Length(length), _) => Phase::Length(length),
            (Framing::Chunked, _) => Phase::Chunks(ChunkScan::default()),
        };
    }
}

#[derive(Debug, Default)]
struct HeadScan {
    facts: HeadFacts,
    /// The request line is complete; before it, empty lines are skipped.
    is_within_fields: bool,
    /// The beginning of a line whose end has not come yet.
    prefix: [u8; PREFIX_BYTES],
    prefix_len: usize,
}

impl HeadScan {
    /// How many bytes belong to the head, and whether it is complete with them.
    fn advance(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut used = 0;
        while let Some(length) = memchr(b'\n', &bytes[used..]) {
            let line = &bytes[used..used + length];
            used += length + 1;
            let is_complete = if self.prefix_len == 0 {
                self.line(line)
            } else {
                self.keep(line);
                let (prefix, length) = (self.prefix, std::mem::take(&mut self.prefix_len));
                self.line(&prefix[..length])
            };
            if is_complete {
                return (used, true);
            }
        }
        self.keep(&bytes[used..]);
        (bytes.len(), false)
    }

    /// Takes the beginning of a line (without its end); whether it was the last line of the head.
    fn line(&mut self, line: &[u8]) -> bool {
        if matches!(line, b"" | b"\r") {
            return self.is_within_fields;
        }
        if !self.is_within_fields {
            self.is_within_fields = true;
        } else if is_field(line, CONTENT_LENGTH) {
            self.facts.content_lengths = self.facts.content_lengths.saturating_add(1);
        } else if is_field(line, TRANSFER_ENCODING) {
            self.facts.transfer_encodings = self.facts.transfer_encodings.saturating_add(1);
        }
        false
    }

    fn keep(&mut self, part: &[u8]) {
        let length = part.len().min(PREFIX_BYTES - self.prefix_len);
        self.prefix[self.prefix_len..self.prefix_len + length].copy_from_slice(&part[..length]);
        self.prefix_len += length;
    }
}

/// Whether the line is the field `name`, in any case, also with white space before its colon.
fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        && line.get(name.len()).is_some_and(|next| matches!(next, b':' | b' ' | b'\t'))
}

#[derive(Debug, PartialEq, Eq)]
enum ChunkState {
    Within,
    Complete,
    Malformed,
}

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy)]
enum ChunkScan {
    /// In the hexadecimal size, after this many digits.
    Size {
        size: u64,
        digits: u8,
    },
    /// In an extension, up to the end of the size's line.
    Extension {
        size: u64,
    },
    /// After the `\r` of the size's line.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// Before the `\r` after the data.
    DataReturn,
    /// Before the `\n` after the data.
    DataEnd,
    /// At the beginning of a trailer's line, or of the last, empty one.
    TrailerStart,
    /// Within a trailer's line.
    Trailer,
    /// After the `\r` of the last, empty line.
    LastEnd,
}

/// Most digits of a size that fits 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

impl Default for ChunkScan {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl ChunkScan {
    fn advance(&mut self, bytes: &[u8]) -> (usize, ChunkState) {
        let mut used = 0;
        while used < bytes.len() {
            if let Self::Data { left } = *self {
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - used);
                used += step;
                let left = left - step as u64;
                *self = if left == 0 { Self::DataReturn } else { Self::Data { left } };
                continue;
            }
            let byte = bytes[used];
            used += 1;
            match self.step(byte) {
                Some(next) => *self = next,
                None if matches!(self, Self::LastEnd) && byte == b'\n' => {
                    return (used, ChunkState::Complete);
                }
                None => return (used, ChunkState::Malformed),
            }
        }
        (used, ChunkState::Within)
    }

    /// The state after this byte; `None` at the end of the body, and where the byte may not stand.
    fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16)?;
                Some(Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (Self::Size { digits: 0, .. }, _) => None,
            (Self::Size { size, .. } | Self::Extension { size }, b'\r') => Some(Self::SizeEnd { size }),
            (Self::Size { size, .. }, b';' | b' ' | b'\t') => Some(Self::Extension { size }),
            (Self::Extension { size }, _) if byte != b'\n' => Some(Self::Extension { size }),
            (Self::SizeEnd { size: 0 }, b'\n') => Some(Self::TrailerStart),
            (Self::SizeEnd { size }, b'\n') => Some(Self::Data { left: size }),
            (Self::DataReturn, b'\r') => Some(Self::DataEnd),
            (Self::DataEnd, b'\n') => Some(Self::default()),
            (Self::TrailerStart, b'\r') => Some(Self::LastEnd),
            (Self::Trailer, b'\n') => Some(Self::TrailerStart),
            (Self::TrailerStart, _) if byte != b'\n' => Some(Self::Trailer),
            (Self::Trailer, _) => Some(Self::Trailer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds in pieces of `step` bytes; tells the framings in order; returns the facts of each head
    /// and what is left when no framing is.
    fn run(stream: &[u8], step: usize, framings: &[Framing]) -> (Vec<HeadFacts>, usize) {
        let mut gate = Gate::default();
        let mut framings = framings.iter();
        let (mut facts, mut at, mut end) = (Vec::new(), 0, 0);
        while at < stream.len() {
            if gate.is_shut() {
                facts.push(gate.facts());
                match framings.next() {
                    Some(framing) => gate.set_framing(*framing),
                    None => break,
                }
            }
            end = end.max(at + step).min(stream.len());
            at += gate.admit(&stream[at..end]);
            end = end.max(at);
            if at == end && end < stream.len() {
                end += 1;
            }
        }
        if gate.is_shut() && at == stream.len() {
            facts.push(gate.facts());
        }
        (facts, stream.len() - at)
    }

    const NONE: HeadFacts = HeadFacts { content_lengths: 0, transfer_encodings: 0, is_unknown: false };

    #[test]
    fn lines_that_frame_a_body_are_counted_however_the_bytes_arrive() {
        let stream = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 5\r\nX-Content-Length: 7\r\nTransfer-Encoding : chunked\r\nContent-Length\t: 6\r\n\r\n";
        for step in 1..stream.len() {
            let (facts, left) = run(stream, step, &[]);
            let expected = HeadFacts { content_lengths: 2, transfer_encodings: 1, is_unknown: false };
            assert_eq!((facts, left), (vec![expected], 0), "in pieces of {step}");
        }
    }

    #[test]
    fn what_follows_a_head_waits_until_its_framing_is_known() {
        let mut gate = Gate::default();
        let stream = b"GET /1 HTTP/1.1\n\nGET /2 HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n";
        assert_eq!(gate.admit(stream), 17);
        assert_eq!(gate.admit(&stream[17..]), 0);
        assert_eq!(gate.facts(), NONE);
        gate.set_framing(Framing::Length(0));
        assert_eq!(gate.admit(&stream[17..]), stream.len() - 17);
        assert_eq!(gate.facts().transfer_encodings, 1);
    }

    #[test]
    fn the_lines_within_bodies_are_not_counted() {
        let mut stream = b"POST / HTTP/1.1\r\nContent-Length: 23\r\n\r\n".to_vec();
        stream.extend(b"\r\n\r\nContent-Length: 1\r\n");
        stream.extend(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.extend(b"14;ext=1\r\n\r\nContent-Length: 1\r\r\n0\r\nContent-Length: 9\r\n\r\n");
        stream.extend(b"GET / HTTP/1.1\r\n\r\n");
        let expected =
            vec![HeadFacts { content_lengths: 1, ..NONE }, HeadFacts { transfer_encodings: 1, ..NONE }, NONE];
        for step in 1..stream.len() {
            let (facts, left) = run(&stream, step, &[Framing::Length(23), Framing::Chunked]);
            assert_eq!((facts, left), (expected.clone(), 0), "in pieces of {step}");
        }
    }

    #[test]
    fn after_a_malformed_chunk_nothing_is_known() {
        for body in ["5\nhello", "x\r\n", "5\r\nhellooo", "fffffffffffffffff\r\n", "0\r\n\n"] {
            let mut gate = Gate::default();
            gate.admit(b"POST / HTTP/1.1\r\n\r\n");
            gate.set_framing(Framing::Chunked);
            assert_eq!(gate.admit(body.as_bytes()), body.len());
            assert!(gate.facts().is_unknown, "{body:?}");
            gate.set_framing(Framing::Length(0));
            assert!(gate.facts().is_unknown, "{body:?}: it stays so");
        }
    }

    #[test]
    fn a_tunnel_is_not_looked_at() {
        let mut gate = Gate::default();
        gate.admit(b"GET / HTTP/1.1\r\n\r\n");
        gate.set_framing(Framing::Tunnel);
        assert_eq!(gate.admit(b"\r\n\r\nx\r\n\r\ny"), 10);
    }
}
