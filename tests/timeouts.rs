//! `timeout`: how long a member may take, and what does not count as taking long.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::origin::Act;
use crate::harness::proxy::server;
use crate::harness::{Blackhole, Client, Exchange, Gate, Origin, Proxy};

#[test]
fn a_member_that_takes_too_long_is_504() {
    let stalls: [(&str, Act); 3] = [
        ("before its answer", Exchange::stall),
        ("within its status line", |exchange| {
            exchange.send("HTTP/1.1 2");
            exchange.stall();
        }),
        ("within its head", |exchange| {
            exchange.send("HTTP/1.1 200 OK\r\nContent-");
            exchange.stall();
        }),
    ];
    for (stall, stalling) in stalls {
        let b1 = Origin::named("b1").answering(move |exchange| match exchange.target() {
            "/slow" => stalling(exchange),
            _ => exchange.answer("b1"),
        });
        let b1 = b1.start();
        let proxy = Proxy::before(&[])
            .member(&b1, "timeout = \"300ms\"")
            .start();
        let start = Instant::now();
        let mut client = proxy.client();
        assert_eq!(client.get("/slow").status(), 504, "{stall}");
        assert!(start.elapsed() >= Duration::from_millis(300), "{stall}");
        b1.await_no_connection();
        assert_eq!(
            server(&client.get("/")),
            "b1",
            "{stall}: the member is not blamed"
        );
    }
}

#[test]
fn a_member_that_does_not_take_the_body_is_504() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        held.wait();
        exchange.close();
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[])
        .member(&b1, "timeout = \"500ms\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 100000000\r\n\r\n");
    let mut sender = Client::on(client.sender());
    let sending = thread::spawn(move || sender.send_pattern(100_000_000, |_| {}));
    assert_eq!(client.response().status(), 504);
    gate.open();
    drop(client);
    let _ = sending.join().expect("no panic");
}

#[test]
fn a_member_that_waits_for_the_client_is_not_slow() {
    let b1 = Origin::live("b1");
    let proxy = Proxy::before(&[])
        .member(&b1, "timeout = \"300ms\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 11\r\n\r\nfirst");
    assert!(!client.hears_within(Duration::from_millis(1_000)));
    client.send("second");
    assert_eq!(server(&client.response()), "b1");
}

#[test]
fn a_member_that_goes_on_sending_is_not_slow() {
    let b1 = Origin::named("b1").answering(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
        for _ in 0..20 {
            exchange.hears_within(Duration::from_millis(100));
            exchange.send("x");
        }
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[]).member(&b1, "timeout = \"1s\"").start();
    assert_eq!(proxy.get("/").text(), "x".repeat(20));
}

/// Goal: `request-timeout` is a deadline over all tries. Method: members that never answer, of which each would be given up
/// soon, and after which others are asked; with it, only the first few are.
#[test]
fn request_timeout_bounds_all_tries_of_a_request() {
    let members: [_; 8] =
        std::array::from_fn(|_| Origin::named("silent").answering(Exchange::stall).start());
    let mut start =
        Proxy::before(&[]).balancer("retry-on = [\"timeout\"]\nrequest-timeout = \"500ms\"");
    for member in &members {
        start = start.member(member, "timeout = \"200ms\"");
    }
    let proxy = start.start();
    let start = Instant::now();
    assert_eq!(proxy.get("/").status(), 504);
    assert!(start.elapsed() >= Duration::from_millis(490));
    let asked: usize = members.iter().map(Origin::hits).sum();
    assert!((1..=3).contains(&asked), "{asked} tries");
}

#[test]
fn request_timeout_bounds_a_single_try() {
    let b1 = Origin::named("b1").answering(|exchange| match exchange.target() {
        "/slow" => exchange.stall(),
        _ => exchange.answer("b1"),
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1])
        .balancer("request-timeout = \"300ms\"")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.get("/slow").status(), 504);
    b1.await_no_connection();
    assert_eq!(server(&client.get("/")), "b1", "the member is not blamed");
}

/// Also what is before a try: for a slot, for a member, for a connection. Each would take a minute.
#[test]
fn request_timeout_bounds_what_a_request_waits_for() {
    let deadline = "request-timeout = \"300ms\"";
    let b1 = Origin::named("b1").answering(Exchange::stall).start();
    let full = Proxy::before(&[])
        .balancer(deadline)
        .member(&b1, "max = 1\nacquire = \"60s\"\ntimeout = \"60s\"")
        .start();
    // The holder is given up at the same time, so there is always another.
    let holders: Vec<_> = (0..20)
        .map(|_| {
            let mut client = full.client();
            client.ask("GET /", &[]);
            client
        })
        .collect();
    for mut client in holders {
        let status = client.response().status();
        assert!([503, 504].contains(&status), "{status}");
    }

    let ineligible = Proxy::before(&[])
        .balancer(&format!("{deadline}\ntimeout = \"60s\""))
        .member(&b1, "status = \"+D\"")
        .start();
    let status = ineligible.get("/").status();
    assert!([503, 504].contains(&status), "{status}");

    let blackhole = Blackhole::open();
    let unreachable = Proxy::before(&[])
        .balancer(deadline)
        .member_at(
            &blackhole.url(),
            "connectiontimeout = \"60s\"\ntimeout = \"60s\"",
        )
        .start();
    let status = unreachable.get("/").status();
    assert!([503, 504].contains(&status), "{status}");
}

#[test]
fn there_is_no_request_timeout_by_default() {
    let b1 = Origin::named("b1").answering(|exchange| {
        exchange.hears_within(Duration::from_millis(1_500));
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[]).member(&b1, "timeout = \"60s\"").start();
    assert_eq!(server(&proxy.get("/")), "b1");
}
