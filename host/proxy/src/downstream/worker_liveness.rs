//! Worker liveness: each worker's thread ticks, every second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

/// How often a worker ticks.
const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// How long after its last tick a worker counts as stuck.
const STUCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The ticks of one worker. Clones share them.
#[derive(Debug, Clone)]
pub struct WorkerLiveness {
    started: Instant,
    /// Its last tick, in milliseconds since the start.
    last: Arc<AtomicU64>,
}

impl WorkerLiveness {
    /// Counts as alive from now on.
    #[expect(
        clippy::new_without_default,
        reason = "it begins now, which is no default"
    )]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            last: Arc::default(),
        }
    }

    /// Ticks for ever, as long as the thread gets to it.
    pub(super) async fn tick(&self) {
        let mut ticks = interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.last.store(self.elapsed(), Relaxed);
        }
    }

    /// Whether it ticked within the last five seconds.
    pub fn is_alive(&self) -> bool {
        self.was_alive_at(self.started.elapsed())
    }

    /// The same at a time since the start.
    fn was_alive_at(&self, time: Duration) -> bool {
        let last = Duration::from_millis(self.last.load(Relaxed));
        time.saturating_sub(last) <= STUCK_TIMEOUT
    }

    fn elapsed(&self) -> u64 {
        // Milliseconds of half a billion years.
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_alive_that_ticked_within_five_seconds() {
        let liveness = WorkerLiveness::new();
        for (last, seconds, is_alive) in [
            (0, 5, true),
            (0, 6, false),
            (7000, 12, true),
            (7000, 13, false),
        ] {
            liveness.last.store(last, Relaxed);
            let time = Duration::from_secs(seconds);
            assert_eq!(liveness.was_alive_at(time), is_alive, "{last} at {time:?}");
        }
    }
}
