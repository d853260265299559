//! What members count, leases, and heartbeats.

use std::time::Duration;

use equipoise_balancer::Counters;
use equipoise_sdk::testing::FakeRequest;

use crate::site::{Site, session_of};

#[test]
fn lease_counts_as_busy_until_it_is_dropped() {
    let site = Site::new(&["route=r1"]);
    let counters = &site.member("b1").counters;
    let free = site.choose(&FakeRequest::get("/"), &[], 0).unwrap();
    let sticky = site.choose(&session_of("r1"), &[], 0).unwrap();
    assert!(sticky.sticky && !free.sticky);
    assert_eq!(counters.busy(), 2);
    drop(free);
    assert_eq!(counters.busy(), 1);
    drop(sticky);
    assert_eq!(counters.busy(), 0);
    assert_eq!(counters.elected(), 2);
}

#[test]
fn lease_of_an_earlier_configuration_still_counts() {
    let site = Site::by("bybusyness", &["", ""]);
    let lease = site.choose(&FakeRequest::get("/"), &[], 0).unwrap();
    let reconfigured = site.reconfigured(&["loadfactor=2", ""]);
    let counters = &reconfigured.member("b1").counters;
    assert_eq!((counters.busy(), counters.elected()), (1, 1));
    drop(site);
    drop(lease);
    assert_eq!(counters.busy(), 0);
}

#[test]
fn refused_request_counts_nowhere() {
    let site = Site::new(&["status=D"]);
    assert_eq!(site.serve(), "503");
    let counters = &site.member("b1").counters;
    assert_eq!((counters.busy(), counters.elected()), (0, 0));
}

#[test]
fn bytes_add_up() {
    let counters = Counters::default();
    counters.add_transferred(3);
    counters.add_transferred(u64::from(u32::MAX));
    counters.add_read(1);
    counters.add_read(1);
    assert_eq!(counters.transferred(), 4_294_967_298);
    assert_eq!(counters.read(), 2);
}

#[test]
fn heartbeat_reaches_the_members_at_its_address() {
    let site = Site::new(&[
        "address=192.0.2.1:80",
        "address=192.0.2.1:81",
        "address=192.0.2.2:80",
        "address=[::ffff:192.0.2.1]:82",
        "",
    ]);
    let record_heartbeat = |from: &str, port| {
        let from = from.parse().unwrap();
        site.balancer.record_heartbeat(from, port, 5, 2, site.now())
    };
    assert_eq!(record_heartbeat("192.0.2.9", None), 0);
    assert_eq!(record_heartbeat("192.0.2.1", Some(81)), 1);
    let heartbeat_at = |name| site.member(name).counters.heartbeat().is_some();
    assert_eq!(["b1", "b2", "b3"].map(heartbeat_at), [false, true, false]);
    assert_eq!(record_heartbeat("::ffff:192.0.2.1", None), 3);
    assert_eq!(
        ["b1", "b2", "b3", "b4", "b5"].map(heartbeat_at),
        [true, true, false, true, false]
    );
}

#[test]
fn last_heartbeat_is_the_one_that_counts() {
    let counters = Counters::default();
    assert_eq!(counters.heartbeat(), None);
    counters.record_heartbeat(1, 2, Duration::ZERO);
    counters.record_heartbeat(u32::MAX, 7, Duration::from_nanos(3));
    let report = counters.heartbeat().unwrap();
    assert_eq!((report.ready, report.busy), (u32::MAX, 7));
    assert_eq!(report.at, Duration::from_nanos(3));
}
