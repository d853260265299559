//! Connections to a member that may serve another request, of one worker.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use equipoise_balancer::Counters;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;
use crate::upstream::connection::Trunk;
use crate::upstream::{ConnectError, ConnectOptions, Connection, Upstream};

/// Idle connections of HTTP/1.1 to one member, the one used last on top, and those of HTTP/2, idle or not.
///
/// It never holds more than there were requests in flight at once, and none that is idle for longer than the member's `ttl`.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
    trunks: RefCell<Vec<Trunk>>,
    /// Held while a connection is made that other requests could share.
    turn: Mutex<()>,
    /// Whether the last connection was one that only one request can use at a time.
    is_exclusive: Cell<bool>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// A connection that is ready for a request, if there is one. It was idle for less than `ttl`, or is shared; that, only if
    /// `may_share`.
    pub(crate) fn take(&self, ttl: Duration, may_share: bool, now: Instant) -> Option<Connection> {
        if may_share && let Some(trunk) = self.trunks.borrow().iter().find(|it| it.has_room()) {
            return Some(trunk.branch());
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle {
            mut connection,
            since,
        }) = idle.pop()
        {
            if now.saturating_duration_since(since) >= ttl {
                idle.clear();
            } else if connection.is_quiet() {
                return Some(connection.reused());
            }
        }
        None
    }

    /// A connection where there was none to [`take`](Self::take): a new one or, if `may_share`, one that another request has made
    /// meanwhile. To wait for others is part of the member's `connectiontimeout`.
    ///
    /// # Errors
    /// There is none in time, or at all.
    pub(crate) async fn connect(
        &self,
        upstream: &Upstream,
        counters: Arc<Counters>,
        limits: &Limits,
        options: ConnectOptions<'_>,
        may_share: bool,
    ) -> Result<Connection, ConnectError> {
        let (limit, ttl) = (upstream.config.connection_timeout, upstream.config.ttl);
        let deadline = Instant::now() + limit;
        let turn = match may_share {
            true => timeout_at(deadline, self.turn()).await,
            false => Ok(None),
        };
        let turn = turn.map_err(|_| ConnectError::TimedOut(limit))?;
        // The request that had the turn before may have made one that has room.
        if turn.is_some()
            && let Some(connection) = self.take(ttl, may_share, Instant::now())
        {
            return Ok(connection);
        }
        let opened = Connection::open(upstream, counters, limits, options, deadline).await;
        let (connection, trunk) = opened?;
        if may_share {
            self.is_exclusive.set(trunk.is_none());
            self.trunks.borrow_mut().extend(trunk);
        }
        Ok(connection)
    }

    /// Waits until it is one's turn to connect, as long as others may share what comes of it: they need not connect then.
    async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        if self.is_exclusive.get() {
            return None;
        }
        let turn = self.turn.lock().await;
        (!self.is_exclusive.get()).then_some(turn)
    }

    /// Keeps a connection whose exchange is over; closes it if it can serve no other.
    pub(crate) fn put(&self, connection: Connection, now: Instant) {
        connection.count_unasked();
        // One that is shared is here already.
        if !connection.speaks_http2() && connection.is_reusable() {
            self.idle.borrow_mut().push(Idle {
                connection: connection.rested(),
                since: now,
            });
        }
    }

    /// Whether there are no connections.
    pub(crate) fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.trunks.borrow().is_empty()
    }

    /// Closes what was idle for `ttl` or closed by the member.
    pub(crate) fn expire(&self, ttl: Duration) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| idle.since.elapsed() < ttl && idle.connection.is_quiet());
        self.trunks
            .borrow_mut()
            .retain(|trunk| trunk.is_of_use(ttl));
        self.trunks.borrow().iter().for_each(Trunk::shrink);
    }
}
