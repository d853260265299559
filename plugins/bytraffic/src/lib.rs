//! The built-in policy `bytraffic`: each member gets its share of the bytes.
//!
//! # Idea
//!
//! Where requests differ in size, counting them says little about work. Here the quota is bytes: what was sent to a
//! member and what was received from it, both divided by its weight. The member with the smallest quotient takes the next
//! request; a member of weight 2 so carries twice the bytes.
//!
//! ```text
//! for each candidate:
//!     traffic = bytes-sent / lbfactor + bytes-received / lbfactor     (two integer divisions)
//!     candidate is the best so far if its traffic is strictly smaller
//! ```
//!
//! # Invariant
//!
//! Nothing is remembered here: the choice follows from the counters alone. A request is counted as its bytes flow, so a
//! burst that arrives before the first response goes to one member; that is the price of counting what happened over
//! guessing what will.
//!
//! # Worked table
//!
//! Weights a = 1 and b = 2 (factors 100 and 200), every request moves 1 000 bytes to the member and 9 000 back.
//!
//! | request | a: traffic | b: traffic | chosen |
//! |---|---|---|---|
//! | 1 | 0 | 0 | a: first of equals |
//! | 2 | 10 + 90 = 100 | 0 | b |
//! | 3 | 100 | 5 + 45 = 50 | b |
//! | 4 | 100 | 10 + 90 = 100 | a: first of equals |
//!
//! # Source
//!
//! Apache httpd's mod_lbmethod_bytraffic.

use equipoise_sdk::{Candidates, Column, Env, PolicyConfig, Request, Selector, export_selector};

/// Fewest bytes for its weight.
#[derive(Debug, Default)]
pub struct ByTraffic;

impl Selector for ByTraffic {
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        config.deny_unknown(&[])
    }

    fn columns() -> &'static [Column] {
        &[Column::BytesSent, Column::BytesReceived, Column::Weights]
    }

    fn select(
        &mut self,
        _request: &dyn Request,
        candidates: &dyn Candidates,
        _env: &dyn Env,
    ) -> Option<usize> {
        let counts = candidates
            .bytes_sent()
            .iter()
            .zip(candidates.bytes_received());
        let members = candidates.weights().iter().zip(counts).enumerate();
        let mut best = None;
        // Fewer bytes than these for its weight are what a member has to have.
        let mut least = u64::MAX;
        for (position, (&lbfactor, (&sent, &received))) in members {
            if best.is_some() && least == 0 {
                break;
            }
            if best.is_some() && is_more(lbfactor, sent, received, least) {
                continue;
            }
            let traffic = traffic(lbfactor, sent, received);
            if best.is_none() || traffic < least {
                best = Some(position);
                least = traffic;
            }
        }
        best
    }
}

/// Whether there are certainly no fewer bytes than `least` for the weight. That is found out by a multiplication, which takes a
/// fraction of the time of two divisions, and mostly is enough: these round down by less than 1 each.
fn is_more(lbfactor: u32, sent: u64, received: u64, least: u64) -> bool {
    // With these the product fits; looking whether it does takes a component longer than dividing.
    let fits = least < 1 << 50 && lbfactor < 1 << 14;
    fits && sent.saturating_add(received) >= (least + 1) * u64::from(lbfactor.max(1))
}

/// Bytes for the weight. A factor of 0, which no member has, counts as 1.
fn traffic(lbfactor: u32, sent: u64, received: u64) -> u64 {
    let lbfactor = u64::from(lbfactor.max(1));
    (sent / lbfactor).saturating_add(received / lbfactor)
}

export_selector!(ByTraffic);

#[cfg(test)]
mod tests {
    use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};

    use super::*;

    /// Members as factor, bytes to, bytes from.
    fn select(members: &[(u32, u64, u64)]) -> Option<usize> {
        let candidate = |(id, &(lbfactor, sent, received))| FakeCandidate {
            weight: lbfactor,
            bytes_sent: sent,
            bytes_received: received,
            ..FakeCandidate::new(id)
        };
        let candidates: FakeCandidates = (0..).zip(members).map(candidate).collect();
        ByTraffic.select(
            &FakeRequest::get("/"),
            &candidates,
            &FakeEnv::with_random(0),
        )
    }

    #[test]
    fn worked_table_holds() {
        let mut members = [(100, 0, 0), (200, 0, 0)];
        for chosen in [0, 1, 1, 0] {
            assert_eq!(select(&members), Some(chosen));
            members[chosen].1 += 1_000;
            members[chosen].2 += 9_000;
        }
    }

    #[test]
    fn each_division_rounds_down_by_itself() {
        assert_eq!(select(&[(100, 100, 0), (100, 99, 99)]), Some(1));
    }

    #[test]
    fn extreme_counters_and_factors_are_compared_without_a_fault() {
        assert_eq!(
            select(&[(0, u64::MAX, u64::MAX), (1, u64::MAX, 0)]),
            Some(0)
        );
        assert_eq!(select(&[(0, u64::MAX, 1), (10_000, u64::MAX, 0)]), Some(1));
    }

    #[test]
    fn comparing_without_dividing_changes_no_choice() {
        let mut random = 1_u64;
        let mut draw = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        for round in 0..2_000 {
            // Few bytes, so that many are equal or nearly so.
            let most = [3, 300, 900, 1 << 30][round % 4];
            let members: Vec<_> = (0..6)
                .map(|_| (1 + draw(300) as u32, draw(most), draw(most)))
                .collect();
            let traffic = |&(lbfactor, sent, received): &(u32, u64, u64)| {
                let lbfactor = u64::from(lbfactor);
                sent / lbfactor + received / lbfactor
            };
            let least = members.iter().map(traffic).min();
            let first = members.iter().position(|it| Some(traffic(it)) == least);
            assert_eq!(select(&members), first, "{members:?}");
        }
    }

    #[test]
    fn no_candidates_no_selection() {
        assert_eq!(select(&[]), None);
    }

    #[test]
    fn settings_are_refused() {
        let mut method = ByTraffic;
        assert_eq!(method.configure(&PolicyConfig::default()), Ok(()));
        assert_eq!(
            method.configure(&PolicyConfig::from_settings([("weight", "2")])),
            Err("unknown setting `weight`; there are no settings".to_owned())
        );
    }
}
