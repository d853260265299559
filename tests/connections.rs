//! Connections to members: kept, used again, found stale and closed.

use std::thread;

use crate::harness::origin::Act;
use crate::harness::proxy::server;
use crate::harness::{Client, Exchange, Gate, Origin, Proxy};

/// A member that answers on a new connection, and leaves one that is used again as soon as the request is there.
fn forgetful(leave: Act) -> Origin {
    let answer = move |exchange: &mut Exchange| {
        exchange.read_body();
        match exchange.position {
            0 => exchange.answer("fresh"),
            _ => leave(exchange),
        }
    };
    Origin::named("b1").answering(answer).start()
}

#[test]
fn connections_to_members_are_used_again() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
    let mut client = proxy.client();
    for _ in 0..50 {
        assert_eq!(server(&client.get("/")), "b1");
    }
    assert_eq!(b1.when("connections", |log| Some(log.connections)), 1);
}

#[test]
fn disablereuse_makes_a_connection_for_each_request() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[])
        .top("workers = 1")
        .member(&b1, "disablereuse = true")
        .start();
    assert_eq!(proxy.served(5), ["b1"; 5]);
    assert_eq!(b1.when("connections", |log| Some(log.connections)), 5);
}

#[test]
fn disablereuse_leaves_a_large_body_whole() {
    let body = "x".repeat(1_500_000);
    let large = body.clone();
    let b1 = Origin::named("b1")
        .answering(move |exchange| exchange.respond("200 OK", &large))
        .start();
    let proxy = Proxy::before(&[])
        .member(&b1, "disablereuse = true")
        .start();
    assert_eq!(proxy.get("/").text().len(), body.len());
}

#[test]
fn an_idle_connection_is_closed_after_ttl() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[]).member(&b1, "ttl = \"300ms\"").start();
    assert_eq!(proxy.served(1), ["b1"]);
    b1.await_no_connection();
    assert_eq!(proxy.served(1), ["b1"]);
}

#[test]
fn a_connection_that_the_member_wants_closed_is_not_used_again() {
    let answers = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ];
    for answer in answers {
        let b1 = Origin::named("b1").saying(answer).start();
        let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
        assert_eq!(proxy.served(3), ["ok"; 3]);
        b1.when("three connections", |log| {
            let fresh = log.requests.iter().all(|request| request.position == 0);
            (fresh && log.connections == 3).then_some(())
        });
    }
}

#[test]
fn a_members_host_may_be_a_name() {
    let b1 = Origin::live("b1");
    let url = format!("http://localhost:{}", b1.address().port());
    let proxy = Proxy::before(&[])
        .member_at(&url, "keepalive = true")
        .start();
    assert_eq!(proxy.served(2), ["b1", "b1"]);
    let host = format!("localhost:{}", b1.address().port());
    assert_eq!(b1.request(0).head.field("host"), Some(host.as_str()));
}

#[test]
fn a_stale_connection_costs_a_get_nothing() {
    for leave in [Exchange::close, Exchange::reset] {
        let b1 = forgetful(leave);
        let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
        assert_eq!(proxy.served(20), ["fresh"; 20]);
        b1.when("a connection is used again", |log| {
            let mut positions = log.requests.iter().map(|request| request.position);
            positions.any(|position| position > 0).then_some(())
        });
    }
}

/// Goal: one stale connection is enough to trust no other. Method: several requests at once leave as many connections
/// behind, and the member leaves each that is used again.
#[test]
fn after_a_stale_connection_a_new_one_is_made() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        held.wait();
        match exchange.position {
            0 => exchange.answer("fresh"),
            _ => exchange.close(),
        }
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
    let mut clients: [Client; 5] = std::array::from_fn(|_| proxy.client());
    for client in &mut clients {
        client.ask("GET /", &[]);
    }
    b1.await_hits(5);
    gate.open();
    for client in &mut clients {
        assert_eq!(server(&client.response()), "fresh");
    }
    assert_eq!(server(&proxy.get("/")), "fresh");
    assert_eq!(
        b1.hits(),
        7,
        "once on a stale connection, once on a new one"
    );
}

#[test]
fn members_that_close_idle_connections_cost_a_get_nothing() {
    let b1 = Origin::named("b1").answering(|exchange| {
        exchange.answer("b1");
        exchange.close();
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    assert_eq!(proxy.served(40), ["b1"; 40]);
}

/// The same under load: connections that end after every third answer, at any moment in the life of the pool.
#[test]
fn members_that_close_connections_cost_concurrent_gets_nothing() {
    let closing = |name| {
        let origin = Origin::named(name).answering(|exchange| {
            exchange.answer("ok");
            if exchange.position == 2 {
                exchange.close();
            }
        });
        origin.start()
    };
    let (b1, b2) = (closing("b1"), closing("b2"));
    let proxy = Proxy::before(&[&b1, &b2]).start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = proxy.client();
                for _ in 0..100 {
                    assert_eq!(server(&client.get("/")), "ok");
                }
            });
        }
    });
}

/// Goal: a request that may have been acted on is not sent again unless its method allows it. Method: the member breaks
/// off on a connection that is used again, once the request is there.
#[test]
fn a_stale_connection_never_sends_a_post_twice() {
    for (line, body) in [("POST /", "order"), ("PATCH /", "order"), ("POST /", "")] {
        let (b1, b2) = (forgetful(Exchange::close), Origin::live("b2"));
        let proxy = Proxy::before(&[])
            .top("workers = 1")
            .member(&b1, "lbset = 0")
            .member(&b2, "lbset = 1")
            .start();
        assert_eq!(server(&proxy.get("/")), "fresh");
        let response = proxy.client().exchange_body(line, &[], body);
        assert_eq!(response.status(), 502, "{line}");
        assert_eq!((b1.hits(), b2.hits()), (2, 0), "{line}");
        assert_eq!(b1.request(1).position, 1, "the connection was used again");
    }
}

#[test]
fn a_stale_connection_repeats_a_put_with_its_body() {
    let b1 = forgetful(Exchange::close);
    let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
    assert_eq!(server(&proxy.get("/")), "fresh");
    assert_eq!(
        server(&proxy.client().exchange_body("PUT /", &[], "content")),
        "fresh"
    );
    assert_eq!(b1.request(1).body.text(), "content");
    assert_eq!(b1.request(2).body.text(), "content");
}

/// A body that is larger than the replay buffer is gone once it was sent.
#[test]
fn a_stale_connection_does_not_repeat_a_body_that_is_not_kept() {
    let b1 = forgetful(Exchange::close);
    let proxy = Proxy::before(&[&b1])
        .top("workers = 1")
        .balancer("replay-buffer = \"1KiB\"")
        .start();
    assert_eq!(server(&proxy.get("/")), "fresh");
    let response = proxy
        .client()
        .exchange_body("PUT /", &[], &"x".repeat(100_000));
    assert_eq!(response.status(), 502);
    assert_eq!(b1.hits(), 2);
}
