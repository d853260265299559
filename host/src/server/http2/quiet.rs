//! What becomes of a connection on which nothing happens.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Limits;
use crate::deadline::Deadline;

/// How long a connection that is to end for want of requests may take to end.
const PARTING: Duration = Duration::from_secs(5);

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
    /// No request is under way since then.
    Idle(Instant),
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
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
            state: State::Idle(now),
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
            (State::Idle(_), true) => State::Busy,
            (State::Asked(at), true) if self.heard > at => State::Busy,
            (State::Busy | State::Asked(_), false) => State::Idle(now),
            (state, _) => state,
        };
        loop {
            let at = self.due_at();
            self.deadline.set(at);
            std::task::ready!(self.deadline.poll(context));
            if at <= Instant::now() {
                return Poll::Ready(self.due());
            }
        }
    }

    fn due_at(&self) -> Instant {
        match self.state {
            State::Busy => self.heard + self.interval,
            State::Asked(at) => at + self.patience,
            State::Idle(since) if self.has_left => since + PARTING,
            State::Idle(since) => since + self.interval,
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
            State::Idle(_) if self.has_left => Due::End,
            State::Idle(_) => {
                self.has_left = true;
                self.state = State::Idle(now);
                Due::Leave
            }
        }
    }
}
