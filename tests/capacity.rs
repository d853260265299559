//! `max` and `acquire`: how many requests a member has in flight, and what becomes of the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::proxy::server;
use crate::harness::{Exchange, Gate, Origin, Proxy};

/// A member that holds requests to `/held` until the gate opens.
fn holding(name: &str, gate: &Gate) -> Origin {
    let gate = gate.clone();
    let answer = move |exchange: &mut Exchange| {
        if exchange.target() == "/held" {
            gate.wait();
        }
        let name = exchange.name().to_owned();
        exchange.answer(&name);
    };
    Origin::named(name).answering(answer).start()
}

#[test]
fn a_full_member_is_503_after_acquire() {
    let gate = Gate::closed();
    let b1 = holding("b1", &gate);
    let proxy = Proxy::before(&[])
        .member(&b1, "max = 1\nacquire = \"300ms\"")
        .start();
    let mut busy = proxy.client();
    busy.ask("GET /held", &[]);
    b1.await_hits(1);

    let start = Instant::now();
    assert_eq!(proxy.get("/").status(), 503);
    assert!(start.elapsed() >= Duration::from_millis(300));
    gate.open();
    assert_eq!(server(&busy.response()), "b1");
    assert_eq!(server(&busy.get("/")), "b1");
}

#[test]
fn a_full_member_hands_over_to_the_next_after_acquire() {
    let gate = Gate::closed();
    let (b1, b2) = (holding("b1", &gate), Origin::live("b2"));
    let proxy = Proxy::before(&[])
        .member(&b1, "max = 1\nacquire = \"100ms\"")
        .member(&b2, "")
        .start();
    let mut busy = proxy.client();
    busy.ask("GET /held", &[]);
    b1.await_hits(1);
    assert_eq!(proxy.served(4), ["b2"; 4]);
    gate.open();
    assert_eq!(server(&busy.response()), "b1");
}

#[test]
fn a_request_waits_for_a_full_member() {
    let gate = Gate::closed();
    let b1 = holding("b1", &gate);
    let proxy = Proxy::before(&[])
        .member(&b1, "max = 1\nacquire = \"19s\"")
        .start();
    let mut busy = proxy.client();
    busy.ask("GET /held", &[]);
    b1.await_hits(1);
    let mut waiting = proxy.client();
    waiting.ask("GET /", &[]);
    gate.open();
    assert_eq!(server(&busy.response()), "b1");
    assert_eq!(server(&waiting.response()), "b1");
}

#[test]
fn max_bounds_the_requests_in_flight_over_all_workers() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (Arc::clone(&now), Arc::clone(&most));
    let b1 = Origin::named("b1").answering(move |exchange| {
        let (now, most) = &counted;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::yield_now();
        now.fetch_sub(1, Ordering::SeqCst);
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[])
        .top("workers = 4")
        .member(&b1, "max = 2\nacquire = \"19s\"")
        .start();
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert_eq!(proxy.served(20), ["b1"; 20]));
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 2, "{most:?} at once");
}

/// Goal: who has left is not counted as in flight. Method: clients that leave within an answer, and a method that goes by
/// what is in flight.
#[test]
fn a_client_that_leaves_is_not_in_flight_any_more() {
    let b1 = Origin::named("b1").answering(|exchange| match exchange.target() {
        "/large" => exchange.stream(1_000_000_000),
        _ => exchange.answer("b1"),
    });
    let (b1, b2) = (b1.start(), Origin::live("b2"));
    let proxy = Proxy::before(&[])
        .member(&b1, "max = 1\nacquire = \"19s\"")
        .member(&b2, "lbset = 1")
        .start();
    for _ in 0..3 {
        let mut client = proxy.client();
        client.ask("GET /large", &[]);
        client.await_text("HTTP/1.1 200");
        drop(client);
        assert_eq!(server(&proxy.get("/")), "b1", "the member is free again");
    }

    let proxy = Proxy::before(&[&b1, &b2])
        .balancer("lbmethod = \"bybusyness\"")
        .start();
    let mut client = proxy.client();
    client.ask("GET /large", &[]);
    client.await_text("HTTP/1.1 200");
    client.reset();
    b1.await_no_connection();
    let mut client = proxy.client();
    let served: Vec<_> = (0..4).map(|_| client.get("/").text()).collect();
    assert_eq!(served, ["b2", "b1", "b2", "b1"]);
}
