//! The built-in policy `heartbeat`: members report their idle slots and get requests in proportion.
//!
//! # Idea
//!
//! Only the member knows how much room it has. Each reports from time to time how many slots are ready and how many are
//! busy; a request goes to a random member, where the odds are the ready slots. Random, because the reports are a second
//! old: always taking the idlest would send that second's whole load to one member.
//!
//! ```text
//! for each candidate heard within 10 s:
//!     open += ready, or a quarter of it (at least 1) where nothing is busy: it has just started
//! pick in 0..open
//! the candidate in whose slice of 0..open the pick falls takes the request
//! ```
//!
//! # Invariant
//!
//! A candidate without ready slots, or unheard for 10 s, is never picked here. When that leaves nobody, this method gives
//! no answer and the balancer's fallback decides: a lost heartbeat must not take a working site down.
//!
//! # Worked table
//!
//! | member | heard | ready | busy | slots | picks of 0..35 |
//! |---|---|---|---|---|---|
//! | a | 0.5 s ago | 20 | 3 | 20 | 0..20 |
//! | b | 0.9 s ago | 20 | 0 | 5 | 20..25 |
//! | c | 12 s ago | 50 | 1 | 0 | none |
//! | d | 0.1 s ago | 10 | 9 | 10 | 25..35 |
//!
//! # Source
//!
//! Apache httpd's mod_lbmethod_heartbeat, without three of its traps: there a just started member with fewer than 4 ready
//! slots gets nothing, a pick on a boundary goes to the later member, and without heartbeats every request is refused.

use equipoise_sdk::{Candidates, Host, Request, Selector};

/// A heartbeat of this age is too old to go by.
const STALE_AFTER_MS: u32 = 10_000;

/// At random, in proportion to the idle slots members report.
#[derive(Debug, Default)]
pub struct Heartbeat;

impl Selector for Heartbeat {
    fn select(
        &mut self,
        _request: &dyn Request,
        candidates: &dyn Candidates,
        host: &dyn Host,
    ) -> Option<usize> {
        let open = slots(candidates).sum();
        if open == 0 {
            return None;
        }
        let pick = below(open, host.random());
        let mut end = 0;
        slots(candidates).position(|slots| {
            end += slots;
            pick < end
        })
    }
}

/// How many slots of each candidate take part.
fn slots(candidates: &dyn Candidates) -> impl Iterator<Item = u64> {
    let reports = candidates.ready_slots().iter().zip(candidates.busy_slots());
    reports
        .zip(candidates.heartbeat_age_ms())
        .map(|((&ready, &busy), &age_ms)| match (ready, busy) {
            _ if age_ms >= STALE_AFTER_MS => 0,
            (0, _) => 0,
            (ready, 0) => u64::from((ready / 4).max(1)),
            (ready, _) => u64::from(ready),
        })
}

/// Scales a uniform 64-bit number to `0..bound`; the odds differ by less than `bound` in 2⁶⁴.
fn below(bound: u64, random: u64) -> u64 {
    let product = u128::from(random) * u128::from(bound);
    (product >> 64) as u64
}
