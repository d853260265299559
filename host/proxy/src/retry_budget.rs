//! Retry budget: bounds the retries of a balancer to a share of its requests, so that members that fail do not get a multiple of the
//! load.
//!
//! Each request earns a share of a retry, and each retry spends one. What is earned leaks away with a time constant of ten
//! seconds, so that a burst may have what the last ten seconds or so have earned, and not what hours have. Besides, ten retries a second
//! are free, so that a quiet balancer can retry at all.
//!
//! Workers share it without a lock. A request adds to one number; the time is looked at only for a retry.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use equipoise_metrics::Counter;

/// What a retry costs; a share is in percent of it.
const RETRY: u64 = 100;

/// The time constant by which credit leaks, in milliseconds.
const LEAK: u64 = 10_000;

/// Credit leaks in steps of this time at least, in milliseconds.
const LEAK_STEP: u64 = 100;

/// A free retry comes back after so many milliseconds, and all of them after so many.
const FREE: (u64, u64) = (100, 1000);

/// The retries that a balancer may make.
#[derive(Debug, Default)]
pub struct RetryBudget {
    /// What requests have earned, in hundredths of a retry.
    credit: AtomicU64,
    /// When credit leaked last, in milliseconds.
    leaked: AtomicU64,
    /// When all free retries will be there, in milliseconds.
    refilled: AtomicU64,
    /// Retries that were not allowed.
    pub denied: Counter,
}

impl RetryBudget {
    /// A request has come, which earns such a share of a retry, in percent.
    pub(crate) fn deposit(&self, share: u8) {
        self.credit.fetch_add(share.into(), Relaxed);
    }

    /// Whether a retry may be made, which it spends. `now` is any clock that does not go back.
    pub(crate) fn withdraw(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX / 2);
        self.leak(now);
        let is_allowed = self.spend() || self.spend_free(now);
        if !is_allowed {
            self.denied.add(1);
        }
        is_allowed
    }

    /// Has credit leak for the time since it did so last.
    fn leak(&self, now: u64) {
        let last = self.leaked.load(Relaxed);
        let elapsed = now.saturating_sub(last);
        let is_due = elapsed >= LEAK_STEP;
        let leaks = is_due
            && self
                .leaked
                .compare_exchange(last, now, Relaxed, Relaxed)
                .is_ok();
        if !leaks {
            return;
        }
        let left = |credit: u64| {
            let left = u128::from(credit) * u128::from(LEAK) / u128::from(LEAK + elapsed);
            u64::try_from(left).ok()
        };
        // Less than a `u64` is one.
        let _ = self.credit.fetch_update(Relaxed, Relaxed, left);
    }

    /// Spends what requests have earned.
    fn spend(&self) -> bool {
        let left = |credit: u64| credit.checked_sub(RETRY);
        self.credit.fetch_update(Relaxed, Relaxed, left).is_ok()
    }

    /// Spends one of the free retries.
    fn spend_free(&self, now: u64) -> bool {
        let (one, all) = FREE;
        let later = |refilled: u64| {
            let later = refilled.max(now) + one;
            (later <= now + all).then_some(later)
        };
        self.refilled.fetch_update(Relaxed, Relaxed, later).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// How many of so many retries are allowed.
    fn allowed(budget: &RetryBudget, retries: usize, now: Duration) -> usize {
        (0..retries).filter(|_| budget.withdraw(now)).count()
    }

    /// A balancer that has had so many requests of so much a share within the last 100 ms, and how many retries it may make at once.
    #[test]
    fn retries_are_a_share_of_requests_and_ten_that_are_free() {
        let table = [
            (0, 20, 10),
            (4, 20, 10),
            (5, 20, 11),
            (200, 20, 50),
            (1000, 20, 210),
            (1000, 0, 10),
            (1000, 1, 20),
            (1000, 100, 1010),
        ];
        for (requests, share, expected) in table {
            let budget = RetryBudget::default();
            for _ in 0..requests {
                budget.deposit(share);
            }
            let found = allowed(&budget, 2000, ms(99));
            assert_eq!(found, expected, "{requests} requests, {share} %");
            assert_eq!(budget.denied.get(), 2000 - expected as u64);
        }
    }

    #[test]
    fn free_retries_come_back_ten_a_second() {
        let budget = RetryBudget::default();
        let table = [
            (0, 10),
            (50, 0),
            (100, 1),
            (350, 2),
            (1400, 10),
            (60_000, 10),
            (60_050, 0),
        ];
        for (now, expected) in table {
            assert_eq!(allowed(&budget, 50, ms(now)), expected, "{now} ms");
        }
    }

    #[test]
    fn a_burst_has_what_about_ten_seconds_have_earned() {
        let budget = RetryBudget::default();
        // An hour of 100 requests a second, of which none is tried again.
        for _ in 0..360_000 {
            budget.deposit(20);
        }
        let found = allowed(&budget, 100_000, ms(3_600_000));
        assert!((190..=210).contains(&found), "{found}");
    }

    /// Every request fails, at any rate: the load on members is that of the requests, their share, and ten a second.
    #[test]
    fn where_all_fail_retries_are_a_share() {
        for rate in [1_u64, 10, 100, 1000] {
            let budget = RetryBudget::default();
            let requests = rate * 100;
            let retries = (0..requests)
                .filter(|number| {
                    budget.deposit(20);
                    budget.withdraw(ms(number * 1000 / rate))
                })
                .count() as u64;
            let most = requests / 5 + 10 + 10 * 100;
            let least = (requests / 5 + 10 * 99).min(requests) * 9 / 10;
            assert!((least..=most).contains(&retries), "{rate}: {retries}");
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Request(u8),
        Retry,
        Wait(u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..=100_u8).prop_map(Step::Request),
            3 => Just(Step::Retry),
            1 => any::<u16>().prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn no_more_is_spent_than_was_earned_or_is_free(steps in vec(step(), 0..400)) {
            let budget = RetryBudget::default();
            let (mut now, mut earned, mut spent) = (0_u64, 0_u64, 0_u64);
            for step in steps {
                match step {
                    Step::Request(share) => {
                        budget.deposit(share);
                        earned += u64::from(share);
                    }
                    Step::Retry => spent += u64::from(budget.withdraw(ms(now))),
                    Step::Wait(time) => now += u64::from(time),
                }
                prop_assert!(spent <= earned / RETRY + 10 + now / FREE.0);
            }
        }

        /// Whatever was before: who has made no retry for a second may make ten.
        #[test]
        fn who_was_quiet_may_retry(steps in vec(step(), 0..100)) {
            let budget = RetryBudget::default();
            let mut now = 0_u64;
            for step in steps {
                match step {
                    Step::Request(share) => budget.deposit(share),
                    Step::Retry => {
                        budget.withdraw(ms(now));
                    }
                    Step::Wait(time) => now += u64::from(time),
                }
            }
            prop_assert!(allowed(&budget, 10, ms(now + 1000)) == 10);
        }
    }

    #[test]
    fn threads_together_spend_no_more() {
        let budget = RetryBudget::default();
        let retries: usize = std::thread::scope(|scope| {
            let spend = || {
                let retry = |_: &i32| {
                    budget.deposit(20);
                    budget.withdraw(ms(50))
                };
                (0..1000).filter(retry).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(spend)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(retries, 4 * 200 + 10);
    }
}
