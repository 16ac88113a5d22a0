//! The bodies that pass through: neither is held, so that a slow reader slows its writer down.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lease;
use super::progress::Progress;

/// Why a body ended before its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It broke off or is malformed.
    Broken(hyper::Error),
    /// Nothing more came for too long.
    Stalled,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Broken(error) => write!(f, "the body broke off: {error}"),
            BodyError::Stalled => f.write_str("nothing more of the body came in time"),
        }
    }
}

impl std::error::Error for BodyError {}

/// The client's body on its way to a node.
pub(crate) enum RequestBody {
    /// There is none.
    Empty,
    /// As it comes. Read by the node's connection; whether it stalls is judged by who waits for the
    /// answer, with the same [`Progress`].
    Streamed {
        /// What comes.
        incoming: Incoming,
        /// When something last came.
        progress: Rc<Progress>,
    },
}

impl RequestBody {
    /// The body of a request.
    pub(crate) fn new(incoming: Incoming, progress: &Rc<Progress>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Streamed { incoming, progress: Rc::clone(progress) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Streamed { incoming, progress } = &mut *self else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        // The time begins when the wait does, and again when it is the node's turn.
        if progress.waits_for_client() != polled.is_pending() {
            progress.set_waits_for_client(polled.is_pending());
            progress.moved();
        } else if polled.is_ready() {
            progress.moved();
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// What the client gets.
pub(crate) enum ResponseBody {
    /// The gateway's own words, or nothing.
    Full(Bytes),
    /// A node's body as it comes.
    Streamed(StreamedBody),
}

/// A node's body. Its connection is used again once all of it was read.
pub(crate) struct StreamedBody {
    incoming: Incoming,
    lease: Option<Lease>,
    progress: Rc<Progress>,
    is_waiting: bool,
}

impl ResponseBody {
    /// A node's body, which came over this connection.
    pub(crate) fn new(incoming: Incoming, lease: Lease, progress: &Rc<Progress>) -> Self {
        if incoming.is_end_stream() {
            lease.give_back();
            return Self::Full(Bytes::new());
        }
        let progress = Rc::clone(progress);
        Self::Streamed(StreamedBody { incoming, lease: Some(lease), progress, is_waiting: false })
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Streamed(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(body) => body.incoming.size_hint(),
        }
    }
}

impl StreamedBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.is_waiting = false;
                let is_over = match &frame {
                    None => true,
                    Some(Ok(_)) => self.incoming.is_end_stream(),
                    Some(Err(_)) => {
                        self.lease = None;
                        false
                    }
                };
                if is_over && let Some(lease) = self.lease.take() {
                    lease.give_back();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => {
                // Only the node's silence counts; how long the client took before is another matter.
                if !std::mem::replace(&mut self.is_waiting, true) {
                    self.progress.moved();
                }
                self.progress.poll_stalled(cx).map(|()| Some(Err(BodyError::Stalled)))
            }
        }
    }
}
