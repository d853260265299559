//! One stream of a connection, as the one who serves it holds it, or who has asked by it.

use std::task::{Context, Poll};

use equipoise_http::http1::Framing;
use equipoise_http::http2::{Connection, ConnectionError, ErrorCode, StreamId, Unsent};
use equipoise_http::{Fields, Head, Violation};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Held, Shared};
use crate::forward::Piece;
use crate::wire::{Buffer, Readiness, Tally};

/// Why nothing more comes or leaves by a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum StreamFault {
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
    #[error("nothing came or left for too long")]
    TimedOut,
    /// The connection was closed, or broke.
    #[error("the connection was closed")]
    Closed,
}

/// One stream, held by the one who serves it or has asked by it. Dropped before its end, it is reset.
pub(crate) struct Stream<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: Tally> {
    mux: Shared<S, T>,
    id: StreamId,
    pub(super) place: usize,
    /// What was taken of what has come, and not used yet.
    data: Buffer,
    trailers: Option<Box<Head>>,
    /// Whether everything has come.
    has_come: bool,
    /// Whether the end was sent.
    has_sent: bool,
    /// Bytes that were to be written for it, with their framing.
    sent: u64,
    /// What the peer is told if it ends before its end.
    code: ErrorCode,
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: Tally> Stream<S, T> {
    /// A stream that has begun; `has_come` says that all of the peer's message has come, `has_sent` that all of ours was sent.
    /// Dropped before its end, it is reset with this code.
    pub(crate) fn new(
        mux: Shared<S, T>,
        held: Held,
        has_come: bool,
        has_sent: bool,
        code: ErrorCode,
    ) -> Self {
        let Held { id, place } = held;
        Self {
            mux,
            id,
            place,
            data: Buffer::default(),
            trailers: None,
            has_come,
            has_sent,
            sent: 0,
            code,
        }
    }

    /// What becomes of a step that the engine takes for this stream.
    pub(crate) fn with<R>(&mut self, step: impl FnOnce(&mut Connection, StreamId) -> R) -> R {
        let mut mux = self.mux.borrow_mut();
        let before = mux.queued();
        let result = step(&mut mux.engine, self.id);
        self.sent += mux.queued() - before;
        mux.touch();
        result
    }

    /// Sends the head of our message, as `step` does; `ends` says that nothing follows.
    pub(crate) fn begin(
        &mut self,
        step: impl FnOnce(&mut Connection, StreamId) -> Result<(), Unsent>,
        ends: bool,
    ) -> Result<(), Unsent> {
        self.has_sent = ends;
        self.with(step)
    }

    /// Bytes that were to be written for it since it is held, and that have come by it, both with their framing. What came of the
    /// connection itself in between is with them.
    pub(crate) fn carried(&self) -> (u64, u64) {
        let mux = self.mux.borrow();
        let inbound = mux.streams.at(self.place);
        (self.sent, inbound.map_or(0, |it| it.received))
    }

    /// The next head of the response; interim ones come first.
    pub(crate) fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Box<Head>,
    ) -> Poll<Result<Option<Framing>, StreamFault>> {
        let mut mux = self.mux.borrow_mut();
        let Some(inbound) = mux.streams.at_mut(self.place) else {
            return Poll::Ready(Err(StreamFault::Closed));
        };
        if let Some(answer) = inbound.answers.pop_front() {
            mux.keep_spare(std::mem::replace(head, answer.head));
            return Poll::Ready(Ok(answer.framing));
        }
        if let Some(fault) = inbound.fault {
            return Poll::Ready(Err(fault));
        }
        inbound.register(context);
        Poll::Pending
    }

    /// What comes next of the body. Payload is taken before this is asked again.
    pub(crate) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Piece, StreamFault>> {
        if !self.data.is_empty() {
            return Poll::Ready(Ok(Piece::Data));
        }
        if self.has_come {
            return Poll::Ready(Ok(Piece::End));
        }
        let mut mux = self.mux.borrow_mut();
        let Some(inbound) = mux.streams.at_mut(self.place) else {
            return Poll::Ready(Err(StreamFault::Closed));
        };
        std::mem::swap(&mut self.data, &mut inbound.data);
        if !self.data.is_empty() {
            return Poll::Ready(Ok(Piece::Data));
        }
        if inbound.has_ended {
            self.has_come = true;
            self.trailers = inbound.trailers.take();
            return Poll::Ready(Ok(match &self.trailers {
                Some(_) => Piece::Trailers,
                None => Piece::End,
            }));
        }
        if let Some(fault) = inbound.fault {
            return Poll::Ready(Err(fault));
        }
        self.data.release();
        inbound.data.release();
        inbound.register(context);
        Poll::Pending
    }

    /// The payload that has come and is not taken yet.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        self.data.unread()
    }

    /// So many bytes of it are taken: the peer may send as many more.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.data.consume(bytes);
        self.with(|engine, id| engine.consume(id, bytes));
    }

    /// The trailers, once they have come.
    pub(crate) fn trailers(&self) -> &Fields {
        self.trailers.as_ref().map_or(Fields::EMPTY, |head| head)
    }

    /// Whether everything has come and was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.data.is_empty()
            && (self.has_come || {
                let mux = self.mux.borrow();
                let inbound = mux.streams.at(self.place);
                inbound
                    .is_some_and(|it| it.has_ended && it.data.is_empty() && it.trailers.is_none())
            })
    }

    /// Ready when nothing more comes or leaves, before its end.
    pub(crate) fn poll_fault(&mut self, context: &mut Context<'_>) -> Poll<StreamFault> {
        let mut mux = self.mux.borrow_mut();
        let Some(inbound) = mux.streams.at_mut(self.place) else {
            return Poll::Ready(StreamFault::Closed);
        };
        match inbound.fault {
            Some(fault) => Poll::Ready(fault),
            None => {
                inbound.register(context);
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
    ) -> Poll<Result<usize, StreamFault>> {
        let mut mux = self.mux.borrow_mut();
        if let Some(fault) = mux.over {
            return Poll::Ready(Err(fault));
        }
        let before = mux.queued();
        let taken = mux.send(self.id, payload, ends, context);
        self.sent += mux.queued() - before;
        mux.touch();
        let Some(inbound) = mux.streams.at_mut(self.place) else {
            return Poll::Ready(Err(StreamFault::Closed));
        };
        match taken {
            Err(_) => Poll::Ready(Err(inbound.fault.unwrap_or(StreamFault::Closed))),
            Ok(0) => {
                inbound.register(context);
                Poll::Pending
            }
            Ok(taken) => {
                self.has_sent |= ends && taken == payload.len();
                Poll::Ready(Ok(taken))
            }
        }
    }

    /// Sends the end, with trailers if there are some.
    pub(crate) fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Unsent> {
        if std::mem::replace(&mut self.has_sent, true) {
            return Ok(());
        }
        self.with(|engine, id| match trailers {
            Some(trailers) => engine.send_trailers(id, trailers),
            None => engine.send_data(id, &[], true).map(|_| ()),
        })
    }

    /// Ends it before its end; nothing more comes or leaves.
    pub(crate) fn reset(&mut self, code: ErrorCode) {
        self.with(|engine, id| engine.reset(id, code));
    }

    /// What the peer is told from now on if this is dropped before the stream's end.
    pub(crate) fn set_code(&mut self, code: ErrorCode) {
        self.code = code;
    }
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: Tally> Drop for Stream<S, T> {
    fn drop(&mut self) {
        let mut mux = self.mux.borrow_mut();
        mux.engine.reset(self.id, self.code);
        mux.touch();
        if let Some(head) = self.trailers.take() {
            mux.keep_spare(head);
        }
        mux.streams.release(self.place);
    }
}
