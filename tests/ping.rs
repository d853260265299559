//! `ping`: a member is asked whether it is ready before it gets a body.

use std::time::Duration;

use crate::harness::origin::State;
use crate::harness::proxy::server;
use crate::harness::{Exchange, Origin, Proxy};

#[test]
fn ping_sends_the_body_once_the_member_is_ready() {
    let b1 = Origin::named("b1").answering(|exchange| {
        if exchange.hears_within(Duration::from_millis(300)) {
            return exchange.respond("500 No", "the body came before it was asked for");
        }
        exchange.send("HTTP/1.1 100 Continue\r\n\r\n");
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[]).member(&b1, "ping = \"19s\"").start();
    let response = proxy.client().exchange_body("POST /", &[], "order");
    assert_eq!(server(&response), "b1", "{}", response.text());
    let request = b1.only_request();
    assert_eq!(request.head.field("expect"), Some("100-continue"));
    assert_eq!(request.body.text(), "order");
}

#[test]
fn ping_takes_a_silent_member_for_dead() {
    let b1 = Origin::named("b1").answering(Exchange::stall).start();
    let b2 = Origin::live("b2");
    let proxy = Proxy::before(&[])
        .member(&b1, "ping = \"300ms\"")
        .member(&b2, "")
        .start();
    let ask = || server(&proxy.client().exchange_body("POST /", &[], "order"));
    assert_eq!([ask(), ask(), ask()], ["b2", "b2", "b2"]);
    assert_eq!(b2.request(0).body.text(), "order");
    let request = b1.only_request();
    assert_eq!(
        (request.state, request.body.length),
        (State::Unread, 0),
        "and in error since"
    );
}

#[test]
fn ping_keeps_a_large_body_for_the_next_member() {
    let b1 = Origin::named("b1").answering(Exchange::stall).start();
    let b2 = Origin::live("b2");
    let proxy = Proxy::before(&[])
        .member(&b1, "ping = \"300ms\"")
        .member(&b2, "")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 1000000\r\n\r\n");
    let sent = client.send_pattern(1_000_000, |_| {});
    sent.expect("a proxy that reads");
    assert_eq!(server(&client.response()), "b2");
    let body = b2.only_request().body;
    assert_eq!((body.length, body.patterned), (1_000_000, true));
}

/// Goal: a member that answers without asking for the body never gets it, not even for the head of a next request.
#[test]
fn ping_passes_an_answer_that_comes_instead_of_the_go_ahead() {
    let refusal = "HTTP/1.1 413 Large\r\nContent-Length: 5\r\n\r\nlarge";
    let b1 = Origin::named("b1").answering(move |exchange| match exchange.method() {
        "POST" => {
            exchange.send(refusal);
            exchange.stall();
        }
        _ => exchange.answer("b1"),
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[])
        .top("workers = 1")
        .member(&b1, "ping = \"5s\"")
        .start();
    for _ in 0..3 {
        let response = proxy.client().exchange_body("POST /", &[], "order");
        assert_eq!(
            (response.status(), response.text().as_str()),
            (413, "large")
        );
        assert_eq!(server(&proxy.get("/")), "b1");
    }
    assert_eq!(b1.request(0).body.length, 0);
}

#[test]
fn ping_leaves_requests_without_a_body_alone() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[]).member(&b1, "ping = \"300ms\"").start();
    assert_eq!(proxy.served(2), ["b1", "b1"]);
    assert_eq!(b1.request(0).head.field("expect"), None);
}
