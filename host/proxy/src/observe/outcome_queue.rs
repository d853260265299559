//! Queue of request outcomes from workers to health evaluation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use equipoise_sdk::health::{Failure, RequestOutcome};

use crate::upstream::ByteCounts;

/// Outcomes that wait at most. They are taken ten times a second.
const MAX_QUEUED: usize = 16 * 1024;

/// Outcomes of one balancer that were not evaluated yet. What does not fit is dropped, and counted.
pub struct OutcomeQueue {
    sender: SyncSender<RequestOutcome>,
    receiver: Mutex<Receiver<RequestOutcome>>,
    dropped: AtomicU64,
}

impl Default for OutcomeQueue {
    fn default() -> Self {
        let (sender, receiver) = sync_channel(MAX_QUEUED);
        Self {
            sender,
            receiver: Mutex::new(receiver),
            dropped: AtomicU64::new(0),
        }
    }
}

impl OutcomeQueue {
    /// An exchange ended. Never waits.
    pub(crate) fn push(&self, exchange: RequestOutcome) {
        if self.sender.try_send(exchange).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// So many of those that wait, oldest first.
    pub fn take(&self, max: usize) -> Vec<RequestOutcome> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.try_iter().take(max).collect()
    }

    /// How many were dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Relaxed)
    }
}

/// What is known of a request's outcome before it ends.
pub struct OutcomeContext {
    pub(crate) member: u32,
    /// Since when the balancer's clock goes.
    pub(crate) origin: Instant,
    /// When the member was chosen, on that clock.
    pub(crate) chosen: Duration,
}

impl OutcomeContext {
    /// The outcome of a request without a response.
    pub(crate) fn failed(&self, failure: Failure) -> RequestOutcome {
        let now = self.origin.elapsed();
        RequestOutcome {
            member: self.member,
            at_ms: milliseconds(now),
            latency_us: microseconds(now.saturating_sub(self.chosen)),
            status: Err(failure),
            bytes_sent: 0,
            bytes_received: 0,
        }
    }
}

/// The outcome of a request whose response has begun; reported when it ends.
pub struct PendingOutcome {
    pub(crate) outcomes: Arc<OutcomeQueue>,
    pub(crate) context: OutcomeContext,
    pub(crate) status: u16,
    /// From the decision to the head of the response.
    pub(crate) latency: Duration,
}

impl PendingOutcome {
    /// The request is over: its response was complete, or failed. `byte_counts` is what passed for it.
    pub(crate) fn close(self, failure: Option<Failure>, byte_counts: ByteCounts) {
        self.outcomes.push(RequestOutcome {
            member: self.context.member,
            at_ms: milliseconds(self.context.origin.elapsed()),
            latency_us: microseconds(self.latency),
            status: failure.map_or(Ok(self.status), Err),
            bytes_sent: byte_counts.sent,
            bytes_received: byte_counts.read,
        });
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn microseconds(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let outcomes = OutcomeQueue::default();
        let context = OutcomeContext {
            member: 7,
            origin: Instant::now(),
            chosen: Duration::ZERO,
        };
        for _ in 0..MAX_QUEUED + 3 {
            outcomes.push(context.failed(Failure::Reset));
        }
        assert_eq!(outcomes.take_dropped(), 3);
        assert_eq!(outcomes.take_dropped(), 0);
        assert_eq!(outcomes.take(1000).len(), 1000);
        assert_eq!(outcomes.take(usize::MAX).len(), MAX_QUEUED - 1000);
        assert!(outcomes.take(1).is_empty());
    }
}
