//! The one place that turns values into bytes that are stored or sent between members.
//!
//! Every message is an envelope: magic, schema version, kind, CRC32C of header and payload, then the
//! payload in bincode (variable-length integers). A reader knows before it decodes that the bytes are
//! ours, whole, of a version that it understands and of the kind that it expects; what it decodes is
//! bounded by the kind, and a payload with bytes left over is refused.
//!
//! bincode is positional: enums and structs grow at the end only, and a struct that grows needs a
//! higher [`SCHEMA_VERSION`] with a decoder for the one before it, because peers of two adjacent
//! releases talk to each other. `codec/golden.rs` holds the bytes of every stored kind.

use std::io::{self, Read, Write};

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod tests;

/// What the payloads of this release look like.
pub(crate) const SCHEMA_VERSION: u16 = 1;
/// The oldest schema version that this release reads.
pub(crate) const OLDEST_SCHEMA_VERSION: u16 = 1;
/// Bytes of an envelope before its payload.
pub(crate) const HEADER_BYTES: usize = 12;
/// Bytes of the checksum that follows a streamed payload.
pub(crate) const STREAM_TRAILER_BYTES: u64 = 4;

const MAGIC: [u8; 4] = *b"KNGR";
const CHECKED_HEADER_BYTES: usize = 8;
const COPY_BUFFER_BYTES: usize = 256 << 10;

/// Declares the kinds with their numbers and bounds in one table.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, max $max:expr;)+) => {
        /// What an envelope holds. Numbers are only ever added, never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub(crate) enum Kind {
            $($(#[$doc])* $name = $number,)+
        }

        impl Kind {
            /// Largest payload of this kind, in bytes.
            pub(crate) const fn payload_max_bytes(self) -> u64 {
                match self {
                    $(Kind::$name => $max,)+
                }
            }

            /// The kind with this number, if there is one.
            pub(crate) const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Kind::$name),)+
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Stored: an entry of the Raft log.
    LogEntry = 1, max 4 << 20;
    /// Stored: Raft's vote.
    Vote = 2, max 4 << 10;
    /// Stored: a log id (committed, purged).
    LogId = 3, max 4 << 10;
    /// Stored: which snapshot file counts.
    SnapshotPointer = 4, max 2 << 10;
    /// Stored: the beginning of a snapshot file: what the snapshot includes.
    SnapshotHead = 5, max 1 << 20;
    /// Stored: the rest of a snapshot file: the state. Streamed, see [`write_stream`].
    SnapshotBody = 6, max 4 << 30;
    /// Stored: how often the engine was synced, beside it.
    StoreMark = 7, max 16;
    /// Sent: a request between members, with its number.
    PeerRequest = 32, max 8 << 20;
    /// Sent: the answer to a request between members, with the request's number.
    PeerResponse = 33, max 8 << 20;
    /// Sent: the first frame of a connection between members.
    PeerHello = 34, max 2 << 10;
    /// Sent: the answering side's part of a handshake.
    PeerChallenge = 35, max 2 << 10;
    /// Sent: one side's proof that it knows the peer secret.
    PeerProof = 36, max 2 << 10;
    /// Sent: whether a connection may be used.
    PeerVerdict = 37, max 2 << 10;
}

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CodecError {
    /// Fewer bytes than an envelope has.
    #[error("{0} bytes are too few for an envelope")]
    TooShort(usize),
    /// Not an envelope at all.
    #[error("the bytes do not begin with the magic of an envelope")]
    Magic,
    /// Of a release that this one does not understand.
    #[error(
        "schema version {0} is not one of {OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}; \
         do members run releases that are further apart than one?"
    )]
    Version(u16),
    /// An envelope of another kind.
    #[error("kind {found} where {expected:?} was expected")]
    Kind {
        /// The number in the envelope.
        found: u16,
        /// What the reader wanted.
        expected: Kind,
    },
    /// Damaged.
    #[error("the checksum does not fit: the bytes are damaged")]
    Checksum,
    /// More than the kind may have.
    #[error("a payload of {bytes} bytes is more than the {max} that {kind:?} may have")]
    TooLarge {
        /// Of what kind.
        kind: Kind,
        /// How much it would have.
        bytes: u64,
        /// How much it may have.
        max: u64,
    },
    /// The payload is not of the type that it should be.
    #[error("malformed {kind:?}: {reason}")]
    Malformed {
        /// Of what kind.
        kind: Kind,
        /// What is wrong.
        reason: String,
    },
}

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// The envelope of `value`.
///
/// # Errors
/// The payload would be larger than the kind allows.
pub(crate) fn encode<T: Serialize + ?Sized>(kind: Kind, value: &T) -> Result<Vec<u8>, CodecError> {
    let max = kind.payload_max_bytes();
    let bytes = options().serialized_size(value).map_err(|error| malformed(kind, &error))?;
    if bytes > max {
        return Err(CodecError::TooLarge { kind, bytes, max });
    }
    let capacity = HEADER_BYTES + usize::try_from(bytes).unwrap_or_default();
    let mut envelope = Vec::with_capacity(capacity);
    envelope.extend_from_slice(&checked_header(kind));
    envelope.extend_from_slice(&[0; HEADER_BYTES - CHECKED_HEADER_BYTES]);
    options().serialize_into(&mut envelope, value).map_err(|error| malformed(kind, &error))?;
    let checksum = checksum_of(&envelope);
    envelope[CHECKED_HEADER_BYTES..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(envelope)
}

/// What an envelope of this kind holds.
///
/// # Errors
/// The bytes are not exactly one whole envelope of this kind.
pub(crate) fn decode<T: DeserializeOwned>(kind: Kind, envelope: &[u8]) -> Result<T, CodecError> {
    let (header, payload) =
        envelope.split_at_checked(HEADER_BYTES).ok_or(CodecError::TooShort(envelope.len()))?;
    check_header(kind, header)?;
    let bytes = payload.len() as u64;
    let max = kind.payload_max_bytes();
    if bytes > max {
        return Err(CodecError::TooLarge { kind, bytes, max });
    }
    if header[CHECKED_HEADER_BYTES..] != checksum_of(envelope).to_le_bytes() {
        return Err(CodecError::Checksum);
    }
    options()
        .with_limit(bytes)
        .reject_trailing_bytes()
        .deserialize(payload)
        .map_err(|error| malformed(kind, &error))
}

/// Writes an envelope whose payload is too large to be kept in memory as bytes: the header without
/// its checksum, the payload, then the checksum of both. Returns the checksum.
///
/// # Errors
/// Those of `writer`, and a payload larger than the kind allows.
pub(crate) fn write_stream<T: Serialize>(kind: Kind, value: &T, writer: impl Write) -> io::Result<u32> {
    let max_bytes = kind.payload_max_bytes();
    let mut checked = ChecksumWriter { inner: writer, checksum: 0, bytes: 0, max_bytes: u64::MAX };
    checked.write_all(&checked_header(kind))?;
    checked.max_bytes = max_bytes + CHECKED_HEADER_BYTES as u64;
    options().serialize_into(&mut checked, value).map_err(|error| match *error {
        bincode::ErrorKind::Io(error) => error,
        other => malformed(kind, &other).into(),
    })?;
    let checksum = checked.checksum;
    checked.inner.write_all(&checksum.to_le_bytes())?;
    Ok(checksum)
}

/// Reads `bytes` bytes of a streamed envelope to check them, decoding nothing, and returns the
/// checksum. To be called before [`decode_stream`], so that damaged bytes are never decoded.
///
/// # Errors
/// Those of `reader`, and anything that is not one whole envelope of this kind.
pub(crate) fn check_stream(kind: Kind, bytes: u64, mut reader: impl Read) -> io::Result<u32> {
    let payload_bytes = stream_payload_bytes(kind, bytes)?;
    let mut header = [0; CHECKED_HEADER_BYTES];
    reader.read_exact(&mut header)?;
    check_header(kind, &header)?;
    let mut checksum = crc32c::crc32c(&header);
    let mut left = payload_bytes;
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        reader.read_exact(&mut buffer[..take])?;
        checksum = crc32c::crc32c_append(checksum, &buffer[..take]);
        left -= take as u64;
    }
    let mut trailer = [0; STREAM_TRAILER_BYTES as usize];
    reader.read_exact(&mut trailer)?;
    if u32::from_le_bytes(trailer) != checksum {
        return Err(CodecError::Checksum.into());
    }
    Ok(checksum)
}

/// What a streamed envelope of `bytes` bytes holds. Its checksum is not looked at, see
/// [`check_stream`].
///
/// # Errors
/// Those of `reader`, and a payload that is not of this type.
pub(crate) fn decode_stream<T: DeserializeOwned>(
    kind: Kind,
    bytes: u64,
    mut reader: impl Read,
) -> io::Result<T> {
    let payload_bytes = stream_payload_bytes(kind, bytes)?;
    let mut header = [0; CHECKED_HEADER_BYTES];
    reader.read_exact(&mut header)?;
    check_header(kind, &header)?;
    let mut payload = reader.take(payload_bytes);
    let value = options()
        .with_limit(payload_bytes)
        .deserialize_from(&mut payload)
        .map_err(|error| malformed(kind, &error))?;
    if payload.limit() > 0 {
        let reason = format!("{} bytes are left over", payload.limit());
        return Err(CodecError::Malformed { kind, reason }.into());
    }
    Ok(value)
}

fn options() -> impl Options {
    bincode::options().with_varint_encoding().with_little_endian()
}

fn malformed(kind: Kind, error: &bincode::ErrorKind) -> CodecError {
    CodecError::Malformed { kind, reason: error.to_string() }
}

fn checked_header(kind: Kind) -> [u8; CHECKED_HEADER_BYTES] {
    let mut header = [0; CHECKED_HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4..6].copy_from_slice(&SCHEMA_VERSION.to_le_bytes());
    header[6..].copy_from_slice(&(kind as u16).to_le_bytes());
    header
}

fn check_header(kind: Kind, header: &[u8]) -> Result<(), CodecError> {
    if header[..4] != MAGIC {
        return Err(CodecError::Magic);
    }
    let version = u16::from_le_bytes([header[4], header[5]]);
    if !(OLDEST_SCHEMA_VERSION..=SCHEMA_VERSION).contains(&version) {
        return Err(CodecError::Version(version));
    }
    let found = u16::from_le_bytes([header[6], header[7]]);
    if Kind::from_number(found) != Some(kind) {
        return Err(CodecError::Kind { found, expected: kind });
    }
    Ok(())
}

fn checksum_of(envelope: &[u8]) -> u32 {
    let header = crc32c::crc32c(&envelope[..CHECKED_HEADER_BYTES]);
    crc32c::crc32c_append(header, &envelope[HEADER_BYTES..])
}

fn stream_payload_bytes(kind: Kind, bytes: u64) -> Result<u64, CodecError> {
    let around = CHECKED_HEADER_BYTES as u64 + STREAM_TRAILER_BYTES;
    let payload = bytes.checked_sub(around).ok_or(CodecError::TooShort(0))?;
    let max = kind.payload_max_bytes();
    if payload > max {
        return Err(CodecError::TooLarge { kind, bytes: payload, max });
    }
    Ok(payload)
}

struct ChecksumWriter<W> {
    inner: W,
    checksum: u32,
    bytes: u64,
    max_bytes: u64,
}

impl<W: Write> Write for ChecksumWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes[..written]);
        self.bytes += written as u64;
        if self.bytes > self.max_bytes {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the payload is larger than its kind may be",
            ));
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
