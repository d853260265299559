//! A connection of HTTP/2: one socket, one engine, and many streams, for either role.
//!
//! One task owns the connection: it reads the socket, has events told, and writes what is to be written. What has come by a
//! stream waits here until those who hold its [`Stream`] take it, bounded by the stream's flow-control window; a stream is
//! woken when something has come or when it may send more.

mod inbound;
mod stream;
mod tunnel;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use equipoise_http::Head;
use equipoise_http::http1::Framing;
use equipoise_http::http2::{Connection, Event, Options, Role, StreamId, Unsent};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::inbound::{Answer, Inbounds};
pub(crate) use self::stream::{Stream, StreamFault};
use crate::wire::{Buffer, COPIED, Readiness, Tally};

/// Heads that are kept for the next responses, and how large one may be, in bytes.
const SPARE: usize = 64;
const LARGEST_SPARE: usize = 16 * 1024;

/// A connection, as all of its streams share it.
pub(crate) type Shared<S, T> = Rc<RefCell<Mux<S, T>>>;

/// A connection of HTTP/2.
pub(crate) struct Mux<S, T> {
    socket: S,
    pub(crate) tally: T,
    pub(crate) engine: Connection,
    inbox: Buffer,
    streams: Inbounds,
    /// Heads that are used up. They are handed on in their boxes, since they are large.
    #[expect(clippy::vec_box, reason = "what is moved to and fro is their boxes")]
    spare: Vec<Box<Head>>,
    /// Bytes that were written to the socket.
    written: u64,
    /// Bytes that were used up since the last event that was told of.
    used: usize,
    /// Whether the socket may hold back what was written.
    is_unflushed: bool,
    /// Whether the socket took no more when it was written to last.
    is_blocked: bool,
    /// The task that owns the connection, where others hold its streams: woken when there is something to write.
    owner: Option<Waker>,
    /// Whether that was woken, and has yet to look.
    is_owner_woken: bool,
    /// Set when the connection is over.
    over: Option<StreamFault>,
}

/// A stream, and where what comes by it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    id: StreamId,
    place: usize,
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: Tally> Mux<S, T> {
    /// A connection that begins now, of which these bytes have come.
    pub(crate) fn new(role: Role, options: Options, socket: S, tally: T, first: Vec<u8>) -> Self {
        tally.received(first.len());
        Self {
            socket,
            tally,
            engine: Connection::new(role, options, Instant::now().into_std()),
            inbox: Buffer::of(first),
            streams: Inbounds::default(),
            spare: Vec::new(),
            written: 0,
            used: 0,
            is_unflushed: false,
            is_blocked: false,
            owner: None,
            is_owner_woken: false,
            over: None,
        }
    }

    pub(crate) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Why nothing more comes or leaves, if so.
    pub(crate) fn over(&self) -> Option<StreamFault> {
        self.over
    }

    /// Reads what has come. 0 is the end of the stream.
    pub(crate) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_readable(context));
        let read = self.inbox.poll_read(&mut self.socket, context);
        if read.is_pending() {
            self.inbox.release();
        }
        let read = ready!(read)?;
        self.tally.received(read);
        Poll::Ready(Ok(read))
    }

    /// What comes next that is not for the holder of a stream; [`Event::More`] where that is nothing. The heads of requests are in
    /// `head`.
    pub(crate) fn next(&mut self, now: Instant, head: &mut Box<Head>) -> Event {
        loop {
            let (used, event) = self
                .engine
                .receive(self.inbox.unread(), now.into_std(), head);
            self.used += used;
            let told = self.hand_over(event, head);
            self.inbox.consume(used);
            if let Some(event) = told {
                return event;
            }
        }
    }

    /// Hands what has come to the holder of its stream.
    fn hand_over(&mut self, event: Event, head: &mut Box<Head>) -> Option<Event> {
        match event {
            Event::Data {
                stream,
                range,
                ends,
            } => {
                let received = self.received();
                let payload = self.inbox.unread().get(range).unwrap_or_default();
                match self.streams.find(stream) {
                    Some(inbound) => {
                        inbound.received += received;
                        inbound.data.append(payload);
                        inbound.has_ended |= ends;
                        inbound.wake();
                    }
                    None => self.engine.consume(stream, payload.len()),
                }
            }
            Event::Trailers { stream } => {
                let received = self.received();
                if let Some(inbound) = self.streams.find(stream) {
                    inbound.received += received;
                    let spare = self.spare.pop().unwrap_or_default();
                    inbound.trailers = Some(std::mem::replace(head, spare));
                    inbound.has_ended = true;
                    inbound.wake();
                }
            }
            Event::Interim { stream } => self.answered(stream, None, false, head),
            Event::Response {
                stream,
                response,
                ends,
            } => self.answered(stream, Some(response.framing), ends, head),
            Event::Reset { stream, code } => self.fail_stream(stream, StreamFault::Reset(code)),
            Event::Refused {
                stream,
                violation,
                is_answerable,
            } => {
                if is_answerable && self.streams.find(stream).is_none() {
                    return Some(event);
                }
                self.fail_stream(stream, StreamFault::Violation(violation));
            }
            Event::Over(error) => {
                self.fail(StreamFault::Connection(error));
                return Some(event);
            }
            Event::More => {
                // What is whole and told of no stream was the connection's.
                if self.engine.incomplete_since().is_none() {
                    self.used = 0;
                }
                return Some(event);
            }
            Event::Request { .. } | Event::GoAway { .. } | Event::Pong(_) => return Some(event),
        }
        None
    }

    fn answered(
        &mut self,
        stream: StreamId,
        framing: Option<Framing>,
        ends: bool,
        head: &mut Box<Head>,
    ) {
        let received = self.received();
        let Some(inbound) = self.streams.find(stream) else {
            return;
        };
        let spare = self.spare.pop().unwrap_or_default();
        inbound.received += received;
        inbound.answers.push_back(Answer {
            head: std::mem::replace(head, spare),
            framing,
        });
        inbound.has_ended |= ends;
        inbound.forget_interims();
        inbound.wake();
    }

    /// The bytes of what is told: those that were used up since the last event, be some of them the connection's.
    fn received(&mut self) -> u64 {
        std::mem::take(&mut self.used) as u64
    }

    fn fail_stream(&mut self, id: StreamId, fault: StreamFault) {
        if let Some(inbound) = self.streams.find(id) {
            inbound.fail(fault);
        }
    }

    /// The connection is over: all who hold its streams are told.
    pub(crate) fn fail(&mut self, fault: StreamFault) {
        self.over.get_or_insert(fault);
        self.streams.fail(fault);
    }

    /// Wakes those whose turn it is to send.
    pub(crate) fn wake_senders(&mut self) {
        while let Some(id) = self.engine.next_writable() {
            if let Some(inbound) = self.streams.find(id) {
                inbound.wake();
            }
        }
    }

    /// Writes all that is to be written.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.engine.output().is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(context, self.engine.output());
            self.is_blocked = written.is_pending();
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.engine.note_written(written);
                    self.note_written(written);
                }
            }
        }
        if self.is_unflushed {
            let flushed = Pin::new(&mut self.socket).poll_flush(context);
            self.is_blocked = flushed.is_pending();
            ready!(flushed)?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn note_written(&mut self, bytes: usize) {
        self.is_unflushed = true;
        self.written += bytes as u64;
        self.tally.sent(bytes);
    }

    /// Bytes that were written to the socket.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that were to be written up to now, all in all.
    pub(crate) fn queued(&self) -> u64 {
        self.written + self.engine.output().len() as u64
    }

    /// Has the task that owns the connection woken when a stream's holder has something to write. It looks now, and has all of it
    /// written before it waits.
    pub(crate) fn own(&mut self, context: &mut Context<'_>) {
        self.is_owner_woken = false;
        inbound::keep(&mut self.owner, context);
    }

    /// Something may have to be written.
    pub(crate) fn touch(&mut self) {
        let is_needed = self.is_unflushed || !self.engine.output().is_empty();
        if is_needed
            && !self.is_owner_woken
            && let Some(owner) = &self.owner
        {
            self.is_owner_woken = true;
            owner.wake_by_ref();
        }
    }

    /// Sends payload of a stream; says how much was taken. A large piece is written from where it is, unless the socket is full:
    /// then its owner waits for that, whose place the holder of a stream must not take.
    fn send(
        &mut self,
        id: StreamId,
        payload: &[u8],
        ends: bool,
        context: &mut Context<'_>,
    ) -> Result<usize, Unsent> {
        if payload.len() <= COPIED || self.is_blocked {
            return self.engine.send_data(id, payload, ends);
        }
        let (socket, mut written) = (&mut self.socket, 0);
        let write = |slices: &[IoSlice<'_>]| {
            // What breaks here breaks again where the rest is written.
            if let Poll::Ready(Ok(bytes)) = Pin::new(socket).poll_write_vectored(context, slices) {
                written = bytes;
            }
            written
        };
        let taken = self.engine.send_data_by(id, payload, ends, write);
        if written > 0 {
            self.note_written(written);
        }
        taken
    }

    /// Has what comes by a stream kept from now on, for the [`Stream`] that is made of this.
    pub(crate) fn hold(&mut self, id: StreamId) -> Held {
        let place = self.streams.hold(id, self.over);
        Held { id, place }
    }

    /// Keeps the memory of a head that is used up, if it is not much.
    fn keep_spare(&mut self, head: Box<Head>) {
        if self.spare.len() < SPARE && head.capacity() <= LARGEST_SPARE {
            self.spare.push(head);
        }
    }

    /// Gives memory back that is not needed while nothing is under way.
    pub(crate) fn shrink(&mut self) {
        self.engine.shrink();
        self.inbox.release();
        if self.streams.is_empty() {
            self.streams = Inbounds::default();
            self.spare = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
