//! The built-in policy `byrequests`: each member gets its share of the requests.
//!
//! # Idea
//!
//! `lbfactor` is a member's quota of work; `lbstatus` is how urgently it has to work to fill that quota. Every decision adds
//! to each candidate's `lbstatus` its `lbfactor`; the candidate with the greatest takes the request, and the sum of all the
//! factors is subtracted from its `lbstatus`. A member that is passed over grows more urgent until its turn comes, so the
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

use equipoise_sdk::{
    Candidates, Column, Env, LbStatus, PolicyConfig, Request, Selector, export_selector,
};

/// Weighted round robin, counted in requests.
#[derive(Debug, Default)]
pub struct ByRequests {
    lbstatus: LbStatus,
}

impl Selector for ByRequests {
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        config.deny_unknown(&[])
    }

    fn columns() -> &'static [Column] {
        &[Column::Ids, Column::Weights]
    }

    fn select(
        &mut self,
        _request: &dyn Request,
        candidates: &dyn Candidates,
        _env: &dyn Env,
    ) -> Option<usize> {
        self.lbstatus.select(candidates.ids(), candidates.weights())
    }

    fn record_sticky(&mut self, usable: &dyn Candidates, chosen: usize) {
        self.lbstatus.record_sticky(usable, chosen);
    }

    fn lbstatus(&mut self, id: u32) -> i64 {
        self.lbstatus.get(id)
    }

    fn reset(&mut self) {
        self.lbstatus.reset();
    }

    fn save(&mut self) -> Vec<u8> {
        self.lbstatus.save()
    }

    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        self.lbstatus.restore(blob)
    }
}

export_selector!(ByRequests, schedule, state);

#[cfg(test)]
mod tests {
    use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};

    use super::*;

    fn candidates(lbfactors: &[(u32, u32)]) -> FakeCandidates {
        let candidate = |&(id, lbfactor)| FakeCandidate {
            weight: lbfactor,
            ..FakeCandidate::new(id)
        };
        lbfactors.iter().map(candidate).collect()
    }

    fn select(method: &mut ByRequests, candidates: &FakeCandidates) -> Option<usize> {
        method.select(&FakeRequest::get("/"), candidates, &FakeEnv::with_random(0))
    }

    #[test]
    fn worked_table_holds() {
        let mut method = ByRequests::default();
        let candidates = candidates(&[(0, 100), (1, 200)]);
        for (chosen, lbstatus) in [(1, [100, -100]), (0, [-100, 100]), (1, [0, 0])] {
            assert_eq!(select(&mut method, &candidates), Some(chosen));
            assert_eq!([method.lbstatus(0), method.lbstatus(1)], lbstatus);
        }
    }

    #[test]
    fn absent_member_keeps_its_lbstatus_and_does_not_catch_up() {
        let mut method = ByRequests::default();
        let both = candidates(&[(0, 100), (1, 100)]);
        assert_eq!(select(&mut method, &both), Some(0));
        for _ in 0..10 {
            assert_eq!(select(&mut method, &candidates(&[(0, 100)])), Some(0));
        }
        let choices: Vec<_> = (0..4).map(|_| select(&mut method, &both)).collect();
        assert_eq!(choices, [Some(1), Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn sticky_request_credits_all_but_the_member_that_took_it() {
        let mut method = ByRequests::default();
        method.record_sticky(&candidates(&[(4, 100), (7, 250)]), 0);
        assert_eq!([method.lbstatus(4), method.lbstatus(7)], [-250, 250]);
    }

    #[test]
    fn sticky_request_out_of_range_changes_nothing() {
        let mut method = ByRequests::default();
        method.record_sticky(&candidates(&[(0, 100)]), 1);
        assert_eq!(method.lbstatus(0), 0);
    }

    #[test]
    fn reset_starts_over() {
        let mut method = ByRequests::default();
        let candidates = candidates(&[(0, 100), (1, 100)]);
        select(&mut method, &candidates);
        method.reset();
        assert_eq!(select(&mut method, &candidates), Some(0));
    }

    #[test]
    fn no_candidates_no_selection() {
        let mut method = ByRequests::default();
        assert_eq!(select(&mut method, &FakeCandidates::default()), None);
    }

    #[test]
    fn settings_are_refused() {
        let mut method = ByRequests::default();
        assert_eq!(method.configure(&PolicyConfig::default()), Ok(()));
        assert_eq!(
            method.configure(&PolicyConfig::from_settings([("weight", "2")])),
            Err("unknown setting `weight`; there are no settings".to_owned())
        );
    }
}
