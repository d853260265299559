//! Connection pool for one member, of one worker.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use equipoise_balancer::Counters;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::upstream::connection::SharedConnection;
use crate::upstream::{ConnectError, ConnectOptions, Connection, Endpoint};
use equipoise_config::Limits;

/// Idle connections of HTTP/1.1 to one member, the one used last on top, and those of HTTP/2, idle or not.
///
/// It never holds more than there were requests in flight at once, and none that is idle for longer than the member's `ttl`.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<SharedConnection>>,
    /// Held while a connection is made that other requests may share.
    connect_lock: Mutex<()>,
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
    #[inline]
    pub(crate) fn take(&self, ttl: Duration, may_share: bool, now: Instant) -> Option<Connection> {
        if may_share && let Some(connection) = self.open_stream(None) {
            return Some(connection);
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle {
            mut connection,
            since,
        }) = idle.pop()
        {
            if since.checked_add(ttl).is_some_and(|until| until <= now) {
                idle.clear();
            } else if connection.is_idle() {
                return Some(connection.into_reused());
            }
        }
        None
    }

    /// An exchange on a connection that is shared; on one that was made since then, if that is said.
    #[inline]
    fn open_stream(&self, since: Option<Instant>) -> Option<Connection> {
        let shared = self.shared.borrow();
        let mut shared = shared.iter();
        let shared = shared.find(|it| it.has_room() && since.is_none_or(|since| it.is_from(since)));
        shared.map(|shared| shared.open_stream(since.is_none()))
    }

    /// A connection where there was none to [`take`](Self::take): a new one or, if `may_share`, one that another request has made
    /// meanwhile, but not before `since`. To wait for others is part of the member's `connectiontimeout`.
    ///
    /// # Errors
    /// There is none in time, or at all.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
        counters: Arc<Counters>,
        limits: &Limits,
        options: ConnectOptions<'_>,
        may_share: bool,
        since: Option<Instant>,
    ) -> Result<Connection, ConnectError> {
        let (limit, ttl) = (endpoint.config.connection_timeout, endpoint.config.ttl);
        let deadline = Instant::now() + limit;
        let connect_lock = match may_share {
            true => timeout_at(deadline, self.connect_lock()).await,
            false => Ok(None),
        };
        let connect_lock = connect_lock.map_err(|_| ConnectError::TimedOut(limit))?;
        // The request that had the turn before may have made one that has room.
        if connect_lock.is_some()
            && let Some(connection) = match since {
                None => self.take(ttl, may_share, Instant::now()),
                Some(_) => self.open_stream(since),
            }
        {
            return Ok(connection);
        }
        let opened = Connection::open(endpoint, counters, limits, options, deadline).await;
        let (connection, shared) = opened?;
        if may_share {
            self.is_exclusive.set(shared.is_none());
            self.shared.borrow_mut().extend(shared);
        }
        Ok(connection)
    }

    /// Waits for the lock, as long as requests may share what the holder connects.
    async fn connect_lock(&self) -> Option<MutexGuard<'_, ()>> {
        if self.is_exclusive.get() {
            return None;
        }
        let connect_lock = self.connect_lock.lock().await;
        (!self.is_exclusive.get()).then_some(connect_lock)
    }

    /// Keeps a connection whose exchange is over; closes it if it can serve no other.
    #[inline]
    pub(crate) fn put(&self, connection: Connection, now: Instant) {
        connection.count_unasked();
        // One that is shared is here already.
        if !connection.speaks_http2() && connection.is_reusable() {
            self.idle.borrow_mut().push(Idle {
                connection: connection.into_idle(),
                since: now,
            });
        }
    }

    /// Whether there are no connections.
    pub(crate) fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.shared.borrow().is_empty()
    }

    /// Closes what was idle for `ttl` or closed by the member.
    pub(crate) fn expire(&self, ttl: Duration) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| idle.since.elapsed() < ttl && idle.connection.is_idle());
        self.shared
            .borrow_mut()
            .retain(|shared| shared.is_of_use(ttl));
        self.shared
            .borrow()
            .iter()
            .for_each(SharedConnection::shrink);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;
    use tokio::time::sleep;

    use super::*;
    use crate::upstream::connect::tests::{endpoint, mute};

    /// The timers of the tests' clock are late by this at the most.
    const TICK: Duration = Duration::from_millis(2);

    /// Goal: a request that waits for another to connect does not wait longer than for a connection. Method: a member that takes connections
    /// and never ends its handshake, and requests that come one after the other within the time of the first.
    #[tokio::test(start_paused = true)]
    async fn waiting_for_others_to_connect_is_a_part_of_connectiontimeout() {
        let (_listener, port) = mute().await;
        let keys = "tls = { verify = false }\nconnectiontimeout = \"1s\"";
        let endpoint = endpoint(&format!("h2://127.0.0.1:{port}"), keys);
        let (pool, limits) = (Pool::default(), Limits::default());
        let connecting = async |after: u64| {
            sleep(Duration::from_millis(after)).await;
            let begun = Instant::now();
            let options = ConnectOptions::default();
            let connected = pool.connect(&endpoint, Arc::default(), &limits, options, true, None);
            let error = connected.await.err().expect("no connection");
            assert!(matches!(error, ConnectError::TimedOut(_)), "{error}");
            begun.elapsed()
        };
        let all = async { tokio::join!(connecting(0), connecting(100), connecting(900)) };
        let (first, second, third) = LocalSet::new().run_until(all).await;
        let expected = Duration::from_secs(1)..=Duration::from_secs(1) + TICK;
        for took in [first, second, third] {
            assert!(expected.contains(&took), "{took:?}");
        }
    }

    /// A wave of requests whose connection has ended shares the next one, and trusts no older one.
    #[tokio::test]
    async fn those_that_need_a_fresh_connection_share_it() {
        let (_listener, port) = mute().await;
        let endpoint = endpoint(&format!("h2c://127.0.0.1:{port}"), "");
        let (pool, limits) = (Pool::default(), Limits::default());
        let connect = async |since| {
            let options = ConnectOptions::default();
            let connected = pool.connect(&endpoint, Arc::default(), &limits, options, true, since);
            connected.await.expect("a connection")
        };
        let test = async {
            let old = connect(None).await;
            assert!(connect(None).await.is_reused());
            let since = Some(Instant::now());
            let (one, other) = tokio::join!(connect(since), connect(since));
            assert_eq!(pool.shared.borrow().len(), 2);
            // Another that fails on it has failed on a new one.
            assert!(!one.is_reused() && !other.is_reused());
            drop(old);
        };
        LocalSet::new().run_until(test).await;
    }
}
