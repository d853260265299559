//! What a desk knows of the members, and for how long that is good.

use std::ptr::addr_eq;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::roster::Roster;

/// The state of the members when they were last looked at.
pub(crate) struct CacheValidity {
    /// Whose members; their memory is not used for others while this is held.
    roster: Weak<Roster>,
    /// Their generation when looking began.
    eligibility: u64,
    /// The last moment at which time has changed nothing yet.
    valid_until: Duration,
    /// Whether the list of candidates is of this state.
    pub(crate) candidates_valid: bool,
    /// Whether the list of usable members is.
    pub(crate) usable_valid: bool,
}

impl Default for CacheValidity {
    /// Nothing is known.
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
    /// Nothing yet of these members, who are looked at from now on.
    pub(crate) fn begin(roster: &Arc<Roster>) -> Self {
        Self {
            roster: Arc::downgrade(roster),
            eligibility: roster.generations.eligibility(),
            valid_until: Duration::MAX,
            candidates_valid: false,
            usable_valid: false,
        }
    }

    /// Whether all is as it was.
    #[inline]
    pub(crate) fn is_valid(&self, roster: &Arc<Roster>, now: Duration) -> bool {
        self.is_current(roster) && now <= self.valid_until
    }

    /// The same but for what time changes.
    #[inline]
    pub(crate) fn is_current(&self, roster: &Arc<Roster>) -> bool {
        addr_eq(self.roster.as_ptr(), Arc::as_ptr(roster))
            && self.eligibility == roster.generations.eligibility()
    }

    /// Time changes something behind this moment.
    pub(crate) fn expire_after(&mut self, moment: Duration) {
        self.valid_until = self.valid_until.min(moment);
    }
}
