//! Whether a client that is silent is still there.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::Instant;

use super::activity::Activity;
use crate::config::Limits;
use crate::deadline::Deadline;

/// Asks a client that has been silent for `keepalive-timeout` for a sign of life, and waits `client-timeout` for it.
pub(super) struct Vigil {
    /// None where somebody else has them.
    pings: Option<PingPong>,
    interval: Duration,
    patience: Duration,
    deadline: Deadline,
    has_asked: bool,
}

impl Vigil {
    /// One that begins now.
    pub(super) fn new(pings: Option<PingPong>, limits: &Limits) -> Self {
        let mut deadline = Deadline::default();
        deadline.set(Instant::now() + limits.keepalive_timeout);
        Self {
            pings,
            interval: limits.keepalive_timeout,
            patience: limits.client_timeout,
            deadline,
            has_asked: false,
        }
    }

    /// Ready, once, when the client has given none.
    pub(super) fn poll(&mut self, activity: &Activity, context: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = &mut self.pings else {
            return Poll::Pending;
        };
        loop {
            if self.has_asked {
                if let Poll::Ready(answer) = pings.poll_pong(context) {
                    if answer.is_err() {
                        // The connection ends, and says why.
                        return Poll::Pending;
                    }
                    self.has_asked = false;
                    self.deadline.set(Instant::now() + self.interval);
                    continue;
                }
                return self.deadline.poll(context);
            }
            ready!(self.deadline.poll(context));
            let (now, due) = (Instant::now(), activity.heard() + self.interval);
            if due > now {
                self.deadline.set(due);
            } else if pings.send_ping(Ping::opaque()).is_ok() {
                self.has_asked = true;
                self.deadline.set(now + self.patience);
            } else {
                return Poll::Pending;
            }
        }
    }
}
