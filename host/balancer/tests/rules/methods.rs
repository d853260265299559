//! The methods: Apache's sequences, and fallbacks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use equipoise_balancer::{
    Balancer, Counters, Member, MemberSettings, NoMember, SelectorWithFallback,
};
use equipoise_sdk::testing::{FakeEnv, FakeRequest};
use equipoise_sdk::{Candidates, Env, Request, Selector};
use proptest::prelude::*;

use crate::site::{Site, args, name, settings};

/// A method made of a closure.
struct Method<F>(F);

impl<F: FnMut(&dyn Candidates) -> Option<usize> + Send> Selector for Method<F> {
    fn select(
        &mut self,
        _request: &dyn Request,
        candidates: &dyn Candidates,
        _host: &dyn Env,
    ) -> Option<usize> {
        (self.0)(candidates)
    }
}

fn site_of(
    select: impl FnMut(&dyn Candidates) -> Option<usize> + Send + 'static,
    members: &[&str],
) -> Site {
    Site::with_selector(settings(), Box::new(Method(select)), members)
}

/// Sequences of Apache 2.4.71 (apache-semantics 1.13): requests one after the other from a fresh start.
#[test]
fn methods_choose_in_apaches_order() {
    let table: &[(&str, &[&str], &str)] = &[
        ("byrequests", &["", "", ""], "b1 b2 b3 b1 b2 b3 b1 b2 b3"),
        ("bybusyness", &["", "", ""], "b1 b2 b3 b1 b2 b3 b1 b2 b3"),
        (
            "byrequests",
            &["loadfactor=1", "loadfactor=2"],
            "b2 b1 b2 b2 b1 b2 b2 b1 b2 b2 b1 b2",
        ),
        (
            "bybusyness",
            &["loadfactor=1", "loadfactor=2"],
            "b2 b1 b2 b2 b1 b2 b2 b1 b2 b2 b1 b2",
        ),
        ("bytraffic", &["", ""], "b1 b1 b1"),
    ];
    for (method, members, sequence) in table {
        let site = Site::by(method, members);
        let count = sequence.split(' ').count();
        assert_eq!(site.sequence(count), *sequence, "{method} {members:?}");
    }
}

#[test]
fn bytraffic_follows_the_bytes() {
    let site = Site::by("bytraffic", &["", "loadfactor=2"]);
    let sequence: Vec<_> = (0..6)
        .map(|_| {
            let member = site.serve();
            site.member(&member).counters.add_transferred(1_000);
            site.member(&member).counters.add_read(9_000);
            member
        })
        .collect();
    assert_eq!(sequence.join(" "), "b1 b2 b2 b1 b2 b2");
}

#[test]
fn bybusyness_prefers_members_with_fewer_requests_in_flight() {
    let site = Site::by("bybusyness", &["", "", ""]);
    let request = FakeRequest::get("/");
    let first = site.choose(&request, &[], 0).unwrap();
    let second = site.choose(&request, &[], 0).unwrap();
    assert_eq!(first.lease.member().settings.name, "b1");
    assert_eq!(second.lease.member().settings.name, "b2");
    assert_eq!(site.sequence(3), "b3 b3 b3");
    drop(first);
    let third = site.choose(&request, &[], 0).unwrap();
    assert_eq!(third.lease.member().settings.name, "b1");
}

#[test]
fn heartbeat_goes_by_reports_and_without_them_by_requests() {
    let site = Site::by("heartbeat", &["", ""]);
    assert_eq!(site.sequence(4), "b1 b2 b1 b2");
    site.member("b2")
        .counters
        .record_heartbeat(10, 1, site.now());
    assert_eq!(site.sequence(3), "b2 b2 b2");
    site.member("b1")
        .counters
        .record_heartbeat(10, 1, site.now());
    let request = FakeRequest::get("/");
    assert_eq!(name(site.choose(&request, &[], u32::MAX / 4)), "b1");
    assert_eq!(name(site.choose(&request, &[], u32::MAX / 4 * 3)), "b2");
    site.wait(Duration::from_secs(10));
    assert_eq!(site.sequence(4), "b1 b2 b1 b2");
}

#[test]
fn fallback_chooses_where_a_method_returns_nothing_or_an_invalid_position() {
    for invalid in [None, Some(2), Some(usize::MAX)] {
        let site = site_of(move |_| invalid, &["", ""]);
        assert_eq!(site.sequence(4), "b1 b2 b1 b2", "{invalid:?}");
    }
}

#[test]
fn configuration_order_decides_where_the_fallback_fails_too() {
    let member = |id| Member {
        id,
        settings: MemberSettings::named(format!("b{id}")),
        counters: Arc::new(Counters::default()),
    };
    let methods = SelectorWithFallback {
        selector: Box::new(Method(|_: &dyn Candidates| None)),
        fallback: Box::new(Method(|_: &dyn Candidates| Some(7))),
        renewal: None,
    };
    let balancer = Balancer::new(settings(), vec![member(1), member(2)], None, [methods]);
    let request = FakeRequest::get("/");
    let selection = balancer.choose(&args(&request, &FakeEnv::default()));
    assert!(!selection.as_ref().unwrap().route_changed);
    assert_eq!(name(selection), "b1");
}

#[test]
fn method_that_panics_takes_no_later_request_with_it() {
    let mut calls = 0;
    let panics_once = move |_: &dyn Candidates| {
        calls += 1;
        assert!(calls > 1, "on purpose");
        Some(1)
    };
    let site = site_of(panics_once, &["", ""]);
    assert!(catch_unwind(AssertUnwindSafe(|| site.serve())).is_err());
    assert_eq!(site.sequence(2), "b2 b2");
}

#[test]
fn method_sees_the_eligible_members_and_what_they_count() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = {
        let seen = Arc::clone(&seen);
        move |candidates: &dyn Candidates| {
            let text = format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {}",
                candidates.ids(),
                candidates.weights(),
                candidates.busy(),
                candidates.elected(),
                candidates.bytes_sent(),
                candidates.bytes_received(),
                candidates.ready_slots(),
                candidates.busy_slots(),
                candidates.heartbeat_age_ms(),
                candidates.len(),
            );
            seen.lock().unwrap().push(text);
            Some(candidates.len() - 1)
        }
    };
    let site = site_of(record, &["loadfactor=3", "status=D", "loadfactor=2"]);
    let request = FakeRequest::get("/");
    let selection = site.choose(&request, &[], 0).unwrap();
    let counters = &site.member("b3").counters;
    counters.add_transferred(7);
    counters.add_read(9);
    counters.record_heartbeat(4, 5, site.now());
    site.wait(Duration::from_micros(2_999));
    site.serve();
    site.fail(&["b1"]);
    drop(selection);
    site.serve();
    let never = u32::MAX;
    assert_eq!(
        *seen.lock().unwrap(),
        [
            format!(
                "[0, 2] [300, 200] [0, 0] [0, 0] [0, 0] [0, 0] [0, 0] [0, 0] [{never}, {never}] 2"
            ),
            format!("[0, 2] [300, 200] [0, 1] [0, 1] [0, 7] [0, 9] [0, 4] [0, 5] [{never}, 2] 2"),
            "[2] [200] [0] [2] [7] [9] [4] [5] [2] 1".to_owned(),
        ]
    );
}

#[test]
fn balancer_without_members_refuses() {
    let site = Site::new(&[]);
    let no_member = site.choose(&FakeRequest::get("/"), &[], 0).unwrap_err();
    assert_eq!(no_member, NoMember::NoneEligible);
    assert_eq!(site.serve_session("r1"), "503");
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        _ => greatest_common_divisor(b, a % b),
    }
}

proptest! {
    #[test]
    fn each_member_gets_exactly_its_share_of_a_cycle(
        weights in prop::collection::vec(1_u32..=30, 1..9),
    ) {
        let words: Vec<_> = weights.iter().map(|w| format!("loadfactor={w}")).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let site = Site::new(&words);
        let divisor = weights.iter().copied().reduce(greatest_common_divisor).unwrap();
        let shares: Vec<u64> = weights.iter().map(|w| u64::from(w / divisor)).collect();
        let ids: Vec<u32> = (0..).take(weights.len()).collect();
        let loads = || site.balancer.lbstatus(&ids).into_iter();
        for _ in 0..shares.iter().sum() {
            site.serve();
            prop_assert_eq!(loads().sum::<i64>(), 0);
        }
        let elected = site.balancer.members().iter().map(|m| m.counters.elected());
        prop_assert_eq!(elected.collect::<Vec<_>>(), shares);
        prop_assert!(loads().all(|load| load == 0), "the cycle is closed");
    }
}
