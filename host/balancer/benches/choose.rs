//! What one decision costs: lock, eligibility, method and lease, by method and number of members.
//!
//! `choose/byrequests/64` is a request without a session among 64 members. `choose/sticky/64` is one whose session is at
//! the last of them, charged to `byrequests`. `choose/one_in_error/64` is a free request while a member waits for its
//! retry. `choose/explained/64` is a free request whose decision is written down. The bar is 1 µs among 64 members.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use equipoise_balancer::{
    Balancer, Counters, Member, MemberSettings, Methods, Outcome, Query, Settings,
};
use equipoise_bybusyness::ByBusyness;
use equipoise_byrequests::ByRequests;
use equipoise_bytraffic::ByTraffic;
use equipoise_heartbeat::Heartbeat;
use equipoise_sdk::testing::FakeRequest;
use equipoise_sdk::{Affinity, Host, Level, Selector};

const MEMBERS: [u32; 3] = [4, 64, 1_000];

const NOW: Duration = Duration::from_secs(1_000);

/// Random numbers as the program takes them.
struct Fast;

impl Host for Fast {
    fn random(&self) -> u32 {
        fastrand::u32(..)
    }

    fn now_ms(&self) -> u64 {
        0
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn log(&self, _level: Level, _message: &str) {}
}

/// A member with a route, a weight and some history.
fn member(id: u32) -> Member {
    let counters = Counters::default();
    counters.add_transferred(u64::from(id) * 1_000);
    counters.add_read(u64::from(id) * 10_000);
    counters.beat(16, 4, NOW);
    let mut settings = MemberSettings::named(format!("http://192.0.2.1:{id}"));
    settings.lbfactor = 100 + id % 3 * 50;
    settings.route = Some(format!("route{id}"));
    Member {
        id,
        settings,
        counters: Arc::new(counters),
    }
}

fn balancer(selector: Box<dyn Selector>, members: u32) -> Balancer {
    let settings = Settings {
        name: "bench".to_owned(),
        nofailover: false,
        forcerecovery: true,
        failonstatus: Vec::new(),
        failontimeout: false,
        panic_threshold: 10,
    };
    let methods = Methods {
        selector,
        fallback: Box::new(ByRequests::default()),
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
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let query = Query {
                worker: 0,
                request: &request,
                session: black_box(session),
                tried: &[],
                now: NOW,
                host: &Fast,
            };
            let choice = balancer.choose(&query);
            black_box(choice).is_ok()
        });
    });
}

fn methods(criterion: &mut Criterion) {
    for members in MEMBERS {
        let methods: [(&str, Box<dyn Selector>); 4] = [
            ("byrequests", Box::new(ByRequests::default())),
            ("bytraffic", Box::new(ByTraffic)),
            ("bybusyness", Box::new(ByBusyness::default())),
            ("heartbeat", Box::new(Heartbeat)),
        ];
        for (method, selector) in methods {
            let balancer = balancer(selector, members);
            decide(
                criterion,
                &format!("choose/{method}/{members}"),
                &balancer,
                None,
            );
        }
    }
}

fn sessions(criterion: &mut Criterion) {
    for members in MEMBERS {
        let balancer = balancer(Box::new(ByRequests::default()), members);
        let route = Affinity::Route(format!("route{}", members - 1));
        decide(
            criterion,
            &format!("choose/sticky/{members}"),
            &balancer,
            Some(&route),
        );
    }
}

fn explained(criterion: &mut Criterion) {
    let request = FakeRequest::get("/");
    for members in MEMBERS {
        let balancer = balancer(Box::new(ByRequests::default()), members);
        criterion.bench_function(&format!("choose/explained/{members}"), |bencher| {
            bencher.iter(|| {
                let query = Query {
                    worker: 0,
                    request: &request,
                    session: black_box(None),
                    tried: &[],
                    now: NOW,
                    host: &Fast,
                };
                let (choice, explanation) = balancer.explain(&query);
                black_box((choice, explanation)).0.is_ok()
            });
        });
    }
}

fn errors(criterion: &mut Criterion) {
    for members in MEMBERS {
        let balancer = balancer(Box::new(ByRequests::default()), members);
        balancer.report(&balancer.members()[0], Outcome::Unreachable, NOW);
        decide(
            criterion,
            &format!("choose/one_in_error/{members}"),
            &balancer,
            None,
        );
    }
}

criterion_group!(benches, methods, sessions, errors, explained);
criterion_main!(benches);
