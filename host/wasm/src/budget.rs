//! How much of a processor's time a plugin may take: `cpu-budget`.
//!
//! A [`Budget`] is a token bucket of processor time. It fills at the plugin's share of one processor, and holds as much as one
//! call may take; a call takes from it what it took of the processor, afterwards, so the call that overdraws it is made, and
//! the next ones are not, until the debt is paid. So other requests of the same worker wait for no more than `deadline` or so, and
//! for no more than the share in the long run.
//!
//! Being denied now and then is no fault, such as for a collection of garbage. A budget that denies calls for more than half of
//! a second is one fault of that second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use super::clock::{Nanos, nanos};
use equipoise_balancer::Role;
use equipoise_config::Plugin;

const SECOND: Nanos = 1_000_000_000;

/// Minimum capacity of the bucket: charges come in whole milliseconds, by chance.
const MIN_BURST: Duration = Duration::from_millis(5);

/// A token bucket of processor time. Shared by the instances whose calls keep the same workers waiting.
#[derive(Debug)]
pub(super) struct Budget {
    /// Percent of one processor; 100 for no bound.
    share: u64,
    /// How long it takes to fill.
    fill_time: Nanos,
    /// When it will be full.
    full_at: AtomicU64,
    /// When a call was last charged: a debt begins then.
    charged_at: AtomicU64,
    /// When a call was last denied.
    denied_at: AtomicU64,
    overrun: Mutex<Overrun>,
}

impl Budget {
    /// A full bucket for so many percent of one processor.
    pub(super) fn new(share: u8, deadline: Duration) -> Self {
        let share = u64::from(share.clamp(1, 100));
        Self {
            share,
            fill_time: nanos(deadline.max(MIN_BURST)) * 100 / share,
            full_at: AtomicU64::new(0),
            charged_at: AtomicU64::new(0),
            denied_at: AtomicU64::new(0),
            overrun: Mutex::default(),
        }
    }

    /// One that denies nothing, for calls that keep no request waiting.
    pub(super) fn unlimited() -> Arc<Self> {
        Arc::new(Self::new(100, MIN_BURST))
    }

    /// Whether it is in debt: the plugin is not to be called.
    #[inline]
    pub(super) fn is_overdrawn(&self, now: Nanos) -> bool {
        self.full_at.load(Relaxed) > now.saturating_add(self.fill_time)
    }

    /// A call that is over took so much of a processor.
    pub(super) fn charge(&self, spent: Nanos, now: Nanos) {
        if self.share == 100 {
            return;
        }
        let price = spent.saturating_mul(100) / self.share;
        let pay = |full_at: Nanos| Some(full_at.max(now).saturating_add(price));
        // No other memory hangs on these numbers, so no order is needed; the closure always returns a value.
        let _ = self.full_at.fetch_update(Relaxed, Relaxed, pay);
        self.charged_at.store(now, Relaxed);
    }

    /// A call was not made since the bucket is in debt. Tells the number of the second for which that is a fault, once.
    pub(super) fn deny(&self, now: Nanos) -> Option<u64> {
        // Once a tick is enough.
        if self.denied_at.swap(now, Relaxed) == now {
            return None;
        }
        let mut overrun = match self.overrun.try_lock() {
            Ok(overrun) => overrun,
            Err(TryLockError::Poisoned(overrun)) => overrun.into_inner(),
            // Another worker is at it.
            Err(TryLockError::WouldBlock) => return None,
        };
        overrun.deny(self.charged_at.load(Relaxed), now)
    }
}

/// For how long calls have been denied in the second at hand.
#[derive(Debug, Default)]
struct Overrun {
    /// The number of the second.
    second: u64,
    /// How much of it was spent in debt, as far as calls were denied.
    in_debt: Nanos,
    /// Up to when that is known.
    seen: Nanos,
    is_reported: bool,
}

impl Overrun {
    /// A call is denied, for a debt that began at `since`. Tells the number of the second when more than half of it was in debt,
    /// once.
    fn deny(&mut self, since: Nanos, now: Nanos) -> Option<u64> {
        let second = now / SECOND;
        if second != self.second {
            *self = Self {
                second,
                seen: self.seen,
                ..Self::default()
            };
        }
        let from = self.seen.max(since).max(second * SECOND);
        self.in_debt += now.saturating_sub(from);
        self.seen = self.seen.max(now);
        if self.is_reported || self.in_debt <= SECOND / 2 {
            return None;
        }
        self.is_reported = true;
        Some(second)
    }
}

/// The budgets of a version.
#[derive(Debug)]
pub(super) struct Budgets {
    share: u8,
    deadline: Duration,
    /// For decisions: one that all workers share, or one for each of them.
    decisions: Mutex<Vec<Arc<Budget>>>,
    /// For health policies, on a thread of their own.
    health: Arc<Budget>,
}

impl Budgets {
    pub(super) fn new(plugin: &Plugin) -> Self {
        let (share, deadline) = (plugin.cpu_budget, plugin.deadline);
        Self {
            share,
            deadline,
            decisions: Mutex::default(),
            health: Arc::new(Budget::new(share, deadline)),
        }
    }

    /// The budget of an instance in this role, by its number among those of a balancer: 0 where workers share one.
    pub(super) fn of(&self, role: Role, number: usize) -> Arc<Budget> {
        if role == Role::Health {
            return self.health.clone();
        }
        let decisions = self.decisions.lock();
        let mut decisions = decisions.unwrap_or_else(PoisonError::into_inner);
        while decisions.len() <= number {
            decisions.push(Arc::new(Budget::new(self.share, self.deadline)));
        }
        decisions[number].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    /// Milliseconds at which calls come, what each takes if it is made, and whether it is.
    type Calls = &'static [(u64, u64, bool)];

    #[test]
    fn calls_are_made_until_the_bucket_is_overdrawn_and_again_when_the_debt_is_paid() {
        let table: &[(u8, u64, Calls)] = &[
            // 10 % of a processor, and 5 ms at once: 4 ms twice leave a debt of 3 ms, paid in 30.
            (
                10,
                5,
                &[
                    (0, 4, true),
                    (1, 4, true),
                    (2, 4, false),
                    (29, 4, false),
                    (31, 4, true),
                    (32, 4, false),
                ],
            ),
            // What was not taken does not add up to more than that.
            (
                10,
                5,
                &[(60_000, 4, true), (60_001, 4, true), (60_002, 4, false)],
            ),
            // A call that takes long is paid for in full.
            (
                10,
                5,
                &[
                    (0, 105, true),
                    (1, 1, false),
                    (999, 1, false),
                    (1_001, 1, true),
                ],
            ),
            (50, 5, &[(0, 105, true), (199, 1, false), (201, 1, true)]),
            // A tenth of the time is never too much.
            (
                10,
                5,
                &[(0, 5, true), (50, 5, true), (100, 5, true), (150, 5, true)],
            ),
            // A deadline of less than 5 ms leaves room for 5 ms.
            (10, 1, &[(0, 4, true), (1, 4, true), (2, 4, false)]),
            (10, 20, &[(0, 12, true), (1, 12, true), (2, 12, false)]),
            // Everything is no bound.
            (
                100,
                5,
                &[(0, 1_000, true), (1, 1_000, true), (2, 1_000, true)],
            ),
        ];
        for (share, deadline, calls) in table {
            let budget = Budget::new(*share, Duration::from_millis(*deadline));
            for &(at, takes, expected) in *calls {
                let is_made = !budget.is_overdrawn(at * MS);
                assert_eq!(
                    is_made, expected,
                    "{share} % {deadline} ms: at {at} of {calls:?}"
                );
                if is_made {
                    budget.charge(takes * MS, at * MS);
                }
            }
        }
    }

    /// Whatever calls take, in the long run it is no more than the share.
    #[test]
    fn calls_take_no_more_than_their_share() {
        for (share, takes) in [(10, 4), (10, 1), (1, 5), (25, 3), (99, 5)] {
            let budget = Budget::new(share, Duration::from_millis(5));
            let (mut now, mut taken) = (0, 0);
            while now < 60 * SECOND {
                if budget.is_overdrawn(now) {
                    now += MS / 10;
                } else {
                    now += takes * MS;
                    taken += takes * MS;
                    budget.charge(takes * MS, now);
                }
            }
            let most = 60 * SECOND * u64::from(share) / 100 + 10 * MS;
            assert!(taken <= most, "{share} % {takes} ms: {taken} of {most}");
            assert!(
                taken * 10 >= most * 9,
                "{share} % {takes} ms: {taken} of {most}"
            );
        }
    }

    /// In milliseconds: since when there is a debt, and when calls are denied; the seconds that are faults, each with when it is
    /// reported.
    type Denials = (&'static [(u64, u64)], &'static [(u64, u64)]);

    #[test]
    fn more_than_half_a_second_in_debt_is_one_fault_of_that_second() {
        let table: &[Denials] = &[
            (&[(0, 100), (0, 500)], &[]),
            (&[(0, 100), (0, 501), (0, 900)], &[(0, 501)]),
            // Only time in which calls are denied is known to be spent in debt.
            (&[(0, 100), (600, 650), (800, 850)], &[]),
            (&[(0, 300), (400, 700), (700, 999)], &[(0, 700)]),
            // A debt over several seconds counts for each.
            (
                &[(0, 900), (0, 1_400), (0, 1_600), (0, 2_499), (0, 2_501)],
                &[(0, 900), (1, 1_600), (2, 2_501)],
            ),
            // A second in which nothing was denied is none.
            (&[(0, 900), (0, 3_200)], &[(0, 900)]),
        ];
        for (denials, faults) in table {
            let mut overrun = Overrun::default();
            let reported: Vec<_> = denials
                .iter()
                .filter_map(|&(since, at)| Some((overrun.deny(since * MS, at * MS)?, at)))
                .collect();
            assert_eq!(reported, *faults, "{denials:?}");
        }
    }

    #[test]
    fn workers_have_budgets_of_their_own_and_health_policies_another() {
        let budgets = Budgets::new(&Plugin::new("p", "p.wasm"));
        let selector = budgets.of(Role::Selector, 1);
        assert!(Arc::ptr_eq(&selector, &budgets.of(Role::Session, 1)));
        assert!(!Arc::ptr_eq(&selector, &budgets.of(Role::Selector, 0)));
        let health = budgets.of(Role::Health, 0);
        assert!(!Arc::ptr_eq(&health, &budgets.of(Role::Selector, 0)));
    }
}
