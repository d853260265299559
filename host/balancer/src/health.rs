//! What checks and traffic say of a member, and what follows from it for who may be chosen.
//!
//! | state | entered | left |
//! |---|---|---|
//! | unhealthy (Apache's `C`) | the judge says so | the judge says so; neither `retry` nor `forcerecovery` does |
//! | in error (Apache's `E`) | see [`crate::recovery`] | see there; besides, `hcpasses` checks in a row that the member passed |
//! | panic, of the balancer | the share of healthy members is below `panic-threshold` | it no longer is |
//!
//! In panic the balancer takes no notice of who is unhealthy: when nearly everybody is said to be ill, the checks are
//! more likely to be wrong than the members, and those that are well would go down under the load of all. Disabled and
//! stopped members count on neither side, and are not brought in. It is Envoy's panic threshold, by default far lower.
//!
//! Health is told by one thread at a time; whoever chooses reads one flag a member.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::atomic_instant::AtomicInstant;
use crate::{Member, StateChange, Status};

/// What is known of a member's health; lives on with its counters.
#[derive(Debug, Default)]
pub(crate) struct HealthState {
    is_unhealthy: AtomicBool,
    /// Unhealthy, and the balancer heeds it.
    is_excluded: AtomicBool,
    /// Checks that the member passed in a row since it came to be in error.
    passes: AtomicU32,
    /// When it came back into service; none once its slow start is over.
    pub(crate) slow_start_since: AtomicInstant,
    /// What a member in slow start has saved up for its next turn: see [`crate::slow_start`].
    pub(crate) credit: AtomicU32,
}

impl HealthState {
    pub(crate) fn is_unhealthy(&self) -> bool {
        self.is_unhealthy.load(Relaxed)
    }

    #[inline]
    pub(crate) fn is_excluded(&self) -> bool {
        self.is_excluded.load(Relaxed)
    }

    /// The member is back in service; to be told by its counters.
    pub(crate) fn start_slow_start(&self, now: Duration) {
        self.credit.store(0, Relaxed);
        self.slow_start_since.set(now);
    }

    /// The member came to be in error: checks of before say nothing of it.
    pub(crate) fn reset_passes(&self) {
        self.passes.store(0, Relaxed);
    }
}

/// The balancer's panic: one for all its workers, and for all configurations it lives through.
#[derive(Debug, Default)]
pub(crate) struct PanicMode {
    is_on: AtomicBool,
}

impl PanicMode {
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Looks at all members anew, below which `threshold` (in percent) of healthy ones to panic; tells what changed.
    pub(crate) fn update(
        &self,
        members: &[Arc<Member>],
        threshold: u8,
    ) -> Option<StateChange<'static>> {
        let enabled = members
            .iter()
            .filter(|member| member.settings.status.is_enabled());
        let (mut all, mut healthy) = (0, 0);
        for member in enabled {
            all += 1;
            healthy += usize::from(!member.counters.health.is_unhealthy());
        }
        let in_panic_mode = healthy < all && healthy * 100 < all * usize::from(threshold);
        for member in members {
            let health = &member.counters.health;
            let is_excluded = health.is_unhealthy() && !in_panic_mode;
            if health.is_excluded.swap(is_excluded, Relaxed) != is_excluded {
                member.counters.generation.bump_eligibility();
            }
        }
        let change = match in_panic_mode {
            true => StateChange::PanicStarted { healthy, all },
            false => StateChange::PanicEnded { healthy, all },
        };
        (self.is_on.swap(in_panic_mode, Relaxed) != in_panic_mode).then_some(change)
    }
}

impl Member {
    /// The judge's word; tells whether it is a new one.
    pub(crate) fn set_health(&self, is_healthy: bool, now: Duration) -> bool {
        let health = &self.counters.health;
        let was_unhealthy = health.is_unhealthy.swap(!is_healthy, Relaxed);
        if was_unhealthy && is_healthy {
            self.counters.start_slow_start(now);
        }
        was_unhealthy == is_healthy
    }

    /// The operator has changed the member's status from `before`: if that lets it back into service, it has just returned.
    pub(crate) fn reenable(&self, before: Status, now: Duration) {
        let takes = |status: Status| status.is_enabled() && !status.draining;
        if takes(self.settings.status) && !takes(before) {
            self.counters.start_slow_start(now);
        }
    }

    /// A check of the member ended: so many in a row that it passed end its error state. Tells whether this one did.
    pub(crate) fn record_check(&self, passed: bool, now: Duration) -> bool {
        let health = &self.counters.health;
        if !passed {
            health.reset_passes();
            return false;
        }
        let passes = health.passes.load(Relaxed).saturating_add(1);
        health.passes.store(passes, Relaxed);
        let Some(since) = self.counters.error_since() else {
            return false;
        };
        if passes < self.settings.passes || self.settings.status.stopped {
            return false;
        }
        self.counters.leave_error(since, now)
    }
}
