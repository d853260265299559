//! Throttles log lines that any client can cause.

use std::time::{Duration, Instant};

/// The least time between two lines of a kind.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A log line that may repeat.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    /// When it was last logged.
    last_logged: Option<Instant>,
    /// How often it has happened since.
    suppressed: u64,
}

impl LogThrottle {
    /// It has happened once more. Where it is time for a line: how often it has since the last.
    pub(super) fn count(&mut self, now: Instant) -> Option<u64> {
        self.suppressed += 1;
        let is_early = |told| now.saturating_duration_since(told) < LOG_INTERVAL;
        if self.last_logged.is_some_and(is_early) {
            return None;
        }
        self.last_logged = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let start = Instant::now();
        let mut throttle = LogThrottle::default();
        let mut at = |milliseconds| throttle.count(start + Duration::from_millis(milliseconds));
        let told = [0, 1, 9_999, 10_000, 10_001, 30_000].map(&mut at);
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
