//! Bytes both ways after a change of protocol, until both sides have ended or nothing moves.
//!
//! A tunnel does not look at the tables: a change of weights or nodes does not cut it.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

/// How many bytes of each direction are held.
const BUFFER_BYTES: usize = 16 << 10;

/// One end, with what was already read from it.
pub(crate) struct End {
    pub(crate) stream: TcpStream,
    pub(crate) read_before: Vec<Bytes>,
}

/// Runs until both sides have ended, one fails, or nothing moved for `idle_timeout`.
pub(crate) async fn run(mut client: End, mut node: End, idle_timeout: Duration) -> io::Result<()> {
    let moved_at = Cell::new(Instant::now());
    let (from_client, to_client) = client.stream.split();
    let (from_node, to_node) = node.stream.split();
    let both = async {
        tokio::try_join!(
            pump(client.read_before, from_client, to_node, &moved_at),
            pump(node.read_before, from_node, to_client, &moved_at),
        )
    };
    let idle = async {
        loop {
            let due = moved_at.get() + idle_timeout;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    };
    tokio::select! {
        done = both => done.map(|_| ()),
        () = idle => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn pump(
    read_before: Vec<Bytes>,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    moved_at: &Cell<Instant>,
) -> io::Result<()> {
    for bytes in read_before {
        to.write_all(&bytes).await?;
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        moved_at.set(Instant::now());
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        moved_at.set(Instant::now());
    }
}
