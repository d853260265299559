//! A member's connection of AJP/1.3: one request at a time, written and read by the task that serves the request.
//!
//! What is sent of a request's body depends on what is read: but for the first chunk of a body whose length is known, the
//! container [asks](Event::BodyWanted) for each. So the side that sends reads, too, while it waits for that; what else it finds is
//! kept for the side that reads ([`Next`]).

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use equipoise_balancer::Counters;
use equipoise_http::ajp::{Event, PING, ResponseReader, max_chunk, write_chunk};
use equipoise_http::http1::Framing;
use equipoise_http::{Edit, Head, Limits, Violation};

use super::connection::ByteCounts;
use super::member_wire::{MemberTally, MemberWire, NotIdle};
use super::stream::MemberStream;
use crate::body_frame::BodyFrame;
use crate::error::MemberError;
use crate::upstream::Origin;

/// Waiting to be written, so many bytes are written before there are more.
const MAX_WAITING: usize = 16 * 1024;

/// A connection to a container.
pub(crate) struct Ajp {
    wire: MemberWire,
    reader: ResponseReader,
    max_packet: usize,
    /// What it had carried before the request under way.
    before: ByteCounts,
    body: Outgoing,
    /// What has been read and not been told.
    next: Option<Next>,
    /// The head that is [next](Next::Head).
    head: Box<Head>,
    /// Payload at the front of the read buffer, in bytes.
    payload: usize,
}

/// What comes from a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A head; it may be an interim one.
    Head,
    /// Payload.
    Data,
    /// The end of the response.
    End,
    /// The container waits for a chunk of the request's body.
    Wanted,
    /// It is there.
    Pong,
}

/// A request's body on its way.
#[derive(Debug, Clone, Copy, Default)]
struct Outgoing {
    /// Where it is known, what is left of it, in bytes.
    left: Option<u64>,
    /// The container waits for a chunk, of so many bytes at most.
    wanted: Option<usize>,
    /// Whether there is no more of it.
    is_over: bool,
    /// Whether the container was told so.
    has_told_end: bool,
}

impl Ajp {
    pub(super) fn new(
        stream: MemberStream,
        counters: Arc<Counters>,
        limits: Limits,
        max_packet: usize,
    ) -> Self {
        Self {
            wire: MemberWire::new(stream, MemberTally::new(counters), Vec::new()),
            reader: ResponseReader::new(limits, max_packet),
            max_packet,
            before: ByteCounts::default(),
            body: Outgoing::default(),
            next: None,
            head: Box::default(),
            payload: 0,
        }
    }

    /// What it has carried of the request under way.
    pub(super) fn request_byte_counts(&self) -> ByteCounts {
        self.wire.byte_counts_since(self.before)
    }

    /// Whether the exchange is over and another may follow: the response has ended, and the container waits for nothing. What it
    /// has not asked for of the request, it does not want.
    pub(super) fn is_reusable(&self) -> bool {
        self.body.wanted.is_none()
            && self.wire.is_flushed()
            && self.next.is_none()
            && self.reader.is_reusable()
            && self.wire.read_buffer.is_empty()
    }

    /// Whether something has come behind the response.
    pub(super) fn has_more(&self) -> bool {
        !self.wire.read_buffer.is_empty() && self.reader.is_reusable()
    }

    /// See [`MemberWire::check_idle`].
    pub(super) fn check_idle(&mut self) -> Result<(), NotIdle> {
        self.wire.check_idle()
    }

    /// Gives its buffers back: nothing is under way.
    pub(super) fn release_buffers(&mut self) {
        self.wire.release();
    }

    /// Ready when the container has said that it is there.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) async fn ping(&mut self) -> Result<(), MemberError> {
        self.reader.pinged();
        self.wire.write_buffer.append(&PING);
        let mut head = Box::default();
        poll_fn(|context| {
            ready!(self.wire.poll_flush(context)).map_err(MemberError::Io)?;
            match ready!(self.poll_next(context, &mut head))? {
                Next::Pong => Poll::Ready(Ok(())),
                _ => Poll::Ready(Err(MemberError::Violation(Violation::AjpPacket))),
            }
        })
        .await
    }

    /// Begins a request, with a body that ends like this.
    ///
    /// # Errors
    /// It cannot be said in a packet; nothing is sent.
    pub(super) fn begin(
        &mut self,
        head: &Head,
        edit: &Edit,
        framing: Framing,
        origin: &Origin<'_>,
    ) -> Result<(), Violation> {
        self.before = self.wire.byte_counts();
        let out = self.wire.write_buffer.vec();
        origin.write(head, edit, self.max_packet, out)?;
        self.reader.expect_response_to(head.method());
        self.body = Outgoing::new(framing, max_chunk(self.max_packet));
        Ok(())
    }

    /// Takes payload of the request, where the container waits for some.
    pub(super) fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, MemberError>> {
        loop {
            if self.wire.write_buffer.len() > MAX_WAITING {
                ready!(self.wire.poll_flush(context)).map_err(MemberError::Io)?;
            }
            if let Some(wanted) = self.body.wanted {
                let chunk = &payload[..payload.len().min(wanted)];
                self.body.take(chunk.len()).map_err(MemberError::Io)?;
                write_chunk(chunk, self.wire.write_buffer.vec());
                return Poll::Ready(Ok(chunk.len()));
            }
            ready!(self.wire.poll_flush(context)).map_err(MemberError::Io)?;
            ready!(self.poll_wanted(context))?;
        }
    }

    /// Ready when the container waits for a chunk. What comes before that is kept, and ends the wait.
    fn poll_wanted(&mut self, context: &mut Context<'_>) -> Poll<Result<(), MemberError>> {
        if self.next.is_some() || self.payload > 0 {
            return Poll::Pending;
        }
        let mut head = std::mem::take(&mut self.head);
        let polled = self.poll_next(context, &mut head);
        self.head = head;
        match ready!(polled)? {
            Next::Wanted => Poll::Ready(Ok(())),
            next => {
                self.next = Some(next);
                // Those who take it may have been asked before.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// The request is over.
    ///
    /// # Errors
    /// There was less of it than its length says.
    pub(super) fn end(&mut self) -> Result<(), MemberError> {
        if self.body.left.is_some_and(|left| left > 0) {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "less than Content-Length");
            return Err(MemberError::Io(error));
        }
        self.body.is_over = true;
        self.tell_end();
        Ok(())
    }

    /// Tells a container that waits for more that there is none.
    fn tell_end(&mut self) {
        if self.body.is_over && self.body.wanted.take().is_some() {
            self.body.has_told_end = true;
            write_chunk(&[], self.wire.write_buffer.vec());
        }
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(context)
    }

    /// The next head of the response; interim ones come first.
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Box<Head>,
    ) -> Poll<Result<(), MemberError>> {
        match ready!(self.poll_response(context, head))? {
            Next::Head => Poll::Ready(Ok(())),
            // The reader refuses what comes before a head.
            _ => Poll::Ready(Err(MemberError::Violation(Violation::AjpPacket))),
        }
    }

    /// Where the body of the response ends.
    pub(super) fn framing(&self) -> Framing {
        self.reader.framing()
    }

    pub(super) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<BodyFrame, MemberError>> {
        if self.payload > 0 {
            self.next = None;
            return Poll::Ready(Ok(BodyFrame::Data));
        }
        let mut head = std::mem::take(&mut self.head);
        let polled = self.poll_response(context, &mut head);
        self.head = head;
        Poll::Ready(match ready!(polled)? {
            Next::Data => Ok(BodyFrame::Data),
            Next::End => Ok(BodyFrame::End),
            _ => Err(MemberError::Violation(Violation::AjpPacket)),
        })
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.wire.read_buffer.unread()[..self.payload]
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.payload -= bytes;
        self.wire.read_buffer.consume(bytes);
    }

    /// What comes next of the response.
    fn poll_response(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Box<Head>,
    ) -> Poll<Result<Next, MemberError>> {
        if let Some(next) = self.next.take() {
            if next == Next::Head {
                std::mem::swap(head, &mut self.head);
            }
            return Poll::Ready(Ok(next));
        }
        loop {
            match ready!(self.poll_next(context, head))? {
                // The side that sends may have been asked before.
                Next::Wanted => context.waker().wake_by_ref(),
                next => return Poll::Ready(Ok(next)),
            }
        }
    }

    /// What comes next, of whatever kind.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Head,
    ) -> Poll<Result<Next, MemberError>> {
        loop {
            let (used, event) = self.reader.read(self.wire.read_buffer.unread(), head);
            let next = match event {
                Event::Data(data) => {
                    self.wire.read_buffer.consume(data.start);
                    self.payload = data.len();
                    return Poll::Ready(Ok(Next::Data));
                }
                Event::Interim | Event::Head => Some(Next::Head),
                Event::End => Some(Next::End),
                Event::Pong => Some(Next::Pong),
                Event::Refused(violation) => {
                    return Poll::Ready(Err(MemberError::Violation(violation)));
                }
                Event::BodyWanted(bytes) => {
                    self.body.ask(bytes.min(max_chunk(self.max_packet)))?;
                    self.tell_end();
                    // One that was told that there is no more waits no longer.
                    self.body.wanted.map(|_| Next::Wanted)
                }
                Event::More => None,
            };
            self.wire.read_buffer.consume(used);
            if let Some(next) = next {
                return Poll::Ready(Ok(next));
            }
            if event != Event::More {
                continue;
            }
            if !self.wire.is_flushed() {
                // It goes on when the task is woken; the side that sends sees what goes wrong.
                let _ = self.wire.poll_flush(context);
            }
            ready!(self.wire.poll_more(context, true))?;
        }
    }
}

impl Outgoing {
    /// A body that ends like this; the container waits for the first chunk of one whose length is known.
    fn new(framing: Framing, max_chunk: usize) -> Self {
        let left = match framing {
            Framing::Length(length) => Some(length),
            Framing::None => Some(0),
            Framing::Chunked | Framing::Close | Framing::Tunnel => None,
        };
        Self {
            left,
            wanted: left.filter(|&left| left > 0).map(|_| max_chunk),
            is_over: left == Some(0),
            has_told_end: false,
        }
    }

    /// The container asks for a chunk.
    ///
    /// # Errors
    /// It waits for one already, or was told that there is none.
    fn ask(&mut self, bytes: usize) -> Result<(), MemberError> {
        if bytes == 0 || self.has_told_end || self.wanted.is_some() {
            let what = "the request's body was asked for out of turn";
            return Err(MemberError::Invalid(what));
        }
        self.wanted = Some(bytes);
        Ok(())
    }

    /// A chunk goes to the container.
    ///
    /// # Errors
    /// There is more than its length says.
    fn take(&mut self, bytes: usize) -> io::Result<()> {
        if let Some(left) = &mut self.left {
            let less = left.checked_sub(bytes as u64);
            *left = less.ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "more than Content-Length")
            })?;
        }
        self.wanted = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
