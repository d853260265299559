//! Health states of members, and the panic mode of a balancer.
//!
//! | state | entered | left |
//! |---|---|---|
//! | unhealthy (Apache's `C`) | by the health evaluator | by the health evaluator; not by `retry` or `forcerecovery` |
//! | in error (Apache's `E`) | see [`crate::recovery`] | see there; besides, `hcpasses` checks in a row that the member passed |
//! | panic mode, of the balancer | the share of healthy members is below `panic-threshold` | it no longer is |
//!
//! In panic mode the balancer ignores health: when nearly all members are unhealthy, the checks are more likely to be wrong
//! than the members, and the healthy ones would be overloaded. Disabled and stopped members are not counted, and not used. It
//! is Envoy's panic threshold, by default far lower.
//!
//! One thread at a time sets health; a decision reads one flag a member.

use std::ptr::addr_eq;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::atomic_instant::AtomicInstant;
use crate::roster::Roster;
use crate::{Member, StateChange, Status};

/// A member's health; kept with its counters.
#[derive(Debug, Default)]
pub(crate) struct HealthState {
    is_unhealthy: AtomicBool,
    /// Unhealthy, and the balancer is not in panic mode.
    is_excluded: AtomicBool,
    /// Checks passed in a row since the member entered the error state.
    passes: AtomicU32,
    /// When it came back into service; none once its slow start is over.
    pub(crate) slow_start_since: AtomicInstant,
    /// The credit of a member in slow start: see [`crate::slow_start`].
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

    /// The member is back in service. To be called by its counters only.
    pub(crate) fn start_slow_start(&self, now: Duration) {
        self.credit.store(0, Relaxed);
        self.slow_start_since.set(now);
    }

    /// The member entered the error state: earlier checks no longer count.
    pub(crate) fn reset_passes(&self) {
        self.passes.store(0, Relaxed);
    }
}

/// A balancer's panic mode: one for all its workers, kept when the configuration changes.
#[derive(Debug, Default)]
pub(crate) struct PanicMode {
    is_on: AtomicBool,
    /// Kept up to date by every change, so that the cost of one does not depend on the number of members.
    census: Mutex<Census>,
}

/// The number of members that are enabled, and of the healthy ones among them.
#[derive(Debug, Default)]
struct Census {
    /// The members that were counted. Their memory is not used for others while this is held.
    roster: Weak<Roster>,
    all: usize,
    healthy: usize,
}

impl Census {
    fn of(roster: &Arc<Roster>) -> Self {
        let members = roster.members.iter();
        let enabled = members.filter(|member| member.settings.status.is_enabled());
        let (mut all, mut healthy) = (0, 0);
        for member in enabled {
            all += 1;
            healthy += usize::from(!member.counters.health.is_unhealthy());
        }
        Self {
            roster: Arc::downgrade(roster),
            all,
            healthy,
        }
    }

    /// The health of a member has changed.
    fn update(&mut self, roster: &Arc<Roster>, member: &Member) {
        if !addr_eq(self.roster.as_ptr(), Arc::as_ptr(roster)) {
            *self = Self::of(roster);
        } else if member.settings.status.is_enabled() {
            match member.counters.health.is_unhealthy() {
                true => self.healthy -= 1,
                false => self.healthy += 1,
            }
        }
    }
}

impl PanicMode {
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Counts all members, and updates the mode: on where fewer than `threshold` percent of those enabled are healthy. Returns the
    /// change.
    pub(crate) fn update(
        &self,
        roster: &Arc<Roster>,
        threshold: u8,
    ) -> Option<StateChange<'static>> {
        let mut census = self.lock();
        *census = Census::of(roster);
        let change = self.apply(&census, threshold);
        exclude(&roster.members, self.is_on());
        change
    }

    /// Sets a member's health, and updates the mode. `None` where that is not new; else the change of the mode.
    pub(crate) fn set_health(
        &self,
        (roster, threshold): (&Arc<Roster>, u8),
        member: &Arc<Member>,
        is_healthy: bool,
        now: Duration,
    ) -> Option<Option<StateChange<'static>>> {
        let mut census = self.lock();
        if !member.set_health(is_healthy, now) {
            return None;
        }
        census.update(roster, member);
        let change = self.apply(&census, threshold);
        match change {
            Some(_) => exclude(&roster.members, self.is_on()),
            None => exclude(std::slice::from_ref(member), self.is_on()),
        }
        Some(change)
    }

    fn apply(&self, census: &Census, threshold: u8) -> Option<StateChange<'static>> {
        let &Census { all, healthy, .. } = census;
        let in_panic_mode = healthy < all && healthy * 100 < all * usize::from(threshold);
        let change = match in_panic_mode {
            true => StateChange::PanicStarted { healthy, all },
            false => StateChange::PanicEnded { healthy, all },
        };
        (self.is_on.swap(in_panic_mode, Relaxed) != in_panic_mode).then_some(change)
    }

    fn lock(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Excludes those of the members that are unhealthy, unless the balancer is in panic mode.
fn exclude(members: &[Arc<Member>], in_panic_mode: bool) {
    for member in members {
        let health = &member.counters.health;
        let is_excluded = health.is_unhealthy() && !in_panic_mode;
        if health.is_excluded.swap(is_excluded, Relaxed) != is_excluded {
            member.counters.generation.bump_eligibility();
        }
    }
}

impl Member {
    /// Sets the member's health; returns whether it has changed.
    pub(crate) fn set_health(&self, is_healthy: bool, now: Duration) -> bool {
        let health = &self.counters.health;
        let was_unhealthy = health.is_unhealthy.swap(!is_healthy, Relaxed);
        if was_unhealthy && is_healthy {
            self.counters.start_slow_start(now);
        }
        was_unhealthy == is_healthy
    }

    /// The operator has changed the member's status from `before`: if that brings it back into service, its slow start begins.
    pub(crate) fn reenable(&self, before: Status, now: Duration) {
        let takes = |status: Status| status.is_enabled() && !status.draining;
        if takes(self.settings.status) && !takes(before) {
            self.counters.start_slow_start(now);
        }
    }

    /// Records a check: enough passed in a row end the error state. Returns whether this one did.
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
