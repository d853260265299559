//! What becomes of a connection on which nothing happens.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::Deadline;
use equipoise_config::Limits;

/// How long a connection that is to end for want of requests may take to end.
const PARTING: Duration = Duration::from_secs(5);

/// How long a connection without requests keeps the memory that the next one would need.
const REST: Duration = Duration::from_secs(1);

/// Times the silence of a client.
///
/// One that has requests under way and has been silent for `keepalive-timeout` is asked for a sign of life, and has
/// `client-timeout` to give it. One without requests is told after `keepalive-timeout` that the connection ends.
pub(super) struct Quiet {
    interval: Duration,
    patience: Duration,
    deadline: Deadline,
    /// When the client sent something, or the connection began.
    heard: Instant,
    state: State,
    /// Whether the client was told that the connection ends.
    has_left: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests are under way.
    Busy,
    /// So they are, and a sign of life was asked for at this time.
    Asked(Instant),
    /// No request is under way since then; whether its memory was given back.
    Idle(Instant, bool),
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Memory is to be given back.
    Rest,
    /// The client is to be asked for a sign of life.
    Ping,
    /// It is to be told that the connection ends.
    Leave,
    /// The connection has to end.
    End,
}

impl Quiet {
    /// Of a connection that begins.
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            interval: limits.keepalive_timeout,
            patience: limits.client_timeout,
            deadline: Deadline::default(),
            heard: now,
            state: State::Idle(now, false),
            has_left: false,
        }
    }

    /// The client has sent something, whatever it was.
    pub(super) fn note_heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The client is told that the connection ends; false where it was.
    pub(super) fn leave(&mut self) -> bool {
        !std::mem::replace(&mut self.has_left, true)
    }

    /// Ready when something is due. `is_busy` says whether requests are under way.
    pub(super) fn poll(
        &mut self,
        is_busy: bool,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Poll<Due> {
        self.state = match (self.state, is_busy) {
            (State::Idle(..), true) => State::Busy,
            (State::Asked(at), true) if self.heard > at => State::Busy,
            (State::Busy | State::Asked(_), false) => State::Idle(now, false),
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
            State::Busy => self.heard + self.interval,
            State::Asked(at) => at + self.patience,
            State::Idle(since, false) => since + REST.min(self.interval),
            State::Idle(since, true) if self.has_left => since + PARTING,
            State::Idle(since, true) => since + self.interval,
        }
    }

    fn due(&mut self) -> Due {
        let now = Instant::now();
        match self.state {
            State::Busy => {
                self.state = State::Asked(now);
                Due::Ping
            }
            State::Asked(_) => Due::End,
            State::Idle(since, false) => {
                self.state = State::Idle(since, true);
                Due::Rest
            }
            State::Idle(_, true) if self.has_left => Due::End,
            State::Idle(_, true) => {
                self.has_left = true;
                self.state = State::Idle(now, true);
                Due::Leave
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

    fn quiet() -> Quiet {
        let limits = Limits {
            keepalive_timeout: 60 * SECOND,
            client_timeout: 20 * SECOND,
            ..Limits::default()
        };
        Quiet::new(&limits, Instant::now())
    }

    /// What is due next, and in how many seconds.
    async fn next(quiet: &mut Quiet, is_busy: bool) -> (Due, u64) {
        let begun = Instant::now();
        let due = poll_fn(|context| quiet.poll(is_busy, Instant::now(), context)).await;
        (due, begun.elapsed().as_secs())
    }

    /// Lets the task look after it now.
    async fn look(quiet: &mut Quiet, is_busy: bool) {
        let polled = timeout(Duration::ZERO, next(quiet, is_busy)).await;
        assert!(polled.is_err(), "{polled:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_requests_is_told_of_the_end_and_has_five_seconds_to_leave() {
        let mut quiet = quiet();
        assert_eq!(next(&mut quiet, false).await, (Due::Rest, 1));
        assert_eq!(next(&mut quiet, false).await, (Due::Leave, 59));
        assert_eq!(next(&mut quiet, false).await, (Due::End, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_says_does_not_keep_a_client_without_requests() {
        let mut quiet = quiet();
        assert_eq!(next(&mut quiet, false).await, (Due::Rest, 1));
        advance(39 * SECOND).await;
        quiet.note_heard(Instant::now());
        assert_eq!(next(&mut quiet, false).await, (Due::Leave, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_runs_from_the_end_of_the_last_request() {
        let mut quiet = quiet();
        look(&mut quiet, true).await;
        advance(50 * SECOND).await;
        look(&mut quiet, false).await;
        assert_eq!(next(&mut quiet, false).await, (Due::Rest, 1));
        assert_eq!(next(&mut quiet, false).await, (Due::Leave, 59));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_with_requests_is_asked_for_a_sign_of_life() {
        let mut quiet = quiet();
        assert_eq!(next(&mut quiet, true).await, (Due::Ping, 60));
        advance(15 * SECOND).await;
        quiet.note_heard(Instant::now());
        assert_eq!(next(&mut quiet, true).await, (Due::Ping, 60));
        assert_eq!(next(&mut quiet, true).await, (Due::End, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_told_of_the_end_may_finish_its_requests() {
        let mut quiet = quiet();
        assert!(quiet.leave());
        assert!(!quiet.leave(), "once");
        look(&mut quiet, true).await;
        advance(50 * SECOND).await;
        quiet.note_heard(Instant::now());
        look(&mut quiet, true).await;
        advance(50 * SECOND).await;
        look(&mut quiet, true).await;
        assert_eq!(next(&mut quiet, false).await, (Due::Rest, 1));
        assert_eq!(next(&mut quiet, false).await, (Due::End, 4));
    }
}
