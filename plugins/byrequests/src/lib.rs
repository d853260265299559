//! The built-in policy `byrequests`: each member gets its share of the requests.
//!
//! # Idea
//!
//! `lbfactor` is how much we expect a member to work: its quota. `lbstatus` is how urgently it has to work to fill that
//! quota. Every decision owes each candidate its `lbfactor` more; the candidate that is owed most takes the request and
//! is owed the sum of all the factors less. Whoever is passed over grows more urgent until its turn comes, so the
//! choices of a heavy member are spread over the cycle and not served in one burst.
//!
//! ```text
//! for each candidate:
//!     lbstatus += lbfactor
//!     total    += lbfactor
//!     candidate is the best so far if its lbstatus is strictly greater
//! best's lbstatus -= total
//! ```
//!
//! # Invariant
//!
//! What is added is taken away again: the `lbstatus` of all members add up to 0. With the same candidates throughout,
//! `lbstatus` is back at 0 for all after Σ `lbfactor` choices (divided by the greatest common divisor of the factors),
//! and within that cycle each member was chosen exactly in proportion to its factor.
//!
//! # Worked table
//!
//! Weights a = 1 and b = 2; the columns are `lbstatus` after the choice. Ties go to the first in order of configuration.
//!
//! | choice | a | b |
//! |---|---|---|
//! | (start) | 0 | 0 |
//! | b | 100 | −100 |
//! | a | −100 | 100 |
//! | b | 0 | 0 |
//!
//! A member that may not be chosen is no candidate: nothing is added for it, and it comes back with the `lbstatus` it
//! left with, without a burst to catch up.
//!
//! # Source
//!
//! Apache httpd's mod_lbmethod_byrequests; nginx calls it smooth weighted round robin.

use equipoise_sdk::{Candidates, Host, Request, Schedule, Selector};

/// Weighted round robin, counted in requests.
#[derive(Debug, Default)]
pub struct ByRequests {
    schedule: Schedule,
}

impl Selector for ByRequests {
    fn select(
        &mut self,
        _request: &dyn Request,
        candidates: &dyn Candidates,
        _host: &dyn Host,
    ) -> Option<usize> {
        let ids = candidates.ids();
        let mut total = 0;
        let mut best = None;
        for (position, (&id, &lbfactor)) in ids.iter().zip(candidates.lbfactors()).enumerate() {
            let lbstatus = self.schedule.credit(id, lbfactor);
            total += i64::from(lbfactor);
            if best.is_none_or(|(_, most)| lbstatus > most) {
                best = Some((position, lbstatus));
            }
        }
        let (chosen, _) = best?;
        self.schedule.debit(ids[chosen], total);
        Some(chosen)
    }

    fn charge(&mut self, usable: &dyn Candidates, chosen: usize) {
        self.schedule.charge(usable, chosen);
    }

    fn load(&self, id: u32) -> i64 {
        self.schedule.owed(id)
    }

    fn reset(&mut self) {
        self.schedule.reset();
    }
}
