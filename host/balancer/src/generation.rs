//! Generations: counters by which cached eligibility is known to be up to date.
//!
//! Eligibility depends on many flags of every member, which change seldom, and is needed for every request. So each change of
//! such a flag is followed by an increment of a counter that all members of a balancer share. A decision reads the counter first:
//! while it stays the same, cached lists are valid. What changes by time alone is not counted; the cache has its own expiry for
//! that.
//!
//! Counters that change with every request (in flight, elected, bytes) have no part in this.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// How often members have changed. Never the same again after a change.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    eligibility: AtomicU64,
    heartbeats: AtomicU64,
}

/// A member's handle on the generation of its balancer; empty before it has one.
#[derive(Debug, Default)]
pub(crate) struct GenerationHandle(OnceLock<Arc<Generation>>);

impl GenerationHandle {
    /// The member's eligibility has changed.
    pub(crate) fn bump_eligibility(&self) {
        if let Some(generation) = self.0.get() {
            generation.eligibility.fetch_add(1, Ordering::Release);
        }
    }

    /// The member has sent a heartbeat.
    pub(crate) fn bump_heartbeats(&self) {
        if let Some(generation) = self.0.get() {
            generation.heartbeats.fetch_add(1, Ordering::Release);
        }
    }
}

/// The generations of a balancer's members. One, unless members of several balancers were brought together.
#[derive(Debug)]
pub(crate) struct Generations(Vec<Arc<Generation>>);

impl Generations {
    /// The generations of these members; they share one if they are new, or were of one balancer before.
    pub(crate) fn of<'a>(members: impl Iterator<Item = &'a GenerationHandle> + Clone) -> Self {
        let known = members.clone().find_map(|member| member.0.get());
        let mut generations = vec![known.cloned().unwrap_or_default()];
        for member in members {
            let own = member.0.get_or_init(|| generations[0].clone());
            if !generations.iter().any(|it| Arc::ptr_eq(it, own)) {
                generations.push(own.clone());
            }
        }
        Self(generations)
    }

    /// How often eligibility has changed.
    #[inline]
    pub(crate) fn eligibility(&self) -> u64 {
        self.sum(|it| &it.eligibility)
    }

    /// How many heartbeats have arrived.
    #[inline]
    pub(crate) fn heartbeats(&self) -> u64 {
        self.sum(|it| &it.heartbeats)
    }

    /// Each number only grows, so their sum is another after every change.
    #[inline]
    fn sum(&self, number: impl Fn(&Generation) -> &AtomicU64) -> u64 {
        let numbers = self.0.iter();
        numbers
            .map(|it| number(it).load(Ordering::Acquire))
            .fold(0, u64::wrapping_add)
    }
}
