//! A member's counters, and the lease that counts a request as in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Member;
use crate::atomic_instant::AtomicInstant;
use crate::generation::GenerationHandle;
use crate::health::HealthState;

/// A member's counters and state; kept when the configuration changes.
///
/// Every counter is exact, not sampled. Two counters read one after the other may be of different moments.
#[derive(Debug, Default)]
pub struct Counters {
    busy: AtomicU32,
    elected: AtomicU64,
    transferred: AtomicU64,
    read: AtomicU64,
    /// Microseconds from the decision to the head of the response: a moving mean, 0 for none yet.
    latency: AtomicU32,
    /// Failures since the last response.
    failures: AtomicU32,
    /// Since when the member is in error; none while it is not.
    error: AtomicInstant,
    retries: AtomicU32,
    /// The last heartbeat: ready slots in the upper half, busy slots in the lower, so that they are of one report.
    slots: AtomicU64,
    heartbeat_at: AtomicInstant,
    pub(crate) health: HealthState,
    /// Counts changes that affect eligibility.
    pub(crate) generation: GenerationHandle,
}

/// The content of a member's last heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatReport {
    /// Idle slots.
    pub ready: u32,
    /// Busy slots.
    pub busy: u32,
    /// When it arrived.
    pub at: Duration,
}

impl Counters {
    /// Counts bytes sent to the member.
    pub fn add_transferred(&self, bytes: u64) {
        self.transferred.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes read from the member.
    pub fn add_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Relaxed);
    }

    /// A heartbeat arrived at `now`, with the member's idle and busy slots.
    pub fn record_heartbeat(&self, ready: u32, busy: u32, now: Duration) {
        let slots = u64::from(ready) << 32 | u64::from(busy);
        self.slots.store(slots, Relaxed);
        self.heartbeat_at.set(now);
        self.generation.bump_heartbeats();
    }

    /// Requests in flight.
    pub fn busy(&self) -> u32 {
        self.busy.load(Relaxed)
    }

    /// Requests given to the member.
    pub fn elected(&self) -> u64 {
        self.elected.load(Relaxed)
    }

    /// Bytes sent to the member.
    pub fn transferred(&self) -> u64 {
        self.transferred.load(Relaxed)
    }

    /// Bytes read from the member.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// The time from the decision to the head of the response, in microseconds: a moving mean in which the last response
    /// weighs an eighth. 0 before the first response.
    pub fn latency_us(&self) -> u32 {
        self.latency.load(Relaxed)
    }

    /// Failures in a row, up to now: requests without a complete response.
    pub fn consecutive_failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// Whether the member is in the error state: Apache's `E`.
    pub fn in_error(&self) -> bool {
        self.error.is_set()
    }

    /// Whether the member is unhealthy: Apache's `C`.
    pub fn is_unhealthy(&self) -> bool {
        self.health.is_unhealthy()
    }

    /// When the error state was entered, on the clock of [`Balancer::report`](crate::Balancer::report)'s `now`; `None`
    /// while the member is not in error.
    pub fn error_since(&self) -> Option<Duration> {
        self.error.load()
    }

    /// How often the member was retried since the last connection.
    pub fn retries(&self) -> u32 {
        self.retries.load(Relaxed)
    }

    /// The last heartbeat; `None` before the first.
    pub fn heartbeat(&self) -> Option<HeartbeatReport> {
        let at = self.heartbeat_at.load()?;
        let slots = self.slots.load(Relaxed);
        Some(HeartbeatReport {
            ready: (slots >> 32) as u32,
            busy: slots as u32,
            at,
        })
    }

    pub(crate) fn elect(&self) {
        self.elected.fetch_add(1, Relaxed);
    }

    /// A response began after `latency`. Of two that begin at once one may be missing from the mean.
    fn observe(&self, latency: Duration) {
        let sample = u32::try_from(latency.as_micros())
            .unwrap_or(u32::MAX)
            .max(1);
        let mean = match self.latency_us() {
            0 => sample,
            mean => mean - mean / 8 + sample / 8,
        };
        self.latency.store(mean.max(1), Relaxed);
    }

    /// Counts a failure, or resets the count.
    pub(crate) fn count_failure(&self, failed: bool) {
        if failed {
            self.failures.fetch_add(1, Relaxed);
        } else if self.consecutive_failures() != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// Enters the error state, or restarts its time; returns whether it is new.
    pub(crate) fn enter_error(&self, now: Duration) -> bool {
        let is_new = self.error.set(now).is_none();
        self.health.reset_passes();
        if is_new {
            self.generation.bump_eligibility();
        }
        is_new
    }

    /// Leaves the error state that was entered at `since`, for a retry; returns whether it was in it. A failure reported since
    /// then stays.
    pub(crate) fn retry(&self, since: Duration, now: Duration) -> bool {
        let has_left = self.leave_error(since, now);
        if has_left {
            self.retries.fetch_add(1, Relaxed);
        }
        has_left
    }

    /// Leaves the error state that was entered at `since`; returns whether it was in it.
    pub(crate) fn leave_error(&self, since: Duration, now: Duration) -> bool {
        let has_left = self.error.clear(since);
        if has_left {
            self.start_slow_start(now);
        }
        has_left
    }

    /// The member is back in service.
    pub(crate) fn start_slow_start(&self, now: Duration) {
        self.health.start_slow_start(now);
        self.generation.bump_eligibility();
    }

    /// The member was connected: resets the count of retries.
    pub(crate) fn reset_retries(&self) {
        if self.retries() != 0 {
            self.retries.store(0, Relaxed);
        }
    }
}

/// A request in flight at a member: counted in [`Counters::busy`] from its creation until it is dropped.
#[derive(Debug)]
pub struct Lease {
    member: Arc<Member>,
    /// When the member was chosen.
    since: Duration,
}

impl Lease {
    pub(crate) fn new(member: Arc<Member>, since: Duration) -> Self {
        member.counters.busy.fetch_add(1, Relaxed);
        Self { member, since }
    }

    /// Records that the head of the response arrived at `now`, on the clock of the decision: counts in the member's latency.
    pub fn record_response(&self, now: Duration) {
        self.member.counters.observe(now.saturating_sub(self.since));
    }

    /// When the member was chosen, on the clock of the decision.
    pub fn since(&self) -> Duration {
        self.since
    }

    /// The member that takes the request.
    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.member.counters.busy.fetch_sub(1, Relaxed);
    }
}
