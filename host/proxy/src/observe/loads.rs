//! Cache of each member's lbstatus (its place in the method's schedule), refreshed at most once a second.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use equipoise_balancer::Balancer;

/// Age from which the values are refreshed.
const MAX_AGE: Duration = Duration::from_secs(1);

/// What is known of one balancer.
#[derive(Debug, Default)]
pub struct Loads(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When it was last asked for.
    asked: Option<Instant>,
    /// Whom to begin with: where the last answer ended.
    first: usize,
    /// By the members' ids.
    loads: BTreeMap<u32, i64>,
}

impl Loads {
    /// Whether the values are old; the caller then has to refresh them.
    pub fn claim(&self, now: Instant) -> bool {
        let mut known = self.lock();
        let is_old = known
            .asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= MAX_AGE);
        if is_old {
            known.asked = Some(now);
        }
        is_old
    }

    /// Where a member stands; none where that has never been told.
    pub fn of(&self, member: u32) -> Option<i64> {
        self.lock().loads.get(&member).copied()
    }

    /// Asks the balancer, which waits for decisions at hand and holds up the next ones. What it does not tell keeps its last
    /// value.
    pub fn ask(&self, balancer: &Balancer) {
        let mut ids: Vec<u32> = balancer.members().iter().map(|member| member.id).collect();
        if ids.is_empty() {
            return;
        }
        let first = self.lock().first % ids.len();
        ids.rotate_left(first);
        let told = balancer.lbstatus(&ids);
        let mut known = self.lock();
        known.first = first + told.len();
        let known_ids: HashSet<u32> = ids.iter().copied().collect();
        known.loads.retain(|id, _| known_ids.contains(id));
        known.loads.extend(ids.into_iter().zip(told));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use equipoise_balancer::{
        BalancerSettings, Counters, Member, MemberSettings, SelectorWithFallback,
    };
    use equipoise_byrequests::ByRequests;
    use equipoise_sdk::{Candidates, Env, Request, Selector};

    use super::*;

    #[test]
    fn what_is_known_is_good_for_a_second() {
        let loads = Loads::default();
        let start = Instant::now();
        let table = [
            (0, true),
            (0, false),
            (999, false),
            (1000, true),
            (1999, false),
            (2000, true),
        ];
        for (at, is_old) in table {
            let now = start + Duration::from_millis(at);
            assert_eq!(loads.claim(now), is_old, "{at}");
        }
    }

    /// Tells two members in each turn, and counts how many it told.
    struct Slow(i64);

    impl Selector for Slow {
        fn select(&mut self, _: &dyn Request, _: &dyn Candidates, _: &dyn Env) -> Option<usize> {
            None
        }

        fn lbstatuses(&mut self, ids: &[u32]) -> Vec<i64> {
            let told = ids.iter().take(2).map(|_| {
                self.0 += 1;
                self.0
            });
            told.collect()
        }
    }

    fn member(id: u32) -> Member {
        Member {
            id,
            settings: MemberSettings::named(format!("http://192.0.2.1:{id}")),
            counters: std::sync::Arc::new(Counters::default()),
        }
    }

    #[test]
    fn what_is_not_told_keeps_its_last_value_and_comes_first_the_next_time() {
        let settings = BalancerSettings {
            name: "b".to_owned(),
            nofailover: false,
            forcerecovery: true,
            failonstatus: Vec::new(),
            failontimeout: false,
            panic_threshold: 10,
        };
        let methods = SelectorWithFallback {
            selector: Box::new(Slow(0)),
            fallback: Box::<ByRequests>::default(),
            renewal: None,
        };
        let balancer = Balancer::new(settings, (0..3).map(member).collect(), None, [methods]);
        let loads = Loads::default();
        let known = || [0, 1, 2].map(|id| loads.of(id));
        assert_eq!(known(), [None; 3]);
        loads.ask(&balancer);
        assert_eq!(known(), [Some(1), Some(2), None]);
        loads.ask(&balancer);
        assert_eq!(known(), [Some(4), Some(2), Some(3)]);
        loads.ask(&balancer);
        assert_eq!(known(), [Some(4), Some(5), Some(6)]);
    }
}
