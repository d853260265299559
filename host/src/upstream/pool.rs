//! Idle connections to a member, of one worker.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::Connection;

/// Idle connections to one member, the one used last on top.
///
/// It never holds more than there were requests in flight at once, and none for longer than the member's `ttl`.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// A connection that is ready for a request, if there is one that was idle for less than `ttl`.
    pub(crate) fn take(&self, ttl: Duration) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, since }) = idle.pop() {
            if since.elapsed() >= ttl {
                idle.clear();
            } else if connection.is_ready() {
                return Some(connection.reused());
            }
        }
        None
    }

    /// Keeps a connection whose exchange is over; closes it if it can serve no other.
    pub(crate) fn put(&self, connection: Connection) {
        if connection.is_ready() {
            self.idle.borrow_mut().push(Idle {
                connection: connection.rested(),
                since: Instant::now(),
            });
        }
    }

    /// Closes what was idle for `ttl` or closed by the member.
    pub(crate) fn expire(&self, ttl: Duration) {
        self.idle
            .borrow_mut()
            .retain(|idle| idle.since.elapsed() < ttl && idle.connection.is_ready());
    }
}
