//! Apache's algorithm, transcribed from proxy_util.c and mod_proxy_balancer.c, against ours.
//!
//! The model below is a transcription for comparison: one member asked after the other, flags checked on the way, redirects
//! followed by recursion. Ours lays things out beforehand and asks once; whatever happens, both must choose alike.

use std::time::Duration;

use equipoise_balancer::{AttemptOutcome, BalancerSettings, MemberSettings};
use equipoise_sdk::testing::FakeRequest;
use proptest::prelude::*;

use crate::site::{Site, session_of, settings};

struct Worker {
    settings: MemberSettings,
    error_time: Option<Duration>,
    lbstatus: i64,
    busy: u32,
}

struct Apache {
    workers: Vec<Worker>,
    settings: BalancerSettings,
    by_busyness: bool,
}

impl Apache {
    fn usable(&self, w: usize) -> bool {
        self.workers[w].settings.status.is_enabled() && self.workers[w].error_time.is_none()
    }

    fn retry_worker(&mut self, w: usize, now: Duration) {
        let worker = &mut self.workers[w];
        if let Some(since) = worker.error_time
            && !worker.settings.status.stopped
            && (worker.settings.retry.is_zero() || now > since + worker.settings.retry)
        {
            worker.error_time = None;
        }
    }

    fn force_recovery(&mut self, now: Duration) {
        for w in 0..self.workers.len() {
            self.retry_worker(w, now);
            if self.workers[w].error_time.is_none() {
                return;
            }
        }
        if self.settings.forcerecovery {
            for worker in &mut self.workers {
                worker.error_time = None;
            }
        }
    }

    fn find_route_worker(&mut self, route: &str, now: Duration, depth: usize) -> Option<usize> {
        for standby in [false, true] {
            for w in 0..self.workers.len() {
                let settings = self.workers[w].settings.clone();
                if settings.status.standby != standby || settings.route.as_deref() != Some(route) {
                    continue;
                }
                self.retry_worker(w, now);
                if self.usable(w) {
                    return Some(w);
                }
                if let Some(redirect) = settings.redirect.filter(|_| depth < self.workers.len())
                    && let Some(w) = self.find_route_worker(&redirect, now, depth + 1)
                {
                    return Some(w);
                }
            }
        }
        None
    }

    fn charge(&mut self, chosen: usize) {
        let mut total = 0;
        for w in 0..self.workers.len() {
            if self.usable(w) {
                self.workers[w].lbstatus += i64::from(self.workers[w].settings.lbfactor);
                total += i64::from(self.workers[w].settings.lbfactor);
            }
        }
        self.workers[chosen].lbstatus -= total;
    }

    fn is_best(&mut self, w: usize, best: Option<usize>, total: &mut i64) -> bool {
        let lbfactor = i64::from(self.workers[w].settings.lbfactor);
        self.workers[w].lbstatus += lbfactor;
        *total += lbfactor;
        let Some(best) = best else { return true };
        let (worker, best) = (&self.workers[w], &self.workers[best]);
        if self.by_busyness && worker.busy != best.busy {
            return worker.busy < best.busy;
        }
        worker.lbstatus > best.lbstatus
    }

    fn best_worker(&mut self, now: Duration) -> Option<usize> {
        let (mut best, mut total, mut set, mut max_set) = (None, 0, 0, 0);
        while best.is_none() && set <= max_set {
            let (mut unusable, mut spares, mut standbys) = (0, Vec::new(), Vec::new());
            for w in 0..self.workers.len() {
                let (lbset, status) = {
                    let settings = &self.workers[w].settings;
                    (settings.lbset, settings.status)
                };
                max_set = max_set.max(lbset);
                if lbset != set {
                    continue;
                }
                if status.draining {
                    if !status.spare && !status.standby {
                        unusable += 1;
                    }
                    continue;
                }
                self.retry_worker(w, now);
                if status.spare {
                    spares.extend(self.usable(w).then_some(w));
                } else if status.standby {
                    standbys.extend(self.usable(w).then_some(w));
                } else if !self.usable(w) {
                    unusable += 1;
                } else if self.is_best(w, best, &mut total) {
                    best = Some(w);
                }
            }
            for w in spares.into_iter().take(unusable) {
                if self.is_best(w, best, &mut total) {
                    best = Some(w);
                }
            }
            if best.is_none() {
                for w in standbys {
                    if self.is_best(w, best, &mut total) {
                        best = Some(w);
                    }
                }
            }
            set += 1;
        }
        self.workers[best?].lbstatus -= total;
        best
    }

    fn serve(&mut self, route: Option<&str>, now: Duration) -> Option<usize> {
        self.force_recovery(now);
        if let Some(route) = route {
            if let Some(w) = self.find_route_worker(route, now, 0) {
                self.charge(w);
                return Some(w);
            }
            let mut workers = self.workers.iter();
            let known = workers.any(|worker| worker.settings.route.as_deref() == Some(route));
            if self.settings.nofailover && known {
                return None;
            }
        }
        self.best_worker(now)
    }
}

/// What happens to a site.
#[derive(Debug, Clone)]
enum Event {
    Free,
    /// A request that stays in flight to the end.
    Held,
    Session(usize),
    Failure(usize),
    Time(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Free),
        1 => Just(Event::Held),
        3 => (0_usize..9).prop_map(Event::Session),
        2 => (0_usize..8).prop_map(Event::Failure),
        1 => (0_u64..5).prop_map(Event::Time),
    ]
}

const FLAGS: [&str; 12] = [
    "-D", "-D", "-D", "-D", "D", "S", "R", "H", "N", "RH", "NR", "NH",
];

fn words() -> impl Strategy<Value = String> {
    let status = prop::sample::select(&FLAGS[..]);
    let redirect = prop::option::of(0_usize..9);
    (status, 0_u8..4, 1_u32..5, 0_u64..4, redirect).prop_map(
        |(status, lbset, loadfactor, retry, redirect)| {
            let redirect = redirect.map_or_else(String::new, |r| format!("redirect=r{r}"));
            format!(
                "status={status} lbset={lbset} loadfactor={loadfactor} retry={retry} {redirect}"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_decision_is_apaches(
        members in prop::collection::vec(words(), 1..8),
        events in prop::collection::vec(event(), 1..60),
        by_busyness: bool,
        nofailover: bool,
        forcerecovery: bool,
    ) {
        let settings = BalancerSettings { nofailover, forcerecovery, ..settings() };
        let words: Vec<_> =
            members.iter().enumerate().map(|(at, words)| format!("{words} route=r{at}")).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let method = if by_busyness { "bybusyness" } else { "byrequests" };
        let site = Site::with(settings.clone(), method, &words);
        let workers = site.balancer.members().iter().map(|member| Worker {
            settings: member.settings.clone(),
            error_time: None,
            lbstatus: 0,
            busy: 0,
        });
        let mut apache = Apache { workers: workers.collect(), settings, by_busyness };
        let mut held = Vec::new();
        for event in &events {
            let route = match *event {
                Event::Time(seconds) => {
                    site.wait(Duration::from_secs(seconds));
                    continue;
                }
                Event::Failure(at) => {
                    let at = at % members.len();
                    site.balancer.report(
                        &site.balancer.members()[at],
                        AttemptOutcome::Unreachable,
                        site.now(),
                    );
                    apache.workers[at].error_time = Some(site.now());
                    continue;
                }
                Event::Session(at) => Some(format!("r{at}")),
                Event::Free | Event::Held => None,
            };
            let expected = apache.serve(route.as_deref(), site.now());
            let request = route.as_deref().map_or_else(|| FakeRequest::get("/"), session_of);
            let selection = site.choose(&request, &[], 0);
            let chosen = selection.as_ref().ok().map(|selection| selection.lease.member().id as usize);
            prop_assert_eq!(chosen, expected);
            if matches!(event, Event::Held) {
                chosen.into_iter().for_each(|w| apache.workers[w].busy += 1);
                held.push(selection);
            }
            for (at, worker) in apache.workers.iter().enumerate() {
                prop_assert_eq!(site.balancer.lbstatus(&[at as u32]), [worker.lbstatus]);
            }
        }
    }
}
