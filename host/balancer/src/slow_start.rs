//! Slow start: a member that comes back into service gets a growing part of its share.
//!
//! For `slow-start` after its return a member is a candidate in some decisions only: in a tenth of them at first, in all at
//! the end, and in between in proportion to the time. So it works for every method, plugins included: a member that comes back
//! looks idle, and would otherwise get every request until it looks as busy as the others.
//!
//! Which decisions those are is deterministic. Each adds the current share to the member's credit, and the one that completes
//! it spends it:
//!
//! | decision | 1 | 2 | 3 | 4 | 5 | 6 |
//! |---|---|---|---|---|---|---|
//! | share, ‰ | 400 | 400 | 400 | 400 | 400 | 400 |
//! | credit, ‰ | 400 | 800 | 1200 → 200 | 600 | 1000 → 0 | 400 |
//! | candidate | | | yes | | yes | |
//!
//! Where no other member is eligible, the member takes every request. Sticky sessions are not held back.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::Member;

/// The initial share and the full share, in thousandths.
const MIN_SHARE: u128 = 100;
const FULL_SHARE: u32 = 1000;

impl Member {
    /// Whether the member is in slow start; its end is noticed by the next decision.
    pub(crate) fn is_starting(&self) -> bool {
        !self.settings.slow_start.is_zero() && self.counters.health.slow_start_since.is_set()
    }

    /// Whether an eligible member is left out of this decision for its slow start.
    #[inline]
    pub(crate) fn is_held_back(&self, now: Duration) -> bool {
        !self.settings.slow_start.is_zero() && self.spend_credit(now)
    }

    #[cold]
    fn spend_credit(&self, now: Duration) -> bool {
        let health = &self.counters.health;
        let Some(since) = health.slow_start_since.load() else {
            return false;
        };
        let share = share(now.saturating_sub(since), self.settings.slow_start);
        if share == FULL_SHARE {
            if health.slow_start_since.clear(since) {
                self.counters.generation.bump_eligibility();
            }
            return false;
        }
        let credit = health.credit.load(Relaxed) + share;
        health.credit.store(credit % FULL_SHARE, Relaxed);
        credit < FULL_SHARE
    }
}

/// The part of its share that a member gets so long after its return, in thousandths.
fn share(since: Duration, whole_after: Duration) -> u32 {
    let thousandths = since.as_nanos() * u128::from(FULL_SHARE) / whole_after.as_nanos().max(1);
    let share = thousandths.clamp(MIN_SHARE, u128::from(FULL_SHARE));
    // No more than FULL_SHARE.
    u32::try_from(share).unwrap_or(FULL_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_grows_from_a_tenth_to_the_full_share() {
        let seconds = Duration::from_secs;
        let table = [
            (0, 100),
            (1, 100),
            (5, 500),
            (9, 900),
            (10, 1000),
            (11, 1000),
        ];
        for (since, expected) in table {
            assert_eq!(share(seconds(since), seconds(10)), expected, "{since} s");
        }
        assert_eq!(share(Duration::MAX, Duration::from_nanos(1)), 1000);
    }
}
