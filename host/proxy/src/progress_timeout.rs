//! The progress timeout: a peer has to send or take something within a time, and at a minimum rate.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::lazy_timer::LazyTimer;
use crate::min_rate::MinRate;

/// Expires when a peer sends or takes nothing for `timeout`, or less than the minimum rate on average. As long as the peer is not
/// waited for, it costs nothing, not even a clock reading.
#[derive(Debug)]
pub struct ProgressTimeout {
    timeout: Duration,
    deadline: LazyTimer,
    rate: MinRate,
}

impl ProgressTimeout {
    /// `min_rate` is in bytes a second; 0 is for any.
    pub fn new(timeout: Duration, min_rate: usize) -> Self {
        Self {
            timeout,
            deadline: LazyTimer::default(),
            rate: MinRate::new(min_rate),
        }
    }

    /// Polled while nothing has passed: ready when it has expired.
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

    /// So many bytes have passed.
    pub fn record_progress(&mut self, bytes: usize) {
        if self.rate.is_waiting() {
            self.rate.record(bytes, Instant::now());
            self.deadline.clear();
        }
    }
}
