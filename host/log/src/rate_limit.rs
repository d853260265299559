//! How many lines of a kind may be logged.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// From one line to the next, in the long run: ten a second.
const INTERVAL: Duration = Duration::from_millis(100);

/// Lines that may follow each other at once after a silence.
const BURST: u32 = 20;

/// A rate limit that threads share without a lock: a burst of 20 lines, and ten a second.
///
/// Every line occupies an interval, one after the other. A line is let through as long as the intervals do not reach
/// further than a whole burst into the future: a bucket of tokens, told by one number.
#[derive(Debug, Default)]
pub struct RateLimit {
    /// When the last interval ends, in nanoseconds since the start.
    occupied_until: AtomicU64,
    /// Lines that were not let through since one was.
    pub dropped: AtomicU64,
}

impl RateLimit {
    /// Lets a line through, and answers how many were dropped before it; or drops it.
    ///
    /// `now` is the time since some start, which is the same for each call.
    pub fn take(&self, now: Duration) -> Option<u64> {
        let now = nanoseconds(now);
        let limit = now.saturating_add(nanoseconds(INTERVAL * BURST));
        let occupy = |until: u64| {
            let until = until.max(now).saturating_add(nanoseconds(INTERVAL));
            (until <= limit).then_some(until)
        };
        // No other memory hangs on these numbers, so no order is needed.
        match self.occupied_until.fetch_update(Relaxed, Relaxed, occupy) {
            Ok(_) => Some(self.dropped.swap(0, Relaxed)),
            Err(_) => {
                self.dropped.fetch_add(1, Relaxed);
                None
            }
        }
    }
}

/// 584 years fit.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_ten_lines_a_second() {
        /// At so many milliseconds so many lines are tried; so many pass, after so many dropped ones.
        const STEPS: [(u64, u32, u32, u64); 8] = [
            (0, 25, 20, 0),
            (99, 1, 0, 0),
            (100, 3, 1, 6),
            (199, 1, 0, 0),
            (200, 1, 1, 3),
            (1_000, 10, 8, 0),
            (1_050, 5, 0, 0),
            (100_000, 30, 20, 7),
        ];
        let limit = RateLimit::default();
        for (at, tried, passing, dropped) in STEPS {
            let answers: Vec<_> = (0..tried)
                .filter_map(|_| limit.take(Duration::from_millis(at)))
                .collect();
            assert_eq!(answers.len(), passing as usize, "at {at} ms");
            let counted: u64 = answers.iter().sum();
            assert_eq!(counted, dropped, "at {at} ms");
            assert!(answers.iter().skip(1).all(|&dropped| dropped == 0));
        }
    }
}
