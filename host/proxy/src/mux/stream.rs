//! One stream of a connection, held by the task that serves it or that has sent a request on it.

use std::task::{Context, Poll};

use equipoise_http::http1::Framing;
use equipoise_http::http2::{Connection, ConnectionError, ErrorCode, SendError, StreamId};
use equipoise_http::{Fields, Head, Violation};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{SharedMux, StreamKey};
use crate::body_frame::BodyFrame;
use crate::wire::{Buffer, ByteCounter, Readiness};

/// Why a stream is over before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum StreamError {
    /// The peer has reset it.
    #[error("the stream was reset: {0}")]
    Reset(ErrorCode),
    /// The peer's message is malformed.
    #[error("{0}")]
    Violation(Violation),
    /// The peer has broken the rules of the connection.
    #[error("{0}")]
    Connection(ConnectionError),
    /// The peer has sent or taken nothing for too long.
    #[error("the connection timed out")]
    TimedOut,
    /// The connection was closed, or broke.
    #[error("the connection was closed")]
    Closed,
}

/// One stream. Dropped before its end, it is reset.
pub(crate) struct Stream<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: ByteCounter> {
    mux: SharedMux<S, T>,
    id: StreamId,
    pub(super) index: usize,
    /// Payload that was taken from the connection, and is not consumed yet.
    data: Buffer,
    trailers: Option<Box<Head>>,
    /// Whether the end was received and taken.
    is_received: bool,
    /// Whether the end was sent.
    is_sent: bool,
    /// Bytes queued for it, with their framing.
    sent: u64,
    /// The code to reset it with if it is dropped before its end.
    code: ErrorCode,
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: ByteCounter> Stream<S, T> {
    /// A stream that has begun; `is_received` says that all of the peer's message was received, `is_sent` that all of ours was
    /// sent. Dropped before its end, it is reset with this code.
    pub(crate) fn new(
        mux: SharedMux<S, T>,
        key: StreamKey,
        is_received: bool,
        is_sent: bool,
        code: ErrorCode,
    ) -> Self {
        let StreamKey { id, index } = key;
        Self {
            mux,
            id,
            index,
            data: Buffer::default(),
            trailers: None,
            is_received,
            is_sent,
            sent: 0,
            code,
        }
    }

    /// Runs a step of the engine for this stream; counts the bytes it queues.
    pub(crate) fn with<R>(&mut self, step: impl FnOnce(&mut Connection, StreamId) -> R) -> R {
        let mut mux = self.mux.borrow_mut();
        let before = mux.queued();
        let result = step(&mut mux.engine, self.id);
        self.sent += mux.queued() - before;
        mux.wake_owner();
        result
    }

    /// Sends the head of our message, as `step` does; `ends` says that nothing follows.
    pub(crate) fn begin(
        &mut self,
        step: impl FnOnce(&mut Connection, StreamId) -> Result<(), SendError>,
        ends: bool,
    ) -> Result<(), SendError> {
        self.is_sent = ends;
        self.with(step)
    }

    /// Bytes sent and received, both with their framing. Frames of the connection itself in between count with those received.
    pub(crate) fn byte_counts(&self) -> (u64, u64) {
        let mux = self.mux.borrow();
        let buffer = mux.streams.at(self.index);
        (self.sent, buffer.map_or(0, |it| it.received))
    }

    /// The next head of the response; interim ones come first.
    pub(crate) fn poll_response(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Box<Head>,
    ) -> Poll<Result<Option<Framing>, StreamError>> {
        let mut mux = self.mux.borrow_mut();
        let Some(buffer) = mux.streams.at_mut(self.index) else {
            return Poll::Ready(Err(StreamError::Closed));
        };
        if let Some(received) = buffer.heads.pop_front() {
            mux.recycle_head(std::mem::replace(head, received.head));
            return Poll::Ready(Ok(received.framing));
        }
        if let Some(error) = buffer.error {
            return Poll::Ready(Err(error));
        }
        buffer.register(context);
        Poll::Pending
    }

    /// What comes next of the body. Payload is to be consumed before the next call.
    pub(crate) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<BodyFrame, StreamError>> {
        if !self.data.is_empty() {
            return Poll::Ready(Ok(BodyFrame::Data));
        }
        if self.is_received {
            return Poll::Ready(Ok(BodyFrame::End));
        }
        let mut mux = self.mux.borrow_mut();
        let Some(buffer) = mux.streams.at_mut(self.index) else {
            return Poll::Ready(Err(StreamError::Closed));
        };
        std::mem::swap(&mut self.data, &mut buffer.data);
        if !self.data.is_empty() {
            return Poll::Ready(Ok(BodyFrame::Data));
        }
        if buffer.has_ended {
            self.is_received = true;
            self.trailers = buffer.trailers.take();
            return Poll::Ready(Ok(match &self.trailers {
                Some(_) => BodyFrame::Trailers,
                None => BodyFrame::End,
            }));
        }
        if let Some(error) = buffer.error {
            return Poll::Ready(Err(error));
        }
        self.data.release();
        buffer.data.release();
        buffer.register(context);
        Poll::Pending
    }

    /// The payload that is not consumed yet.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        self.data.unread()
    }

    /// Consumes so many bytes of it: the peer may send as many more.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.data.consume(bytes);
        self.with(|engine, id| engine.consume(id, bytes));
    }

    /// The trailers, once they have come.
    pub(crate) fn trailers(&self) -> &Fields {
        self.trailers.as_ref().map_or(Fields::EMPTY, |head| head)
    }

    /// Whether everything was received and taken.
    pub(crate) fn is_over(&self) -> bool {
        self.data.is_empty()
            && (self.is_received || {
                let mux = self.mux.borrow();
                let buffer = mux.streams.at(self.index);
                buffer.is_some_and(|it| it.has_ended && it.data.is_empty() && it.trailers.is_none())
            })
    }

    /// Ready when the stream fails before its end.
    pub(crate) fn poll_error(&mut self, context: &mut Context<'_>) -> Poll<StreamError> {
        let mut mux = self.mux.borrow_mut();
        let Some(buffer) = mux.streams.at_mut(self.index) else {
            return Poll::Ready(StreamError::Closed);
        };
        match buffer.error {
            Some(error) => Poll::Ready(error),
            None => {
                buffer.register(context);
                Poll::Pending
            }
        }
    }

    /// Sends payload, at least a byte of it; `ends` says that nothing follows.
    pub(crate) fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
        ends: bool,
    ) -> Poll<Result<usize, StreamError>> {
        let mut mux = self.mux.borrow_mut();
        if let Some(error) = mux.error {
            return Poll::Ready(Err(error));
        }
        let before = mux.queued();
        let taken = mux.send(self.id, payload, ends, context);
        self.sent += mux.queued() - before;
        mux.wake_owner();
        let Some(buffer) = mux.streams.at_mut(self.index) else {
            return Poll::Ready(Err(StreamError::Closed));
        };
        match taken {
            Err(_) => Poll::Ready(Err(buffer.error.unwrap_or(StreamError::Closed))),
            Ok(0) => {
                buffer.register(context);
                Poll::Pending
            }
            Ok(taken) => {
                self.is_sent |= ends && taken == payload.len();
                Poll::Ready(Ok(taken))
            }
        }
    }

    /// Sends the end, with trailers if there are some.
    pub(crate) fn end(&mut self, trailers: Option<&Fields>) -> Result<(), SendError> {
        if std::mem::replace(&mut self.is_sent, true) {
            return Ok(());
        }
        self.with(|engine, id| match trailers {
            Some(trailers) => engine.send_trailers(id, trailers),
            None => engine.send_data(id, &[], true).map(|_| ()),
        })
    }

    /// Resets it; nothing more is received or sent.
    pub(crate) fn reset(&mut self, code: ErrorCode) {
        self.with(|engine, id| engine.reset(id, code));
    }

    /// The code to reset it with from now on if it is dropped before its end.
    pub(crate) fn set_reset_code(&mut self, code: ErrorCode) {
        self.code = code;
    }
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: ByteCounter> Drop for Stream<S, T> {
    fn drop(&mut self) {
        let mut mux = self.mux.borrow_mut();
        mux.engine.reset(self.id, self.code);
        mux.wake_owner();
        if let Some(head) = self.trailers.take() {
            mux.recycle_head(head);
        }
        mux.streams.release(self.index);
    }
}
