//! HTTP/1 I/O: the read and write buffers of a connection, and as few system calls as they allow.
//!
//! Buffers come from a pool of the thread: an idle connection holds none.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use equipoise_http::http1::body::{CHUNK_END, Encoder, WrongLength};
use equipoise_http::http1::{BodyEvent, Framing};
use equipoise_http::{Fields, Violation};
use rustix::buffer::spare_capacity;
use tokio::io::{AsyncRead, AsyncWrite, Empty, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop::{has_budget_remaining, poll_proceed};
use tokio_rustls::{client, server};
use tokio_util::either::Either;
use tokio_util::io::poll_read_buf;

use crate::forward::Piece;

/// The capacity of a buffer at first, in bytes: room for most heads and small bodies.
const SMALL_BUFFER: usize = 16 * 1024;

/// The capacity of a buffer that a body keeps filling, in bytes.
const LARGE_BUFFER: usize = 128 * 1024;

/// How many small buffers a thread keeps.
const MAX_POOLED_SMALL: usize = 256;

/// How many large buffers a thread keeps.
const MAX_POOLED_LARGE: usize = 16;

/// The largest piece of payload that is copied into the write buffer, in bytes; larger ones are written from where they are.
pub(crate) const MAX_COPIED: usize = 2 * 1024;

/// Room for the framing of a piece of payload, in bytes.
const FRAMING_ROOM: usize = 32;

thread_local! {
    static POOL: RefCell<BufferPool> = const { RefCell::new(BufferPool::NONE) };
}

/// Buffers that no connection of the thread holds now.
struct BufferPool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl BufferPool {
    const NONE: Self = Self {
        small: Vec::new(),
        large: Vec::new(),
    };

    /// An empty small buffer.
    #[inline]
    fn take() -> Vec<u8> {
        let pool = POOL.with_borrow_mut(|pool| pool.small.pop());
        pool.unwrap_or_else(|| Vec::with_capacity(SMALL_BUFFER))
    }

    /// An empty large buffer.
    fn take_large() -> Vec<u8> {
        let pool = POOL.with_borrow_mut(|pool| pool.large.pop());
        pool.unwrap_or_else(|| Vec::with_capacity(LARGE_BUFFER))
    }

    /// Puts a buffer back, if it is of a usual size and there is room.
    #[inline]
    fn put(mut bytes: Vec<u8>) {
        if bytes.capacity() != SMALL_BUFFER {
            return Self::put_other(bytes);
        }
        bytes.clear();
        POOL.with_borrow_mut(|pool| {
            if pool.small.len() < MAX_POOLED_SMALL {
                pool.small.push(bytes);
            }
        });
    }

    #[cold]
    fn put_other(mut bytes: Vec<u8>) {
        bytes.clear();
        POOL.with_borrow_mut(|pool| {
            if bytes.capacity() == LARGE_BUFFER && pool.large.len() < MAX_POOLED_LARGE {
                pool.large.push(bytes);
            }
        });
    }
}

/// A queue of bytes. Its memory comes from the thread's pool, and is held only while there are bytes, or they are awaited.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Where unread bytes begin.
    start: usize,
    /// Whether the last read filled it.
    was_filled: bool,
}

impl Buffer {
    /// With these bytes.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            start: 0,
            was_filled: false,
        }
    }

    /// The unread bytes.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start);
        self.start = 0;
        std::mem::take(&mut self.bytes)
    }

    /// The unread bytes.
    #[inline]
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes so many bytes from the front.
    #[inline]
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start >= self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// The memory, to append to.
    pub(crate) fn vec(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = BufferPool::take();
        }
        &mut self.bytes
    }

    /// Appends bytes; a large buffer is taken for those for which a small one has no room.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        if self.bytes.capacity() < needed
            && needed > SMALL_BUFFER
            && self.bytes.capacity() < LARGE_BUFFER
        {
            let mut larger = BufferPool::take_large();
            larger.extend_from_slice(self.unread());
            self.start = 0;
            BufferPool::put(std::mem::replace(&mut self.bytes, larger));
        }
        self.vec().extend_from_slice(bytes);
    }

    /// Discards everything, and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.start = self.bytes.len();
        self.release();
    }

    /// Gives the memory back to the pool, if nothing is in it.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            (self.start, self.was_filled) = (0, false);
            BufferPool::put(std::mem::take(&mut self.bytes));
        }
    }

    /// Takes the memory of another, empty buffer, if it has none.
    #[inline]
    fn take_memory(&mut self, other: &mut Self) {
        if self.bytes.capacity() == 0 {
            std::mem::swap(&mut self.bytes, &mut other.bytes);
        }
    }

    /// Reads what has come. 0 is the end of the stream.
    #[inline]
    pub(crate) fn poll_read<S: AsyncRead + Readiness + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let room = self.bytes.capacity() - self.bytes.len();
        // A connection that always has more to read yields to others.
        let budget = ready!(poll_proceed(context));
        let read = match stream.read_now(&mut self.bytes) {
            Some(read) => {
                budget.made_progress();
                read?
            }
            None => {
                drop(budget);
                ready!(poll_read_buf(Pin::new(stream), context, &mut self.bytes))?
            }
        };
        self.was_filled = read == room;
        Poll::Ready(Ok(read))
    }

    /// At least a quarter of it is free for the next read; one that was filled grows.
    #[inline]
    fn make_room(&mut self) {
        let capacity = self.bytes.capacity();
        if capacity == 0 {
            self.bytes = BufferPool::take();
        } else if self.was_filled || self.bytes.len() > capacity / 4 * 3 {
            self.make_more_room();
        }
    }

    fn make_more_room(&mut self) {
        if self.was_filled && self.bytes.capacity() < LARGE_BUFFER {
            let mut larger = BufferPool::take_large();
            larger.extend_from_slice(self.unread());
            self.start = 0;
            BufferPool::put(std::mem::replace(&mut self.bytes, larger));
        } else if self.bytes.len() > self.bytes.capacity() / 4 * 3 {
            self.bytes.drain(..self.start);
            self.start = 0;
            let least = self.bytes.capacity() / 4;
            self.bytes.reserve(least);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.start = self.bytes.len();
        self.release();
    }
}

/// A stream that can tell without a buffer whether something can be read.
pub(crate) trait Readiness {
    /// Ready when a read may return something; until then, the task is woken when it may.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()>;

    /// Whether a read may return something now, as far as the runtime knows; wakes no task.
    fn is_readable(&self) -> bool {
        true
    }

    /// Reads into the spare capacity of a buffer, if that can be done without a poll.
    fn read_now(&self, _: &mut Vec<u8>) -> Option<io::Result<usize>> {
        None
    }

    /// Writes at once, if that can be done without a poll.
    fn write_now(&self, _: &[u8]) -> Option<io::Result<usize>> {
        None
    }
}

/// Reads from a socket; [`io::ErrorKind::WouldBlock`] if it is drained, so that the runtime waits for readiness next.
fn receive(socket: impl AsFd, buffer: &mut Vec<u8>, read: &mut Option<usize>) -> io::Result<()> {
    let room = buffer.capacity() - buffer.len();
    let bytes = rustix::io::read(socket, spare_capacity(buffer))?;
    *read = Some(bytes);
    match (1..room).contains(&bytes) {
        // The next read waits for readiness instead of asking the kernel in vain.
        true => Err(io::ErrorKind::WouldBlock.into()),
        false => Ok(()),
    }
}

/// `None` for [`io::ErrorKind::WouldBlock`].
fn none_if_blocked<T>(tried: io::Result<T>) -> Option<io::Result<T>> {
    match tried {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        tried => Some(tried),
    }
}

impl Readiness for TcpStream {
    #[inline]
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // The read returns the error again.
        self.poll_read_ready(context).map(|_| ())
    }

    #[inline]
    fn is_readable(&self) -> bool {
        self.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    #[inline]
    fn read_now(&self, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        let mut read = None;
        let tried = self.try_io(Interest::READABLE, || receive(self, buffer, &mut read));
        read.map(Ok).or_else(|| none_if_blocked(tried.map(|()| 0)))
    }

    #[inline]
    fn write_now(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        none_if_blocked(self.try_write(bytes))
    }
}

impl Readiness for UnixStream {
    #[inline]
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_read_ready(context).map(|_| ())
    }

    fn is_readable(&self) -> bool {
        self.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    fn read_now(&self, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        let mut read = None;
        let tried = self.try_io(Interest::READABLE, || receive(self, buffer, &mut read));
        read.map(Ok).or_else(|| none_if_blocked(tried.map(|()| 0)))
    }

    fn write_now(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        none_if_blocked(self.try_write(bytes))
    }
}

/// A closed stream: its end can be read.
impl Readiness for Empty {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl<L: Readiness, R: Readiness> Readiness for Either<L, R> {
    #[inline]
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Left(stream) => stream.poll_readable(context),
            Self::Right(stream) => stream.poll_readable(context),
        }
    }

    #[inline]
    fn is_readable(&self) -> bool {
        match self {
            Self::Left(stream) => stream.is_readable(),
            Self::Right(stream) => stream.is_readable(),
        }
    }

    #[inline]
    fn read_now(&self, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        match self {
            Self::Left(stream) => stream.read_now(buffer),
            Self::Right(stream) => stream.read_now(buffer),
        }
    }

    #[inline]
    fn write_now(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        match self {
            Self::Left(stream) => stream.write_now(bytes),
            Self::Right(stream) => stream.write_now(bytes),
        }
    }
}

/// Only a read tells what TLS has decrypted already.
impl<S> Readiness for Box<server::TlsStream<S>> {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl<S> Readiness for Box<client::TlsStream<S>> {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// Counts the bytes of a connection.
pub(crate) trait ByteCounter {
    /// So many bytes were received.
    fn received(&self, bytes: usize);
    /// So many bytes were sent.
    fn sent(&self, bytes: usize);
}

/// An HTTP/1 connection.
pub(crate) struct Wire<S, T> {
    pub(crate) stream: S,
    pub(crate) tally: T,
    /// Received and not consumed yet.
    pub(crate) read_buffer: Buffer,
    /// To be written.
    pub(crate) write_buffer: Buffer,
    encoder: Encoder,
    /// Bytes of a piece of payload that are to be written from where they are.
    unbuffered: usize,
    /// Whether the end of a chunk belongs behind that.
    has_chunk_end: bool,
    /// Whether the stream may hold back what was written.
    is_unflushed: bool,
    /// Whether the runtime wakes the task once the stream is readable, and nothing was read since.
    is_watched: bool,
    /// Bytes written since this number was taken.
    pub(crate) written: usize,
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: ByteCounter> Wire<S, T> {
    /// A connection of which `first` was read already.
    pub(crate) fn new(stream: S, tally: T, first: Vec<u8>) -> Self {
        tally.received(first.len());
        Self {
            stream,
            tally,
            read_buffer: Buffer::of(first),
            write_buffer: Buffer::default(),
            encoder: Encoder::new(Framing::None),
            unbuffered: 0,
            has_chunk_end: false,
            is_unflushed: false,
            is_watched: false,
            written: 0,
        }
    }

    /// Reads what has come. 0 is the end of the stream.
    #[inline]
    pub(crate) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.is_watched = false;
        if self.write_buffer.is_empty() {
            // The memory of the write buffer is read into.
            self.read_buffer.take_memory(&mut self.write_buffer);
        }
        let read = ready!(self.read_buffer.poll_read(&mut self.stream, context))?;
        self.tally.received(read);
        Poll::Ready(Ok(read))
    }

    /// The same where nothing is expected to have come: takes no buffer before the stream is readable.
    #[inline]
    pub(crate) fn poll_fill_when_readable(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.stream.poll_readable(context));
        self.poll_fill(context)
    }

    /// The same where only one task polls the connection: its waker is not registered again and again.
    #[inline]
    pub(crate) fn poll_fill_watched(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_watched && !self.stream.is_readable() {
            return Poll::Pending;
        }
        let filled = self.poll_fill_when_readable(context);
        // A task that has used up its budget is polled again, but its waker was not registered.
        self.is_watched = filled.is_pending() && has_budget_remaining();
        filled
    }

    /// Gives back empty buffers.
    pub(crate) fn release(&mut self) {
        self.read_buffer.release();
        self.write_buffer.release();
    }

    /// Begins a body, behind what was appended to the write buffer.
    pub(crate) fn begin_body(&mut self, framing: Framing) {
        self.encoder = Encoder::new(framing);
        self.unbuffered = 0;
    }

    /// Whether all of the body was taken.
    pub(crate) fn is_body_over(&self) -> bool {
        self.encoder.is_over() && self.unbuffered == 0
    }

    /// Takes payload, at least a byte of it. The rest of a piece is to be passed again until all of it was taken.
    ///
    /// # Errors
    /// The stream's, or [`io::ErrorKind::InvalidInput`] for more payload than `Content-Length`.
    pub(crate) fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unbuffered == 0 {
            let is_small = payload.len() <= MAX_COPIED;
            if is_small && self.write_buffer.len() + payload.len() + FRAMING_ROOM <= SMALL_BUFFER {
                // Copied, so that several pieces leave in one write.
                let out = self.write_buffer.vec();
                self.encoder.write(payload, out).map_err(too_much_payload)?;
                return Poll::Ready(Ok(payload.len()));
            }
            let head = self
                .encoder
                .begin(payload.len())
                .map_err(too_much_payload)?;
            self.has_chunk_end = head.is_some();
            if let Some(head) = head {
                self.write_buffer.vec().extend_from_slice(head.as_ref());
            }
            self.unbuffered = payload.len();
        }
        let part = &payload[..self.unbuffered.min(payload.len())];
        loop {
            let waiting = self.write_buffer.len();
            let written = ready!(self.poll_write(context, part))?;
            self.write_buffer.consume(written.min(waiting));
            let taken = written.saturating_sub(waiting);
            if taken > 0 {
                self.unbuffered -= taken;
                if self.unbuffered == 0 && self.has_chunk_end {
                    self.write_buffer.vec().extend_from_slice(CHUNK_END);
                }
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Ends the body, with trailers if it is chunked.
    ///
    /// # Errors
    /// There was less payload than `Content-Length`.
    pub(crate) fn end_body(&mut self, trailers: Option<&Fields>) -> Result<(), WrongLength> {
        self.encoder.end(trailers, self.write_buffer.vec())
    }

    /// Whether all was written and flushed.
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        self.write_buffer.is_empty() && !self.is_unflushed
    }

    /// Writes and flushes everything.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.write_buffer.is_empty() {
            let (stream, waiting) = (Pin::new(&mut self.stream), self.write_buffer.unread());
            let written = match stream.write_now(waiting) {
                Some(written) => written?,
                None => ready!(stream.poll_write(context, waiting))?,
            };
            self.record_written(written)?;
            self.write_buffer.consume(written);
        }
        if self.is_unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from a tunnel: first what is buffered.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read_buffer.is_empty() {
            let bytes = self.read_buffer.len().min(buffer.remaining());
            buffer.put_slice(&self.read_buffer.unread()[..bytes]);
            self.read_buffer.consume(bytes);
            self.read_buffer.release();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.tally.received(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }

    /// Writes to a tunnel.
    pub(crate) fn poll_write_raw(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        while !self.write_buffer.is_empty() {
            ready!(self.poll_flush(context))?;
        }
        self.poll_write(context, bytes)
    }

    /// Writes the write buffer and what comes behind it, in one call.
    #[inline]
    fn poll_write(&mut self, context: &mut Context<'_>, behind: &[u8]) -> Poll<io::Result<usize>> {
        let (stream, waiting) = (Pin::new(&mut self.stream), self.write_buffer.unread());
        let written = match (waiting, behind) {
            ([], behind) => ready!(stream.poll_write(context, behind))?,
            (waiting, behind) => {
                let slices = [IoSlice::new(waiting), IoSlice::new(behind)];
                ready!(stream.poll_write_vectored(context, &slices))?
            }
        };
        self.record_written(written)?;
        Poll::Ready(Ok(written))
    }

    /// So many bytes were written.
    #[inline]
    fn record_written(&mut self, bytes: usize) -> io::Result<()> {
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.is_unflushed = true;
        self.written += bytes;
        self.tally.sent(bytes);
        Ok(())
    }
}

fn too_much_payload(error: WrongLength) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Reads a body: its payload stays at the front of the read buffer until it is consumed.
#[derive(Debug, Default)]
pub(crate) struct BodyReader {
    /// Bytes of payload that are not consumed yet.
    length: usize,
    /// Framing behind it, in bytes.
    behind: usize,
    trailers: Fields,
}

impl BodyReader {
    /// What comes next of it, as `read` of an engine's reader finds; `None` if more has to be received first. Payload is to be consumed
    /// before more is read.
    #[inline]
    pub(crate) fn next(
        &mut self,
        read_buffer: &mut Buffer,
        read: impl FnOnce(&[u8], &mut Fields) -> (usize, BodyEvent),
    ) -> Option<Result<Piece, Violation>> {
        if self.length > 0 {
            return Some(Ok(Piece::Data));
        }
        let (used, event) = read(read_buffer.unread(), &mut self.trailers);
        let piece = match event {
            BodyEvent::Data(data) => {
                read_buffer.consume(data.start);
                (self.length, self.behind) = (data.len(), used - data.end);
                return Some(Ok(Piece::Data));
            }
            BodyEvent::Refused(violation) => return Some(Err(violation)),
            BodyEvent::Trailers => Some(Ok(Piece::Trailers)),
            BodyEvent::End => Some(Ok(Piece::End)),
            BodyEvent::More => None,
        };
        read_buffer.consume(used);
        piece
    }

    /// The payload that is not consumed yet.
    #[inline]
    pub(crate) fn payload<'b>(&self, read_buffer: &'b Buffer) -> &'b [u8] {
        &read_buffer.unread()[..self.length]
    }

    /// Consumes so many bytes of it.
    #[inline]
    pub(crate) fn consume(&mut self, read_buffer: &mut Buffer, bytes: usize) {
        self.length -= bytes;
        read_buffer.consume(bytes);
        if self.length == 0 {
            read_buffer.consume(std::mem::take(&mut self.behind));
        }
    }

    /// The trailers, once they are received.
    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Begins the next body.
    pub(crate) fn begin(&mut self) {
        (self.length, self.behind) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{Future as _, poll_fn};
    use std::pin::pin;

    use equipoise_http::Limits;
    use equipoise_http::http1::{BodyEvent, RequestReader};
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter, DuplexStream, duplex};
    use tokio::net::TcpListener;
    use tokio::task::coop::consume_budget;
    use tokio::task::yield_now;

    use super::*;

    #[derive(Default)]
    struct Sums {
        received: Cell<usize>,
        sent: Cell<usize>,
    }

    impl ByteCounter for Sums {
        fn received(&self, bytes: usize) {
            self.received.update(|sum| sum + bytes);
        }

        fn sent(&self, bytes: usize) {
            self.sent.update(|sum| sum + bytes);
        }
    }

    impl Readiness for DuplexStream {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }

    impl<R, W> Readiness for tokio::io::Join<R, W> {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }

    fn wire<S: AsyncRead + AsyncWrite + Readiness + Unpin>(stream: S) -> Wire<S, Sums> {
        Wire::new(stream, Sums::default(), Vec::new())
    }

    /// A wire to another side that takes so many bytes at once.
    fn pair(room: usize) -> (Wire<DuplexStream, Sums>, DuplexStream) {
        let (ours, theirs) = duplex(room);
        (wire(ours), theirs)
    }

    /// No two neighbouring bytes, nor neighbouring kilobytes, are the same.
    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    /// Hands all of a piece over; says how much memory waited at most.
    async fn write<S: AsyncRead + AsyncWrite + Readiness + Unpin>(
        wire: &mut Wire<S, Sums>,
        mut piece: &[u8],
    ) -> usize {
        let mut most = 0;
        while !piece.is_empty() {
            let taken = poll_fn(|context| wire.poll_payload(context, piece)).await;
            let taken = taken.expect("room in the body");
            assert!(taken > 0);
            piece = &piece[taken..];
            most = most.max(wire.write_buffer.bytes.capacity());
        }
        most
    }

    /// Sends pieces as a body to another side that takes so many bytes at once: what arrives there, and how much memory
    /// waited at most.
    fn sent(pieces: &[&[u8]], framing: Framing, room: usize) -> (Vec<u8>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let (mut wire, mut theirs) = pair(room);
            let sending = async move {
                wire.write_buffer.vec().extend_from_slice(b"head;");
                wire.begin_body(framing);
                let mut most = 0;
                for piece in pieces {
                    most = most.max(write(&mut wire, piece).await);
                }
                wire.end_body(None).expect("the length that was told");
                poll_fn(|context| wire.poll_flush(context)).await.unwrap();
                assert!(wire.is_body_over());
                let sums = wire.tally.sent.get();
                assert_eq!(wire.written, sums);
                (most, sums)
            };
            let mut arrived = Vec::new();
            let ((most, sums), read) = tokio::join!(sending, theirs.read_to_end(&mut arrived));
            read.unwrap();
            assert_eq!(arrived.len(), sums);
            assert_eq!(arrived.drain(..5).as_slice(), b"head;");
            (arrived, most)
        })
    }

    /// The payload of chunks, which have to be whole.
    fn payload_of(chunks: &[u8]) -> Vec<u8> {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut reader = RequestReader::new(Limits::default());
        reader.head(head, &mut equipoise_http::Head::new());
        let (mut payload, mut at) = (Vec::new(), 0);
        loop {
            let (used, event) = reader.body(&chunks[at..], &mut Fields::default());
            match event {
                BodyEvent::Data(data) => payload.extend_from_slice(&chunks[at..][data]),
                BodyEvent::End => {
                    assert_eq!(at + used, chunks.len(), "nothing is behind the last chunk");
                    return payload;
                }
                event => panic!("{event:?} at {at}"),
            }
            at += used;
        }
    }

    /// Sizes of pieces around all bounds.
    const SIZES: [usize; 8] = [
        1,
        2,
        100,
        SMALL_BUFFER - 1,
        SMALL_BUFFER,
        SMALL_BUFFER + 1,
        3 * SMALL_BUFFER,
        LARGE_BUFFER + 1,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_body_arrives_whole_however_it_is_cut_and_however_slowly_it_is_taken(
            sizes in proptest::collection::vec(proptest::sample::select(&SIZES[..]), 0..8),
            room in proptest::sample::select(&[7, 1000, SMALL_BUFFER, 1 << 20][..]),
        ) {
            let body = pattern(sizes.iter().sum());
            let (mut pieces, mut rest) = (Vec::new(), &body[..]);
            for size in sizes {
                let (piece, behind) = rest.split_at(size);
                pieces.push(piece);
                rest = behind;
            }
            for framing in [Framing::Length(body.len() as u64), Framing::Close] {
                let (arrived, most) = sent(&pieces, framing, room);
                prop_assert!(arrived == body);
                prop_assert!(most <= 4 * SMALL_BUFFER, "{} bytes wait", most);
            }
            let (arrived, most) = sent(&pieces, Framing::Chunked, room);
            prop_assert!(payload_of(&arrived) == body);
            prop_assert!(most <= 4 * SMALL_BUFFER, "{} bytes wait", most);
        }

        #[test]
        fn what_comes_is_read_whole_and_memory_is_bounded_by_what_is_not_used(
            length in 0..400_000_usize,
            room in 1..100_000_usize,
            used in 1..50_000_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(async {
                let (mut wire, mut theirs) = pair(room);
                let body = pattern(length);
                let reading = async {
                    let (mut read, mut most) = (Vec::new(), 0);
                    while poll_fn(|context| wire.poll_fill(context)).await.unwrap() > 0 {
                        // A buffer that has grown for what was there stays for what follows.
                        most = most.max(wire.read_buffer.len());
                        // Some of it waits, as the rest of a line does.
                        let used = used.min(wire.read_buffer.len());
                        read.extend_from_slice(&wire.read_buffer.unread()[..used]);
                        wire.read_buffer.consume(used);
                        assert!(wire.read_buffer.bytes.capacity() <= LARGE_BUFFER.max(4 * most));
                    }
                    read.extend_from_slice(wire.read_buffer.unread());
                    assert_eq!(wire.tally.received.get(), length);
                    read
                };
                let sending = async {
                    theirs.write_all(&body).await.unwrap();
                    theirs.shutdown().await.unwrap();
                };
                let (read, ()) = tokio::join!(reading, sending);
                assert!(read == body);
            });
        }
    }

    #[tokio::test]
    async fn a_body_is_not_over_while_payload_of_it_is_awaited() {
        let (mut wire, mut theirs) = pair(100);
        let body = pattern(2 * SMALL_BUFFER);
        wire.begin_body(Framing::Length(body.len() as u64));
        let taken = poll_fn(|context| wire.poll_payload(context, &body)).await;
        assert_eq!(taken.unwrap(), 100);
        poll_fn(|context| wire.poll_flush(context)).await.unwrap();
        assert!(!wire.is_body_over());
        let mut arrived = vec![0; body.len()];
        let rest = &body[100..];
        let (_, read) = tokio::join!(write(&mut wire, rest), theirs.read_exact(&mut arrived));
        read.unwrap();
        assert!(wire.is_body_over());
    }

    #[tokio::test]
    async fn more_or_less_payload_than_was_told_is_an_error_and_never_sent() {
        for size in [5, SMALL_BUFFER + 5] {
            let (mut wire, _theirs) = pair(1 << 20);
            let body = pattern(size);
            wire.begin_body(Framing::Length(size as u64 - 1));
            let taken = poll_fn(|context| wire.poll_payload(context, &body)).await;
            assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert_eq!(wire.end_body(None), Err(WrongLength));
            assert_eq!((wire.written, wire.write_buffer.len()), (0, 0));
        }
    }

    #[tokio::test]
    async fn the_write_buffer_is_bounded_if_the_peer_takes_nothing() {
        let (mut wire, _theirs) = pair(1);
        wire.begin_body(Framing::Chunked);
        let mut taken = 0;
        poll_fn(|context| {
            while wire.poll_payload(context, &[0; 1000]).is_ready() {
                taken += 1000;
            }
            Poll::Ready(())
        })
        .await;
        assert!(
            (SMALL_BUFFER / 2..2 * SMALL_BUFFER).contains(&taken),
            "{taken}"
        );
        assert!(wire.write_buffer.len() < 3 * SMALL_BUFFER);
    }

    #[tokio::test]
    async fn a_stream_that_holds_back_what_is_written_is_flushed() {
        let (ours, mut theirs) = duplex(1000);
        let mut wire = wire(tokio::io::join(
            tokio::io::empty(),
            BufWriter::with_capacity(1000, ours),
        ));
        wire.begin_body(Framing::Length(4));
        write(&mut wire, b"body").await;
        poll_fn(|context| wire.poll_flush(context)).await.unwrap();
        let mut arrived = [0; 4];
        theirs.read_exact(&mut arrived).await.unwrap();
        assert_eq!(&arrived, b"body");
    }

    #[tokio::test]
    async fn an_idle_wire_holds_no_memory_and_the_thread_has_it_for_the_next() {
        let pool = || POOL.with_borrow(|pool| pool.small.len());
        let (mut wire, mut theirs) = pair(1000);
        theirs.write_all(b"request").await.unwrap();
        poll_fn(|context| wire.poll_fill(context)).await.unwrap();
        wire.read_buffer.consume(6);
        wire.write_buffer.vec().extend_from_slice(b"response");
        let before = pool();
        wire.release();
        assert_eq!(pool(), before, "what is in use stays");
        assert_eq!(wire.read_buffer.unread(), b"t");
        wire.read_buffer.consume(1);
        poll_fn(|context| wire.poll_flush(context)).await.unwrap();
        wire.release();
        assert_eq!(pool(), before + 2);
        let held = |buffer: &Buffer| buffer.bytes.capacity();
        assert_eq!((held(&wire.read_buffer), held(&wire.write_buffer)), (0, 0));
        theirs.write_all(b"next").await.unwrap();
        poll_fn(|context| wire.poll_fill(context)).await.unwrap();
        assert_eq!(pool(), before + 1);
        drop(wire);
        assert_eq!(pool(), before + 2, "also where the connection ends within");
    }

    #[tokio::test]
    async fn a_thread_keeps_buffers_of_two_sizes_and_not_too_many() {
        let mut odd = Buffer::default();
        odd.vec().reserve(3 * SMALL_BUFFER);
        let before = POOL.with_borrow(|pool| pool.small.len());
        odd.release();
        assert_eq!(POOL.with_borrow(|pool| pool.small.len()), before);
        let mut many: Vec<_> = (0..MAX_POOLED_SMALL + 10)
            .map(|_| Buffer::default())
            .collect();
        for buffer in &mut many {
            buffer.vec();
        }
        drop(many);
        assert_eq!(POOL.with_borrow(|pool| pool.small.len()), MAX_POOLED_SMALL);
    }

    #[tokio::test]
    async fn a_body_that_keeps_filling_a_buffer_gets_a_large_one() {
        let (mut wire, mut theirs) = pair(LARGE_BUFFER);
        theirs.write_all(&pattern(LARGE_BUFFER)).await.unwrap();
        let read = poll_fn(|context| wire.poll_fill(context)).await.unwrap();
        assert_eq!(read, SMALL_BUFFER);
        wire.read_buffer.consume(read);
        let read = poll_fn(|context| wire.poll_fill(context)).await.unwrap();
        assert_eq!(read, LARGE_BUFFER - SMALL_BUFFER);
    }

    /// The two ends of a connection.
    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, accepted) = tokio::join!(connecting, listener.accept());
        (ours.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn a_socket_is_read_without_a_poll_as_long_as_something_may_have_come() {
        let (ours, mut theirs) = sockets().await;
        let mut buffer = Vec::with_capacity(4);
        theirs.write_all(b"request").await.unwrap();
        poll_fn(|context| ours.poll_readable(context)).await;
        for expected in [&b"requ"[..], b"est"] {
            buffer.clear();
            assert!(ours.is_readable());
            assert_eq!(ours.read_now(&mut buffer).unwrap().unwrap(), expected.len());
            assert_eq!(buffer, expected);
        }
        // There was room for more.
        assert!(!ours.is_readable());
        assert!(ours.read_now(&mut buffer).is_none());
        drop(theirs);
        poll_fn(|context| ours.poll_readable(context)).await;
        assert_eq!(ours.read_now(&mut buffer).unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_task_that_had_used_up_its_budget_is_woken_by_what_comes_on_a_watched_connection() {
        let (ours, mut theirs) = sockets().await;
        let mut wire = wire(ours);
        let mut polls = 0;
        let filling = poll_fn(|context| {
            polls += 1;
            while polls == 1 && has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(context);
            }
            // Looked at twice in a row, as behind a response.
            match wire.poll_fill_watched(context) {
                Poll::Pending => wire.poll_fill_watched(context),
                filled => filled,
            }
        });
        let sending = async {
            for _ in 0..10 {
                yield_now().await;
            }
            theirs.write_all(b"request").await.unwrap();
        };
        let (filled, ()) = tokio::join!(filling, sending);
        assert_eq!(filled.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_tunnel_begins_with_what_has_come_in_any_pieces() {
        let (ours, mut theirs) = duplex(1000);
        let mut wire = Wire::new(ours, Sums::default(), b"hello ".to_vec());
        wire.write_buffer.vec().extend_from_slice(b"101;");
        theirs.write_all(b"world").await.unwrap();
        let mut read = Vec::new();
        while read.len() < 11 {
            let mut space = [0; 4];
            let mut buffer = ReadBuf::new(&mut space);
            poll_fn(|context| wire.poll_read(context, &mut buffer))
                .await
                .unwrap();
            read.extend_from_slice(buffer.filled());
        }
        assert_eq!(read, b"hello world");
        assert_eq!(wire.tally.received.get(), 11);
        let written = poll_fn(|context| wire.poll_write_raw(context, b"raw")).await;
        assert_eq!(written.unwrap(), 3);
        let mut arrived = [0; 7];
        theirs.read_exact(&mut arrived).await.unwrap();
        assert_eq!(&arrived, b"101;raw");
    }

    #[test]
    fn payload_is_taken_bit_by_bit_and_then_its_framing() {
        let mut read_buffer = Buffer::of(b"5\r\nhello\r\nnext".to_vec());
        let mut body = BodyReader::default();
        let found = |_: &[u8], _: &mut Fields| (10, BodyEvent::Data(3..8));
        assert_eq!(body.next(&mut read_buffer, found), Some(Ok(Piece::Data)));
        assert_eq!(body.payload(&read_buffer), b"hello");
        body.consume(&mut read_buffer, 2);
        assert_eq!(body.payload(&read_buffer), b"llo");
        let unread = |_: &[u8], _: &mut Fields| unreachable!("payload is taken before");
        assert_eq!(body.next(&mut read_buffer, unread), Some(Ok(Piece::Data)));
        body.consume(&mut read_buffer, 3);
        let more = |input: &[u8], _: &mut Fields| {
            assert_eq!(input, b"next");
            (0, BodyEvent::More)
        };
        assert_eq!(body.next(&mut read_buffer, more), None);
    }
}
