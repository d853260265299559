//! HTTP/2 keepalive of clients: PINGs a silent client with requests in flight, closes idle connections.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::lazy_timer::LazyTimer;
use equipoise_config::Limits;

/// How long an idle client may take to close its connection after GOAWAY.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection keeps the memory that its next request would need.
const SHRINK_DELAY: Duration = Duration::from_secs(1);

/// The keepalive of a connection.
///
/// A client that has requests in flight and has been silent for `keepalive-timeout` is sent a PING, and has `client-timeout` to
/// send something. One without requests is sent GOAWAY after `keepalive-timeout`.
pub(super) struct Keepalive {
    interval: Duration,
    ping_timeout: Duration,
    deadline: LazyTimer,
    /// When the client last sent something, or the connection began.
    last_received: Instant,
    state: State,
    /// Whether GOAWAY was sent.
    goaway_sent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests are in flight.
    Busy,
    /// So they are, and a PING was sent at this time.
    PingSent(Instant),
    /// No request is in flight since then; whether its memory was given back.
    Idle(Instant, bool),
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Memory is to be given back.
    Shrink,
    /// A PING is to be sent.
    Ping,
    /// GOAWAY is to be sent.
    GoAway,
    /// The connection is to be closed.
    Close,
}

impl Keepalive {
    /// The keepalive of a new connection.
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            interval: limits.keepalive_timeout,
            ping_timeout: limits.client_timeout,
            deadline: LazyTimer::default(),
            last_received: now,
            state: State::Idle(now, false),
            goaway_sent: false,
        }
    }

    /// The client has sent something, whatever it was.
    pub(super) fn record_received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// GOAWAY is sent; false if it was before.
    pub(super) fn begin_goaway(&mut self) -> bool {
        !std::mem::replace(&mut self.goaway_sent, true)
    }

    /// Ready when something is due. `is_busy` says whether requests are in flight.
    pub(super) fn poll(
        &mut self,
        is_busy: bool,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Poll<Due> {
        self.state = match (self.state, is_busy) {
            (State::Idle(..), true) => State::Busy,
            (State::PingSent(at), true) if self.last_received > at => State::Busy,
            (State::Busy | State::PingSent(_), false) => State::Idle(now, false),
            (state, _) => state,
        };
        loop {
            let at = self.due_at();
            self.deadline.set(at);
            ready!(self.deadline.poll(context));
            if at <= Instant::now() {
                return Poll::Ready(self.due());
            }
        }
    }

    fn due_at(&self) -> Instant {
        match self.state {
            State::Busy => self.last_received + self.interval,
            State::PingSent(at) => at + self.ping_timeout,
            State::Idle(since, false) => since + SHRINK_DELAY.min(self.interval),
            State::Idle(since, true) if self.goaway_sent => since + GOAWAY_TIMEOUT,
            State::Idle(since, true) => since + self.interval,
        }
    }

    fn due(&mut self) -> Due {
        let now = Instant::now();
        match self.state {
            State::Busy => {
                self.state = State::PingSent(now);
                Due::Ping
            }
            State::PingSent(_) => Due::Close,
            State::Idle(since, false) => {
                self.state = State::Idle(since, true);
                Due::Shrink
            }
            State::Idle(_, true) if self.goaway_sent => Due::Close,
            State::Idle(_, true) => {
                self.goaway_sent = true;
                self.state = State::Idle(now, true);
                Due::GoAway
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keepalive() -> Keepalive {
        let limits = Limits {
            keepalive_timeout: 60 * SECOND,
            client_timeout: 20 * SECOND,
            ..Limits::default()
        };
        Keepalive::new(&limits, Instant::now())
    }

    /// What is due next, and in how many seconds.
    async fn next(keepalive: &mut Keepalive, is_busy: bool) -> (Due, u64) {
        let begun = Instant::now();
        let due = poll_fn(|context| keepalive.poll(is_busy, Instant::now(), context)).await;
        (due, begun.elapsed().as_secs())
    }

    /// Polls it once, with nothing due.
    async fn poll_once(keepalive: &mut Keepalive, is_busy: bool) {
        let polled = timeout(Duration::ZERO, next(keepalive, is_busy)).await;
        assert!(polled.is_err(), "{polled:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_requests_is_sent_goaway_and_has_five_seconds_to_close() {
        let mut keepalive = keepalive();
        assert_eq!(next(&mut keepalive, false).await, (Due::Shrink, 1));
        assert_eq!(next(&mut keepalive, false).await, (Due::GoAway, 59));
        assert_eq!(next(&mut keepalive, false).await, (Due::Close, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_do_not_keep_a_connection_without_requests_open() {
        let mut keepalive = keepalive();
        assert_eq!(next(&mut keepalive, false).await, (Due::Shrink, 1));
        advance(39 * SECOND).await;
        keepalive.record_received(Instant::now());
        assert_eq!(next(&mut keepalive, false).await, (Due::GoAway, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn the_idle_time_runs_from_the_end_of_the_last_request() {
        let mut keepalive = keepalive();
        poll_once(&mut keepalive, true).await;
        advance(50 * SECOND).await;
        poll_once(&mut keepalive, false).await;
        assert_eq!(next(&mut keepalive, false).await, (Due::Shrink, 1));
        assert_eq!(next(&mut keepalive, false).await, (Due::GoAway, 59));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_with_requests_is_sent_a_ping() {
        let mut keepalive = keepalive();
        assert_eq!(next(&mut keepalive, true).await, (Due::Ping, 60));
        advance(15 * SECOND).await;
        keepalive.record_received(Instant::now());
        assert_eq!(next(&mut keepalive, true).await, (Due::Ping, 60));
        assert_eq!(next(&mut keepalive, true).await, (Due::Close, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_was_sent_goaway_may_finish_its_requests() {
        let mut keepalive = keepalive();
        assert!(keepalive.begin_goaway());
        assert!(!keepalive.begin_goaway(), "once");
        poll_once(&mut keepalive, true).await;
        advance(50 * SECOND).await;
        keepalive.record_received(Instant::now());
        poll_once(&mut keepalive, true).await;
        advance(50 * SECOND).await;
        poll_once(&mut keepalive, true).await;
        assert_eq!(next(&mut keepalive, false).await, (Due::Shrink, 1));
        assert_eq!(next(&mut keepalive, false).await, (Due::Close, 4));
    }
}
