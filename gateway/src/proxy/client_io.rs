//! A client's socket, with the gate before it and a limit on how long a write may be stuck.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::gate::{Framing, Gate, HeadFacts};

/// The gate of a connection, shared by its socket and by who serves its requests.
#[derive(Debug, Default)]
pub(crate) struct SharedGate {
    gate: RefCell<Gate>,
    /// Who waits for the gate to open.
    waiting: RefCell<Option<Waker>>,
}

impl SharedGate {
    /// What the head of the present request holds.
    pub(crate) fn facts(&self) -> HeadFacts {
        self.gate.borrow().facts()
    }

    /// Tells how the present request is framed, which opens the gate.
    pub(crate) fn set_framing(&self, framing: Framing) {
        self.gate.borrow_mut().set_framing(framing);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The socket.
#[derive(Debug)]
pub(crate) struct ClientIo {
    stream: TcpStream,
    gate: Rc<SharedGate>,
    /// What was read and is not let through yet; at most one read's worth.
    held: BytesMut,
    write_timeout: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
    is_stuck: bool,
}

impl ClientIo {
    /// A client that takes nothing for `write_timeout` is given up.
    pub(crate) fn new(stream: TcpStream, gate: &Rc<SharedGate>, write_timeout: Duration) -> Self {
        let gate = Rc::clone(gate);
        Self { stream, gate, held: BytesMut::new(), write_timeout, stuck: None, is_stuck: false }
    }

    /// The socket and what was read and not let through.
    pub(crate) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.stream, self.held.freeze())
    }

    /// Whether the client is known to be sending more than was read.
    pub(crate) fn is_mid_request(&self) -> bool {
        !self.held.is_empty() || self.gate.gate.borrow().is_within_request()
    }

    fn poll_held(&mut self, cx: &Context<'_>, buffer: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let offered = self.held.len().min(buffer.remaining());
        let admitted = self.gate.gate.borrow_mut().admit(&self.held[..offered]);
        if admitted == 0 {
            *self.gate.waiting.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(&self.held[..admitted]);
        self.held.advance(admitted);
        Poll::Ready(Ok(()))
    }

    fn limit_write<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.is_stuck = false;
            return polled;
        }
        let deadline = || Instant::now() + self.write_timeout;
        let timer = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline())));
        if !std::mem::replace(&mut self.is_stuck, true) {
            timer.as_mut().reset(Instant::now() + self.write_timeout);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl Read for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.held.is_empty() {
            return this.poll_held(cx, &mut buffer);
        }
        if this.gate.gate.borrow().is_shut() {
            *this.gate.waiting.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // SAFETY: the bytes are lent to a `ReadBuf`, which only ever initializes them.
        let unfilled: &mut [MaybeUninit<u8>] = unsafe { buffer.as_mut() };
        let mut read = ReadBuf::uninit(unfilled);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
        let filled = read.filled();
        let admitted = this.gate.gate.borrow_mut().admit(filled);
        this.held.extend_from_slice(&filled[admitted..]);
        // SAFETY: `admitted` is at most the number of bytes that the read above has initialized.
        unsafe { buffer.advance(admitted) };
        Poll::Ready(Ok(()))
    }
}

impl Write for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.limit_write(cx, polled)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
