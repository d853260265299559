//! HTTP/1 I/O: the read and write buffers of a connection, and as few system calls as they allow.
//!
//! Buffers come from a pool of the thread: an idle connection holds none.

mod body_reader;
mod buffer;
mod buffer_pool;
mod readiness;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use equipoise_http::Fields;
use equipoise_http::http1::Framing;
use equipoise_http::http1::body::{CHUNK_END, Encoder, WrongLength};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::has_budget_remaining;

pub(crate) use self::body_reader::BodyReader;
pub(crate) use self::buffer::Buffer;
use self::buffer_pool::SMALL_BUFFER;
pub(crate) use self::readiness::Readiness;

/// The largest piece of payload that is copied into the write buffer, in bytes; larger ones are written from where they are.
pub(crate) const MAX_COPIED: usize = 2 * 1024;

/// Room for the framing of a piece of payload, in bytes.
const FRAMING_ROOM: usize = 32;

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

#[cfg(test)]
mod tests;
