//! An HTTP/2 connection multiplexed over one socket: one engine and many streams, for either role.
//!
//! One task owns the connection: it reads the socket, dispatches events, and writes. What a stream has received waits in its buffer
//! until the holder of the [`Stream`] takes it, bounded by the stream's flow-control window; that holder's task is woken when
//! something is received or more may be sent.

mod receive_buffer;
mod stream;
mod tunnel;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use equipoise_http::Head;
use equipoise_http::http1::Framing;
use equipoise_http::http2::{Connection, Event, Options, Role, SendError, StreamId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::receive_buffer::{ReceiveBuffers, ReceivedHead};
pub(crate) use self::stream::{Stream, StreamError};
use crate::wire::{Buffer, ByteCounter, MAX_COPIED, Readiness};

/// How many heads are kept for the next responses.
const MAX_SPARE_HEADS: usize = 64;

/// The largest head that is kept, in bytes.
const MAX_SPARE_HEAD_SIZE: usize = 16 * 1024;

/// A connection, as all of its streams share it.
pub(crate) type SharedMux<S, T> = Rc<RefCell<Mux<S, T>>>;

/// A connection of HTTP/2.
pub(crate) struct Mux<S, T> {
    socket: S,
    pub(crate) tally: T,
    pub(crate) engine: Connection,
    read_buffer: Buffer,
    streams: ReceiveBuffers,
    /// Heads for the next responses. They are passed on in their boxes, since they are large.
    #[expect(clippy::vec_box, reason = "what is moved to and fro is their boxes")]
    spare_heads: Vec<Box<Head>>,
    /// Bytes that were written to the socket.
    written: u64,
    /// Bytes consumed since the last event of a stream.
    used: usize,
    /// Whether the socket may hold back what was written.
    is_unflushed: bool,
    /// Whether the socket took no more when it was written to last.
    is_blocked: bool,
    /// The task that owns the connection, if others hold its streams: woken when there is something to write.
    owner: Option<Waker>,
    /// Whether that was woken, and has not been polled since.
    is_owner_woken: bool,
    /// Set when the connection is over.
    error: Option<StreamError>,
}

/// A stream, and the index of its buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamKey {
    id: StreamId,
    index: usize,
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: ByteCounter> Mux<S, T> {
    /// A new connection, of which `first` was read already.
    pub(crate) fn new(role: Role, options: Options, socket: S, tally: T, first: Vec<u8>) -> Self {
        tally.received(first.len());
        Self {
            socket,
            tally,
            engine: Connection::new(role, options, Instant::now().into_std()),
            read_buffer: Buffer::of(first),
            streams: ReceiveBuffers::default(),
            spare_heads: Vec::new(),
            written: 0,
            used: 0,
            is_unflushed: false,
            is_blocked: false,
            owner: None,
            is_owner_woken: false,
            error: None,
        }
    }

    pub(crate) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Why the connection is over, if it is.
    pub(crate) fn error(&self) -> Option<StreamError> {
        self.error
    }

    /// Reads what has come. 0 is the end of the stream.
    pub(crate) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_readable(context));
        let read = self.read_buffer.poll_read(&mut self.socket, context);
        if read.is_pending() {
            self.read_buffer.release();
        }
        let read = ready!(read)?;
        self.tally.received(read);
        Poll::Ready(Ok(read))
    }

    /// The next event that is not for the holder of a stream; [`Event::More`] if there is none. The heads of requests are in
    /// `head`.
    pub(crate) fn next(&mut self, now: Instant, head: &mut Box<Head>) -> Event {
        loop {
            let (used, event) =
                self.engine
                    .receive(self.read_buffer.unread(), now.into_std(), head);
            self.used += used;
            let told = self.dispatch(event, head);
            self.read_buffer.consume(used);
            if let Some(event) = told {
                return event;
            }
        }
    }

    /// Dispatches an event to the holder of its stream; returns others.
    fn dispatch(&mut self, event: Event, head: &mut Box<Head>) -> Option<Event> {
        match event {
            Event::Data {
                stream,
                range,
                ends,
            } => {
                let received = self.received();
                let payload = self.read_buffer.unread().get(range).unwrap_or_default();
                match self.streams.find(stream) {
                    Some(buffer) => {
                        buffer.received += received;
                        buffer.data.append(payload);
                        buffer.has_ended |= ends;
                        buffer.wake();
                    }
                    None => self.engine.consume(stream, payload.len()),
                }
            }
            Event::Trailers { stream } => {
                let received = self.received();
                if let Some(buffer) = self.streams.find(stream) {
                    buffer.received += received;
                    let spare_heads = self.spare_heads.pop().unwrap_or_default();
                    buffer.trailers = Some(std::mem::replace(head, spare_heads));
                    buffer.has_ended = true;
                    buffer.wake();
                }
            }
            Event::Interim { stream } => self.receive_head(stream, None, false, head),
            Event::Response {
                stream,
                response,
                ends,
            } => self.receive_head(stream, Some(response.framing), ends, head),
            Event::Reset { stream, code } => self.fail_stream(stream, StreamError::Reset(code)),
            Event::Refused {
                stream,
                violation,
                can_respond,
            } => {
                if can_respond && self.streams.find(stream).is_none() {
                    return Some(event);
                }
                self.fail_stream(stream, StreamError::Violation(violation));
            }
            Event::Over(error) => {
                self.fail(StreamError::Connection(error));
                return Some(event);
            }
            Event::More => {
                // Frames that were no event of a stream were the connection's.
                if self.engine.incomplete_since().is_none() {
                    self.used = 0;
                }
                return Some(event);
            }
            Event::Request { .. } | Event::GoAway { .. } | Event::Pong(_) => return Some(event),
        }
        None
    }

    fn receive_head(
        &mut self,
        stream: StreamId,
        framing: Option<Framing>,
        ends: bool,
        head: &mut Box<Head>,
    ) {
        let received = self.received();
        let Some(buffer) = self.streams.find(stream) else {
            return;
        };
        let spare_heads = self.spare_heads.pop().unwrap_or_default();
        buffer.received += received;
        buffer.heads.push_back(ReceivedHead {
            head: std::mem::replace(head, spare_heads),
            framing,
        });
        buffer.has_ended |= ends;
        buffer.drop_old_interims();
        buffer.wake();
    }

    /// The bytes of an event: those consumed since the last one, the connection's among them.
    fn received(&mut self) -> u64 {
        std::mem::take(&mut self.used) as u64
    }

    fn fail_stream(&mut self, id: StreamId, error: StreamError) {
        if let Some(buffer) = self.streams.find(id) {
            buffer.fail(error);
        }
    }

    /// The connection is over: fails all streams.
    pub(crate) fn fail(&mut self, error: StreamError) {
        self.error.get_or_insert(error);
        self.streams.fail(error);
    }

    /// Wakes the streams whose turn it is to send.
    pub(crate) fn wake_senders(&mut self) {
        while let Some(id) = self.engine.next_writable() {
            if let Some(buffer) = self.streams.find(id) {
                buffer.wake();
            }
        }
    }

    /// Writes all that is queued.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.engine.output().is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(context, self.engine.output());
            self.is_blocked = written.is_pending();
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.engine.record_written(written);
                    self.record_written(written);
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

    fn record_written(&mut self, bytes: usize) {
        self.is_unflushed = true;
        self.written += bytes as u64;
        self.tally.sent(bytes);
    }

    /// Bytes that were written to the socket.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that were written to the socket or are queued.
    pub(crate) fn queued(&self) -> u64 {
        self.written + self.engine.output().len() as u64
    }

    /// Registers the task that owns the connection, to be woken when a stream has something to write. It writes all of it before
    /// it waits again.
    pub(crate) fn register_owner(&mut self, context: &mut Context<'_>) {
        self.is_owner_woken = false;
        receive_buffer::store_waker(&mut self.owner, context);
    }

    /// Wakes the task that owns the connection if something is to be written.
    pub(crate) fn wake_owner(&mut self) {
        let is_needed = self.is_unflushed || !self.engine.output().is_empty();
        if is_needed
            && !self.is_owner_woken
            && let Some(owner) = &self.owner
        {
            self.is_owner_woken = true;
            owner.wake_by_ref();
        }
    }

    /// Sends payload of a stream; says how much was taken. A large piece is written without a copy, unless the socket is full: then
    /// the owner waits for that, and only one task can.
    fn send(
        &mut self,
        id: StreamId,
        payload: &[u8],
        ends: bool,
        context: &mut Context<'_>,
    ) -> Result<usize, SendError> {
        if payload.len() <= MAX_COPIED || self.is_blocked {
            return self.engine.send_data(id, payload, ends);
        }
        let (socket, mut written) = (&mut self.socket, 0);
        let write = |slices: &[IoSlice<'_>]| {
            // An error comes again when the rest is written.
            if let Poll::Ready(Ok(bytes)) = Pin::new(socket).poll_write_vectored(context, slices) {
                written = bytes;
            }
            written
        };
        let taken = self.engine.send_data_by(id, payload, ends, write);
        if written > 0 {
            self.record_written(written);
        }
        taken
    }

    /// Buffers what a stream receives from now on, for the [`Stream`] made with this key.
    pub(crate) fn register(&mut self, id: StreamId) -> StreamKey {
        let index = self.streams.register(id, self.error);
        StreamKey { id, index }
    }

    /// Keeps a head for the next response, unless it is large.
    fn recycle_head(&mut self, head: Box<Head>) {
        if self.spare_heads.len() < MAX_SPARE_HEADS && head.capacity() <= MAX_SPARE_HEAD_SIZE {
            self.spare_heads.push(head);
        }
    }

    /// Frees memory that is not needed while the connection is idle.
    pub(crate) fn shrink(&mut self) {
        self.engine.shrink();
        self.read_buffer.release();
        if self.streams.is_empty() {
            self.streams = ReceiveBuffers::default();
            self.spare_heads = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
