//! A member's connection of HTTP/1: one request at a time, written and read by the task that serves the request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use equipoise_balancer::Counters;
use equipoise_http::http1::{Framing, HeadEvent, Phase, ResponseReader};
use equipoise_http::{Edit, Fields, Head, Limits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::ByteCounts;
use super::member_wire::{MemberTally, MemberWire, NotIdle};
use super::stream::MemberStream;
use crate::body_frame::BodyFrame;
use crate::error::MemberError;
use crate::wire::BodyReader;

/// A connection to a member.
pub(crate) struct Http1 {
    wire: MemberWire,
    reader: ResponseReader,
    body: BodyReader,
    /// What it had carried before the request under way.
    before: ByteCounts,
    /// Whether the request under way is written whole.
    is_sent: bool,
    /// Whether nothing of the response is expected to have come, since it was not waited for yet.
    is_early: bool,
}

impl Http1 {
    pub(super) fn new(stream: MemberStream, counters: Arc<Counters>, limits: Limits) -> Self {
        Self {
            wire: MemberWire::new(stream, MemberTally::new(counters), Vec::new()),
            reader: ResponseReader::new(limits),
            body: BodyReader::default(),
            before: ByteCounts::default(),
            is_sent: true,
            is_early: false,
        }
    }

    /// What it has carried of the request under way.
    pub(super) fn request_byte_counts(&self) -> ByteCounts {
        self.wire.byte_counts_since(self.before)
    }

    /// Whether the exchange is over and another may follow.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_sent && self.reader.is_reusable() && self.wire.read_buffer.is_empty()
    }

    /// Whether something has come that is not used yet.
    pub(super) fn has_come(&self) -> bool {
        !self.wire.read_buffer.is_empty()
    }

    /// Whether something has come behind the response.
    pub(super) fn has_more(&self) -> bool {
        !self.wire.read_buffer.is_empty() && self.reader.phase() == Phase::Idle
    }

    /// See [`MemberWire::check_idle`].
    pub(super) fn check_idle(&mut self) -> Result<(), NotIdle> {
        self.wire.check_idle()
    }

    /// Gives its buffers back: nothing is under way.
    pub(super) fn release_buffers(&mut self) {
        self.wire.release();
    }

    /// Begins a request, with a body that ends like this.
    #[inline]
    pub(super) fn begin(&mut self, head: &Head, edit: &Edit, framing: Framing) {
        self.before = self.wire.byte_counts();
        self.is_sent = false;
        self.is_early = true;
        self.body.begin();
        self.reader.expect_response_to(head.method());
        edit.write(head, self.wire.write_buffer.vec());
        self.wire.begin_body(framing);
    }

    pub(super) fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_payload(context, payload)
    }

    pub(super) fn end(&mut self, trailers: Option<&Fields>) -> io::Result<()> {
        let ended = self.wire.end_body(trailers);
        ended.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_sent {
            ready!(self.wire.poll_flush(context))?;
            self.is_sent = self.wire.is_body_over();
        }
        Poll::Ready(Ok(()))
    }

    /// The next head of the response; interim ones come first.
    #[inline]
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Head,
    ) -> Poll<Result<(), MemberError>> {
        loop {
            if !self.wire.read_buffer.is_empty() {
                let (used, event) = self.reader.head(self.wire.read_buffer.unread(), head);
                self.wire.read_buffer.consume(used);
                match event {
                    HeadEvent::Head | HeadEvent::Interim => return Poll::Ready(Ok(())),
                    HeadEvent::Refused(violation) => {
                        return Poll::Ready(Err(MemberError::Violation(violation)));
                    }
                    HeadEvent::More => {}
                }
            }
            ready!(self.poll_more(context))?;
        }
    }

    /// Where the body of the response ends.
    pub(super) fn framing(&self) -> Framing {
        self.reader.framing()
    }

    #[inline]
    pub(super) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<BodyFrame, MemberError>> {
        loop {
            let reader = &mut self.reader;
            let read = |input: &[u8], trailers: &mut Fields| reader.body(input, trailers);
            if let Some(piece) = self.body.next(&mut self.wire.read_buffer, read) {
                return Poll::Ready(piece.map_err(MemberError::Violation));
            }
            match ready!(self.poll_more(context)) {
                Err(MemberError::Closed) if self.reader.end().is_ok() => {}
                more => more?,
            }
        }
    }

    #[inline]
    pub(super) fn payload(&self) -> &[u8] {
        self.body.payload(&self.wire.read_buffer)
    }

    #[inline]
    pub(super) fn consume(&mut self, bytes: usize) {
        self.body.consume(&mut self.wire.read_buffer, bytes);
    }

    pub(super) fn trailers(&self) -> &Fields {
        self.body.trailers()
    }

    #[inline]
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<(), MemberError>> {
        let is_early = std::mem::take(&mut self.is_early);
        self.wire.poll_more(context, is_early)
    }
}

/// What is read of a connection that has become a tunnel.
impl AsyncRead for Http1 {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.wire.poll_read(context, buffer)
    }
}

impl AsyncWrite for Http1 {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_write_raw(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire.stream).poll_shutdown(context)
    }
}
