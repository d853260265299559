//! Requests that ended, on their way from the workers to the judge.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use equipoise_sdk::health::{Failure, RequestOutcome};

use crate::upstream::Traffic;

/// How many exchanges wait for the judge at most. It asks ten times a second.
const MOST_WAITING: usize = 16 * 1024;

/// Exchanges of one balancer that the judge has not seen yet. What does not fit is left out, and counted.
pub struct Exchanges {
    sender: SyncSender<RequestOutcome>,
    receiver: Mutex<Receiver<RequestOutcome>>,
    left_out: AtomicU64,
}

impl Default for Exchanges {
    fn default() -> Self {
        let (sender, receiver) = sync_channel(MOST_WAITING);
        Self {
            sender,
            receiver: Mutex::new(receiver),
            left_out: AtomicU64::new(0),
        }
    }
}

impl Exchanges {
    /// An exchange ended. Never waits.
    pub(crate) fn put(&self, exchange: RequestOutcome) {
        if self.sender.try_send(exchange).is_err() {
            self.left_out.fetch_add(1, Relaxed);
        }
    }

    /// So many of those that wait, oldest first.
    pub fn take(&self, most: usize) -> Vec<RequestOutcome> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.try_iter().take(most).collect()
    }

    /// How many were left out since this was last asked.
    pub fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Relaxed)
    }
}

/// What is known of an exchange before it ends.
pub struct OutcomeContext {
    pub(crate) member: u32,
    /// Since when the balancer's clock goes.
    pub(crate) origin: Instant,
    /// When the member was chosen, on that clock.
    pub(crate) chosen: Duration,
}

impl OutcomeContext {
    /// An exchange that brought no answer.
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

/// An exchange whose answer has begun, to be told of when that ends.
pub struct PendingOutcome {
    pub(crate) exchanges: Arc<Exchanges>,
    pub(crate) context: OutcomeContext,
    pub(crate) status: u16,
    /// From the decision to the head of the answer.
    pub(crate) latency: Duration,
}

impl PendingOutcome {
    /// The exchange is over: its answer came whole, or broke off. The connection has carried `carried` for it.
    pub(crate) fn close(self, failure: Option<Failure>, carried: Traffic) {
        self.exchanges.put(RequestOutcome {
            member: self.context.member,
            at_ms: milliseconds(self.context.origin.elapsed()),
            latency_us: microseconds(self.latency),
            status: failure.map_or(Ok(self.status), Err),
            bytes_sent: carried.sent,
            bytes_received: carried.read,
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
        let exchanges = Exchanges::default();
        let context = OutcomeContext {
            member: 7,
            origin: Instant::now(),
            chosen: Duration::ZERO,
        };
        for _ in 0..MOST_WAITING + 3 {
            exchanges.put(context.failed(Failure::Reset));
        }
        assert_eq!(exchanges.take_left_out(), 3);
        assert_eq!(exchanges.take_left_out(), 0);
        assert_eq!(exchanges.take(1000).len(), 1000);
        assert_eq!(exchanges.take(usize::MAX).len(), MOST_WAITING - 1000);
        assert!(exchanges.take(1).is_empty());
    }
}
