//! What is under way on one connection of HTTP/2.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

/// The requests of one connection, and when its client was heard last.
#[derive(Debug)]
pub(super) struct Activity {
    under_way: Cell<usize>,
    /// When the last of them ended, or the connection began.
    ended: Cell<Instant>,
    /// When the client sent something, whatever it was.
    heard: Cell<Instant>,
}

/// A request, or what its stream has become: under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Rc<Activity>);

impl Activity {
    /// A connection that begins.
    pub(super) fn new() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            under_way: Cell::new(0),
            ended: Cell::new(now),
            heard: Cell::new(now),
        })
    }

    /// A request begins.
    pub(super) fn begin(self: &Rc<Self>) -> UnderWay {
        self.under_way.update(|count| count + 1);
        UnderWay(self.clone())
    }

    /// How many requests are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// Since when nothing is under way; `None` while something is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.under_way.get() == 0).then(|| self.ended.get())
    }

    /// The client has sent something.
    pub(super) fn note_heard(&self, now: Instant) {
        self.heard.set(now);
    }

    /// When it did, or the connection began.
    pub(super) fn heard(&self) -> Instant {
        self.heard.get()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.update(|count| count - 1);
        self.0.ended.set(Instant::now());
    }
}
