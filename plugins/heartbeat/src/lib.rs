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
//! A candidate without ready slots, or unheard for 10 s, is never picked here. When that leaves no candidate, this method
//! declines and the balancer's fallback decides: a lost heartbeat must not take a working site down.
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

use equipoise_sdk::{Candidates, Column, Env, PolicyConfig, Request, Selector, export_selector};

/// A heartbeat of this age is stale.
const STALE_AFTER_MS: u32 = 10_000;

/// At random, in proportion to the idle slots members report.
#[derive(Debug, Default)]
pub struct Heartbeat;

impl Selector for Heartbeat {
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        config.deny_unknown(&[])
    }

    fn columns() -> &'static [Column] {
        &[
            Column::ReadySlots,
            Column::BusySlots,
            Column::HeartbeatAgeMs,
        ]
    }

    fn select(
        &mut self,
        _request: &dyn Request,
        candidates: &dyn Candidates,
        env: &dyn Env,
    ) -> Option<usize> {
        let reports = Reports {
            ready: candidates.ready_slots(),
            busy: candidates.busy_slots(),
            age_ms: candidates.heartbeat_age_ms(),
        };
        // The slots of whole chunks are summed, so that the pick is searched in one of them only.
        let size = candidates.len().div_ceil(MAX_CHUNKS).max(MIN_CHUNK);
        let mut sums = [0; MAX_CHUNKS];
        for (sum, chunk) in sums.iter_mut().zip(reports.chunks(size)) {
            *sum = chunk.slots().sum();
        }
        let open = sums.iter().sum();
        if open == 0 {
            return None;
        }
        let pick = below(open, env.random());
        let mut end = 0;
        let chunk = sums.iter().position(|sum| {
            end += sum;
            pick < end
        })?;
        end -= sums[chunk];
        let place = reports.chunks(size).nth(chunk)?.slots().position(|slots| {
            end += slots;
            pick < end
        })?;
        Some(chunk * size + place)
    }
}

/// The candidates' reports, by columns.
struct Reports<'a> {
    ready: &'a [u32],
    busy: &'a [u32],
    age_ms: &'a [u32],
}

/// Maximum number of chunks that candidates are divided into.
const MAX_CHUNKS: usize = 32;

/// Minimum length of a chunk but the last: shorter ones do not pay.
const MIN_CHUNK: usize = 16;

impl<'a> Reports<'a> {
    /// The reports in chunks of this many candidates.
    fn chunks(&self, size: usize) -> impl Iterator<Item = Reports<'a>> {
        let reports = self.ready.chunks(size).zip(self.busy.chunks(size));
        reports
            .zip(self.age_ms.chunks(size))
            .map(|((ready, busy), age_ms)| Reports {
                ready,
                busy,
                age_ms,
            })
    }

    /// The slots of each candidate that count.
    #[inline]
    fn slots(&self) -> impl Iterator<Item = u64> {
        let reports = self.ready.iter().zip(self.busy).zip(self.age_ms);
        reports.map(|((&ready, &busy), &age_ms)| u64::from(slots(ready, busy, age_ms)))
    }
}

/// The slots of a candidate with this report; branchless, so that it is computed for several at a time.
#[inline]
fn slots(ready: u32, busy: u32, age_ms: u32) -> u32 {
    // An idle member counts with a quarter of its slots, at least one if it has any.
    let of_idle = (ready / 4) | u32::from(ready / 4 == 0 && ready != 0);
    let slots = if busy == 0 { of_idle } else { ready };
    if age_ms >= STALE_AFTER_MS { 0 } else { slots }
}

/// Scales a uniform 32-bit number to `0..bound`; the odds differ by less than `bound` in 2³².
fn below(bound: u64, random: u32) -> u64 {
    let product = u128::from(random) * u128::from(bound);
    (product >> 32) as u64
}

export_selector!(Heartbeat);

#[cfg(test)]
mod tests {
    use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};

    use super::*;

    /// Members as ready slots, busy slots, age in milliseconds.
    fn candidates(members: &[(u32, u32, u32)]) -> FakeCandidates {
        let candidate = |(id, &(ready_slots, busy_slots, heartbeat_age_ms))| FakeCandidate {
            ready_slots,
            busy_slots,
            heartbeat_age_ms,
            ..FakeCandidate::new(id)
        };
        (0..).zip(members).map(candidate).collect()
    }

    fn select(members: &[(u32, u32, u32)], random: u32) -> Option<usize> {
        let candidates = candidates(members);
        Heartbeat.select(
            &FakeRequest::get("/"),
            &candidates,
            &FakeEnv::with_random(random),
        )
    }

    /// How often each of `N` members is picked by `picks` random numbers spread evenly.
    fn share<const N: usize>(members: [(u32, u32, u32); N], picks: u32) -> [u32; N] {
        let step = u32::MAX / picks;
        let mut share = [0; N];
        for pick in 0..picks {
            // The middle of its range, well away from the boundaries.
            let chosen = select(&members, pick * step + step / 2);
            share[chosen.expect("a member has open slots")] += 1;
        }
        share
    }

    #[test]
    fn worked_table_holds() {
        let members = [(20, 3, 500), (20, 0, 900), (50, 1, 12_000), (10, 9, 100)];
        assert_eq!(share(members, 35), [20, 5, 0, 10]);
    }

    #[test]
    fn first_and_last_pick_stay_in_range() {
        let members = [(0, 5, 0), (1, 1, 0), (1, 1, 0), (0, 5, 0)];
        assert_eq!(select(&members, 0), Some(1));
        assert_eq!(select(&members, u32::MAX), Some(2));
    }

    #[test]
    fn just_started_member_keeps_at_least_one_slot() {
        assert_eq!(select(&[(3, 0, 0)], 0), Some(0));
        assert_eq!(share([(1, 0, 0), (4, 0, 0), (9, 0, 0)], 4), [1, 1, 2]);
    }

    #[test]
    fn picks_follow_one_another_among_many_members() {
        for count in [1, 31, 32, 33, 64, 65, 1_000] {
            let members: Vec<_> = (0..count).map(|member| (member % 3, 1, 0)).collect();
            let owners = (0..count as usize).flat_map(|member| vec![member; member % 3]);
            let owners: Vec<_> = owners.collect();
            for (pick, owner) in owners.iter().enumerate() {
                // The middle of the range of random numbers that is this pick.
                let random = ((2 * pick as u64 + 1) << 31) / owners.len() as u64;
                assert_eq!(
                    select(&members, random as u32),
                    Some(*owner),
                    "{count} {pick}"
                );
            }
        }
    }

    #[test]
    fn heartbeat_counts_until_it_is_ten_seconds_old() {
        assert_eq!(select(&[(5, 1, 9_999)], 0), Some(0));
        assert_eq!(select(&[(5, 1, 10_000)], 0), None);
    }

    #[test]
    fn without_open_slots_it_declines() {
        assert_eq!(select(&[], 7), None);
        assert_eq!(select(&[(0, 9, 0), (0, 0, 0), (9, 9, u32::MAX)], 7), None);
    }

    #[test]
    fn largest_reports_do_not_overflow() {
        let members = [(u32::MAX, 1, 0), (u32::MAX, 1, 0)];
        assert_eq!(select(&members, u32::MAX / 2 - u32::MAX / 8), Some(0));
        assert_eq!(select(&members, u32::MAX), Some(1));
    }

    #[test]
    fn settings_are_refused() {
        let mut method = Heartbeat;
        assert_eq!(method.configure(&PolicyConfig::default()), Ok(()));
        assert_eq!(
            method.configure(&PolicyConfig::from_settings([("weight", "2")])),
            Err("unknown setting `weight`; there are no settings".to_owned())
        );
    }
}
