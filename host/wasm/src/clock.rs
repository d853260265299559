//! Two clocks: a coarse one that costs nothing to read, and the processor's, which costs a system call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A time in nanoseconds.
pub(super) type Nanos = u64;

/// The time as of the last tick of the engine, a millisecond ago or so.
///
/// The time between two readings is right on average over many calls, however short they are: one of 10 µs sees a tick in one
/// of a hundred cases, and then a whole millisecond.
#[derive(Debug)]
pub(super) struct CoarseClock {
    started: Instant,
    now: AtomicU64,
}

impl CoarseClock {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            now: AtomicU64::new(0),
        }
    }

    /// Looks at the time; one thread does, once a tick.
    pub(super) fn tick(&self) {
        self.now.store(nanos(self.started.elapsed()), Relaxed);
    }

    /// Since the clock was made, as of the last tick.
    #[inline]
    pub(super) fn now(&self) -> Nanos {
        self.now.load(Relaxed)
    }
}

/// How long the thread has been running on a processor.
pub(super) fn processor_time() -> Nanos {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).map_or(0, nanos)
}

/// A duration as a number; 584 years fit.
pub(super) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
