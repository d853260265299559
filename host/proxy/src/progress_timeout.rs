//! How long a client may leave us waiting.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::rate::Rate;

/// Waits for a client that is to send or to take something: not longer than a time at once, and not longer than what it
/// sends or takes is worth at the least rate. As long as nothing is waited for, it costs nothing, not even a look at the
/// clock.
#[derive(Debug)]
pub struct ProgressTimeout {
    timeout: Duration,
    deadline: Deadline,
    rate: Rate,
}

impl ProgressTimeout {
    /// Waits for `timeout` at once, and for `least` bytes a second on average; 0 is for any rate.
    pub fn new(timeout: Duration, least: usize) -> Self {
        Self {
            timeout,
            deadline: Deadline::default(),
            rate: Rate::new(least),
        }
    }

    /// Nothing has come yet: ready when patience is at its end.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.rate.is_waiting() {
            let now = Instant::now();
            self.rate.wait(now);
            let stalled = now + self.timeout;
            let too_slow = self.rate.deadline().unwrap_or(stalled);
            self.deadline.set(stalled.min(too_slow));
        }
        self.deadline.poll(context)
    }

    /// So many bytes have come or gone.
    pub fn pass(&mut self, bytes: usize) {
        if self.rate.is_waiting() {
            self.rate.pass(bytes, Instant::now());
            self.deadline.clear();
        }
    }
}
