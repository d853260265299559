//! What is under way on one connection of HTTP/2, and whose turn it is.

use std::cell::Cell;

use tokio::time::Instant;

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    under_way: Cell<usize>,
    /// When the last of them ended, or the connection began.
    ended: Cell<Instant>,
    /// What happened to a request's answer since somebody looked.
    turn: Cell<Option<Turn>>,
}

/// Who is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The client, to take so many bytes.
    Client(usize),
    /// We, or a member.
    Ours,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            under_way: Cell::new(0),
            ended: Cell::new(Instant::now()),
            turn: Cell::new(None),
        }
    }
}

impl Activity {
    /// A request begins.
    pub(super) fn begin(&self) {
        self.under_way.update(|count| count + 1);
    }

    /// A request has ended.
    pub(super) fn end(&self) {
        self.under_way.update(|count| count - 1);
        self.ended.set(Instant::now());
    }

    /// Since when nothing is under way; `None` while something is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.under_way.get() == 0).then(|| self.ended.get())
    }

    /// An answer's next bytes are there for the client to take; none if they are waited for.
    pub(crate) fn note_offer(&self, bytes: Option<usize>) {
        self.turn.set(Some(bytes.map_or(Turn::Ours, Turn::Client)));
    }

    /// What was noted since it was asked before: of the request whose task runs now.
    pub(super) fn take_turn(&self) -> Option<Turn> {
        self.turn.take()
    }
}
