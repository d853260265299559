//! An optional instant that threads share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A moment or none, with the resolution of a nanosecond; good for 584 years from the clock's origin.
#[derive(Debug, Default)]
pub(crate) struct AtomicInstant {
    /// Nanoseconds since the origin and 1 more; 0 is none.
    raw: AtomicU64,
}

impl AtomicInstant {
    /// Returns what it was before.
    pub(crate) fn set(&self, moment: Duration) -> Option<Duration> {
        let nanoseconds = u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX);
        read(self.raw.swap(nanoseconds.saturating_add(1), Relaxed))
    }

    /// Makes it none if it is still `seen`; tells whether it was.
    pub(crate) fn clear(&self, seen: Duration) -> bool {
        let raw = self.raw.load(Relaxed);
        read(raw) == Some(seen) && self.raw.compare_exchange(raw, 0, Relaxed, Relaxed).is_ok()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.raw.load(Relaxed) != 0
    }

    pub(crate) fn load(&self) -> Option<Duration> {
        read(self.raw.load(Relaxed))
    }
}

fn read(raw: u64) -> Option<Duration> {
    raw.checked_sub(1).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::ZERO;
    const LATER: Duration = Duration::from_nanos(1);

    #[test]
    fn moment_is_none_until_set_and_keeps_the_nanosecond() {
        let moment = AtomicInstant::default();
        assert!(!moment.is_set());
        for time in [FIRST, LATER, Duration::from_nanos(u64::MAX - 1)] {
            moment.set(time);
            assert!(moment.is_set());
            assert_eq!(moment.load(), Some(time));
        }
    }

    #[test]
    fn moment_set_again_meanwhile_is_not_cleared() {
        let moment = AtomicInstant::default();
        moment.set(FIRST);
        moment.set(LATER);
        assert!(!moment.clear(FIRST));
        assert_eq!(moment.load(), Some(LATER));
        assert!(moment.clear(LATER));
        assert!(!moment.clear(LATER));
        assert_eq!(moment.load(), None);
    }

    #[test]
    fn moment_beyond_the_range_is_the_last_one() {
        let moment = AtomicInstant::default();
        moment.set(Duration::MAX);
        assert_eq!(moment.load(), Some(Duration::from_nanos(u64::MAX - 1)));
    }
}
