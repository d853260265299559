//! Receive buffers: what the streams of a connection have received and their holders have not taken yet.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use equipoise_http::Head;
use equipoise_http::http1::Framing;
use equipoise_http::http2::StreamId;

use super::StreamError;
use crate::wire::Buffer;

/// The most memory of interim responses that wait in one buffer, in bytes. Beyond it, the oldest are dropped.
pub(super) const MAX_INTERIM_BYTES: usize = 64 * 1024;

/// The head of a response.
#[derive(Debug)]
pub(super) struct ReceivedHead {
    pub(super) head: Box<Head>,
    /// Where its body ends; `None` of an interim response.
    pub(super) framing: Option<Framing>,
}

/// What a stream has received and its holder has not taken yet.
#[derive(Default)]
pub(super) struct ReceiveBuffer {
    /// Of the stream; `None` while this is free.
    id: Option<StreamId>,
    pub(super) heads: VecDeque<ReceivedHead>,
    pub(super) data: Buffer,
    /// Trailers, which are the fields of a head.
    pub(super) trailers: Option<Box<Head>>,
    /// Bytes received by the stream, with their framing.
    pub(super) received: u64,
    /// Whether the end was received.
    pub(super) has_ended: bool,
    pub(super) error: Option<StreamError>,
    /// Of the task that holds the stream.
    waker: Option<Waker>,
    /// Whether that waits to be woken.
    is_awaited: bool,
}

impl ReceiveBuffer {
    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.is_awaited)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Has the task that polls woken when something is received, or may be sent.
    pub(super) fn register(&mut self, context: &mut Context<'_>) {
        self.is_awaited = true;
        store_waker(&mut self.waker, context);
    }

    /// The stream has failed.
    pub(super) fn fail(&mut self, error: StreamError) {
        self.error.get_or_insert(error);
        self.wake();
    }

    /// Drops the oldest interim responses beyond [`MAX_INTERIM_BYTES`].
    pub(super) fn drop_old_interims(&mut self) {
        if self.heads.len() < 2 {
            return;
        }
        let held = self.heads.iter().map(|it| it.head.capacity());
        let mut held: usize = held.sum();
        while held > MAX_INTERIM_BYTES && self.heads.len() > 1 {
            let oldest = self.heads.pop_front();
            held -= oldest.map_or(0, |it| it.head.capacity());
        }
    }
}

/// The buffers of all streams that are held, which may be longer than the engine knows them.
#[derive(Default)]
pub(super) struct ReceiveBuffers {
    buffers: Vec<ReceiveBuffer>,
    free: Vec<usize>,
    /// Indices of buffers, by the engine's slots.
    by_slot: Vec<usize>,
}

impl ReceiveBuffers {
    /// Gives a stream a buffer; returns its index.
    pub(super) fn register(&mut self, id: StreamId, error: Option<StreamError>) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.buffers.push(ReceiveBuffer::default());
            self.buffers.len() - 1
        });
        if let Some(buffer) = self.buffers.get_mut(index) {
            buffer.id = Some(id);
            buffer.error = error;
        }
        let slot = id.slot();
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, usize::MAX);
        }
        if let Some(known) = self.by_slot.get_mut(slot) {
            *known = index;
        }
        index
    }

    /// The stream of this buffer is held no more.
    pub(super) fn release(&mut self, index: usize) {
        let Some(buffer) = self.buffers.get_mut(index) else {
            return;
        };
        buffer.id = None;
        buffer.heads.clear();
        buffer.data.clear();
        buffer.trailers = None;
        buffer.received = 0;
        buffer.has_ended = false;
        buffer.error = None;
        buffer.waker = None;
        buffer.is_awaited = false;
        self.free.push(index);
    }

    /// The buffer at this index.
    pub(super) fn at(&self, index: usize) -> Option<&ReceiveBuffer> {
        self.buffers.get(index)
    }

    /// The same.
    pub(super) fn at_mut(&mut self, index: usize) -> Option<&mut ReceiveBuffer> {
        self.buffers.get_mut(index)
    }

    /// The buffer of a stream, if it is held.
    pub(super) fn find(&mut self, id: StreamId) -> Option<&mut ReceiveBuffer> {
        let index = *self.by_slot.get(id.slot())?;
        let buffer = self.buffers.get_mut(index)?;
        (buffer.id == Some(id)).then_some(buffer)
    }

    /// All streams have failed.
    pub(super) fn fail(&mut self, error: StreamError) {
        for buffer in self.buffers.iter_mut().filter(|it| it.id.is_some()) {
            buffer.fail(error);
        }
    }

    /// How many buffers there are, free ones with them, and for how many there is memory.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let capacity = self.buffers.capacity().max(self.free.capacity());
        (self.buffers.len(), capacity)
    }

    /// Whether none is held.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.buffers.len()
    }
}

/// Stores the waker of the task that polls.
pub(super) fn store_waker(kept: &mut Option<Waker>, context: &mut Context<'_>) {
    match kept {
        Some(waker) => waker.clone_from(context.waker()),
        None => *kept = Some(context.waker().clone()),
    }
}
