//! What has come by the streams of a connection and was not taken yet.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use equipoise_http::Head;
use equipoise_http::http1::Framing;
use equipoise_http::http2::StreamId;

use super::StreamFault;
use crate::wire::Buffer;

/// Memory that heads of interim responses may hold which wait to be taken from one stream, in bytes. Beyond it, the oldest are of
/// no use any more.
pub(super) const WAITING: usize = 64 * 1024;

/// The head of a response that has come.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Box<Head>,
    /// Where its body ends; `None` of an interim response.
    pub(super) framing: Option<Framing>,
}

/// What has come by a stream and was not taken yet.
#[derive(Default)]
pub(super) struct Inbound {
    /// Of the stream; `None` where the place is free.
    id: Option<StreamId>,
    pub(super) answers: VecDeque<Answer>,
    pub(super) data: Buffer,
    /// Trailers, which are the fields of a head.
    pub(super) trailers: Option<Box<Head>>,
    /// Bytes that have come by the stream, with their framing.
    pub(super) received: u64,
    /// Whether nothing follows.
    pub(super) has_ended: bool,
    pub(super) fault: Option<StreamFault>,
    /// Of the task that holds the stream.
    waker: Option<Waker>,
    /// Whether that waits for something.
    is_awaited: bool,
}

impl Inbound {
    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.is_awaited)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Has the task that polls woken when something has come, or may be sent.
    pub(super) fn register(&mut self, context: &mut Context<'_>) {
        self.is_awaited = true;
        keep(&mut self.waker, context);
    }

    /// Nothing more comes or leaves.
    pub(super) fn fail(&mut self, fault: StreamFault) {
        self.fault.get_or_insert(fault);
        self.wake();
    }

    /// Forgets interim responses if they hold too much.
    pub(super) fn forget_interims(&mut self) {
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

/// All streams that are held. Each has a place of its own for as long as that, which may be longer than the engine knows it.
#[derive(Default)]
pub(super) struct Inbounds {
    places: Vec<Inbound>,
    free: Vec<usize>,
    /// Places by the engine's slots.
    by_slot: Vec<usize>,
}

impl Inbounds {
    /// Gives a stream a place.
    pub(super) fn hold(&mut self, id: StreamId, fault: Option<StreamFault>) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Inbound::default());
            self.places.len() - 1
        });
        if let Some(inbound) = self.places.get_mut(place) {
            inbound.id = Some(id);
            inbound.fault = fault;
        }
        let slot = id.slot();
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, usize::MAX);
        }
        if let Some(known) = self.by_slot.get_mut(slot) {
            *known = place;
        }
        place
    }

    /// The stream at this place is held no more.
    pub(super) fn release(&mut self, place: usize) {
        let Some(inbound) = self.places.get_mut(place) else {
            return;
        };
        inbound.id = None;
        inbound.answers.clear();
        inbound.data.clear();
        inbound.trailers = None;
        inbound.received = 0;
        inbound.has_ended = false;
        inbound.fault = None;
        inbound.waker = None;
        inbound.is_awaited = false;
        self.free.push(place);
    }

    /// The stream at this place.
    pub(super) fn at(&self, place: usize) -> Option<&Inbound> {
        self.places.get(place)
    }

    /// The same.
    pub(super) fn at_mut(&mut self, place: usize) -> Option<&mut Inbound> {
        self.places.get_mut(place)
    }

    /// A stream, if it is held.
    pub(super) fn find(&mut self, id: StreamId) -> Option<&mut Inbound> {
        let place = *self.by_slot.get(id.slot())?;
        let inbound = self.places.get_mut(place)?;
        (inbound.id == Some(id)).then_some(inbound)
    }

    /// Nothing more comes or leaves by any of them.
    pub(super) fn fail(&mut self, fault: StreamFault) {
        for inbound in self.places.iter_mut().filter(|it| it.id.is_some()) {
            inbound.fail(fault);
        }
    }

    /// How many places there are, free ones with them, and for how many there is memory.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let capacity = self.places.capacity().max(self.free.capacity());
        (self.places.len(), capacity)
    }

    /// Whether none is held.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }
}

/// Keeps the waker of the task that polls.
pub(super) fn keep(kept: &mut Option<Waker>, context: &mut Context<'_>) {
    match kept {
        Some(waker) => waker.clone_from(context.waker()),
        None => *kept = Some(context.waker().clone()),
    }
}
