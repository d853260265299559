//! The built-in policy `bybusyness`: the member with the fewest requests in flight takes the next one.
//!
//! # Idea
//!
//! A member that is slow, for whatever reason, keeps its requests longer and so has more of them in flight. The member with
//! the fewest takes the next. Members that are equally busy take turns by weight: `lbstatus` is kept as in `byrequests`,
//! and the greatest wins the tie.
//!
//! ```text
//! for each candidate:
//!     lbstatus += lbfactor
//!     total    += lbfactor
//!     candidate is the best so far if it has fewer requests in flight,
//!                                  or as many and a strictly greater lbstatus
//! best's lbstatus -= total
//! ```
//!
//! # Invariant
//!
//! The `lbstatus` of all members add up to 0, and no member takes a request while another candidate is less busy. The
//! weight breaks ties only: under steady load a member of weight 2 does not hold twice as many requests.
//!
//! # Worked table
//!
//! Weights 1 and 1. Requests 1, 2 and 3 stay in flight; then the one at b ends, and request 4 comes.
//!
//! | request | busy a, b | chosen because | `lbstatus` a, b afterwards |
//! |---|---|---|---|
//! | 1 | 0, 0 | a: first of equals | −100, 100 |
//! | 2 | 1, 0 | b: less busy | 0, 0 |
//! | 3 | 1, 1 | a: first of equals | −100, 100 |
//! | 4 | 2, 0 | b: less busy | 0, 0 |
//!
//! Without overlap the sequence is that of `byrequests`.
//!
//! # Source
//!
//! Apache httpd's mod_lbmethod_bybusyness. Unlike there, a reset leaves the number of requests in flight alone: it is
//! counted, not guessed, and resetting it makes it wrong.

use equipoise_sdk::{
    Candidates, Column, Env, LbStatus, PolicyConfig, Request, Selector, export_selector,
};

/// Fewest requests in flight; equals take turns by weight.
#[derive(Debug, Default)]
pub struct ByBusyness {
    lbstatus: LbStatus,
}

impl Selector for ByBusyness {
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        config.deny_unknown(&[])
    }

    fn columns() -> &'static [Column] {
        &[Column::Ids, Column::Weights, Column::Busy]
    }

    fn select(
        &mut self,
        _request: &dyn Request,
        candidates: &dyn Candidates,
        _env: &dyn Env,
    ) -> Option<usize> {
        let (ids, lbfactors) = (candidates.ids(), candidates.weights());
        let busy = candidates.busy();
        self.lbstatus.select_least(ids, lbfactors, busy)
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

export_selector!(ByBusyness, schedule, state);

#[cfg(test)]
mod tests {
    use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};

    use super::*;

    fn candidates(members: &[(u32, u32)]) -> FakeCandidates {
        let candidate = |(id, &(lbfactor, busy))| FakeCandidate {
            weight: lbfactor,
            busy,
            ..FakeCandidate::new(id)
        };
        (0..).zip(members).map(candidate).collect()
    }

    fn select(method: &mut ByBusyness, members: &[(u32, u32)]) -> Option<usize> {
        let candidates = candidates(members);
        method.select(
            &FakeRequest::get("/"),
            &candidates,
            &FakeEnv::with_random(0),
        )
    }

    #[test]
    fn worked_table_holds() {
        let mut method = ByBusyness::default();
        let table = [
            ([0, 0], 0, [-100, 100]),
            ([1, 0], 1, [0, 0]),
            ([1, 1], 0, [-100, 100]),
            ([2, 0], 1, [0, 0]),
        ];
        for (busy, chosen, lbstatus) in table {
            let members = busy.map(|busy| (100, busy));
            assert_eq!(select(&mut method, &members), Some(chosen));
            assert_eq!([method.lbstatus(0), method.lbstatus(1)], lbstatus);
        }
    }

    #[test]
    fn weight_breaks_ties_only() {
        let mut method = ByBusyness::default();
        assert_eq!(select(&mut method, &[(100, 3), (200, 3)]), Some(1));
        assert_eq!(select(&mut method, &[(100, 3), (10_000, 4)]), Some(0));
    }

    #[test]
    fn reset_starts_over() {
        let mut method = ByBusyness::default();
        select(&mut method, &[(100, 0), (100, 0)]);
        method.reset();
        assert_eq!([method.lbstatus(0), method.lbstatus(1)], [0, 0]);
        assert_eq!(select(&mut method, &[(100, 0), (100, 0)]), Some(0));
    }

    #[test]
    fn no_candidates_no_selection() {
        assert_eq!(select(&mut ByBusyness::default(), &[]), None);
    }

    #[test]
    fn settings_are_refused() {
        let mut method = ByBusyness::default();
        assert_eq!(method.configure(&PolicyConfig::default()), Ok(()));
        assert_eq!(
            method.configure(&PolicyConfig::from_settings([("weight", "2")])),
            Err("unknown setting `weight`; there are no settings".to_owned())
        );
    }
}
