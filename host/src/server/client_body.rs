//! The body of a client's request, by whatever it comes.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;

use crate::grammar;

/// A request's body.
#[derive(Debug)]
pub(crate) enum ClientBody {
    /// None.
    Empty,
    /// By HTTP/1.
    Http1(Incoming),
    /// By HTTP/2.
    Http2(StreamBody),
}

/// A body that comes by a stream of HTTP/2. Its client may send on as far as what came has been taken.
#[derive(Debug)]
pub(crate) struct StreamBody {
    stream: RecvStream,
    /// How much is still to come, where the client said it, who is held to it by h2.
    left: Option<u64>,
    /// Whether only trailers are left.
    has_data_ended: bool,
}

/// A body that did not come to its end.
#[derive(Debug, Error)]
pub(crate) enum BrokenBody {
    /// By HTTP/1.
    #[error("{0}")]
    Http1(#[source] hyper::Error),
    /// By HTTP/2; with the client's own reason, which members that speak HTTP/2 are told.
    #[error("{0}")]
    Http2(#[source] h2::Error),
    /// The client has stalled for too long.
    #[error("the client has stalled")]
    Stalled,
}

impl BrokenBody {
    /// What the stream below said of it: `TimedOut` and `InvalidData` are of those who read ahead of us.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        let cause = match self {
            Self::Http1(error) => error.source().and_then(|it| it.downcast_ref::<io::Error>()),
            Self::Http2(error) => error.get_io(),
            Self::Stalled => return io::ErrorKind::TimedOut,
        };
        cause.map_or(io::ErrorKind::Other, io::Error::kind)
    }
}

impl From<Incoming> for ClientBody {
    fn from(incoming: Incoming) -> Self {
        Self::Http1(incoming)
    }
}

impl StreamBody {
    /// The body of a request with these fields.
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        Self {
            stream,
            left: length.and_then(|length| grammar::length(length.as_bytes())),
            has_data_ended: false,
        }
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.has_data_ended {
            if let Some(data) = ready!(self.stream.poll_data(context)) {
                return Poll::Ready(Some(data.map(|data| self.take(data))));
            }
            self.has_data_ended = true;
        }
        let trailers = ready!(self.stream.poll_trailers(context));
        Poll::Ready(trailers.transpose().map(|it| it.map(Frame::trailers)))
    }

    fn take(&mut self, data: Bytes) -> Frame<Bytes> {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(data.len() as u64);
        }
        // Fails only for more than was received.
        let _ = self.stream.flow_control().release_capacity(data.len());
        Frame::data(data)
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(incoming) => Pin::new(incoming)
                .poll_frame(context)
                .map_err(BrokenBody::Http1),
            Self::Http2(body) => body.poll_frame(context).map_err(BrokenBody::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(incoming) => incoming.size_hint(),
            Self::Http2(body) if body.stream.is_end_stream() => SizeHint::with_exact(0),
            Self::Http2(body) => body
                .left
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
