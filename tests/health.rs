//! Health: members that are left out by what is seen of their traffic, and how they come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::harness::proxy::server;
use crate::harness::{Origin, Proxy};

/// A member that answers 500 while it is told to, and itself otherwise.
fn fickle(name: &str) -> (Origin, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(true));
    let told = fails.clone();
    let origin = Origin::named(name).answering(move |exchange| {
        let status = match told.load(Relaxed) {
            true => "500 No",
            false => "200 OK",
        };
        exchange.respond(status, "");
    });
    (origin.start(), fails)
}

#[test]
fn member_whose_requests_fail_in_a_row_is_left_out_and_comes_back() {
    let (fickle, fails) = fickle("fickle");
    let well = Origin::live("well");
    let proxy = Proxy::before(&[&fickle, &well])
        .balancer("outlier = { consecutive-failures = 3, eject = \"500ms\" }")
        .start();
    let name = fickle.url();
    let ejected =
        format!("member {name} is unhealthy: 3 requests in a row failed: ejected for 0.5 s");
    while proxy.stderr.count(&ejected) == 0 {
        proxy.get("/");
    }
    fails.store(false, Relaxed);
    assert_eq!(proxy.served(4), ["well"; 4]);
    proxy
        .stderr
        .line_with(&format!("member {name} is healthy: ejection ended"));
    let before = fickle.hits();
    proxy.served(4);
    assert!(fickle.hits() > before);
}

/// Goal: an answer that no client sees is one all the same. Method: each answer of a member that fails is followed by another
/// member's, and the client is content.
#[test]
fn member_whose_answers_are_tried_again_is_left_out() {
    for (answer, retry_on) in [
        ("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", "503"),
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503"),
        ("nonsense\r\n\r\n", "502"),
    ] {
        let failing = Origin::named("failing").saying(answer).start();
        let well = Origin::live("well");
        let proxy = Proxy::before(&[&failing, &well])
            .balancer(&format!(
                "retry-on = [\"{retry_on}\"]\noutlier = {{ consecutive-failures = 3, eject = \"1h\" }}"
            ))
            .start();
        let ejected = "is unhealthy: 3 requests in a row failed: ejected";
        for _ in 0..6 {
            assert_eq!(server(&proxy.get("/")), "well", "{answer:?}");
        }
        proxy.stderr.line_with(ejected);
        assert_eq!(failing.hits(), 3, "{answer:?}");
        assert_eq!(proxy.served(4), ["well"; 4], "{answer:?}");
        assert_eq!(failing.hits(), 3, "{answer:?}");
    }
}

#[test]
fn member_that_breaks_off_its_bodies_is_left_out() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234";
    let broken = Origin::named("broken").saying_last(answer).start();
    let well = Origin::live("well");
    let proxy = Proxy::before(&[&broken, &well])
        .balancer("outlier = { consecutive-failures = 2 }")
        .start();
    let ejected = "2 requests in a row failed: ejected for 30 s";
    while proxy.stderr.count(ejected) == 0 {
        let mut client = proxy.client();
        client.ask("GET /", &[]);
        let _ = client.try_response("GET /");
    }
    assert_eq!(proxy.served(4), ["well"; 4]);
}

#[test]
fn never_more_than_half_of_the_members_are_left_out_for_their_traffic() {
    let [(b1, _f1), (b2, _f2)] = ["b1", "b2"].map(fickle);
    let proxy = Proxy::before(&[&b1, &b2])
        .balancer("outlier = { consecutive-failures = 1 }")
        .start();
    while proxy.stderr.count("is unhealthy") == 0 {
        proxy.get("/");
    }
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 500);
    }
    assert_eq!(proxy.stderr.count("is unhealthy"), 1);
}

/// faults.md: all down is a 503 that says when to come again.
#[test]
fn refusal_says_when_to_come_again() {
    let dead = Origin::dead();
    let proxy = Proxy::before(&[])
        .member(&dead, "retry = \"30s\"")
        .balancer("forcerecovery = false")
        .start();
    proxy.get("/");
    let response = proxy.get("/");
    assert_eq!(response.status(), 503);
    let seconds: u32 = response
        .field("retry-after")
        .expect("Retry-After")
        .parse()
        .unwrap();
    assert!((25..=30).contains(&seconds), "{seconds}");
}

#[test]
fn error_state_is_told_once_with_its_cause() {
    let dead = Origin::dead();
    let well = Origin::live("well");
    let proxy = Proxy::before(&[&dead, &well]).start();
    assert_eq!(proxy.served(4), ["well"; 4]);
    let url = dead.url();
    let line = proxy
        .stderr
        .line_with(&format!("member {url} is in error for 60s"));
    assert!(line.contains("it cannot be reached"), "{line}");
    assert_eq!(proxy.stderr.count("is in error"), 1);
    assert_eq!(server(&proxy.get("/")), "well");
}

#[test]
fn draining_member_keeps_its_sessions_until_its_deadline() {
    let [b1, b2] = Origin::some();
    let config = |timeout: &str| {
        Proxy::before(&[])
            .balancer("stickysession = \"SID\"")
            .member(&b1, &format!("route = \"r1\"\nstatus = \"+N\"\n{timeout}"))
            .member(&b2, "route = \"r2\"")
            .start()
    };
    let served = |proxy: &Proxy| {
        let response = proxy.exchange("GET /", &["Cookie: SID=a.r1"]);
        server(&response)
    };
    assert_eq!(served(&config("")), "b1");
    assert_eq!(served(&config("drain-timeout = \"1h\"")), "b1");
    assert_eq!(served(&config("drain-timeout = \"0s\"")), "b2");
}
