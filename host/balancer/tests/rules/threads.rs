//! Many threads at one balancer: the order of decisions is exact, and so are the counts.

use std::thread;

use equipoise_balancer::{Balancer, Selection};
use equipoise_sdk::testing::{FakeEnv, FakeRequest};

use crate::site::{Site, args};

const THREADS: usize = 8;

/// Runs `work` on every thread at once.
fn on_all_threads(site: &Site, work: impl Fn(&Balancer) + Sync) {
    let balancer = &site.balancer;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| work(balancer));
        }
    });
}

fn choose(balancer: &Balancer) -> Selection {
    balancer
        .choose(&args(&FakeRequest::get("/"), &FakeEnv::default()))
        .expect("a member is eligible")
}

#[test]
fn concurrent_decisions_add_up_to_the_sequence() {
    for method in ["byrequests", "bybusyness"] {
        let site = Site::by(method, &["loadfactor=1", "loadfactor=2", "loadfactor=3"]);
        on_all_threads(&site, |balancer| {
            for _ in 0..3_000 {
                choose(balancer);
            }
        });
        let counters = |id: usize| &site.balancer.members()[id].counters;
        assert_eq!([0, 1, 2].map(|id| counters(id).busy()), [0; 3]);
        let elected = [0, 1, 2].map(|id| counters(id).elected());
        assert_eq!(elected.iter().sum::<u64>(), 24_000);
        if method == "byrequests" {
            assert_eq!(elected, [4_000, 8_000, 12_000]);
        }
        assert_eq!(site.balancer.lbstatus(&[0, 1, 2]).iter().sum::<i64>(), 0);
    }
}

#[test]
fn concurrent_requests_spread_by_busyness_exactly() {
    let site = Site::by("bybusyness", &[""; THREADS]);
    let balancer = &site.balancer;
    let selections: Vec<Selection> = thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(|| choose(balancer)));
        threads.map(|thread| thread.join().unwrap()).into()
    });
    let busy = balancer.members().iter().map(|m| m.counters.busy());
    assert_eq!(busy.collect::<Vec<_>>(), [1; THREADS]);
    drop(selections);
    assert!(balancer.members().iter().all(|m| m.counters.busy() == 0));
}

#[test]
fn concurrent_bytes_are_counted_exactly() {
    let site = Site::new(&[""]);
    on_all_threads(&site, |balancer| {
        for bytes in 0..1_000 {
            balancer.members()[0].counters.add_read(bytes);
            balancer.members()[0].counters.add_transferred(1);
        }
    });
    let counters = &site.member("b1").counters;
    assert_eq!(counters.read(), 8 * 499_500);
    assert_eq!(counters.transferred(), 8_000);
}
