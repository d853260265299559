//! A connection of HTTP/2: one socket, one engine, and many streams, for either role.
//!
//! One task owns the connection: it reads the socket, has events told, and writes what is to be written. What has come by a
//! stream waits here until those who hold its [`Stream`] take it, bounded by the stream's flow-control window; a stream is
//! woken when something has come or when it may send more.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use equipoise_http::http1::Framing;
use equipoise_http::http2::{
    Connection, ConnectionError, ErrorCode, Event, Options, Role, StreamId, Unsent,
};
use equipoise_http::{Fields, Head, Violation};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::proxy::Piece;
use crate::wire::{Buffer, COPIED, Readiness, Tally};

/// Heads that are kept for the next responses, and how large one may be, in bytes.
const SPARE: usize = 16;
const LARGEST_SPARE: usize = 16 * 1024;

/// Memory that heads of interim responses may hold which wait to be taken from one stream, in bytes. Beyond it, the oldest are of
/// no use any more.
const WAITING: usize = 64 * 1024;

/// A connection, as all of its streams share it.
pub(crate) type Shared<S, T> = Rc<RefCell<Mux<S, T>>>;

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

/// The head of a response that has come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    /// Where its body ends; `None` of an interim response.
    pub(crate) framing: Option<Framing>,
}

/// A connection of HTTP/2.
pub(crate) struct Mux<S, T> {
    socket: S,
    pub(crate) tally: T,
    pub(crate) engine: Connection,
    inbox: Buffer,
    streams: Vec<Inbound>,
    /// Places in `streams` that are free.
    free: Vec<usize>,
    /// Places in `streams`, by the engine's slots.
    places: Vec<usize>,
    /// Heads that are used up.
    spare: Vec<Head>,
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

/// What has come by a stream and was not taken yet.
#[derive(Default)]
struct Inbound {
    /// Of the stream; `None` where the place is free.
    id: Option<StreamId>,
    answers: VecDeque<Answer>,
    data: Buffer,
    trailers: Fields,
    /// Bytes that have come by the stream, with their framing.
    received: u64,
    /// Whether nothing follows.
    has_ended: bool,
    fault: Option<StreamFault>,
    /// Of the task that holds the stream.
    waker: Option<Waker>,
    /// Whether that waits for something.
    is_awaited: bool,
}

impl Inbound {
    fn wake(&mut self) {
        if std::mem::take(&mut self.is_awaited)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    fn register(&mut self, context: &mut Context<'_>) {
        self.is_awaited = true;
        keep(&mut self.waker, context);
    }

    fn fail(&mut self, fault: StreamFault) {
        self.fault.get_or_insert(fault);
        self.wake();
    }

    /// Forgets interim responses if they hold too much.
    fn forget_interims(&mut self) {
        if self.answers.len() < 2 {
            return;
        }
        let held = self.answers.iter().map(|answer| answer.head.capacity());
        let mut held: usize = held.sum();
        while held > WAITING && self.answers.len() > 1 {
            let oldest = self.answers.pop_front();
            held -= oldest.map_or(0, |answer| answer.head.capacity());
        }
    }
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
            streams: Vec::new(),
            free: Vec::new(),
            places: Vec::new(),
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
    pub(crate) fn next(&mut self, now: Instant, head: &mut Head) -> Event {
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
    fn hand_over(&mut self, event: Event, head: &mut Head) -> Option<Event> {
        match event {
            Event::Data {
                stream,
                range,
                ends,
            } => {
                let received = self.received();
                let payload = self.inbox.unread().get(range).unwrap_or_default();
                match find(&mut self.streams, &self.places, stream) {
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
                if let Some(inbound) = self.find(stream) {
                    inbound.received += received;
                    std::mem::swap(&mut inbound.trailers, &mut **head);
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
                if is_answerable && self.find(stream).is_none() {
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
        head: &mut Head,
    ) {
        let received = self.received();
        let spare = self.spare.pop().unwrap_or_default();
        let Some(inbound) = find(&mut self.streams, &self.places, stream) else {
            return self.spare.push(spare);
        };
        inbound.received += received;
        inbound.answers.push_back(Answer {
            head: std::mem::replace(head, spare),
            framing,
        });
        inbound.has_ended |= ends;
        inbound.forget_interims();
        inbound.wake();
    }

    fn find(&mut self, id: StreamId) -> Option<&mut Inbound> {
        find(&mut self.streams, &self.places, id)
    }

    /// The bytes of what is told: those that were used up since the last event, be some of them the connection's.
    fn received(&mut self) -> u64 {
        std::mem::take(&mut self.used) as u64
    }

    fn fail_stream(&mut self, id: StreamId, fault: StreamFault) {
        if let Some(inbound) = self.find(id) {
            inbound.fail(fault);
        }
    }

    /// The connection is over: all who hold its streams are told.
    pub(crate) fn fail(&mut self, fault: StreamFault) {
        self.over.get_or_insert(fault);
        for inbound in self.streams.iter_mut().filter(|it| it.id.is_some()) {
            inbound.fail(fault);
        }
    }

    /// Wakes those whose turn it is to send.
    pub(crate) fn wake_senders(&mut self) {
        while let Some(id) = self.engine.next_writable() {
            if let Some(inbound) = self.find(id) {
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
        keep(&mut self.owner, context);
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

    /// A place for a stream.
    fn place(&mut self, id: StreamId) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.streams.push(Inbound::default());
            self.streams.len() - 1
        });
        if let Some(inbound) = self.streams.get_mut(place) {
            inbound.id = Some(id);
            inbound.fault = self.over;
        }
        let slot = id.slot();
        if self.places.len() <= slot {
            self.places.resize(slot + 1, usize::MAX);
        }
        if let Some(known) = self.places.get_mut(slot) {
            *known = place;
        }
        place
    }

    /// The stream at this place is held no more.
    fn vacate(&mut self, place: usize) {
        let Some(inbound) = self.streams.get_mut(place) else {
            return;
        };
        inbound.id = None;
        inbound.answers.clear();
        inbound.data.clear();
        inbound.trailers.clear();
        inbound.received = 0;
        inbound.has_ended = false;
        inbound.fault = None;
        inbound.waker = None;
        inbound.is_awaited = false;
        self.free.push(place);
    }

    /// Gives memory back that is not needed while nothing is under way.
    pub(crate) fn shrink(&mut self) {
        self.engine.shrink();
        self.inbox.release();
        if self.free.len() == self.streams.len() {
            self.streams = Vec::new();
            self.free = Vec::new();
            self.places = Vec::new();
            self.spare = Vec::new();
        }
    }
}

/// Keeps the waker of the task that polls.
fn keep(kept: &mut Option<Waker>, context: &mut Context<'_>) {
    match kept {
        Some(waker) => waker.clone_from(context.waker()),
        None => *kept = Some(context.waker().clone()),
    }
}

/// What has come by a stream that is held.
fn find<'s>(streams: &'s mut [Inbound], places: &[usize], id: StreamId) -> Option<&'s mut Inbound> {
    let inbound = streams.get_mut(*places.get(id.slot())?)?;
    (inbound.id == Some(id)).then_some(inbound)
}

/// One stream, held by the one who serves it or has asked by it. Dropped before its end, it is reset.
pub(crate) struct Stream<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: Tally> {
    mux: Shared<S, T>,
    id: StreamId,
    place: usize,
    /// What was taken of what has come, and not used yet.
    data: Buffer,
    trailers: Fields,
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
        id: StreamId,
        has_come: bool,
        has_sent: bool,
        code: ErrorCode,
    ) -> Self {
        let place = mux.borrow_mut().place(id);
        Self {
            mux,
            id,
            place,
            data: Buffer::default(),
            trailers: Fields::default(),
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
        let inbound = mux.streams.get(self.place);
        (self.sent, inbound.map_or(0, |it| it.received))
    }

    /// The next head of the response; interim ones come first.
    pub(crate) fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Head,
    ) -> Poll<Result<Option<Framing>, StreamFault>> {
        let mut mux = self.mux.borrow_mut();
        let Mux { streams, spare, .. } = &mut *mux;
        let Some(inbound) = streams.get_mut(self.place) else {
            return Poll::Ready(Err(StreamFault::Closed));
        };
        if let Some(answer) = inbound.answers.pop_front() {
            let used = std::mem::replace(head, answer.head);
            if spare.len() < SPARE && used.capacity() <= LARGEST_SPARE {
                spare.push(used);
            }
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
        let Some(inbound) = mux.streams.get_mut(self.place) else {
            return Poll::Ready(Err(StreamFault::Closed));
        };
        std::mem::swap(&mut self.data, &mut inbound.data);
        if !self.data.is_empty() {
            return Poll::Ready(Ok(Piece::Data));
        }
        if inbound.has_ended {
            self.has_come = true;
            std::mem::swap(&mut self.trailers, &mut inbound.trailers);
            return Poll::Ready(Ok(match self.trailers.is_empty() {
                true => Piece::End,
                false => Piece::Trailers,
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
        &self.trailers
    }

    /// Whether everything has come and was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.data.is_empty()
            && (self.has_come || {
                let mux = self.mux.borrow();
                let inbound = mux.streams.get(self.place);
                inbound
                    .is_some_and(|it| it.has_ended && it.data.is_empty() && it.trailers.is_empty())
            })
    }

    /// Ready when nothing more comes or leaves, before its end.
    pub(crate) fn poll_fault(&mut self, context: &mut Context<'_>) -> Poll<StreamFault> {
        let mut mux = self.mux.borrow_mut();
        let Some(inbound) = mux.streams.get_mut(self.place) else {
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
        let Some(inbound) = mux.streams.get_mut(self.place) else {
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
        let code = self.code;
        self.reset(code);
        self.mux.borrow_mut().vacate(self.place);
    }
}

#[cfg(test)]
mod tests;
