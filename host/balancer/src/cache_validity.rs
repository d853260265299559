//! Whether a picker's cached lists of candidates are still valid.

use std::ptr::addr_eq;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::roster::Roster;

/// The state of the members that cached lists were made from, and when it expires.
pub(crate) struct CacheValidity {
    /// The roster; its memory is not reused for another while this is held.
    roster: Weak<Roster>,
    /// The roster's eligibility generation.
    eligibility: u64,
    /// The last moment before time alone changes eligibility.
    valid_until: Duration,
    /// Whether the list of candidates was made from this state.
    pub(crate) candidates_valid: bool,
    /// Whether the list of usable members was.
    pub(crate) usable_valid: bool,
}

impl Default for CacheValidity {
    /// Nothing is valid.
    fn default() -> Self {
        Self {
            roster: Weak::new(),
            eligibility: 0,
            valid_until: Duration::ZERO,
            candidates_valid: false,
            usable_valid: false,
        }
    }
}

impl CacheValidity {
    /// The state of this roster as it is now; no list has been made from it yet.
    pub(crate) fn begin(roster: &Arc<Roster>) -> Self {
        Self {
            roster: Arc::downgrade(roster),
            eligibility: roster.generations.eligibility(),
            valid_until: Duration::MAX,
            candidates_valid: false,
            usable_valid: false,
        }
    }

    /// Whether the state has neither changed nor expired.
    #[inline]
    pub(crate) fn is_valid(&self, roster: &Arc<Roster>, now: Duration) -> bool {
        self.is_current(roster) && now <= self.valid_until
    }

    /// Whether the state has not changed; time is not looked at.
    #[inline]
    pub(crate) fn is_current(&self, roster: &Arc<Roster>) -> bool {
        addr_eq(self.roster.as_ptr(), Arc::as_ptr(roster))
            && self.eligibility == roster.generations.eligibility()
    }

    /// Expires after this moment, at the latest.
    pub(crate) fn expire_after(&mut self, moment: Duration) {
        self.valid_until = self.valid_until.min(moment);
    }
}
