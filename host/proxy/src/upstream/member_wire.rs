//! What the connections of HTTP/1 and of AJP have in common: the buffers and the counters of one that serves one request at a time.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use equipoise_balancer::Counters;

use super::connection::ByteCounts;
use super::stream::MemberStream;
use crate::error::MemberError;
use crate::wire::{ByteCounter, Readiness as _, Wire};

/// A member's connection, with its buffers.
pub(super) type MemberWire = Wire<MemberStream, MemberTally>;

/// Counts what passes as the member's traffic.
pub(super) struct MemberTally {
    counters: Arc<Counters>,
    sent: Cell<u64>,
    read: Cell<u64>,
}

/// A member did something to a connection on which nothing was asked: it said something, or closed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotIdle(pub(super) bool);

impl MemberTally {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            sent: Cell::new(0),
            read: Cell::new(0),
        }
    }
}

impl ByteCounter for MemberTally {
    fn received(&self, bytes: usize) {
        self.counters.add_read(bytes as u64);
        self.read.update(|sum| sum + bytes as u64);
    }

    fn sent(&self, bytes: usize) {
        self.counters.add_transferred(bytes as u64);
        self.sent.update(|sum| sum + bytes as u64);
    }
}

impl MemberWire {
    /// What it has carried up to now.
    pub(super) fn byte_counts(&self) -> ByteCounts {
        ByteCounts {
            sent: self.tally.sent.get(),
            read: self.tally.read.get(),
        }
    }

    /// What it has carried since `before`.
    pub(super) fn byte_counts_since(&self, before: ByteCounts) -> ByteCounts {
        let now = self.byte_counts();
        ByteCounts {
            sent: now.sent - before.sent,
            read: now.read - before.read,
        }
    }

    /// Whether the member has left it alone since: it neither closed it nor said something unasked. Asks the kernel only where the
    /// runtime has heard of something.
    ///
    /// # Errors
    /// It did: whether it said something.
    pub(super) fn check_idle(&mut self) -> Result<(), NotIdle> {
        if !self.stream.is_readable() {
            return Ok(());
        }
        let polled = self.poll_fill_when_readable(&mut Context::from_waker(Waker::noop()));
        self.release();
        match polled {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(1..)) => Err(NotIdle(true)),
            Poll::Ready(_) => Err(NotIdle(false)),
        }
    }

    /// Ready when more has come; `is_early` says that nothing is expected to have.
    #[inline]
    pub(super) fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        is_early: bool,
    ) -> Poll<Result<(), MemberError>> {
        let filled = match is_early {
            true => self.poll_fill_when_readable(context),
            false => self.poll_fill(context),
        };
        match filled {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(MemberError::Closed)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(MemberError::Io(error))),
            Poll::Pending => {
                self.read_buffer.release();
                Poll::Pending
            }
        }
    }
}
