//! A queue of bytes between a socket and a reader or writer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncRead;
use tokio::task::coop::poll_proceed;
use tokio_util::io::poll_read_buf;

use super::buffer_pool::{BufferPool, LARGE_BUFFER, SMALL_BUFFER};
use super::readiness::Readiness;

/// A queue of bytes. Its memory comes from the thread's pool, and is held only while there are bytes, or they are awaited.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(super) bytes: Vec<u8>,
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
    pub(super) fn take_memory(&mut self, other: &mut Self) {
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
