//! Frames: a length, then one value in the codec's envelope.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{ReadHalf, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::codec::{self, Kind};
use crate::env::BoxStream;

/// Largest frame, in bytes. Larger appends are split, snapshots are sent in pieces.
pub(super) const FRAME_MAX_BYTES: usize = codec::HEADER_BYTES + (8 << 20);

/// Largest frame of a handshake, in bytes: whoever has not proved the secret gets no more memory.
pub(super) const HANDSHAKE_FRAME_MAX_BYTES: usize = 4 << 10;

/// The reading half of a connection.
pub(super) type FrameReader = FramedRead<ReadHalf<BoxStream>, LengthDelimitedCodec>;
/// The writing half of a connection.
pub(super) type FrameWriter = FramedWrite<WriteHalf<BoxStream>, LengthDelimitedCodec>;

/// Splits a stream into frames, small ones at first: see [`open_up`].
pub(super) fn split(stream: BoxStream) -> (FrameReader, FrameWriter) {
    let (read, write) = tokio::io::split(stream);
    (
        FramedRead::new(read, limited(HANDSHAKE_FRAME_MAX_BYTES)),
        FramedWrite::new(write, limited(FRAME_MAX_BYTES)),
    )
}

/// Lets frames of full size in, after the other side has proved who it is.
pub(super) fn open_up(reader: &mut FrameReader) {
    reader.decoder_mut().set_max_frame_length(FRAME_MAX_BYTES);
}

fn limited(max_bytes: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(max_bytes).new_codec()
}

/// A value in its envelope.
pub(super) fn seal<T: Serialize>(kind: Kind, value: &T) -> io::Result<Bytes> {
    codec::encode(kind, value).map(Bytes::from).map_err(io::Error::other)
}

/// The value of an envelope.
pub(super) fn unseal<T: DeserializeOwned>(kind: Kind, frame: &[u8]) -> io::Result<T> {
    codec::decode(kind, frame).map_err(io::Error::other)
}

/// The next frame; an error if the stream ends.
pub(super) async fn receive(reader: &mut FrameReader) -> io::Result<BytesMut> {
    match reader.next().await {
        Some(frame) => frame,
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side closed the connection")),
    }
}

/// Sends one frame at once.
pub(super) async fn send(writer: &mut FrameWriter, frame: Bytes) -> io::Result<()> {
    writer.send(frame).await
}

/// How long one write may take before the connection counts as broken: the other side has stopped
/// reading.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends what arrives in `outbox` until it closes or the stream breaks; frames that are waiting
/// together go out together.
pub(super) async fn write_all(
    mut writer: FrameWriter,
    mut outbox: tokio::sync::mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    while let Some(frame) = outbox.recv().await {
        let write = async {
            writer.feed(frame).await?;
            while let Ok(frame) = outbox.try_recv() {
                writer.feed(frame).await?;
            }
            SinkExt::<Bytes>::flush(&mut writer).await
        };
        tokio::time::timeout(WRITE_TIMEOUT, write)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    }
    SinkExt::<Bytes>::close(&mut writer).await
}
