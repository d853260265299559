//! The error state of members: what puts them into it, and how they get out; and waiting for one that is eligible.

use std::time::{Duration, Instant};

use crate::harness::proxy::server;
use crate::harness::{Exchange, Origin, Proxy, eventually};

#[test]
fn a_member_in_error_is_left_alone_until_retry_has_passed() {
    let (mut b1, b2) = (Origin::named("b1").refusing(), Origin::live("b2"));
    let start = Instant::now();
    let proxy = Proxy::before(&[])
        .member(&b1, "retry = \"1s\"")
        .member(&b2, "")
        .start();
    assert_eq!(proxy.get("/").status(), 200);
    b1.listen();
    eventually("b1 is tried again", || {
        (server(&proxy.get("/")) == "b1").then_some(())
    });
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn retry_zero_tries_a_member_again_at_once() {
    let (mut b1, b2) = (Origin::named("b1").refusing(), Origin::live("b2"));
    let proxy = Proxy::before(&[])
        .member(&b1, "retry = \"0s\"")
        .member(&b2, "")
        .start();
    assert_eq!(proxy.get("/").status(), 200);
    b1.listen();
    let served = proxy.served(4);
    assert!(served.contains(&"b1".to_owned()), "{served:?}");
}

#[test]
fn failontimeout_leaves_a_member_that_timed_out_alone() {
    for (key, expected) in [("failontimeout = true", 1), ("", 3)] {
        let b1 = Origin::named("b1").answering(Exchange::stall).start();
        let b2 = Origin::live("b2");
        let proxy = Proxy::before(&[])
            .member(&b1, "timeout = \"300ms\"")
            .member(&b2, "")
            .balancer(key)
            .start();
        proxy.served(6);
        assert_eq!(b1.hits(), expected, "{key}");
    }
}

#[test]
fn failonstatus_leaves_a_member_alone_after_its_answer_was_passed() {
    let b1 = Origin::named("b1")
        .answering(|exchange| exchange.respond("503 Busy", "busy"))
        .start();
    let b2 = Origin::live("b2");
    let proxy = Proxy::before(&[&b1, &b2])
        .balancer("failonstatus = [500, 503]")
        .start();
    assert_eq!(proxy.served(5), ["503", "b2", "b2", "b2", "b2"]);
}

/// Apache's measured sequence with `retry=2`: first b1's 503, then b2 alone, then both in turn.
#[test]
fn failonstatus_lets_a_member_back_after_retry() {
    let b1 = Origin::named("b1").answering(|exchange| match exchange.number {
        0 => exchange.respond("503 Busy", "busy"),
        _ => exchange.answer("b1"),
    });
    let (b1, b2) = (b1.start(), Origin::live("b2"));
    let proxy = Proxy::before(&[])
        .member(&b1, "retry = \"1s\"")
        .member(&b2, "")
        .balancer("failonstatus = [503]")
        .start();
    let start = Instant::now();
    assert_eq!(proxy.get("/").status(), 503);
    let first = eventually("b1 is back", || {
        (server(&proxy.get("/")) == "b1").then(Instant::now)
    });
    assert!(first - start >= Duration::from_secs(1));
    assert_eq!(proxy.served(4), ["b2", "b1", "b2", "b1"]);
}

#[test]
fn a_member_that_ignores_errors_stays_in() {
    let b1 = Origin::named("b1")
        .answering(|exchange| exchange.respond("503 Busy", "busy"))
        .start();
    let b2 = Origin::live("b2");
    let proxy = Proxy::before(&[])
        .member(&b1, "status = \"+I\"")
        .member(&b2, "")
        .balancer("failonstatus = [503]")
        .start();
    assert_eq!(proxy.served(4), ["503", "b2", "503", "b2"]);
}

#[test]
fn forcerecovery_tries_everybody_again_when_all_are_in_error() {
    let (mut b1, dead) = (Origin::named("b1").refusing(), Origin::dead());
    let proxy = Proxy::before(&[&b1, &dead]).start();
    assert_eq!(proxy.get("/").status(), 503);
    b1.listen();
    assert_eq!(server(&proxy.get("/")), "b1");
}

#[test]
fn without_forcerecovery_errors_hold() {
    let mut b1 = Origin::named("b1").refusing();
    let proxy = Proxy::before(&[&b1])
        .balancer("forcerecovery = false")
        .start();
    assert_eq!(proxy.get("/").status(), 503);
    b1.listen();
    assert_eq!(proxy.served(3), ["503"; 3]);
    assert_eq!(b1.hits(), 0);
}

#[test]
fn a_request_waits_for_an_eligible_member_as_long_as_the_balancers_timeout() {
    let mut b1 = Origin::named("b1").refusing();
    let proxy = Proxy::before(&[])
        .member(&b1, "retry = \"1s\"")
        .balancer("forcerecovery = false\ntimeout = \"19s\"\nmaxattempts = 0")
        .start();
    assert_eq!(proxy.get("/").status(), 503);
    b1.listen();
    assert_eq!(
        server(&proxy.get("/")),
        "b1",
        "once the member may be tried again"
    );
}

#[test]
fn the_wait_for_an_eligible_member_ends() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[])
        .member(&b1, "status = \"D\"")
        .balancer("timeout = \"1s\"")
        .start();
    let start = Instant::now();
    assert_eq!(proxy.get("/").status(), 503);
    assert!(start.elapsed() >= Duration::from_millis(990));
}
