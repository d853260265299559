//! What one decision costs: lock, eligibility, method and lease, by method and number of members.
//!
//! `choose/byrequests/64` is a request without a session among 64 members. `sticky/byrequests/64` is one whose session is at
//! the last of them. `one_in_error/byrequests/64` is a free request while a member waits for its retry, and
//! `one_starting/byrequests/64` while one is in slow start. `choose/explained/64` is a free request whose decision is explained.
//! The bars are 1 µs among 64 members, and 2 µs among 1,000 but for decisions that are explained.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use equipoise_balancer::{
    AttemptOutcome, Balancer, BalancerSettings, Counters, Member, MemberSettings, PickArgs,
    SelectorWithFallback,
};
use equipoise_bybusyness::ByBusyness;
use equipoise_byrequests::ByRequests;
use equipoise_bytraffic::ByTraffic;
use equipoise_heartbeat::Heartbeat;
use equipoise_sdk::testing::FakeRequest;
use equipoise_sdk::{Affinity, Env, LogLevel, Selector};

const MEMBERS: [u32; 3] = [4, 64, 1_000];

const NOW: Duration = Duration::from_secs(1_000);

/// How far apart requests are.
const STEP: Duration = Duration::from_micros(1);

/// Random numbers as the program takes them.
struct Fast;

impl Env for Fast {
    fn random(&self) -> u32 {
        fastrand::u32(..)
    }

    fn now_ms(&self) -> u64 {
        0
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn log(&self, _level: LogLevel, _message: &str) {}
}

/// A member with a route, a weight and some history.
fn member(id: u32) -> Member {
    let counters = Counters::default();
    counters.add_transferred(u64::from(id) * 1_000);
    counters.add_read(u64::from(id) * 10_000);
    counters.record_heartbeat(16, 4, NOW);
    let mut settings = MemberSettings::named(format!("http://192.0.2.1:{id}"));
    settings.lbfactor = 100 + id % 3 * 50;
    settings.route = Some(format!("route{id}"));
    settings.slow_start = Duration::from_secs(3_600);
    Member {
        id,
        settings,
        counters: Arc::new(counters),
    }
}

fn balancer(selector: Box<dyn Selector>, members: u32) -> Balancer {
    let settings = BalancerSettings {
        name: "bench".to_owned(),
        nofailover: false,
        forcerecovery: true,
        failonstatus: Vec::new(),
        failontimeout: false,
        panic_threshold: 10,
    };
    let methods = SelectorWithFallback {
        selector,
        fallback: Box::new(ByRequests::default()),
        renewal: None,
    };
    Balancer::new(
        settings,
        (0..members).map(member).collect(),
        None,
        [methods],
    )
}

/// Measures decisions of `balancer`; each request is over before the next one comes.
fn decide(criterion: &mut Criterion, name: &str, balancer: &Balancer, session: Option<&Affinity>) {
    let request = FakeRequest::get("/");
    let now = Cell::new(NOW);
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            now.set(now.get() + STEP);
            let args = PickArgs {
                worker: 0,
                request: &request,
                session: black_box(session),
                tried: &[],
                now: now.get(),
                host: &Fast,
            };
            let selection = balancer.choose(&args);
            black_box(selection).is_ok()
        });
    });
}

/// A balancer by each method of this many members, with a name for what is measured.
fn by_method(members: u32) -> impl Iterator<Item = (String, Balancer)> {
    let methods: [(&str, Box<dyn Selector>); 4] = [
        ("byrequests", Box::new(ByRequests::default())),
        ("bytraffic", Box::new(ByTraffic)),
        ("bybusyness", Box::new(ByBusyness::default())),
        ("heartbeat", Box::new(Heartbeat)),
    ];
    let methods = methods.into_iter();
    methods.map(move |(method, selector)| {
        let name = format!("{method}/{members}");
        (name, balancer(selector, members))
    })
}

fn methods(criterion: &mut Criterion) {
    for (name, balancer) in MEMBERS.into_iter().flat_map(by_method) {
        decide(criterion, &format!("choose/{name}"), &balancer, None);
    }
}

fn sessions(criterion: &mut Criterion) {
    for (name, balancer) in MEMBERS.into_iter().flat_map(by_method) {
        let last = balancer.members().len() - 1;
        let route = Affinity::Route(format!("route{last}"));
        decide(
            criterion,
            &format!("sticky/{name}"),
            &balancer,
            Some(&route),
        );
    }
}

fn errors(criterion: &mut Criterion) {
    for (name, balancer) in MEMBERS.into_iter().flat_map(by_method) {
        let member = &balancer.members()[1];
        // Long ago in this benchmark is not long enough for a retry.
        balancer.report(member, AttemptOutcome::Unreachable, NOW * 100);
        decide(criterion, &format!("one_in_error/{name}"), &balancer, None);
    }
}

fn slow_starts(criterion: &mut Criterion) {
    for (name, balancer) in MEMBERS.into_iter().flat_map(by_method) {
        balancer.set_health(1, false, "for its slow start", NOW);
        balancer.set_health(1, true, "for its slow start", NOW);
        decide(criterion, &format!("one_starting/{name}"), &balancer, None);
    }
}

fn explained(criterion: &mut Criterion) {
    let request = FakeRequest::get("/");
    for members in MEMBERS {
        let balancer = balancer(Box::new(ByRequests::default()), members);
        criterion.bench_function(&format!("choose/explained/{members}"), |bencher| {
            bencher.iter(|| {
                let args = PickArgs {
                    worker: 0,
                    request: &request,
                    session: black_box(None),
                    tried: &[],
                    now: NOW,
                    host: &Fast,
                };
                let (selection, explanation) = balancer.explain(&args);
                black_box((selection, explanation)).0.is_ok()
            });
        });
    }
}

criterion_group!(benches, methods, sessions, errors, slow_starts, explained);
criterion_main!(benches);
