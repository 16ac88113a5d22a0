//! Passes on the bytes of one direction of one connection, as its link allows.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::link::Link;

/// Largest piece that is passed on at once, in bytes.
const PIECE_BYTES: usize = 16 << 10;
/// Most pieces that are under way in one direction of a connection; then the sender has to wait, as
/// with a full window.
const PIECES_MAX: usize = 64;

/// What came in.
enum Piece {
    Bytes(Vec<u8>, Instant),
    /// The connection broke on the side where it came in.
    Broken(io::Error),
}

/// Runs until the sender has ended its direction and that was passed on, or the receiver takes no more.
///
/// # Errors
/// The connection broke, or is to break.
pub(super) async fn run(from: ReadHalf<'_>, to: WriteHalf<'_>, link: &Link) -> io::Result<()> {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let ((), written) = tokio::join!(take(from, sender, link), give(pieces, to, link));
    written
}

async fn take(mut from: ReadHalf<'_>, pieces: mpsc::Sender<Piece>, link: &Link) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        // Its receiver is gone: nothing needs to be read any more, and its end comes the other way.
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = pieces.closed() => return,
        };
        let piece = match read {
            Ok(0) => return,
            Ok(length) => Piece::Bytes(buffer[..length].to_vec(), link.due()),
            Err(error) => Piece::Broken(error),
        };
        let is_last = matches!(piece, Piece::Broken(_));
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

async fn give(mut pieces: mpsc::Receiver<Piece>, mut to: WriteHalf<'_>, link: &Link) -> io::Result<()> {
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Bytes(bytes, due) => {
                let breaks = link.pass(bytes.len(), due).await;
                // Whoever does not take it any more says so on the way back, which has faults of its own.
                if to.write_all(&bytes).await.is_err() {
                    return Ok(());
                }
                if breaks {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
            Piece::Broken(error) => {
                link.pass(0, Instant::now()).await;
                return Err(error);
            }
        }
    }
    // An end is news like any other: it does not pass a cut.
    link.pass(0, Instant::now()).await;
    let _ = to.shutdown().await;
    Ok(())
}

/// Tells how many bytes have come on the first connection of `listener`, until `enough` says so.
pub(super) async fn count(listener: &TcpListener, mut enough: impl FnMut(usize) -> bool) {
    let Ok((mut stream, _)) = listener.accept().await else { return };
    let (mut buffer, mut bytes) = (vec![0; PIECE_BYTES], 0);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        bytes += length;
        if enough(bytes) {
            return;
        }
    }
}
