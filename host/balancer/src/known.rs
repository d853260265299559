//! What a desk knows of the members, and for how long that is good.

use std::ptr::addr_eq;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::roster::Roster;

/// The state of the members when they were last looked at.
pub(crate) struct Known {
    /// Whose members; their memory is not used for others while this is held.
    roster: Weak<Roster>,
    /// Their generation when looking began.
    standings: u64,
    /// The last moment at which time has changed nothing yet.
    good_until: Duration,
    /// Whether the list of candidates is of this state.
    pub(crate) has_candidates: bool,
    /// Whether the list of usable members is.
    pub(crate) has_usable: bool,
}

impl Default for Known {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            roster: Weak::new(),
            standings: 0,
            good_until: Duration::ZERO,
            has_candidates: false,
            has_usable: false,
        }
    }
}

impl Known {
    /// Nothing yet of these members, who are looked at from now on.
    pub(crate) fn begin(roster: &Arc<Roster>) -> Self {
        Self {
            roster: Arc::downgrade(roster),
            standings: roster.generations.standings(),
            good_until: Duration::MAX,
            has_candidates: false,
            has_usable: false,
        }
    }

    /// Whether all is as it was.
    #[inline]
    pub(crate) fn holds(&self, roster: &Arc<Roster>, now: Duration) -> bool {
        self.is_of(roster) && now <= self.good_until
    }

    /// The same but for what time changes.
    #[inline]
    pub(crate) fn is_of(&self, roster: &Arc<Roster>) -> bool {
        addr_eq(self.roster.as_ptr(), Arc::as_ptr(roster))
            && self.standings == roster.generations.standings()
    }

    /// Time changes something behind this moment.
    pub(crate) fn limit(&mut self, moment: Duration) {
        self.good_until = self.good_until.min(moment);
    }
}
